from pathlib import Path

import pytest

from lxmert.training import TrainingSettings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"learning_rate": 0}, "learning_rate must be positive, got 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be finite, got nan"),
        ({"warmup_share": 1.5}, r"warmup_share must lie in \[0, 1\], got 1.5"),
        ({"weight_decay": -1}, "weight_decay must not be negative"),
        ({"adam_epsilon": 0.0}, "adam_epsilon must be positive"),
        ({"save_state_every": 0}, "save_state_every must be at least 1, got 0"),
        ({"workers": -1}, "workers must be at least 0, got -1"),
        ({"sentences_per_image": 0}, "sentences_per_image must be at least 1, got 0"),
        ({"resident_regions": True}, 'resident_regions must be "float16", "float32" or None, got True'),
        ({"resident_regions": "bfloat16"}, "resident_regions must be .* got 'bfloat16'"),
        ({"mixed_precision": "half"}, 'mixed_precision must be "no", "fp16" or "bf16", got \'half\''),
    ],
)
def test_values_out_of_range_are_refused(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingSettings(tmp_path, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": "1e-4"}, "learning_rate must be a number, got the text '1e-4'; in YAML, write 1.0e-4"),
        ({"adam_epsilon": "2.5e6"}, "got the text '2.5e6'; in YAML, write 2.5e\\+6"),
        ({"weight_decay": "little"}, "weight_decay must be a number, got the text 'little'\\."),
        ({"learning_rate": True}, "learning_rate must be a number, got True"),
        ({"epochs": 2.0}, "epochs must be a whole number, got 2.0"),
        ({"sentences_per_image": "all"}, "sentences_per_image must be a whole number, got 'all'"),
        ({"seed": None}, "seed must be a whole number, got None"),
        ({"batch_size": True}, "batch_size must be a whole number, got True"),
        ({"resume": "yes"}, "resume must be true or false, got 'yes'"),
        ({"log_with": 3}, "log_with must be the name of a tracker or None, got 3"),
    ],
)
def test_values_of_another_type_are_refused(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        TrainingSettings(tmp_path, **changes)


def test_the_folder_is_a_path() -> None:
    with pytest.raises(TypeError, match="output_dir must be a path, got None"):
        TrainingSettings(None)  # type: ignore[arg-type]
    assert TrainingSettings("runs", learning_rate=1, warmup_share=0).learning_rate == 1
