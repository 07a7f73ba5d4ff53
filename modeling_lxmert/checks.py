"""Checks of what enters a model. Shapes always; values only eagerly on CPU, where looking at them costs nothing."""

from collections.abc import Mapping

import torch
from transformers.utils.import_utils import is_tracing

from lxmert.configuration import LxmertConfig
from lxmert.modeling_lxmert.losses import IGNORED
from lxmert.modeling_lxmert.outputs import LxmertModelOutput

VisualLabels = dict[str, tuple[torch.Tensor, torch.Tensor]]  # by task: labels and a weight for each region


def values_may_be_read(tensor: torch.Tensor) -> bool:
    """Whether looking at values neither synchronises a GPU nor breaks a graph that is being traced."""
    return tensor.device.type == "cpu" and not is_tracing(tensor)


def check_words(
    config: LxmertConfig,
    input_ids: torch.Tensor | None,
    inputs_embeds: torch.Tensor | None,
    attention_mask: torch.Tensor | None,
    token_type_ids: torch.Tensor | None,
) -> None:
    """Refuse words that the language encoder cannot take.

    Raises:
        ValueError: both or none of `input_ids` (B, T) and `inputs_embeds` (B, T, H); another rank; no token; more
            tokens than positions; a mask or token types of another shape; ids outside the vocabulary; a mask that
            hides all words of an item.
    """
    if (input_ids is None) == (inputs_embeds is None):
        given = "neither" if input_ids is None else "both"
        raise ValueError(f"Give either input_ids or inputs_embeds, got {given}.")
    if inputs_embeds is None:
        assert input_ids is not None
        _check_rank("input_ids", input_ids, "(batch, tokens)", 2)
        if input_ids.is_floating_point():
            raise TypeError(f"input_ids must be whole numbers, got {input_ids.dtype}.")
        shape = tuple(input_ids.shape)
    else:
        _check_rank("inputs_embeds", inputs_embeds, f"(batch, tokens, {config.hidden_size})", 3, config.hidden_size)
        shape = tuple(inputs_embeds.shape[:2])
    if shape[0] == 0:
        raise ValueError("input_ids holds an empty batch.")
    if shape[1] == 0:
        raise ValueError("input_ids holds no token: a question needs at least [CLS].")
    if shape[1] > config.max_position_embeddings:
        raise ValueError(
            f"input_ids has {shape[1]} tokens but the model has {config.max_position_embeddings} positions: shorten "
            "the text, for instance with processor(..., truncation=True)."
        )
    _check_mask("attention_mask", attention_mask, shape, "input_ids")
    _check_same_shape("token_type_ids", token_type_ids, shape, "input_ids")
    if input_ids is not None and values_may_be_read(input_ids):
        low, high = input_ids.min().item(), input_ids.max().item()
        if low < 0 or high >= config.vocab_size:
            raise ValueError(
                f"input_ids must lie in 0..{config.vocab_size - 1}, got {low}..{high}: "
                "is this the tokenizer that the model was trained with?"
            )


