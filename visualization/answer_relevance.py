"""Which words and regions an answer rests on: relevance, on the unmodified model (Chefer, Gur & Wolf, ICCV 2021)."""

import difflib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lxmert.modeling_lxmert.modes import evaluating
from lxmert.visualization.attention import KINDS, Kind, on_device
from lxmert.visualization.relevance_rules import METHODS, WITHOUT_GRADIENT, Maps, Method, spread_relevance

Answer = int | str
Answers = Answer | Sequence[Answer] | np.ndarray | torch.Tensor
NEAR = 0.4  # similarity of texts that are named as nearest


@dataclass(frozen=True, eq=False)
class Relevance:
    """What the answers of B pairs of a sentence and an image rest on.

    Args:
        words: (B, T), relevance of each wordpiece, that of [CLS] 0.
        regions: (B, R), relevance of each region.
        words_to_words: (B, T, T), row i says which words the state of word i is made of; `words` is the row of [CLS],
            whose own part is 0.
        words_to_regions: (B, T, R), which regions it is made of; `regions` is the row of [CLS].
        regions_to_regions: (B, R, R), row i says which regions the state of region i is made of.
        regions_to_words: (B, R, T), which words.
        answers: for each pair the class id that is explained.
        scores: (B,), the logits of these answers.
        method: by which it was found.
    """

    words: np.ndarray
    regions: np.ndarray
    words_to_words: np.ndarray
    words_to_regions: np.ndarray
    regions_to_regions: np.ndarray
    regions_to_words: np.ndarray
    answers: tuple[int, ...]
    scores: np.ndarray
    method: Method


def relevance(
    model: Any,
    inputs: Mapping[str, torch.Tensor],
    answer: Answers | None = None,
    method: Method = "generic",
    normalize: bool = True,
    mix_own: bool = True,
) -> Relevance:
    """Find which words and regions an answer rests on.

    The model is left as it is: no hooks, no gradients in its parameters, the same mode and attention implementation.
    On a fused kernel this one call runs step by step, and says so once; a compiled model runs it uncompiled. Dropout is
    off during the call.

    | method | what it does | source |
    |---|---|---|
    | `generic` | attention weighted by gradients, through all layers | Chefer, Gur & Wolf (2021) |
    | `gradient_attention` | the same weights, of the last layer alone | its equation 5 |
    | `attention_grad_cam` | attention by the heads' mean gradients, last layer | Selvaraju et al. (2017), as there |
    | `rollout` | attention through all layers of a modality, without gradients | Abnar & Zuidema (2020), as there |
    | `raw_attention` | the mean over the heads of the last layer | |

    The last two explain no answer in particular.

    Args:
        model: with a head whose logits are to be explained: answers, true and false of image pairs, matching.
        inputs: keywords of the model, as the processor gives them.
        answer: class id or text of the answer to explain, or one for each pair, as a list, array or tensor; by default
            each pair's best.
        method: see above.
        normalize: of `generic`; see `spread_relevance`.
        mix_own: of `generic`; see `spread_relevance`.

    Returns:
        Relevance of B pairs; of image pairs, 2 B, left before right.

    Raises:
        TypeError: an answer that is neither an id nor a text, or a model that is none of lxmert's.
        ValueError: an unknown method, a model without answers or cross-modality layers, an answer that it does not
            have, a text that several of its answers have, answers of another number than pairs, encoded states in place
            of words and regions, or scores that no gradient leads from to the attention.
    """
    _check(model, inputs, method)
    reaching = _reaching_gradients(model)
    with evaluating(model), torch.inference_mode(False), torch.enable_grad(), reaching, _uncompiled():
        inputs = on_device(model, inputs)
        copies = {name: value.clone() if torch.is_tensor(value) else value for name, value in inputs.items()}
        output = model(**copies, output_attentions=True, return_dict=True)
        logits = scores_of(output)
        chosen = answers_of(model, answer, logits)
        picked = logits.gather(1, torch.tensor(chosen, device=logits.device)[:, None])[:, 0]
        maps = _maps_of(output)
        gradients = None if method in WITHOUT_GRADIENT else _gradients(picked.sum(), maps)
    with torch.no_grad():
        spread = spread_relevance(maps, gradients, method, normalize, mix_own)
    arrays = {name: value.detach().float().cpu().numpy() for name, value in spread._asdict().items()}
    arrays["words_to_words"][:, 0, 0] = 0  # [CLS] itself says nothing about the sentence
    return Relevance(
        words=arrays["words_to_words"][:, 0].copy(),
        regions=arrays["words_to_regions"][:, 0].copy(),
        **arrays,
        answers=tuple(chosen),
        scores=picked.detach().float().cpu().numpy(),
        method=method,
    )


