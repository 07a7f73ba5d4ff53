"""From pictures to `Regions`."""

from lxmert.detection.components import ComponentRegionExtractor
from lxmert.detection.extract import extract_regions
from lxmert.detection.grid import GridRegionExtractor
from lxmert.detection.shapes import ShapeRegionExtractor

__all__ = ["ComponentRegionExtractor", "GridRegionExtractor", "ShapeRegionExtractor", "extract_regions"]