def check_regions(
    config: LxmertConfig,
    visual_feats: torch.Tensor | None,
    visual_pos: torch.Tensor | None,
    visual_attention_mask: torch.Tensor | None,
    pairs: bool = False,
) -> None:
    """Refuse regions that the object-relationship encoder cannot take.

    Raises:
        ValueError: features other than (B, R, visual_feat_dim) or boxes other than (B, R, visual_pos_dim) with
            R >= 1, for pairs of images (B, 2, R, ...); a mask of another shape, or that hides all regions of an item;
            features that are not finite; boxes outside [0, 1].
    """
    for name, tensor in (("visual_feats", visual_feats), ("visual_pos", visual_pos)):
        if tensor is None:
            raise ValueError(f"`{name}` is missing: an LXMERT needs the regions' features and boxes.")
    assert visual_feats is not None
    assert visual_pos is not None
    _check_rank_of_regions("visual_feats", visual_feats, "regions", config.visual_feat_dim, pairs)
    _check_rank_of_regions("visual_pos", visual_pos, "regions", config.visual_pos_dim, pairs)
    shape = tuple(visual_feats.shape[:-1])
    if tuple(visual_pos.shape[:-1]) != shape:
        raise ValueError(
            f"visual_feats has {_regions(shape)} but visual_pos has {_regions(tuple(visual_pos.shape[:-1]))}: "
            "every region needs one feature vector and one box."
        )
    if shape[0] == 0:
        raise ValueError("visual_feats is an empty batch: give the regions of at least one image.")
    if shape[-1] == 0:
        raise ValueError("visual_feats holds zero regions: give at least one, for instance the whole image.")
    _check_mask("visual_attention_mask", visual_attention_mask, shape, "visual_feats")
    if values_may_be_read(visual_feats) and not torch.isfinite(visual_feats).all():
        raise ValueError("visual_feats holds NaN or infinite values: check the file or extractor they come from.")
    if values_may_be_read(visual_pos):
        low, high = visual_pos.min().item(), visual_pos.max().item()
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"visual_pos must hold boxes divided by the image's width and height, in [0, 1], got {low:g}..{high:g}"
                ": Regions.normalized_boxes and the processor do this division."
            )


def check_encoded(
    name: str,
    states: torch.Tensor,
    mask_name: str,
    mask: torch.Tensor | None,
    hidden_size: int,
    pairs: bool = False,
) -> None:
    """Refuse states other than (B, N, H), of pairs (B, 2, N, H), with N >= 1, or not finite, and a mask unlike them."""
    _check_rank_of_regions(name, states, "length", hidden_size, pairs)
    if not states.shape[-2]:
        raise ValueError(f"{name} has the length 0: there is nothing to attend to.")
    _check_mask(mask_name, mask, tuple(states.shape[:-1]), name)
    if values_may_be_read(states) and not torch.isfinite(states).all():
        raise ValueError(f"{name} holds NaN or infinite values.")


def check_pairs(
    sentences: int,
    images: int,
    text_indices: torch.Tensor | None = None,
    image_indices: torch.Tensor | None = None,
) -> int:
    """Refuse batches of words and regions that cannot be paired, and say how many pairs there are.

    Sizes must be equal, or one of them 1; where indices (B,) say which sentences or images make up the pairs, theirs
    count.

    Raises:
        TypeError: indices that are no tensor of whole numbers.
        ValueError: sizes that do not fit, indices of another rank, or, on CPU, rows that are not there.
    """
    for name, indices, size in (("text_indices", text_indices, sentences), ("image_indices", image_indices, images)):
        if indices is None:
            continue
        _check_rank(name, indices, "(pairs,)", 1)
        if indices.dtype not in (torch.int32, torch.int64):
            raise TypeError(f"{name} must be whole numbers, int64 or int32, got {indices.dtype}.")
        if indices.shape[0] == 0:
            raise ValueError(f"{name} is empty: name at least one row.")
        if values_may_be_read(indices) and not ((indices >= 0) & (indices < size)).all():
            low, high = indices.min().item(), indices.max().item()
            raise ValueError(f"{name} must lie in 0..{size - 1}, the rows that are there, got {low}..{high}.")
    words = sentences if text_indices is None else text_indices.shape[0]
    regions = images if image_indices is None else image_indices.shape[0]
    if words != regions and 1 not in (words, regions):
        raise ValueError(
            f"input_ids has a batch of {words} but visual_feats one of {regions}: give one image per question, a "
            "single image for all, or image_indices that say which belong together."
        )
    return max(words, regions)


