"""Heads that look at the next or the previous word, in LXMERT's language layers and in a BERT, as data.

"Visualizing LXMERT Behavior" (appendix of the paper) finds such heads in the language encoder, as others had in BERT.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from tqdm.auto import tqdm

from lxmert.modeling_lxmert.modes import evaluating
from lxmert.visualization.attention import AttentionRecord, Kind

if TYPE_CHECKING:
    import pandas

Direction = Literal["next", "previous"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
STEPS: dict[Direction, int] = {"next": 1, "previous": -1}
SPECIAL = frozenset({"[CLS]", "[SEP]", "[PAD]"})
# The layers of LXMERT in which words look at words, in the order in which they run.
LAYERS: dict[Kind, str] = {"language": "language", "cross_language_self": "cross-modality"}


@dataclass(frozen=True, eq=False)
class LanguageAttention:
    """How the words of S sentences look at each other in one encoder.

    Args:
        name: of the encoder, for people.
        layers: names of its L layers, in the order in which they run.
        sentences: for each sentence its T wordpieces, special tokens included, without padding.
        maps: for each sentence (L, heads, T, T), queries before keys.

    Raises:
        ValueError: no sentences, or maps of sizes that do not fit layers and words.
    """

    name: str
    layers: tuple[str, ...]
    sentences: tuple[tuple[str, ...], ...]
    maps: tuple[np.ndarray, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.sentences or len(self.maps) != len(self.sentences):
            raise ValueError(
                f"maps must hold one array for each sentence, and at least one, got {len(self.maps)} for "
                f"{len(self.sentences)} sentences."
            )
        heads = self.maps[0].shape[1] if self.maps[0].ndim == 4 else 0
        for row, (words, array) in enumerate(zip(self.sentences, self.maps, strict=True)):
            expected = (len(self.layers), heads, len(words), len(words))
            if array.shape != expected or not heads:
                raise ValueError(
                    f"maps[{row}] must have the shape {expected}, layers, heads, words, words, got {array.shape}."
                )


class BestHead(NamedTuple):
    """The head that looks most at a neighbour.

    Args:
        layer: counted from 0.
        head: counted from 0.
        score: mean attention on the neighbour.
    """

    layer: int
    head: int
    score: float


@dataclass(frozen=True, eq=False)
class NeighbourHeads:
    """How much each head of an encoder looks at the next and at the previous word.

    Args:
        name: of the encoder.
        layers: names of its L layers.
        scores: by direction (L, heads), mean attention of a word on that neighbour, in [0, 1].
        uniform: by direction the score of attention that is the same on every token.
        words: by direction over how many words the mean goes.
    """

    name: str
    layers: tuple[str, ...]
    scores: Mapping[Direction, np.ndarray]
    uniform: Mapping[Direction, float]
    words: Mapping[Direction, int]

    def best(self, direction: Direction) -> BestHead:
        """The head with the highest score; of equal ones the first."""
        scores = self.scores[direction]
        layer, head = np.unravel_index(int(scores.argmax()), scores.shape)
        return BestHead(int(layer), int(head), float(scores[layer, head]))

    def table(self) -> "pandas.DataFrame":
        """One row for each direction, layer and head.

        Returns:
            Columns `encoder`, `direction`, `layer` and `head` (from 0), `layer_name`, `score`, `uniform`, `words`.
        """
        import pandas

        rows = [
            (self.name, direction, layer, head, self.layers[layer], float(score), self.uniform[direction], count)
            for direction, count in self.words.items()
            for (layer, head), score in np.ndenumerate(self.scores[direction])
        ]
        columns = ["encoder", "direction", "layer", "head", "layer_name", "score", "uniform", "words"]
        return pandas.DataFrame(rows, columns=columns)


def lxmert_language_attention(records: Iterable[AttentionRecord], name: str = "LXMERT") -> LanguageAttention:
    """The attention among words of records: of the language encoder, then of the cross-modality encoder.

    Args:
        records: of one model, of any number of pairs each.
        name: for people.

    Raises:
        ValueError: no records, or records without attention among words.
    """
    sentences, maps, counts = [], [], []
    for record in (pair for many in records for pair in many):
        found = [(title, record.maps[kind]) for kind, title in LAYERS.items() if kind in record.maps]
        if not found:
            raise ValueError(f"records hold no attention among words, only {', '.join(record.maps) or 'nothing'}.")
        counts = [(title, len(array)) for title, array in found]
        sentences.append(record.words[0])
        maps.append(np.concatenate([array[:, 0] for _, array in found]))
    layers = tuple(f"{title} {i}" for title, count in counts for i in range(count))
    return LanguageAttention(name, layers, tuple(sentences), tuple(maps))


def bert_language_attention(
    model: Any,
    tokenizer: Any,
    sentences: Sequence[str],
    name: str = "BERT",
    batch_size: int = 32,
    progress: bool = False,
) -> LanguageAttention:
    """Run a BERT of transformers on sentences and keep its attention.

    A model on a fused kernel, which gives no maps, runs step by step meanwhile; afterwards it is as before. Dropout is
    off.

    Args:
        model: a `BertModel`, or another encoder whose output has `attentions`.
        tokenizer: its own.
        sentences: S of them.
        name: for people.
        batch_size: sentences that run together.
        progress: show a bar with time left.

    Raises:
        TypeError: one text in place of several.
        ValueError: no sentences.
    """
    if isinstance(sentences, str):
        raise TypeError(f"sentences must be several texts, got the one text {sentences!r}: put it into a list.")
    if not sentences:
        raise ValueError("sentences is empty: there is nothing to look at.")
    words: list[tuple[str, ...]] = []
    maps: list[np.ndarray] = []
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        with evaluating(model), torch.no_grad(), tqdm(total=len(sentences), desc=name, disable=not progress) as bar:
            for start in range(0, len(sentences), batch_size):
                texts = list(sentences[start : start + batch_size])
                inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(model.device)
                layers = model(**inputs, output_attentions=True).attentions
                stacked = torch.stack([layer.float() for layer in layers], dim=1).cpu().numpy()  # (B, L, heads, T, T)
                for ids, mask, array in zip(inputs["input_ids"], inputs["attention_mask"], stacked, strict=True):
                    kept = mask.cpu().numpy().astype(bool)
                    words.append(tuple(tokenizer.convert_ids_to_tokens(ids.cpu()[torch.from_numpy(kept)])))
                    maps.append(array[:, :, kept][..., kept])
                bar.update(len(texts))
    finally:
        model.set_attn_implementation(before)
    return LanguageAttention(name, tuple(f"layer {i}" for i in range(len(maps[0]))), tuple(words), tuple(maps))


def score_heads(attention: LanguageAttention, special: Collection[str] = SPECIAL) -> NeighbourHeads:
    """Score every head by the attention that a word has on its neighbour, a mean over all words of all sentences.

    Words are wordpieces. Special tokens are neither asked nor neighbours, so the last word has no next one and the
    first no previous one.

    Args:
        attention: of an encoder.
        special: tokens that are no words.

    Raises:
        ValueError: no sentence has two words beside each other.

    Example:
        >>> ahead = np.array([[[[0.1, 0.9], [0.4, 0.6]]]])  # one layer, one head
        >>> found = score_heads(LanguageAttention("small", ("layer 0",), (("red", "ball"),), (ahead,)))
        >>> found.best("next").score, found.best("previous").score, found.uniform["next"]
        (0.9, 0.4, 0.5)
    """
    shape = attention.maps[0].shape[:2]
    totals = {direction: np.zeros(shape) for direction in DIRECTIONS}
    uniform, counts = dict.fromkeys(DIRECTIONS, 0.0), dict.fromkeys(DIRECTIONS, 0)
    for words, array in zip(attention.sentences, attention.maps, strict=True):
        plain = np.array([word not in special for word in words])
        for direction, step in STEPS.items():
            queries = [i for i in np.flatnonzero(plain).tolist() if 0 <= i + step < len(words) and plain[i + step]]
            totals[direction] += array[:, :, queries, [i + step for i in queries]].sum(-1, dtype=np.float64)
            uniform[direction] += len(queries) / len(words)
            counts[direction] += len(queries)
    if not counts["next"]:
        raise ValueError("No sentence has two words beside each other: give longer ones.")
    return NeighbourHeads(
        attention.name,
        attention.layers,
        {direction: totals[direction] / counts[direction] for direction in DIRECTIONS},
        {direction: uniform[direction] / counts[direction] for direction in DIRECTIONS},
        counts,
    )
