"""Scenes drawn at random, with the look of NLVR's."""

import numpy as np

from lxmert.scenes.arrays import BOXES, NOTHING, SIDE, SIZES, SLOTS, Scenes

MOST_SCATTERED = 7
MOST_IN_TOWER = 4
BLOCK = 20
TOWER_Y = (80, 59, 38, 17)  # upper edges of the blocks of a tower, from its base
TRIES = 40


def random_towers(count: int, generator: np.random.Generator) -> Scenes:
    """Scenes of three towers of one to four square blocks.

    Args:
        count: S.
        generator: draws.

    Raises:
        ValueError: a count below one.
    """
    _check(count)
    height = generator.integers(1, MOST_IN_TOWER + 1, (count, BOXES))
    # Colours of one tower resemble each other: all alike in some, from two colours in others.
    palette = generator.integers(0, 3, (count, BOXES, 3))
    palette = np.where(generator.random((count, BOXES, 1)) < 0.15, palette[..., :1], palette)
    colour = np.take_along_axis(palette, generator.integers(0, 3, (count, BOXES, SLOTS)), -1)
    slot = np.arange(SLOTS)
    present = slot < height[..., None]
    # The data set lists a tower from its top.
    level = height[..., None] - 1 - slot
    y = np.array(TOWER_Y)[np.clip(level, 0, MOST_IN_TOWER - 1)]
    constant = np.zeros_like(y)
    return _scenes(present, constant, colour, constant + BLOCK, constant + 40, y)


def random_scattered(count: int, generator: np.random.Generator) -> Scenes:
    """Scenes of one to seven shapes in each box that do not overlap; many stand on the floor or at the right wall.

    A shape that finds no room in 40 tries is left out.

    Args:
        count: S.
        generator: draws.

    Raises:
        ValueError: a count below one.
    """
    _check(count)
    boxes = count * BOXES
    wanted = generator.integers(1, MOST_SCATTERED + 1, boxes)
    shape = generator.integers(0, 3, (boxes, SLOTS))
    colour = generator.integers(0, 3, (boxes, SLOTS))
    size = np.array(SIZES)[generator.integers(0, 3, (boxes, SLOTS))]
    x, y = np.zeros((boxes, SLOTS), int), np.zeros((boxes, SLOTS), int)
    present = np.zeros((boxes, SLOTS), bool)
    for slot in range(MOST_SCATTERED):
        for _ in range(TRIES):
            free = SIDE - size[:, slot]
            at_x = np.where(generator.random(boxes) < 0.2, free, (generator.random(boxes) * (free + 1)).astype(int))
            at_y = np.where(generator.random(boxes) < 0.2, free, (generator.random(boxes) * (free + 1)).astype(int))
            apart = np.maximum(
                np.maximum(x - (at_x + size[:, slot])[:, None], at_x[:, None] - (x + size)),
                np.maximum(y - (at_y + size[:, slot])[:, None], at_y[:, None] - (y + size)),
            )
            fits = ~((apart < 1) & present).any(-1) & (slot < wanted) & ~present[:, slot]
            x[fits, slot], y[fits, slot] = at_x[fits], at_y[fits]
            present[fits, slot] = True
    arrays = [array.reshape(count, BOXES, SLOTS) for array in (present, shape, colour, size, x, y)]
    return _scenes(*arrays)


def _check(count: int) -> None:
    if count < 1:
        raise ValueError(f"count must be at least 1, not {count}.")


def _scenes(present: np.ndarray, *arrays: np.ndarray) -> Scenes:
    return Scenes(*(np.where(present, array, NOTHING).astype(np.int16) for array in arrays))
