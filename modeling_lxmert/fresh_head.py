"""Answer heads for one image and for two share their names; a file's head for the other number starts afresh."""

import logging
from typing import Any

from lxmert.modeling_lxmert.model import LxmertPreTrainedModel

logger = logging.getLogger(__name__)

FIRST_WEIGHT = "answer_head.logit_fc.0.weight"  # (2H, H), or (2H, 2H) for two images
HEAD = "answer_head."


def reads_other_images(model: Any, loading_info: Any) -> bool:
    """Whether the head in a file, whose weights do not all fit, is one for another number of images.

    Args:
        model: while its weights are read.
        loading_info: transformers', with the names and shapes of what does not fit.
    """
    shapes = {name: tuple(shape) for name, shape, _ in loading_info.mismatched_keys}
    if FIRST_WEIGHT not in shapes:
        return False
    return any(name.startswith(HEAD) for name in shapes) and getattr(model, "answer_head", None) is not None


def with_fresh_head(model: Any, load_config: Any, loading_info: Any) -> Any:
    """transformers' last step of loading, with the whole head as if the file had none, and one warning.

    Returns:
        `loading_info`, the head's weights among what is missing.
    """
    head = {f"{HEAD}{name}" for name, _ in model.answer_head.named_parameters()}
    loading_info.mismatched_keys -= {entry for entry in loading_info.mismatched_keys if entry[0] in head}
    loading_info.missing_keys |= head
    for parameter in model.answer_head.parameters():
        parameter._is_hf_initialized = False  # what fitted was read already
    ignored = {*(model._keys_to_ignore_on_load_missing or ()), r"^answer_head\."}
    model._keys_to_ignore_on_load_missing = ignored  # one warning, ours, is enough
    loading_info = LxmertPreTrainedModel._finalize_model_loading(model, load_config, loading_info)
    loading_info.missing_keys |= head
    logger.warning(
        "The answer head in %s reads another number of images than that of %s: its weights (answer_head.*) start "
        "afresh and have to be trained.",
        load_config.pretrained_model_name_or_path or "the state dict",
        type(model).__name__,
    )
    return loading_info
