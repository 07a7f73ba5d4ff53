"""Where pre-training and fine-tuning may start from: a BERT's weights, or files of the original authors."""

import logging
import os
import pickle
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from transformers import AutoConfig, BertForMaskedLM, BertModel, PreTrainedConfig, PreTrainedModel

from lxmert.configuration import LxmertConfig
from lxmert.modeling_lxmert.model import LxmertModel, LxmertPreTrainedModel

logger = logging.getLogger(__name__)

# Fields that must agree with BERT's: a difference would not load, or load and mean something else.
SHARED_FIELDS = ("hidden_size", "num_attention_heads", "intermediate_size", "vocab_size", "hidden_act")
IS_DECODER = "is_decoder is True in the BERT, whose words see only those before them: take an encoder."
TABLES = ("position_embeddings.weight", "token_type_embeddings.weight")


@dataclass(frozen=True)
class StartReport:
    """Which weights of a model come from elsewhere; names as in `LxmertForPreTraining`.

    Args:
        found: the model's weights that were read; a tied one counts as the one it is tied to.
        new: the model's weights that the source lacks, left as they were.
        left_over: the source's weights that the model has no place for.
        mismatched: weights that both have in different shapes, left as they were: source's shape, model's shape.
        notes: what else is worth knowing, in sentences.
    """

    found: list[str]
    new: list[str]
    left_over: list[str]
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    notes: list[str]

    def __str__(self) -> str:
        lines = []
        for title, names in (("found", self.found), ("new", self.new), ("left over", self.left_over)):
            lines.append(f"{title}: {len(names)}" + (f" ({_by_module(names)})" if names else ""))
        different = [f"{name} {source} there, {own} here" for name, (source, own) in self.mismatched.items()]
        lines.append(f"mismatched: {len(different)}" + (f" ({', '.join(different)})" if different else ""))
        return "\n".join(lines + self.notes)


def start_language_encoder_from_bert(
    model: LxmertPreTrainedModel, bert: PreTrainedModel | str | os.PathLike
) -> StartReport:
    """Give the language encoder BERT's embeddings and first layers, and the masked-word head BERT's.

    The paper pre-trains "from scratch" and compares with a start from BERT (section 5.1). BERT's pooler and
    next-sentence head stay behind. Language layers that BERT lacks stay random, and layers beyond ours are dropped;
    both are said in the report, the first also in a warning.

    Args:
        model: an LXMERT of any class, changed in place.
        bert: a BERT of transformers, any class around a `BertModel`, or a folder or Hub id of one.

    Returns:
        What came from BERT and what did not.

    Raises:
        TypeError: `bert` holds no `BertModel`.
        ValueError: a BERT of other sizes, activation or kind of positions, a decoder, or a checkpoint of another
            model.
    """
    stays: list[str] = []
    if isinstance(bert, (str, os.PathLike)):
        bert, stays = _load_bert(bert)
    at, encoder = next((found for found in bert.named_modules() if isinstance(found[1], BertModel)), ("", None))
    if encoder is None:
        raise TypeError(f"bert must hold a BertModel of transformers, got {type(bert).__name__}.")
    _check_same_kind(model.config, encoder.config)

    inside, source = f"{at}." if at else "", {}
    for name, tensor in bert.state_dict().items():
        if name.startswith((f"{inside}embeddings.", f"{inside}encoder.layer.")):
            source[f"lxmert.{name.removeprefix(inside)}"] = tensor
        elif name == "cls.predictions.decoder.bias":
            continue  # cls.predictions.bias once more
        elif name.startswith("cls.predictions."):
            source[name] = tensor
        else:
            stays.append(name)
    report = _copy(model, source, TABLES)
    report.left_over.extend(stays)

    ours, theirs = model.config.l_layers, encoder.config.num_hidden_layers
    if ours > theirs:
        random = f"The last {ours - theirs} of {ours} language layers stay random: BERT has {theirs}."
        report.notes.append(random)
        logger.warning(random)
    elif theirs > ours:
        report.notes.append(f"The last {theirs - ours} of BERT's {theirs} layers are dropped: l_layers is {ours}.")
    if encoder.config.layer_norm_eps != 1e-12:
        report.notes.append(f"BERT's layer_norm_eps is {encoder.config.layer_norm_eps}, LXMERT's is 1e-12.")
    return report