def check_pretraining_labels(
    config: LxmertConfig,
    encoded: LxmertModelOutput,
    labels: torch.Tensor | None,
    obj_labels: VisualLabels | None,
    matched_label: torch.Tensor | None,
    ans: torch.Tensor | None,
    grounding_labels: torch.Tensor | None = None,
    count_labels: torch.Tensor | None = None,
) -> None:
    """Refuse targets that do not fit the words (B, T) and regions (B, R) of `encoded`, or the configuration.

    Those of tasks that are switched off may be anything.

    Raises:
        TypeError: class ids that are not whole numbers, or visual labels that are no pair of tensors.
        ValueError: another shape, ids out of range, features that are not finite, an unknown visual task; "masked"
            label regions without the mask of `obj_labels["feat"]`.
    """
    assert encoded.language_output is not None
    assert encoded.vision_output is not None
    words, regions = tuple(encoded.language_output.shape[:2]), tuple(encoded.vision_output.shape[:2])
    if labels is not None and config.task_mask_lm:
        check_class_ids("labels", labels, words, config.vocab_size)
    if matched_label is not None and config.task_matched:
        check_class_ids("matched_label", matched_label, words[:1], 2)
    if ans is not None and config.task_qa:
        assert config.num_qa_labels is not None
        check_answer_labels(ans, words[0], config.num_qa_labels, "ans")
    if obj_labels is not None and config.task_obj_predict:
        check_visual_labels(config, obj_labels, regions)
    if grounding_labels is not None and config.task_grounding:
        check_class_ids("grounding_labels", grounding_labels, (*words, regions[1]), 2)
    if count_labels is not None and config.task_grounding:
        check_class_ids("count_labels", count_labels, words, config.num_count_labels)


def check_visual_labels(config: LxmertConfig, obj_labels: VisualLabels, regions: tuple[int, ...]) -> None:
    """Refuse labels of regions that do not fit their number (B, R) or the configuration; errors as above."""
    if not isinstance(obj_labels, Mapping):
        raise TypeError(f"obj_labels must be a dictionary by visual task, got {type(obj_labels).__name__}.")
    classes = {"obj": config.num_object_labels, "attr": config.num_attr_labels}
    switched_on = {"obj": config.visual_obj_loss, "attr": config.visual_attr_loss, "feat": config.visual_feat_loss}
    for name, pair in obj_labels.items():
        if name not in switched_on:
            raise ValueError(f"obj_labels knows obj, attr and feat, got {name!r}.")
        if not isinstance(pair, (tuple, list)) or [isinstance(part, torch.Tensor) for part in pair] != [True, True]:
            raise TypeError(f"obj_labels[{name!r}] must be a pair of tensors: labels, and a weight for each region.")
        targets, weights = pair
        _check_same_shape(f"obj_labels[{name!r}][1]", weights, regions, "the regions")
        if not switched_on[name]:
            continue  # the mask of `feat` still counts
        if name == "feat":
            shape = (*regions, config.visual_feat_dim)
            _check_same_shape("obj_labels['feat'][0]", targets, shape, "visual_feats")
            if values_may_be_read(targets) and not torch.isfinite(targets).all():
                raise ValueError("obj_labels['feat'][0] holds NaN or infinite values.")
        else:
            check_class_ids(f"obj_labels[{name!r}][0]", targets, regions, classes[name])
    if config.visual_label_regions == "masked" and obj_labels and "feat" not in obj_labels:
        raise ValueError(
            'visual_label_regions="masked" needs obj_labels["feat"], features and the mask, to know which regions are '
            "masked."
        )


def check_answer_labels(labels: torch.Tensor, batch: int, num_answers: int, argument: str = "labels") -> None:
    """Refuse labels that are neither (B,) class ids nor (B, A) scores in [0, 1].

    Raises:
        TypeError: class ids that are not whole numbers, or scores that are.
        ValueError: another shape, or values out of range (-100 and -1 mark a missing class id).
    """
    if not isinstance(labels, torch.Tensor) or labels.dim() < 2 or labels.dtype == torch.bool:
        check_class_ids(argument, labels, (batch,), num_answers, f" or scores ({batch}, {num_answers})")
        return
    if not labels.is_floating_point():
        raise TypeError(f"{argument} of shape (batch, answers) must be floating-point scores, got {labels.dtype}.")
    if tuple(labels.shape) != (batch, num_answers):
        raise ValueError(
            f"{argument} must be class ids ({batch},) or scores ({batch}, {num_answers}), got {tuple(labels.shape)}."
        )
    if values_may_be_read(labels) and not ((labels >= 0) & (labels <= 1)).all():
        low, high = labels.min().item(), labels.max().item()
        raise ValueError(f"{argument} must be scores in [0, 1], got {low:g}..{high:g}.")


