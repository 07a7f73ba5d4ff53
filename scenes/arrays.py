"""Many scenes of NLVR as arrays, so that the truth of a sentence is computed for all of them at once."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Self

import numpy as np

BOXES = 3
SLOTS = 8  # objects that a box can hold
SHAPES = ("square", "circle", "triangle")
COLOURS = ("yellow", "blue", "black")
COLOUR_CODES = ("Yellow", "#0099ff", "Black")  # as the data set writes them
SIZES = (10, 20, 30)  # pixels
SIDE = 100  # of a box, in pixels
SLACK = 1  # pixels between a shape and a wall that it touches
NEAR = 6  # pixels between shapes that "nearly touch"
NOTHING = -1  # in a slot without an object


@dataclass(frozen=True)
class Scenes:
    """S scenes of three boxes with up to eight objects each; slots without an object hold -1.

    Args:
        shape: (S, 3, 8), positions in `SHAPES`, int8.
        colour: (S, 3, 8), positions in `COLOURS`, int8.
        size: (S, 3, 8), pixels, int16.
        x: (S, 3, 8), left edge inside the box in pixels, int16.
        y: (S, 3, 8), upper edge inside the box in pixels, int16; the box's floor lies at 100.

    Raises:
        ValueError: an array of another shape.
        TypeError: an array of something else than signed integers.
    """

    shape: np.ndarray
    colour: np.ndarray
    size: np.ndarray
    x: np.ndarray
    y: np.ndarray

    def __post_init__(self) -> None:
        for name in FIELDS:
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.dtype.kind != "i":
                came = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
                raise TypeError(f"{name} must be an array of signed integers such as int16, not {came}.")
            if array.shape != (len(self.shape), BOXES, SLOTS):
                raise ValueError(
                    f"{name} has shape {array.shape}, but must be (S, {BOXES}, {SLOTS}) with the same S as shape; "
                    "take scenes with a slice or a list of rows, not with one number."
                )

    @classmethod
    def of(cls, structured: Sequence[Sequence[Sequence[dict[str, Any]]]]) -> Self:
        """From the data set's `structured_rep`s, in which objects keep their order.

        Raises:
            ValueError: no scenes, not three boxes, a box with more than eight objects, an unknown shape or colour.
        """
        if not len(structured):
            raise ValueError("No scenes were given; pass at least one structured_rep.")
        arrays = {name: np.full((len(structured), BOXES, SLOTS), NOTHING, np.int16) for name in FIELDS}
        for row, boxes in enumerate(structured):
            if len(boxes) != BOXES:
                raise ValueError(f"A scene has {BOXES} boxes, scene {row} has {len(boxes)}.")
            for column, objects in enumerate(boxes):
                if len(objects) > SLOTS:
                    raise ValueError(f"A box may hold {SLOTS} objects, scene {row} has one with {len(objects)}.")
                for slot, item in enumerate(objects):
                    place = row, column, slot
                    arrays["shape"][place] = _position(item["type"], SHAPES, f"the type of an object of scene {row}")
                    arrays["colour"][place] = _position(
                        item["color"], COLOUR_CODES, f"the colour of an object of scene {row}"
                    )
                    arrays["size"][place] = item["size"]
                    arrays["x"][place] = round(item["x_loc"])
                    arrays["y"][place] = round(item["y_loc"])
        return cls(**arrays)

    def __len__(self) -> int:
        return len(self.shape)

    def __getitem__(self, rows: Any) -> "Scenes":
        """The scenes of these rows (an index that keeps the first dimension)."""
        return Scenes(**{name: getattr(self, name)[rows] for name in FIELDS})

    def structured(self, row: int) -> list[list[dict[str, Any]]]:
        """One scene as the data set writes it."""
        return [
            [
                {
                    "x_loc": int(self.x[row, box, slot]),
                    "y_loc": int(self.y[row, box, slot]),
                    "type": SHAPES[self.shape[row, box, slot]],
                    "color": COLOUR_CODES[self.colour[row, box, slot]],
                    "size": int(self.size[row, box, slot]),
                }
                for slot in range(SLOTS)
                if self.shape[row, box, slot] != NOTHING
            ]
            for box in range(BOXES)
        ]

    @cached_property
    def present(self) -> np.ndarray:
        """(S, 3, 8), whether a slot holds an object."""
        return self.shape != NOTHING

    @cached_property
    def walls(self) -> dict[str, np.ndarray]:
        """By wall (S, 3, 8), whether an object touches it."""
        right, bottom = self.x + self.size, self.y + self.size
        return {
            "left": self.present & (self.x <= SLACK),
            "right": self.present & (right >= SIDE - SLACK),
            "top": self.present & (self.y <= SLACK),
            "bottom": self.present & (bottom >= SIDE - SLACK),
        }

    @cached_property
    def near_walls(self) -> np.ndarray:
        """(S, 3, 8), whether an object nearly touches a wall, and touches none."""
        right, bottom = self.x + self.size, self.y + self.size
        near = (self.x <= NEAR) | (right >= SIDE - NEAR) | (self.y <= NEAR) | (bottom >= SIDE - NEAR)
        return self.present & near & ~np.logical_or.reduce(list(self.walls.values()))

    @cached_property
    def level(self) -> np.ndarray:
        """(S, 3, 8), how many objects of the box lie lower; -1 without an object."""
        lower = (self.y[..., None, :] > self.y[..., None]) & self.present[..., None, :]
        return np.where(self.present, lower.sum(-1), NOTHING)

    @cached_property
    def height(self) -> np.ndarray:
        """(S, 3), the number of objects in a box."""
        return self.present.sum(-1)

    @cached_property
    def top(self) -> np.ndarray:
        """(S, 3, 8), the highest object of each box."""
        return self.present & (self.level == self.level.max(-1, keepdims=True))

    @cached_property
    def base(self) -> np.ndarray:
        """(S, 3, 8), the lowest object of each box."""
        return self.present & (self.level == 0)

    @cached_property
    def pairs(self) -> np.ndarray:
        """(S, 3, 8, 8), two different objects of one box."""
        return self.present[..., None] & self.present[..., None, :] & ~np.eye(SLOTS, dtype=bool)

    @cached_property
    def above(self) -> np.ndarray:
        """(S, 3, 8, 8), [i, j]: i lies higher than j, which is below it at least in part."""
        overlap = (self.x[..., None] < (self.x + self.size)[..., None, :]) & (
            self.x[..., None, :] < (self.x + self.size)[..., None]
        )
        return self.pairs & (self.y[..., None] < self.y[..., None, :]) & overlap

    @cached_property
    def on(self) -> np.ndarray:
        """(S, 3, 8, 8), [i, j]: i stands on j."""
        gap = self.y[..., None, :] - (self.y + self.size)[..., None]
        return self.above & (gap >= -1) & (gap <= 2)

    @cached_property
    def touching(self) -> np.ndarray:
        """(S, 3, 8, 8), whether the squares around two objects of a box meet."""
        return self._apart(2)

    @cached_property
    def near(self) -> np.ndarray:
        """(S, 3, 8, 8), whether two objects of a box nearly touch, or do."""
        return self._apart(NEAR)

    def _apart(self, most: int) -> np.ndarray:
        right, bottom = self.x + self.size, self.y + self.size
        across = np.maximum(self.x[..., None, :] - right[..., None], self.x[..., None] - right[..., None, :])
        down = np.maximum(self.y[..., None, :] - bottom[..., None], self.y[..., None] - bottom[..., None, :])
        return self.pairs & (np.maximum(across, down) <= most)


FIELDS = tuple(field.name for field in fields(Scenes))


def _position(value: str, known: tuple[str, ...], what: str) -> int:
    if value not in known:
        raise ValueError(f"{what} is {value!r}, but must be one of {', '.join(known)}.")
    return known.index(value)


def concatenate(parts: Sequence[Scenes]) -> Scenes:
    """Scenes behind each other.

    Raises:
        ValueError: no parts.
    """
    if not parts:
        raise ValueError("No scenes were given; pass at least one part.")
    return Scenes(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in FIELDS})
