"""Small scenes written as text."""

import numpy as np

from lxmert.scenes import NOTHING, SLOTS, Scenes, concatenate

LETTERS = {"shape": "sct", "colour": "ybk"}
FLOORS = (80, 59, 38, 17)


def towers(text: str) -> Scenes:
    """One scene of three towers: colours y, b, k of each from its base, such as `yb k yyk`; - is an empty box."""
    rows = [
        [f"{colour}s20@40,{FLOORS[level]}" for level, colour in reversed(list(enumerate(tower.strip("-"))))]
        for tower in text.split()
    ]
    return scattered(" | ".join(" ".join(row) for row in rows))


def scattered(text: str) -> Scenes:
    """One scene; boxes are separated by |, objects such as `ys10@0,90`: colour, shape (s, c, t), size, left, upper."""
    arrays = {name: np.full((1, 3, SLOTS), NOTHING, np.int16) for name in ("shape", "colour", "size", "x", "y")}
    boxes = text.split("|")
    assert len(boxes) == 3
    for box, objects in enumerate(boxes):
        for slot, item in enumerate(objects.split()):
            place = item.split("@")[1].split(",")
            values = (
                LETTERS["shape"].index(item[1]),
                LETTERS["colour"].index(item[0]),
                int(item[2:4]),
                *map(int, place),
            )
            for name, value in zip(arrays, values, strict=True):
                arrays[name][0, box, slot] = value
    return Scenes(**arrays)


def scenes_of(*texts: str) -> Scenes:
    """Several scenes in either notation."""
    return concatenate([scattered(text) if "|" in text else towers(text) for text in texts])
