"""The configuration of LXMERT: sizes, pre-training tasks and answer labels."""

import logging
import os
from dataclasses import fields
from typing import Any, Literal, Self

from huggingface_hub.dataclasses import strict
from transformers import GenerationConfig, PreTrainedConfig
from transformers.activations import ACT2FN

from lxmert.configuration.plain_errors import refuse_misspelt, unknown_keywords_message, with_plain_errors

logger = logging.getLogger(__name__)

DEFAULT_NUM_QA_LABELS = 9500

# Keywords that `PreTrainedConfig` understands without having a field for them.
BASE_KEYWORDS = frozenset(
    {"attn_implementation", "experts_implementation", "output_attentions", "torch_dtype"}
    | {"name_or_path", "_name_or_path"}
)
# What transformers and the Hub write into a config.json beside the fields; kept without a word.
FILE_KEYWORDS = frozenset({"_commit_hash", "auto_map", "custom_pipelines"})


@with_plain_errors
@strict
class LxmertConfig(PreTrainedConfig):
    """Configuration of every LXMERT model; the defaults are the paper's size (section 3.1 and 4.1).

    Field names, and so config.json, are those of transformers' own `LxmertConfig`.

    The paper's weights: [unc-nlp/lxmert-base-uncased](https://huggingface.co/unc-nlp/lxmert-base-uncased).

    Args:
        vocab_size: number of wordpieces.
        hidden_size: width of all hidden states, a multiple of `num_attention_heads`.
        num_attention_heads: heads of every attention.
        num_qa_labels: number of answers; 9500 if neither it nor labels are given.
        num_object_labels: object classes of the detector (pre-training).
        num_attr_labels: attribute classes of the detector (pre-training).
        intermediate_size: width inside the feed-forward sub-layers.
        hidden_act: an activation known to transformers' `ACT2FN`.
        hidden_dropout_prob: dropout of embeddings and of every sub-layer's output, in [0, 1).
        attention_probs_dropout_prob: dropout of attention probabilities, in [0, 1).
        max_position_embeddings: largest number of wordpieces in a sentence, [CLS] and [SEP] counted.
        type_vocab_size: number of token types.
        initializer_range: standard deviation of the initial weights.
        l_layers: layers of the language encoder (N_L in the paper).
        x_layers: layers of the cross-modality encoder (N_X).
        r_layers: layers of the object-relationship encoder (N_R).
        visual_feat_dim: width of a region's features.
        visual_pos_dim: numbers that describe a region's position; 4 for x1, y1, x2, y2.
        visual_loss_normalizer: weight of the visual pre-training losses; 1 / 0.15 in the original code, 6.67 in
            files written by transformers.
        task_matched: pre-train cross-modality matching.
        task_mask_lm: pre-train masked cross-modality language modelling.
        task_obj_predict: pre-train on masked regions.
        task_qa: pre-train image question answering.
        visual_obj_loss: detected-label classification of objects, part of `task_obj_predict`.
        visual_attr_loss: detected-label classification of attributes, part of `task_obj_predict`.
        visual_feat_loss: RoI-feature regression, part of `task_obj_predict`.
        visual_label_regions: regions whose detected labels are predicted. "all" weights each with the detector's
            confidence, as the original code; "masked" takes masked regions only, as the paper.
        visual_feat_distance: of feature regression, "smooth_l1" as the original code or "l2" as the paper.
        task_grounding: pre-train which regions a word means, and how many they are (not in the paper; see
            `LxmertGroundingHead`).
        grounding_loss_weight: of the loss of grounding, a mean over many pairs of a word and a region.
        count_loss_weight: of the loss of counting.
        num_count_labels: classes of how many regions a word means: 0, 1, 2 and so on, the last for all larger numbers.
        id2label: the answers' texts by class id, `{0: "yes", 1: "no"}`. Given alone, `num_qa_labels` follows from it.
        label2id: the inverse of `id2label`; one of the two is enough.
        num_labels: another name for `num_qa_labels`, as in transformers.

    Raises:
        TypeError: a keyword that is no field (the nearest field is named), or a value of the wrong type.
        ValueError: sizes that do not fit together, an unknown activation, labels that disagree with `num_qa_labels`.

    Example:
        >>> LxmertConfig(hidden_size=128, num_attention_heads=4, id2label={0: "yes", 1: "no"}).num_qa_labels
        2
    """

    model_type = "lxmert"

    vocab_size: int = 30522
    hidden_size: int = 768
    num_attention_heads: int = 12
    num_qa_labels: int | None = None
    num_object_labels: int = 1600
    num_attr_labels: int = 400
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float | int = 0.1
    attention_probs_dropout_prob: float | int = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float | int = 0.02
    l_layers: int = 9
    x_layers: int = 5
    r_layers: int = 5
    visual_feat_dim: int = 2048
    visual_pos_dim: int = 4
    visual_loss_normalizer: float | int = 1 / 0.15
    task_matched: bool = True
    task_mask_lm: bool = True
    task_obj_predict: bool = True
    task_qa: bool = True
    visual_obj_loss: bool = True
    visual_attr_loss: bool = True
    visual_feat_loss: bool = True
    visual_label_regions: Literal["all", "masked"] = "all"
    visual_feat_distance: Literal["smooth_l1", "l2"] = "smooth_l1"
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    tie_word_embeddings: bool = True
    task_grounding: bool = False
    num_count_labels: int = 10
    grounding_loss_weight: float | int = 1.0
    count_loss_weight: float | int = 1.0

    def __post_init__(self, **kwargs: Any) -> None:
        layers = {"vision": self.r_layers, "cross_encoder": self.x_layers, "language": self.l_layers}
        # Both follow from other fields, but `to_dict` has them, and `LxmertConfig(**config.to_dict())` must work.
        for name, value in (("model_type", self.model_type), ("num_hidden_layers", layers)):
            if kwargs.get(name) == value:
                kwargs.pop(name)
        unknown = kwargs.keys() - BASE_KEYWORDS - {"num_labels"}
        if unknown:
            known = {field.name for field in fields(self)} | BASE_KEYWORDS | {"num_labels"}
            raise TypeError(unknown_keywords_message("LxmertConfig", unknown, known - {"_name_or_path"}) + ".")
        self._resolve_labels(kwargs.pop("num_labels", None))
        self.num_hidden_layers = layers
        # transformers' own LxmertConfig refuses a file with a whole number here.
        self.initializer_range = float(self.initializer_range)
        self.visual_loss_normalizer = float(self.visual_loss_normalizer)
        super().__post_init__(**kwargs)

    def _resolve_labels(self, num_labels: int | None) -> None:
        """Make `num_qa_labels`, `id2label` and `label2id` agree; transformers' `LABEL_i` never counts as explicit."""
        if num_labels is not None and self.num_qa_labels is not None and num_labels != self.num_qa_labels:
            raise ValueError(
                f"num_labels ({num_labels}) and num_qa_labels ({self.num_qa_labels}) name the same number: give one."
            )
        wanted = self.num_qa_labels if self.num_qa_labels is not None else num_labels
        labels: tuple[Any, Any] = (self.id2label, self.label2id)  # type: ignore[has-type]
        answers = _explicit_answers(*labels)
        if answers is None:
            self.num_qa_labels = DEFAULT_NUM_QA_LABELS if wanted is None else wanted
            answers = [f"LABEL_{i}" for i in range(self.num_qa_labels)]
        elif wanted is not None and wanted != len(answers):
            raise ValueError(
                f"id2label has {len(answers)} answers but num_qa_labels is {wanted}: leave num_qa_labels out, "
                "or give as many answers as it says."
            )
        self.num_qa_labels = len(answers)
        self.id2label = dict(enumerate(answers))
        self.label2id = {answer: i for i, answer in enumerate(answers)}

    @property
    def num_labels(self) -> int | None:
        """Another name for `num_qa_labels`; setting another number replaces the labels by `LABEL_i`."""
        return self.num_qa_labels

    @num_labels.setter
    def num_labels(self, num_labels: int) -> None:
        if num_labels != self.num_qa_labels:
            self.num_qa_labels = num_labels
            self.id2label = self.label2id = None  # type: ignore[assignment]
            self._resolve_labels(None)

    def validate_architecture(self) -> None:
        """Refuse sizes that cannot be built; `@strict` calls it on construction."""
        for name in (
            *("vocab_size", "hidden_size", "num_attention_heads", "num_qa_labels", "num_object_labels"),
            *("num_attr_labels", "intermediate_size", "max_position_embeddings", "type_vocab_size"),
            *("visual_feat_dim", "visual_pos_dim", "num_count_labels"),
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        for name in (
            *("l_layers", "x_layers", "r_layers", "initializer_range", "visual_loss_normalizer"),
            *("grounding_loss_weight", "count_loss_weight"),
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be a probability in [0, 1), got {getattr(self, name)}.")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size ({self.hidden_size}) must be a multiple of num_attention_heads "
                f"({self.num_attention_heads}): every head takes an equal share."
            )
        if self.hidden_act not in ACT2FN:
            raise ValueError(
                f"hidden_act {self.hidden_act!r} is unknown; transformers has {', '.join(sorted(ACT2FN))}."
            )
        super().validate_architecture()

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Self | tuple[Self, dict[str, Any]]:
        """A configuration from the content of a config.json; `kwargs` override it.

        Unknown fields of the file are kept as attributes, with one warning, so that old and foreign files load.
        An override of the labels replaces what the file says about their number, and the other way round.

        Raises:
            ValueError, TypeError: as the constructor does.
        """
        known = {field.name for field in fields(cls)} | BASE_KEYWORDS | {"num_labels"}
        # An old file's generation settings (max_length, ...) belong to no LXMERT; keeping them would bar saving.
        dropped = GenerationConfig._get_default_generation_params().keys() | {"num_hidden_layers", "model_type"}
        values = {name: value for name, value in config_dict.items() if name in known}
        unknown = {name: config_dict[name] for name in config_dict.keys() - known - dropped}

        overrides = {name: kwargs.pop(name) for name in kwargs.keys() & known if name not in ("torch_dtype", "dtype")}
        answers = _explicit_answers(values.get("id2label"), values.get("label2id")) or []
        counts = {overrides[name] for name in ("num_qa_labels", "num_labels") if name in overrides}
        if overrides.keys() & {"id2label", "label2id"} or counts - {len(answers)}:
            for name in ("id2label", "label2id", "num_qa_labels", "num_labels"):
                values.pop(name, None)
        values |= overrides

        if not kwargs.get("return_unused_kwargs", False):
            refuse_misspelt("LxmertConfig", kwargs, known)
        result = super().from_dict(values, **kwargs)
        config = result[0] if isinstance(result, tuple) else result
        for name, value in unknown.items():
            setattr(config, name, value)
        if surprising := sorted(unknown.keys() - FILE_KEYWORDS):
            logger.warning(
                "Fields of the configuration that LXMERT does not know were kept: %s.", ", ".join(surprising)
            )
        return result

    @classmethod
    def from_json_file(cls, json_file: str | os.PathLike) -> Self:
        """A configuration from a config.json, unknown fields kept as by `from_dict`."""
        config = cls.from_dict(cls._dict_from_json_file(json_file))
        assert isinstance(config, cls)
        return config

    def to_diff_dict(self) -> dict[str, Any]:
        """What goes into config.json: labels that say nothing (`LABEL_i`) are left out and derived on loading."""
        values = super().to_diff_dict()
        if _explicit_answers(self.id2label, None) is None:
            values.pop("id2label", None)
            values.pop("label2id", None)
        return values


def _explicit_answers(id2label: dict | None, label2id: dict | None) -> list[str] | None:
    """The answers in the order of their ids, or None where nothing but transformers' default labels is given."""
    by_id = None if id2label is None else {int(i): str(answer) for i, answer in id2label.items()}
    by_text = None if label2id is None else {int(i): str(answer) for answer, i in label2id.items()}
    by_id, by_text = (None if _are_default(labels) else labels for labels in (by_id, by_text))
    # Two equal texts share one entry of label2id, so it may lack ids; it must not contradict.
    if by_id is not None and by_text is not None and not by_text.items() <= by_id.items():
        raise ValueError("id2label and label2id disagree: give one of them, the other follows.")
    labels = by_id if by_id is not None else by_text
    if labels is None:
        return None
    if sorted(labels) != list(range(len(labels))):
        raise ValueError(f"id2label must have the ids 0 to {len(labels) - 1}, each once, got {sorted(labels)[:10]} ...")
    return [labels[i] for i in range(len(labels))]


def _are_default(labels: dict[int, str] | None) -> bool:
    return labels is None or all(answer == f"LABEL_{i}" for i, answer in labels.items())
