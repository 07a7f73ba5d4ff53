"""The measurement on a GPU, on a CPU: everything but the device's own clock and memory."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def speed_gpu(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return load_benchmark("speed_gpu")


@pytest.fixture(scope="module")
def ways(speed_gpu: ModuleType) -> Any:
    return speed_gpu.Ways(tiny=True, images=12, device=CPU, backend="eager")


def draw(speed_gpu: ModuleType, ways: Any, batch: int = 8, sentences: int = 4, bucket: int = 10) -> Any:
    return speed_gpu.draw_step(ways.config, ways.table, batch, sentences, bucket, tiny=True, seed=0)


def test_a_step_about_images_in_the_table(speed_gpu: ModuleType, ways: Any) -> None:
    step = draw(speed_gpu, ways)
    assert step.words["input_ids"].shape == (8, 20)
    assert len(set(step.rows.tolist())) == 2
    words, labelled = int(step.words["attention_mask"].sum()), int((step.words["labels"] >= 0).sum())
    assert step.counts["word_count"] == -(-words // 10) * 10
    assert 0 <= step.counts["labelled_word_count"] - labelled < 10
    ours, theirs = step.ours(ways.table, torch.bfloat16), step.theirs(ways.table)
    assert ours["visual_feats"].shape == (2, 36, 16)
    assert ours["visual_feats"].dtype == torch.bfloat16
    assert theirs["visual_feats"].shape == (8, 36, 16)
    masked = step.masked[0].bool()
    assert not ours["visual_feats"][0, masked].any()
    features = ways.table.features[step.rows[0]].float()
    torch.testing.assert_close(theirs["visual_feats"][3, ~masked], features[~masked])
    torch.testing.assert_close(theirs["obj_labels"]["feat"][0][3], features)
    whole = sum(int(step.masked[image].sum()) for image in step.image_indices)
    assert 0 <= step.counts["masked_region_count"] - whole < 10


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"batch": 6}, "multiple of sentences, got 6 and 4"),
        ({"batch": 16, "sentences": 1}, "needs 16 images, the table has 12: give more --images"),
    ],
)
def test_steps_that_cannot_be_drawn(speed_gpu: ModuleType, ways: Any, sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw(speed_gpu, ways, **sizes)


@pytest.mark.parametrize("sentences", [1, 4])
@pytest.mark.parametrize(
    "name", ["autocast", "autocast-layers", "autocast-model", "autocast-graphs", "weights", "weights-layers"]
)
def test_every_way_gives_transformers_results(speed_gpu: ModuleType, ways: Any, name: str, sentences: int) -> None:
    step, way = draw(speed_gpu, ways, sentences=sentences), ways.way(name)
    equality = speed_gpu.compare(way.outputs(step), ways.reference("no").outputs(step), "bfloat16")
    assert equality.within, equality
    assert equality.gradients > 1e-4, "bfloat16 must be at work"
    assert speed_gpu.precision_of(way) == "bfloat16"
    assert way.model.dtype == (torch.bfloat16 if name.startswith("weights") else torch.float32)
    compiled = [module for module in way.model.modules() if module._compiled_call_impl is not None]
    assert len(compiled) == {"": 0, "layers": 2 + 1 + 1, "model": 1, "graphs": 1}[name.partition("-")[2]]


def test_a_way_takes_steps(speed_gpu: ModuleType, ways: Any) -> None:
    step, way = draw(speed_gpu, ways), ways.reference("no")
    assert speed_gpu.precision_of(way) == "float32"
    weight = way.model.cls.seq_relationship.weight
    before = weight.detach().clone()
    way.take([step])
    assert not torch.equal(weight, before)
    assert weight.grad is None
    with pytest.raises(ValueError, match="way must be one of autocast, .*, got 'faster'"):
        ways.way("faster")


def test_parts_are_the_whole(speed_gpu: ModuleType, ways: Any) -> None:
    step = draw(speed_gpu, ways)
    parts = speed_gpu.in_parts(step, 4)
    whole = step.theirs(ways.table)
    for name in ("input_ids", "labels", "visual_feats", "visual_pos", "ans"):
        found = torch.cat([part.theirs(ways.table)[name] for part in parts])
        assert torch.equal(found, whole[name]), name


def run(speed_gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, output: Path, *options: str) -> None:
    monkeypatch.setattr(sys.modules["speed_machine"], "SHAPES", {"cpu": [(8, 16, 32)]})
    command = ["speed_gpu.py", "--tiny", "--device", "cpu", "--images", "12", "--rounds", "2", "--steps", "2"]
    command += ["--ways", "autocast-layers", "--backend", "eager", "--output", str(output)]
    monkeypatch.setattr(sys, "argv", [*command, *options])
    speed_gpu.main()


def test_the_command(
    speed_gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run(speed_gpu, monkeypatch, tmp_path, "--batches", "8", "--sentences", "1", "4")
    printed = capsys.readouterr().out
    assert "| 8 | 4 | autocast-layers |" in printed
    assert "| matrix products |" in printed
    assert "pairs a second; goal 12,000: not reached" in printed
    content = json.loads((tmp_path / "speed_gpu.json").read_text())
    rows = {(row["sentences"], row["contestant"]): row for row in content["rows"]}
    assert len(rows) == 2 * 4
    for sentences in (1, 4):
        ours, compiled = rows[sentences, "autocast"], rows[sentences, "autocast-layers"]
        assert ours["operations"] == compiled["operations"] < rows[sentences, "transformers, float32"]["operations"]
        assert ours["equality"]["within"]
    assert rows[4, "autocast"]["operations"] < rows[1, "autocast"]["operations"]
    assert sum(content["profile"]["kinds"].values()) == pytest.approx(1)


def test_memory_that_is_short(
    speed_gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """transformers' takes the batch in parts of 2; ours, which does not fit compiled, is left out."""
    take = speed_gpu.Way.take
    taken: list[int] = []

    def short(self: Any, parts: list[Any]) -> None:
        theirs = type(self.model).__module__.startswith("transformers.")
        compiled = any(module._compiled_call_impl is not None for module in self.model.modules())
        if compiled or (theirs and len(parts[0].image_indices) > 2):
            raise torch.OutOfMemoryError("too much")
        if theirs:
            taken.append(len(parts))
        take(self, parts)

    monkeypatch.setattr(speed_gpu.Way, "take", short)
    run(speed_gpu, monkeypatch, tmp_path, "--batches", "8", "--sentences", "1")
    assert "autocast-layers runs out of memory at batch 8." in capsys.readouterr().out
    assert set(taken) == {4}
    rows = json.loads((tmp_path / "speed_gpu.json").read_text())["rows"]
    assert [row["contestant"] for row in rows] == ["transformers, float32", "transformers, autocast", "autocast"]


