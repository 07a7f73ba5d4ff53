"""`ExportedLxmert`: an exported folder that is called as the model it was made from."""

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from transformers.utils import ModelOutput

from lxmert.configuration import LxmertConfig
from lxmert.configuration.plain_errors import unknown_keywords_message
from lxmert.engines.engine_graphs import Compute, Graph, load_graph
from lxmert.engines.graphs import INPUTS, OUTPUTS, PAIRED, Part
from lxmert.engines.record import ExportRecord
from lxmert.modeling_lxmert.checks import check_encoded, check_regions, check_words

Array = torch.Tensor | np.ndarray
KEYWORDS = tuple(dict.fromkeys((*INPUTS["whole"], *INPUTS["rest"])))


class ExportedLxmert:
    """A model in ONNX Runtime or OpenVINO, called with the model's keywords, without gradients or attention maps.

    Tensors and NumPy arrays are taken; what comes back are tensors in float32 on the CPU, in the model's own output
    class, so that it stands in for the model wherever that is only asked. Calls from several threads are safe.

    Args:
        config: of the model, with its answers.
        record: what the folder holds.
        graphs: by part.

    Example:
        >>> exported = ExportedLxmert.from_folder("exported")  # doctest: +SKIP
        >>> encoded = exported.encode_regions(**regions)  # doctest: +SKIP
        >>> exported(**words, encoded_regions=encoded).logits.shape  # doctest: +SKIP
        torch.Size([1, 2])
    """

    def __init__(self, config: LxmertConfig, record: ExportRecord, graphs: Mapping[Part, Graph]):
        self.config, self.record, self.graphs = config, record, dict(graphs)
        self.paired = record.model == PAIRED

    @classmethod
    def from_folder(
        cls, folder: str | Path, threads: int | None = None, compute: Compute = "float32"
    ) -> "ExportedLxmert":
        """Load what `export` has written.

        Args:
            folder: holds export.json, config.json and the graphs.
            threads: of each call; None lets the engine choose.
            compute: "bfloat16" is faster and less exact, in OpenVINO on processors that have it.

        Raises:
            FileNotFoundError: no such folder, or files are missing.
            ImportError: the engine is not installed.
            ValueError: threads below 1, another `compute`, or one that the engine or processor lacks.
        """
        if threads is not None and (not isinstance(threads, int) or isinstance(threads, bool) or threads < 1):
            raise ValueError(f"threads must be a whole number of at least 1, or None, got {threads!r}.")
        if compute not in get_args(Compute):
            raise ValueError(f"compute must be one of {', '.join(get_args(Compute))}, got {compute!r}.")
        folder = Path(folder)
        record = ExportRecord.load(folder)
        graphs = {part: load_graph(record.format, record.file(folder, part), threads, compute) for part in record.parts}
        return cls(LxmertConfig.from_pretrained(folder), record, graphs)

    def encode_regions(
        self, visual_feats: Array, visual_pos: Array, visual_attention_mask: Array | None = None
    ) -> torch.Tensor:
        """States of the regions (B, R, H), which calls take as `encoded_regions`; see `LxmertModel.encode_regions`.

        Raises:
            ValueError: the part "regions" was not exported, or inputs that the model would refuse.
        """
        regions = _tensors(
            visual_feats=visual_feats, visual_pos=visual_pos, visual_attention_mask=visual_attention_mask
        )
        return self._encode(regions, pairs=False)

    def __call__(
        self,
        input_ids: Array | None = None,
        visual_feats: Array | None = None,
        visual_pos: Array | None = None,
        attention_mask: Array | None = None,
        visual_attention_mask: Array | None = None,
        token_type_ids: Array | None = None,
        encoded_regions: Array | None = None,
        **unknown: object,
    ) -> ModelOutput:
        """Run the model; shapes and meanings as in its own `forward`.

        A batch of 1 on either side is paired with every item of the other; it is repeated before the graph runs.

        Raises:
            TypeError: an unknown keyword, or what is neither tensor nor array.
            ValueError: what the model would refuse, or what the exported parts cannot do.
        """
        if unknown:
            message = unknown_keywords_message(type(self).__name__, list(unknown), frozenset(KEYWORDS))
            raise TypeError(f"{message}; it takes {', '.join(sorted(KEYWORDS))}.")
        if input_ids is None:
            raise ValueError("`input_ids` is missing: give the wordpieces of at least one question.")
        if encoded_regions is not None and (visual_feats is not None or visual_pos is not None):
            raise ValueError("Give either encoded_regions or visual_feats with visual_pos, got both.")
        words = _tensors(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        check_words(self.config, words["input_ids"], None, words.get("attention_mask"), words.get("token_type_ids"))
        regions = _tensors(
            visual_feats=visual_feats,
            visual_pos=visual_pos,
            visual_attention_mask=visual_attention_mask,
            encoded_regions=encoded_regions,
        )
        if encoded_regions is None and "whole" in self.graphs:
            self._check_regions(regions, self.paired)
            return self._output("whole", words | regions)
        mask = regions.get("visual_attention_mask")
        encoded = regions["encoded_regions"] if "encoded_regions" in regions else self._encode(regions, self.paired)
        size = self.config.hidden_size
        check_encoded("encoded_regions", encoded, "visual_attention_mask", mask, size, self.paired)
        seen = {} if mask is None else {"visual_attention_mask": mask}
        return self._output("rest", {**words, **seen, "encoded_regions": encoded})

    def _output(self, part: Part, inputs: Mapping[str, torch.Tensor]) -> ModelOutput:
        fields, kind = OUTPUTS[self.record.model]
        return kind(**dict(zip(fields, self._run(part, inputs), strict=True)))

    def _check_regions(self, regions: Mapping[str, torch.Tensor], pairs: bool) -> None:
        features, boxes, mask = (regions.get(name) for name in INPUTS["regions"])
        check_regions(self.config, features, boxes, mask, pairs)

    def _encode(self, regions: dict[str, torch.Tensor], pairs: bool) -> torch.Tensor:
        """(B, R, H), of pairs (B, 2, R, H)."""
        self._check_regions(regions, pairs)
        if not pairs:
            return self._run("regions", regions)[0]
        encoded = self._run("regions", {name: tensor.flatten(0, 1) for name, tensor in regions.items()})[0]
        return encoded.unflatten(0, (-1, 2))

    def _run(self, part: Part, given: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        """Run a part on inputs that were checked, with what was left out put in."""
        if part not in self.graphs:
            raise ValueError(
                f"This folder holds {', '.join(self.graphs)}, and the call needs the part {part!r}: export with "
                'parts=("regions", "rest").'
            )
        regions = next(given[name].shape[:-1] for name in ("encoded_regions", "visual_feats") if name in given)
        batch = regions[0]
        left_out = {"visual_attention_mask": torch.ones(regions, dtype=torch.long)}
        if "input_ids" in given:
            words = given["input_ids"].shape
            if words[0] != batch and 1 not in (words[0], batch):
                raise ValueError(
                    f"input_ids has a batch of {words[0]} but the regions one of {batch}: give one image per question, "
                    "or a single image for all."
                )
            batch = max(batch, words[0])
            left_out["attention_mask"] = torch.ones(words, dtype=torch.long)
            left_out["token_type_ids"] = torch.zeros(words, dtype=torch.long)
        inputs = {name: _as_batch({**left_out, **given}[name], batch).numpy() for name in INPUTS[part]}
        return [torch.from_numpy(output) for output in self.graphs[part](inputs)]


def _tensors(**given: Array | None) -> dict[str, torch.Tensor]:
    """Those that are given, on the CPU: floats in float32, masks as 0 and 1, whole numbers in 64 bits."""
    return {name: _tensor(name, value) for name, value in given.items() if value is not None}


def _tensor(name: str, value: Array) -> torch.Tensor:
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value if value.flags.writeable else value.copy())
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be a tensor or a NumPy array, got {type(value).__name__}.")
    value = value.detach().cpu()
    if name.endswith("mask"):
        return (value != 0).long()
    return value.float() if value.is_floating_point() else value.long()


def _as_batch(tensor: torch.Tensor, batch: int) -> torch.Tensor:
    return (tensor.expand(batch, *tensor.shape[1:]) if len(tensor) == 1 else tensor).contiguous()