def read_original_checkpoint(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """The tensors of a `.pth` file of the original authors, under the names of our models.

    Takes what their pre-training and their fine-tuning write, on one GPU or several. Only tensors are read: no code
    that a file may bring is run.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file that cannot be read without running code, that is damaged, or that holds anything but
            tensors by name.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise ValueError(
            f"{path} does not load as plain tensors: it is damaged, no file of torch.save, or holds Python objects, "
            "whose loading could run any code, which is never done here. If you trust where it comes from, load it "
            "yourself with torch.load(..., weights_only=False) and save its state_dict() of tensors again. "
            f"torch says: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        inside = f" with the keys {sorted(map(str, content))[:5]}" if isinstance(content, Mapping) else ""
        raise ValueError(
            f"{path} must hold tensors by name, as torch.save(model.state_dict(), path) writes, "
            f"got {type(content).__name__}{inside}: save the state dict in it by itself."
        )
    return {_our_name(name): tensor for name, tensor in content.items()}


def start_from_original(model: LxmertPreTrainedModel, path: str | os.PathLike) -> StartReport:
    """Load a `.pth` file of the original authors into a model of any class, as far as its parts are there.

    Weights of another shape, such as those of an answer head for another number of answers, are left out and
    reported; of an answer head for another number of images (NLVR2's reads two), all are. The files know no answer
    texts: give the model's configuration the list that the file was trained with before, and move to another with
    `set_answers` after.

    Args:
        model: changed in place.
        path: of the file; see `read_original_checkpoint`.

    Returns:
        What came from the file and what did not.

    Raises:
        ValueError: as `read_original_checkpoint`, or nothing in the file fits the model.
    """
    source = read_original_checkpoint(path)
    head = _head_for_other_images(model, source)
    report = _copy(model, {name: tensor for name, tensor in source.items() if name not in head})
    if head:
        report.left_over.extend(head)
        report.notes.append("The answer head reads another number of images there: nothing of it was read.")
    if not report.found:
        raise ValueError(f"{path} has no weight of {type(model).__name__}; it has {', '.join(list(source)[:3])} ...")
    if report.new or report.mismatched:
        logger.warning(
            "%s leaves %d weights of %s as they were: %s.",
            *(path, len(report.new) + len(report.mismatched), type(model).__name__),
            _by_module([*report.new, *report.mismatched]),
        )
    return report


@torch.no_grad()
def _copy(
    model: LxmertPreTrainedModel, source: Mapping[str, torch.Tensor], tables: tuple[str, ...] = ()
) -> StartReport:
    """Copy what fits by name and shape; of tables, by the ends of their names, the rows that both have."""
    prefix = "lxmert." if isinstance(model, LxmertModel) else ""
    own = {prefix + name: tensor for name, tensor in model.state_dict(keep_vars=True).items()}
    read: dict[int, str] = {}  # tied weights are one tensor under two names: read once, under the first
    mismatched, notes = {}, []
    for name, tensor in own.items():
        value = source.get(name)
        if value is None:
            continue
        if id(tensor) in read:
            if not torch.equal(value.to(tensor), tensor):
                notes.append(f"{name} is tied to {read[id(tensor)]} here; its other values there were not read.")
        elif value.shape == tensor.shape:
            tensor.copy_(value)
        elif name.endswith(tables) and value.shape[1:] == tensor.shape[1:]:
            rows = min(len(value), len(tensor))
            tensor[:rows] = value[:rows]
            notes.append(f"{name}: the first {rows} rows were read, of {len(value)} there and {len(tensor)} here.")
        else:
            mismatched[name] = (tuple(value.shape), tuple(tensor.shape))
            continue
        read.setdefault(id(tensor), name)
    return StartReport(
        found=[name for name, tensor in own.items() if id(tensor) in read],
        new=[name for name, tensor in own.items() if id(tensor) not in read and name not in mismatched],
        left_over=[name for name in source if name not in own],
        mismatched=mismatched,
        notes=notes,
    )


def _head_for_other_images(model: LxmertPreTrainedModel, source: Mapping[str, torch.Tensor]) -> list[str]:
    """The weights of an answer head that has the model's names but reads another number of images."""
    first = "answer_head.logit_fc.0.weight"  # (2H, images * H)
    own = dict(model.named_parameters()).get(first)
    if own is None or first not in source or source[first].shape[1:] == own.shape[1:]:
        return []
    same_width = len(source[first]) == len(own)
    return [name for name in source if name.startswith("answer_head.")] if same_width else []


def _load_bert(path: str | os.PathLike) -> tuple[PreTrainedModel, list[str]]:
    """A BERT from a folder or the Hub, with its masked-word head where it has one; and the weights left in the file."""
    config = AutoConfig.from_pretrained(path)
    if config.model_type != "bert":
        raise ValueError(f"bert must be a BERT checkpoint, got the model type {config.model_type!r} at {path}.")
    if config.is_decoder:
        raise ValueError(IS_DECODER)
    bert, report = BertForMaskedLM.from_pretrained(path, output_loading_info=True)
    missing = sorted(name for name in report["missing_keys"] if name.startswith("bert."))
    if missing:
        raise ValueError(f"{path} lacks weights of its BERT, {missing[0]} for one: is it a complete checkpoint?")
    has_head = not any(name.startswith("cls.predictions.") for name in report["missing_keys"])
    return bert if has_head else bert.bert, sorted(report["unexpected_keys"])


def _check_same_kind(ours: LxmertConfig, theirs: PreTrainedConfig) -> None:
    for field in SHARED_FIELDS:
        own, other = getattr(ours, field), getattr(theirs, field)
        if own != other:
            raise ValueError(
                f"{field} is {own!r} in the LXMERT but {other!r} in the BERT: build the LXMERT with "
                f"LxmertConfig({field}={other!r}), or take another BERT."
            )
    positions = getattr(theirs, "position_embedding_type", "absolute")
    if positions != "absolute":
        raise ValueError(
            f"position_embedding_type is {positions!r} in the BERT, but LXMERT knows absolute positions only: take a "
            "BERT with absolute ones."
        )
    if theirs.is_decoder:
        raise ValueError(IS_DECODER)


def _our_name(name: str) -> str:
    """The original's name of a tensor as ours; `module.` comes from `nn.DataParallel`."""
    name = re.sub(r"(^|\.)module\.", r"\1", name).removeprefix("lxrt_encoder.model.")
    for original, ours in (("bert.", "lxmert."), ("logit_fc.", "answer_head.logit_fc.")):
        if name.startswith(original):
            return ours + name.removeprefix(original)
    return name


def _by_module(names: Iterable[str]) -> str:
    """`lxmert.encoder.layer.0-8 144, lxmert.pooler 2`: how many weights each module has, layers of a stack together."""
    counts: dict[str, int] = {}
    layers: dict[str, set[int]] = {}
    for name in names:
        if match := re.match(r"(.+?)\.(\d+)\.", name):
            module = match[1]
            layers.setdefault(module, set()).add(int(match[2]))
        else:
            parts = name.split(".")[:-1]
            module = ".".join(parts[: 3 if parts[1:2] == ["encoder"] else 2]) or name
        counts[module] = counts.get(module, 0) + 1
    return ", ".join(f"{module}{_ranges(layers.get(module, set()))} {count}" for module, count in counts.items())


def _ranges(numbers: set[int]) -> str:
    """{0, 1, 2, 5} as `.0-2,5`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    joined = ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f".{joined}" if joined else ""
