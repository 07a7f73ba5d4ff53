"""The texts of a configuration's classes: answers, or what a head with two classes decides."""

import copy
from collections.abc import Sequence

from lxmert.configuration import LxmertConfig


def class_texts(config: LxmertConfig) -> list[str] | None:
    """The texts by class id; None where there are only transformers' `LABEL_i`, which say nothing."""
    texts = [config.id2label[i] for i in range(len(config.id2label))]
    return None if all(text == f"LABEL_{i}" for i, text in enumerate(texts)) else texts


def write_class_texts(config: LxmertConfig, texts: Sequence[str]) -> None:
    """Name the classes, in the order of their ids; their number follows."""
    config.num_labels = len(texts)
    config.id2label = dict(enumerate(texts))
    config.label2id = {text: i for i, text in enumerate(texts)}


def with_class_texts(config: LxmertConfig, texts: Sequence[str]) -> LxmertConfig:
    """A copy of the configuration with these classes."""
    config = copy.deepcopy(config)
    write_class_texts(config, texts)
    return config
