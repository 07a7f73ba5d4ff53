"""From pictures to `Regions`."""

from lxmert.detection.components import ComponentRegionExtractor
from lxmert.detection.extract import extract_images, extract_regions
from lxmert.detection.extraction_report import ExtractionReport, SkippedImage
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
    "ExtractionReport",
    "GridRegionExtractor",
    "ImageDataset",
    "ImageFolder",
    "ImageList",
    "ImageMapping",
    "ImageSource",
    "ShapeRegionExtractor",
    "SkippedImage",
    "extract_images",
    "extract_regions",
    "make_extractor",
    "open_images",
]