def check_class_ids(name: str, ids: torch.Tensor, shape: tuple[int, ...], classes: int, otherwise: str = "") -> None:
    """Refuse anything but class ids of this shape; -100 and -1 mark a missing one.

    Raises:
        TypeError: no tensor of whole numbers.
        ValueError: another shape, or, on CPU, ids out of range.
    """
    if not isinstance(ids, torch.Tensor) or ids.is_floating_point() or ids.dtype == torch.bool:
        kind = ids.dtype if isinstance(ids, torch.Tensor) else type(ids).__name__
        raise TypeError(f"{name} must be class ids of an integer type, got {kind}.")
    if tuple(ids.shape) != shape:
        raise ValueError(f"{name} must be class ids {shape}{otherwise}, got {tuple(ids.shape)}.")
    if values_may_be_read(ids):
        wrong = ids[((ids < 0) & (ids != IGNORED[0]) & (ids != IGNORED[1])) | (ids >= classes)]
        if wrong.numel():
            raise ValueError(
                f"{name} must be class ids in 0..{classes - 1} (or {IGNORED[0]} or {IGNORED[1]} for none), "
                f"got {wrong[0].item()}."
            )


def _check_rank(name: str, tensor: torch.Tensor, shape: str, rank: int, width: int | None = None) -> None:
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name} must be a tensor of the shape {shape}, got {type(tensor).__name__}.")
    if tensor.dim() != rank or (width is not None and tensor.shape[-1] != width):
        raise ValueError(f"{name} must have the shape {shape}, got {tuple(tensor.shape)}.")


def _check_rank_of_regions(name: str, tensor: torch.Tensor, length: str, width: int, pairs: bool) -> None:
    """(batch, length, width), for pairs of images (batch, 2, length, width); says so where one came for the other."""
    paired = isinstance(tensor, torch.Tensor) and tensor.dim() == 4 and tensor.shape[1] == 2
    hint = ""
    if isinstance(tensor, torch.Tensor) and pairs and not paired:
        hint = "two images for each sentence, as processor(regions=[[left, right], ...]) makes them"
    elif paired and not pairs:
        hint = "this model takes one image for each sentence, LxmertForVisualReasoning takes two"
    shape = f"(batch, {'2, ' if pairs else ''}{length}, {width})"
    if hint:
        raise ValueError(f"{name} must have the shape {shape}, got {tuple(tensor.shape)}: {hint}.")
    _check_rank(name, tensor, shape, 4 if pairs else 3, width)


def _check_mask(name: str, mask: torch.Tensor | None, shape: tuple[int, ...], other: str) -> None:
    _check_same_shape(name, mask, shape, other)
    # Attention over nothing has no right answer: implementations differ.
    if mask is not None and values_may_be_read(mask) and not (visible := (mask != 0).any(dim=-1)).all():
        item, *image = (~visible).nonzero()[0].tolist()
        which = f"{item}, image {image[0]}" if image else str(item)
        raise ValueError(f"{name} hides everything of item {which}: leave at least one to see.")


def _check_same_shape(name: str, tensor: torch.Tensor | None, shape: tuple[int, ...], other: str) -> None:
    if tensor is not None and tuple(tensor.shape) != shape:
        raise ValueError(f"{name} must have the shape {shape} of {other}, got {tuple(tensor.shape)}.")


def _regions(shape: tuple[int, ...]) -> str:
    return f"{shape[-1]} regions in a batch of {shape[0]}"
