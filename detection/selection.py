"""Which of an image's proposals become its regions: the two rules that published features were made with."""

import torch

from lxmert.configuration import FasterRcnnConfig
from lxmert.detection.boxes import box_areas, clip, regress
from lxmert.detection.suppression import suppress, suppress_in_every_class

BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)


def select_regions(
    config: FasterRcnnConfig,
    proposals: torch.Tensor,
    object_logits: torch.Tensor,
    box_deltas: torch.Tensor,
    image_size: tuple[int, int],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose the regions of one image as `config.selection` says.

    Args:
        config: rule and thresholds.
        proposals: (N, 4), N >= 1, pixels of the input.
        object_logits: (N, num_objects + 1), background last.
        box_deltas: (N, 4 * num_objects).
        image_size: (height, width) in pixels of the input.

    Returns:
        Indices of the chosen proposals (R,), best first, and their boxes (R, 4); 1 <= R <= max_boxes.
    """
    probabilities = object_logits.float().softmax(dim=-1)[:, :-1]  # (N, num_objects)
    if config.selection == "per_class":
        chosen = per_class(
            proposals,
            probabilities,
            config.per_class_nms_threshold,
            config.score_threshold,
            config.min_boxes,
            config.max_boxes,
        )
        return chosen, proposals[chosen]
    scores, classes = probabilities.max(dim=-1)
    deltas = box_deltas.view(len(proposals), -1, 4)[torch.arange(len(proposals), device=classes.device), classes]
    boxes = clip(regress(proposals, deltas, BOX_WEIGHTS), image_size)
    chosen = raised_threshold(boxes, scores, list(config.nms_thresholds), config.min_boxes, config.max_boxes)
    # A box that was moved out of the image keeps nothing of it: its proposal, where the features come from, stands in.
    return chosen, torch.where(box_areas(boxes)[:, None] > 0, boxes, proposals)[chosen]


def raised_threshold(
    boxes: torch.Tensor, scores: torch.Tensor, thresholds: list[float], min_boxes: int, max_boxes: int
) -> torch.Tensor:
    """The rule of LXMERT's published features: one suppression over all boxes, looser until enough are left.

    Args:
        boxes: (N, 4), each regressed for its proposal's best class.
        scores: (N,), probability of that class.
        thresholds: of the overlap, tried one after the other; where none leaves enough, the last one's count.
        min_boxes: enough.
        max_boxes: of more, the best.

    Returns:
        (R,), indices of the kept boxes, best first.
    """
    for threshold in thresholds:
        kept = suppress(boxes, scores, threshold)
        if len(kept) >= min_boxes:
            break
    return kept[:max_boxes]


def per_class(
    boxes: torch.Tensor,
    probabilities: torch.Tensor,
    nms_threshold: float,
    score_threshold: float,
    min_boxes: int,
    max_boxes: int,
) -> torch.Tensor:
    """The rule of the Caffe code of bottom-up attention.

    Caffe adds one pixel to every side when it compares boxes; here none is added.

    Args:
        boxes: (N, 4), the proposals, not regressed.
        probabilities: (N, C), without background.
        nms_threshold: largest overlap of two boxes that both keep a class.
        score_threshold: a box stays if it keeps a class with at least this probability.
        min_boxes: fewer are filled up with the best others.
        max_boxes: of more, the best.

    Returns:
        (R,), indices of the kept boxes, best first.
    """
    kept = suppress_in_every_class(boxes, probabilities, nms_threshold)
    confidence = probabilities.masked_fill(~kept, 0).amax(dim=1)  # (N,)
    ranked, order = confidence.sort(descending=True, stable=True)
    count = int((ranked >= score_threshold).sum().clamp(min_boxes, max_boxes))
    return order[:count]
