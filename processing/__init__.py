"""From regions and text to tensors: `Regions`, their files, records, answer tables, the processor, WordPiece."""

from lxmert.processing.answers import (
    answer_ids,
    build_answer_table,
    build_answer_vocabulary,
    clean_answer,
    read_answer_list,
)
from lxmert.processing.bottom_up import BottomUpFile, read_label_names, to_region_store
from lxmert.processing.bottom_up_writer import write_bottom_up_file
from lxmert.processing.joined_regions import JoinedRegions
from lxmert.processing.processor import LxmertProcessor
from lxmert.processing.questions import Question, QuestionTable
from lxmert.processing.record_report import RecordReport
from lxmert.processing.records import check_records, read_records
from lxmert.processing.region_export import check_export, export_regions
from lxmert.processing.region_extractor import RegionExtractor
from lxmert.processing.region_files import RegionFiles, write_region_files
from lxmert.processing.region_sources import open_regions
from lxmert.processing.region_store import RegionStore
from lxmert.processing.regions import Regions, RegionSource
from lxmert.processing.vqa_answers import normalize_vqa_answer, soft_scores
from lxmert.processing.wordpiece import train_wordpiece_tokenizer

__all__ = [
    "BottomUpFile",
    "JoinedRegions",
    "LxmertProcessor",
    "Question",
    "QuestionTable",
    "RecordReport",
    "RegionExtractor",
    "RegionFiles",
    "RegionSource",
    "RegionStore",
    "Regions",
    "answer_ids",
    "build_answer_table",
    "build_answer_vocabulary",
    "check_export",
    "check_records",
    "clean_answer",
    "export_regions",
    "normalize_vqa_answer",
    "open_regions",
    "read_answer_list",
    "read_label_names",
    "read_records",
    "soft_scores",
    "to_region_store",
    "train_wordpiece_tokenizer",
    "write_bottom_up_file",
    "write_region_files",
]
