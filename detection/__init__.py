"""From pictures to `Regions`."""

from lxmert.detection.components import ComponentRegionExtractor
from lxmert.detection.detector import DetectorRegionExtractor
from lxmert.detection.drawn_boxes import DrawnBoxesRegionExtractor
from lxmert.detection.extract import extract_images, extract_regions
from lxmert.detection.extraction_pictures import draw_extracted
from lxmert.detection.extraction_report import ExtractionReport, SkippedImage
from lxmert.detection.faster_rcnn import FasterRcnnForRegionFeatures, FasterRcnnOutput
from lxmert.detection.faster_rcnn_extractor import FasterRcnnRegionExtractor
from lxmert.detection.faster_rcnn_image_processor import FasterRcnnImageProcessor
from lxmert.detection.grid import GridRegionExtractor
from lxmert.detection.image_sources import (
    ImageDataset,
    ImageFolder,
    ImageList,
    ImageMapping,
    ImageSource,
    open_images,
)
from lxmert.detection.named_extractors import make_extractor
from lxmert.detection.shapes import ShapeRegionExtractor

__all__ = [
    "ComponentRegionExtractor",
    "DetectorRegionExtractor",
    "DrawnBoxesRegionExtractor",
    "ExtractionReport",
    "FasterRcnnForRegionFeatures",
    "FasterRcnnImageProcessor",
    "FasterRcnnOutput",
    "FasterRcnnRegionExtractor",
    "GridRegionExtractor",
    "ImageDataset",
    "ImageFolder",
    "ImageList",
    "ImageMapping",
    "ImageSource",
    "ShapeRegionExtractor",
    "SkippedImage",
    "draw_extracted",
    "extract_images",
    "extract_regions",
    "make_extractor",
    "open_images",
]
