from pathlib import Path

import pytest
from PIL import Image

from lxmert.modeling_lxmert.pretraining import TASKS
from lxmert.visualization import draw_pretraining
from lxmert.visualization.pretraining import TITLES


def test_one_panel_for_each_task(tmp_path: Path) -> None:
    history = [{"step": step, "validation_mask_lm": 3 / step, "validation_qa": 1.0} for step in (1, 2, 3)]
    path = draw_pretraining(history, tmp_path / "new" / "losses.png", {"mask_lm": 4.0}, {"mask_lm": 2.0})
    with Image.open(path) as picture:
        assert picture.width > 500
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert (0x1F, 0x5F, 0xA8) in colours, "the losses"
    assert (0xB5, 0x38, 0x2C) in colours, "the trivial predictor"


def test_every_task_has_a_panel(tmp_path: Path) -> None:
    assert tuple(TITLES) == TASKS
    history = [{"step": 1, **{f"validation_{name}": 1.0 for name in TASKS}}]
    with Image.open(draw_pretraining(history, tmp_path / "losses.png")) as picture:
        assert picture.height > 850, "three rows of three"


def test_a_history_of_another_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no validation loss of a pre-training task"):
        draw_pretraining([{"step": 1, "validation_accuracy": 0.5}], tmp_path / "losses.png")
