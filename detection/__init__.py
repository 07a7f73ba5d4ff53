"""From pictures to `Regions`."""

from lxmert.detection.components import ComponentRegionExtractor
from lxmert.detection.extract import extract_regions
from lxmert.detection.grid import GridRegionExtractor

__all__ = ["ComponentRegionExtractor", "GridRegionExtractor", "extract_regions"]