def scores_of(output: Any) -> torch.Tensor:
    """(B, answers), the logits that a head gives.

    Raises:
        ValueError: an output without answers.
    """
    for name in ("logits", "question_answering_score"):
        scores = getattr(output, name, None)
        if scores is not None:
            return scores
    raise ValueError(
        "The model gives no answer that could be explained: load it with a head, such as LxmertForQuestionAnswering."
    )


def answers_of(model: Any, answer: Answers | None, logits: torch.Tensor) -> list[int]:
    """The class ids to explain, one for each pair; arguments and errors as in `relevance`."""
    if answer is None:
        return logits.argmax(-1).tolist()
    if isinstance(answer, (torch.Tensor, np.ndarray)):
        answer = answer.tolist()
    several = isinstance(answer, Iterable) and not isinstance(answer, (str, bytes))
    given: list[Any] = list(answer) if several else [answer] * len(logits)  # type: ignore[arg-type]
    if len(given) != len(logits):
        raise ValueError(f"Give one answer for each of the {len(logits)} pairs, or one for all, got {len(given)}.")
    return [_class_id(model, item, logits.shape[-1]) for item in given]


def _class_id(model: Any, answer: Any, count: int) -> int:
    if isinstance(answer, str):
        labels = {number: text for number, text in model.config.id2label.items() if number < count}
        ids = [number for number, text in labels.items() if text == answer]
        if len(ids) == 1:
            return ids[0]
        if ids:
            raise ValueError(
                f"{answer!r} is the text of the answers {', '.join(map(str, ids))}: give one of these ids."
            )
        near = difflib.get_close_matches(answer, [str(text) for text in labels.values()], n=3, cutoff=NEAR)
        hint = f"the nearest are {', '.join(map(repr, near))}" if near else "config.id2label lists them"
        raise ValueError(f"{answer!r} is not among the model's {count} answers; {hint}.")
    if isinstance(answer, bool) or not isinstance(answer, (int, np.integer)):
        raise TypeError(f"An answer is a class id or a text, got {answer!r}.")
    if not 0 <= answer < count:
        raise ValueError(f"answer {answer} is not among the model's {count} answers, 0 to {count - 1}.")
    return int(answer)


def _check(model: Any, inputs: Mapping[str, torch.Tensor], method: str) -> None:
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}.")
    if not hasattr(getattr(model, "config", None), "x_layers"):
        raise TypeError(f"model must be an LXMERT model, got {type(model).__name__}; of a wrapper, give what it wraps.")
    if not model.config.x_layers:
        raise ValueError("The model has no cross-modality layers (x_layers is 0): its words never see a region.")
    encoded = [name for name in ("encoded_text", "encoded_regions") if inputs.get(name) is not None]
    if encoded:
        raise ValueError(
            f"{' and '.join(encoded)} hide what the encoders looked at: give input_ids, visual_feats and visual_pos."
        )


def _maps_of(output: Any) -> Maps:
    missing = [of.output for of in KINDS.values() if not hasattr(output, of.output)]
    if missing:
        raise TypeError(
            f"model must be one of lxmert's own, whose outputs hold every attention map: {', '.join(missing)} are "
            "missing in the output. Load the checkpoint with a class of lxmert."
        )
    return {kind: list(getattr(output, of.output) or ()) for kind, of in KINDS.items()}


def _gradients(score: torch.Tensor, maps: Maps) -> dict[Kind, list[torch.Tensor]]:
    """Of a sum of scores, each of which depends on its own pair alone, so that the pairs stay apart."""
    flat = [layer for layers in maps.values() for layer in layers]
    given_all = torch.autograd.grad(score, flat, allow_unused=True) if score.requires_grad else (None,)
    if all(given is None for given in given_all):
        raise ValueError(
            "No gradient leads from the model's scores to its attention: give the model itself, not a wrapper that "
            "cuts its outputs off, or take a method that needs none, such as rollout."
        )
    found = iter(given_all)
    # The vision branch behind the last cross-attention leads to no answer: it has none.
    return {
        kind: [torch.zeros_like(layer) if (given := next(found)) is None else given for layer in layers]
        for kind, layers in maps.items()
    }


def _uncompiled() -> AbstractContextManager[Any]:
    """A compiled graph gives scores and maps side by side: no gradient leads from one to the other."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


@contextmanager
def _reaching_gradients(model: Any) -> Iterator[None]:
    """Frozen models, too, need a path for gradients to every map: it begins in the embeddings."""
    base = getattr(model, model.base_model_prefix, model)
    frozen = [
        parameter
        for part in (base.embeddings, base.encoder.visn_fc)
        for parameter in part.parameters()
        if not parameter.requires_grad and parameter.is_floating_point()
    ]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
