"""Models divided among processes (FSDP version 2) compute what whole ones do."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_multi_gpu_env

from tests.conftest import ROOT
from tests.training import sharded

CONFIG = ROOT / "examples" / "recipes" / "fsdp2.yaml"
CASES = [f"{model} {way}" for model in ("answering", "pretraining") for way in ("by_hand", "by_accelerate")]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What two processes found."""
    folder = tmp_path_factory.mktemp("sharded")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*torchrun, sharded.__file__, str(folder)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_sharded_model_equals_a_whole_one(found: list[dict[str, Any]], case: str) -> None:
    """Loss, gradients and weights of two steps, in both processes."""
    for one in (process[case] for process in found):
        assert one["sharded"]
        assert one["plain"]
        assert one["units"] >= 6, "five encoder layers and the root"
        for step in (1, 2):
            assert one[f"size of gradients {step}"] > 0.1
            for what in ("loss", "gradients", "weights"):
                assert one[f"{what} {step}"] < 1e-5, f"{what} {step}"


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_saved_state_of_a_sharded_model_is_whole(found: list[dict[str, Any]], case: str) -> None:
    for one in (process[case] for process in found):
        assert one["saved"] < 1e-5
        assert one["resumed"], "bit for bit"


def test_accelerate_understands_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the file to the plugin that `Accelerator()` makes of the launcher's environment."""
    arguments = launch_command_parser().parse_args(["--config_file", str(CONFIG), "examples/3_pretrain.py"])
    arguments, *_ = _validate_launch_command(arguments)
    assert arguments.use_fsdp
    assert arguments.num_processes == 4
    environment = prepare_multi_gpu_env(arguments)
    assert environment["ACCELERATE_USE_FSDP"] == "true"
    for name, value in environment.items():
        if name.startswith("FSDP_"):
            monkeypatch.setenv(name, value)
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    assert plugin.transformer_cls_names_to_wrap == ["LxmertLayer", "LxmertXLayer"]
    assert plugin.reshard_after_forward is True
    assert not plugin.cpu_ram_efficient_loading


def test_the_configuration_says_how_it_is_used() -> None:
    assert "accelerate launch --config_file examples/recipes/fsdp2.yaml examples/3_pretrain.py" in CONFIG.read_text()