def test_without_a_gpu(speed_gpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["speed_gpu.py"])
    with pytest.raises(SystemExit, match="There is no GPU here: --device cpu --tiny"):
        speed_gpu.main()


class TestProfile:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("nvjet_tst_128x256_64x4_2x1_v_bz_coopA_TNT", "matrix products"),
            ("sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n", "matrix products"),
            ("void pytorch_flash::flash_bwd_dq_dk_dv_loop_seqk_parallel_kernel<...>", "attention"),
            ("void at::native::multi_tensor_apply_kernel<FusedAdamMathFunctor<float>>", "optimiser"),
            ("void at::native::(anonymous)::GammaBetaBackwardCUDAKernelTemplate", "layer normalisation"),
            ("void at::native::vectorized_elementwise_kernel<4, GeluCUDAKernelImpl>", "element by element"),
            ("triton_poi_fused_gelu_3", "compiled, fused"),
            ("Memcpy DtoD (Device -> Device)", "copies and fills"),
            ("something new", "other"),
        ],
    )
    def test_kinds(self, speed_gpu: ModuleType, name: str, kind: str) -> None:
        assert sys.modules["speed_profile"].kind_of(name) == kind

    def test_shares(self, speed_gpu: ModuleType) -> None:
        profile = sys.modules["speed_profile"].summarise(
            {"aten::mm": 3000.0, "x": 1000.0, "aten::bmm": 4000.0}, calls=2
        )
        assert profile.kinds == {"matrix products": 7 / 8, "other": 1 / 8}
        assert list(profile.kernels) == ["aten::bmm", "aten::mm", "x"]
        assert profile.milliseconds == 4
        with pytest.raises(ValueError, match="the profiler saw nothing"):
            sys.modules["speed_profile"].summarise({}, calls=1)
