"""From regions and text to tensors: `Regions`, the processor, the region store, the WordPiece vocabulary."""

from lxmert.processing.processor import LxmertProcessor
from lxmert.processing.region_extractor import RegionExtractor
from lxmert.processing.region_store import RegionStore
from lxmert.processing.regions import Regions
from lxmert.processing.wordpiece import train_wordpiece_tokenizer

__all__ = ["LxmertProcessor", "RegionExtractor", "RegionStore", "Regions", "train_wordpiece_tokenizer"]
