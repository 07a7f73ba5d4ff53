"""Every attention map of a call, as data: what looked at what, with names ("Visualizing LXMERT behavior", appendix).

The six kinds of maps are those of the three encoders: in the language and the object-relationship encoder, and in the
cross-modality encoder between the modalities, both ways, and within each.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
import torch

from lxmert.modeling_lxmert.modes import evaluating
from lxmert.processing import LxmertProcessor, Regions
from lxmert.processing.record_tables import write_whole

if TYPE_CHECKING:
    import pandas

Kind = Literal[
    "language", "vision", "language_to_vision", "vision_to_language", "cross_language_self", "cross_vision_self"
]
Side = Literal["words", "regions"]
FORMAT = 1  # of saved files


class KindOfMap(NamedTuple):
    """One kind of attention.

    Args:
        output: field of a model's output that holds it.
        queries: what looks.
        keys: what is looked at.
        title: for people.
    """

    output: str
    queries: Side
    keys: Side
    title: str


# In the order in which a model computes them.
KINDS: dict[Kind, KindOfMap] = {
    "language": KindOfMap("language_attentions", "words", "words", "language encoder"),
    "vision": KindOfMap("vision_attentions", "regions", "regions", "object-relationship encoder"),
    "language_to_vision": KindOfMap("cross_encoder_attentions", "words", "regions", "cross-modality, words to regions"),
    "vision_to_language": KindOfMap(
        "cross_encoder_vision_attentions", "regions", "words", "cross-modality, regions to words"
    ),
    "cross_language_self": KindOfMap(
        "cross_encoder_language_self_attentions", "words", "words", "cross-modality, among words"
    ),
    "cross_vision_self": KindOfMap(
        "cross_encoder_vision_self_attentions", "regions", "regions", "cross-modality, among regions"
    ),
}


@dataclass(frozen=True, eq=False)
class AttentionRecord:
    """The attention maps of B pairs of a sentence and an image.

    Args:
        maps: by kind, (layers, B, heads, queries, keys), float32; each row of a query that is no padding sums to 1.
            Kinds of encoders that the call skipped are absent.
        words: for each pair its T wordpieces, [CLS] and [SEP] included.
        regions: for each pair the names of its R regions.
        word_mask: (B, T) of bool, False for padding and for words that are masked out.
        region_mask: (B, R) of bool.

    Raises:
        ValueError: an unknown kind, or maps, names and masks of sizes that do not fit.
    """

    maps: Mapping[Kind, np.ndarray]
    words: tuple[tuple[str, ...], ...]
    regions: tuple[tuple[str, ...], ...]
    word_mask: np.ndarray = field(repr=False)
    region_mask: np.ndarray = field(repr=False)

    def __post_init__(self) -> None:
        batch = len(self.words)
        sizes = {"words": self.word_mask.shape, "regions": self.region_mask.shape}
        for side, names in (("words", self.words), ("regions", self.regions)):
            if sizes[side] != (batch, len(names[0]) if names else 0) or len({len(row) for row in names}) > 1:
                raise ValueError(f"{side} and their mask do not fit: {len(names)} rows of names, mask {sizes[side]}.")
        for kind, array in self.maps.items():
            if kind not in KINDS:
                raise ValueError(f"maps has the unknown kind {kind!r}; there are {', '.join(KINDS)}.")
            expected = (batch, sizes[KINDS[kind].queries][1], sizes[KINDS[kind].keys][1])
            if array.ndim != 5 or (array.shape[1], *array.shape[3:]) != expected:
                raise ValueError(
                    f"maps[{kind!r}] must have the shape (layers, {expected[0]}, heads, {expected[1]}, {expected[2]}), "
                    f"got {array.shape}."
                )

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, pair: int) -> "AttentionRecord":
        """The record of one pair, without what is masked out.

        Raises:
            IndexError: no such pair.
        """
        if not -len(self) <= pair < len(self):
            raise IndexError(f"Pair {pair} is not among the {len(self)} of this record.")
        kept = {"words": np.flatnonzero(self.word_mask[pair]), "regions": np.flatnonzero(self.region_mask[pair])}
        maps: dict[Kind, np.ndarray] = {}
        for kind, array in self.maps.items():
            queries, keys = kept[KINDS[kind].queries], kept[KINDS[kind].keys]
            maps[kind] = array[:, [pair]][..., queries[:, None], keys]
        return AttentionRecord(
            maps,
            (tuple(self.words[pair][i] for i in kept["words"]),),
            (tuple(self.regions[pair][i] for i in kept["regions"]),),
            np.ones((1, len(kept["words"])), bool),
            np.ones((1, len(kept["regions"])), bool),
        )

    def __iter__(self) -> Iterator["AttentionRecord"]:
        return (self[pair] for pair in range(len(self)))

    def names(self, side: Side) -> tuple[tuple[str, ...], ...]:
        """For each pair, the names of its words or regions."""
        return self.words if side == "words" else self.regions

    def table(self) -> "pandas.DataFrame":
        """One row for each pair, kind, layer, head, query and key, without what is masked out.

        Returns:
            Columns `pair`, `kind`, `layer`, `head`, `query`, `query_name`, `key`, `key_name`, `attention`; layers,
            heads, queries and keys are counted from 0, queries and keys among those that are not masked out.
        """
        import pandas

        parts = []
        for pair, record in enumerate(self):
            for kind, array in record.maps.items():
                layers, _, heads, queries, keys = array.shape
                layer, head, query, key = (index.ravel() for index in np.indices((layers, heads, queries, keys)))
                query_names = np.array(record.names(KINDS[kind].queries)[0], object)
                key_names = np.array(record.names(KINDS[kind].keys)[0], object)
                columns = {"pair": pair, "kind": kind, "layer": layer, "head": head}
                columns |= {"query": query, "query_name": query_names[query], "key": key, "key_name": key_names[key]}
                parts.append(pandas.DataFrame(columns | {"attention": array.ravel()}))
        return pandas.concat(parts, ignore_index=True) if parts else pandas.DataFrame()

    def save(self, path: str | Path) -> Path:
        """Write the record as an .npz file that holds plain arrays only; it appears when it is whole.

        Raises:
            ValueError: a path with another ending.
        """
        path = Path(path)
        if path.suffix != ".npz":
            raise ValueError(f"A record is saved as an .npz file, got the path {path}.")
        path.parent.mkdir(parents=True, exist_ok=True)
        names = json.dumps({"format": FORMAT, "words": self.words, "regions": self.regions})
        arrays = {f"maps/{kind}": array for kind, array in self.maps.items()}
        arrays |= {"names": np.frombuffer(names.encode(), np.uint8)}
        arrays |= {"word_mask": self.word_mask, "region_mask": self.region_mask}
        write_whole(path, lambda work: _write_arrays(work, arrays))
        return path

    @classmethod
    def load(cls, path: str | Path) -> "AttentionRecord":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: no such file.
            ValueError: a file of another kind.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            names = json.loads(bytes(arrays["names"]))
            if names["format"] != FORMAT:
                raise ValueError(f"format {names['format']}, this version reads {FORMAT}")
            return cls(
                {kind: arrays[f"maps/{kind}"] for kind in get_args(Kind) if f"maps/{kind}" in arrays},
                tuple(map(tuple, names["words"])),
                tuple(map(tuple, names["regions"])),
                arrays["word_mask"],
                arrays["region_mask"],
            )
        except FileNotFoundError:
            raise
        except Exception as error:  # whatever another kind of file makes numpy and json raise
            raise ValueError(f"{path} holds no attention record that AttentionRecord.save wrote: {error}") from error


def _write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def attention_record(
    model: Any,
    inputs: Mapping[str, torch.Tensor],
    processor: LxmertProcessor | None = None,
    regions: Regions | Sequence[Regions] | None = None,
) -> AttentionRecord:
    """Run a model once and keep every attention map.

    A model that runs on a fused kernel, which gives no maps, computes this one call step by step and says so once;
    afterwards it is as before. Dropout is off during the call.

    Args:
        model: any LXMERT model, with a head or without.
        inputs: keywords of the model, as the processor gives them.
        processor: names the wordpieces; without it their ids stand in place of them, and nothing that takes a record
            can tell [CLS] and [SEP] from words.
        regions: `Regions` of the images, or one for all, whose labels name the regions; without them they are numbered.
            A batch of image pairs has the left and the right one of each.

    Returns:
        A record of B pairs; of image pairs, 2 B, left before right.

    Raises:
        ValueError: encoded states without the masks and ids that name them, or regions that do not fit the inputs.
    """
    with evaluating(model), torch.no_grad():
        output = model(**on_device(model, inputs), output_attentions=True, return_dict=True)
    return record_of(output, inputs, processor, regions)


def record_of(
    output: Any,
    inputs: Mapping[str, torch.Tensor],
    processor: LxmertProcessor | None = None,
    regions: Regions | Sequence[Regions] | None = None,
) -> AttentionRecord:
    """The record of a call that was made with `output_attentions=True`; arguments as in `attention_record`.

    Raises:
        ValueError: an output without attention maps, or regions that do not fit the inputs.
    """
    maps: dict[Kind, np.ndarray] = {}
    for kind, of in KINDS.items():
        layers = getattr(output, of.output, None)
        if layers:
            maps[kind] = torch.stack([layer.detach().float() for layer in layers]).cpu().numpy()
    if not maps:
        raise ValueError("The output has no attention maps: call the model with output_attentions=True.")
    batch, words_seen, regions_seen = _sizes(maps)
    word_mask = _mask(inputs.get("attention_mask"), batch, words_seen)
    region_mask = _mask(inputs.get("visual_attention_mask"), batch, regions_seen)
    words = word_names(inputs, batch, words_seen, processor)
    return AttentionRecord(maps, words, region_names(regions, region_mask), word_mask, region_mask)


def _sizes(maps: Mapping[Kind, np.ndarray]) -> tuple[int, int, int]:
    """B, T and R of the maps; 0 for a side of which there is no map."""
    sizes = {"words": 0, "regions": 0}
    for kind, array in maps.items():
        sizes |= {KINDS[kind].queries: array.shape[3], KINDS[kind].keys: array.shape[4]}
    return next(iter(maps.values())).shape[1], sizes["words"], sizes["regions"]


def _mask(mask: torch.Tensor | None, batch: int, length: int) -> np.ndarray:
    """(batch, length) of bool; rows for one image each where a sentence is about two."""
    if mask is None:
        return np.ones((batch, length), bool)
    rows = mask.detach().cpu().numpy().astype(bool)
    rows = rows.reshape(-1, rows.shape[-1])
    return rows.repeat(batch // len(rows), axis=0)


def word_names(
    inputs: Mapping[str, torch.Tensor], batch: int, length: int, processor: LxmertProcessor | None
) -> tuple[tuple[str, ...], ...]:
    """The wordpieces of each pair, or numbers where there are no ids."""
    ids = inputs.get("input_ids")
    if ids is None:
        return (tuple(f"word {i}" for i in range(length)),) * batch
    rows = ids.detach().cpu().tolist()
    if processor is None:
        named = [tuple(map(str, row)) for row in rows]
    else:
        named = [tuple(processor.tokenizer.convert_ids_to_tokens(row)) for row in rows]
    return tuple(row for row in named for _ in range(batch // len(named)))


def region_names(regions: Regions | Sequence[Regions] | None, mask: np.ndarray) -> tuple[tuple[str, ...], ...]:
    """What the labels of each pair's regions say, or their numbers where there are none.

    Args:
        regions: of each pair, or one for all.
        mask: (B, R) of bool, which are there.

    Raises:
        ValueError: regions of another number of images, or another number of regions than the mask has.
    """
    batch, length = mask.shape
    numbered = [f"region {i}" for i in range(length)]
    if regions is None:
        return (tuple(numbered),) * batch
    given = [regions] if isinstance(regions, Regions) else list(regions)
    if len(given) == 1:
        given = given * batch
    if len(given) != batch:
        raise ValueError(f"Give the regions of each of the {batch} images, or one for all, got {len(given)}.")
    rows = []
    for item, there in zip(given, mask, strict=True):
        if len(item) > length or not there[: len(item)].all() or there[len(item) :].any():
            raise ValueError(
                f"regions has {len(item)} where the inputs have {int(there.sum())}: give those that the inputs were "
                "made from."
            )
        rows.append(tuple([item.describe(i) or numbered[i] for i in range(len(item))] + numbered[len(item) :]))
    return tuple(rows)


def on_device(model: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs where the model is."""
    return {name: value.to(model.device) if torch.is_tensor(value) else value for name, value in inputs.items()}
