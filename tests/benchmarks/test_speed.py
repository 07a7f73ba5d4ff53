"""The comparison of speeds runs on tiny models; its arithmetic on times that are given."""

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def speed(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    """The command; its parts can be imported from then on."""
    return load_benchmark("speed")


@pytest.fixture
def machine(speed: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The part about the machine, with small matrix products."""
    module = sys.modules["speed_machine"]
    monkeypatch.setattr(module, "SHAPES", {"cpu": [(8, 16, 32), (16, 16, 16)]})
    return module


@pytest.fixture
def setting(speed: ModuleType, tmp_path: Path) -> Any:
    return speed.Setting(tiny=True, device=CPU, folder=tmp_path, items=4)


class TestInputs:
    @pytest.mark.parametrize("count", [8, 16, 32, 50, 1000])
    def test_lengths(self, speed: ModuleType, count: int) -> None:
        from speed_inputs import question_lengths

        lengths = question_lengths(count)
        assert lengths.float().mean().item() == pytest.approx(8.5, abs=0.06)
        assert 6 == lengths.min() < lengths.max() <= 20
        assert torch.equal(lengths, question_lengths(count))
        other = question_lengths(count, seed=1)
        assert not torch.equal(lengths, other)
        assert torch.equal(lengths.sort().values, other.sort().values)

    def test_batch(self, speed: ModuleType) -> None:
        from speed_inputs import make_batch, model_sizes

        batch = make_batch(model_sizes(tiny=True), questions=8, images=2)
        mask = batch.words["attention_mask"]
        assert mask.shape == (8, batch.longest)
        assert (batch.words["input_ids"] > 0).equal(mask > 0)
        assert batch.images["visual_feats"].shape == (2, 36, 16)
        assert batch.images["visual_feats"].min() == 0
        boxes = batch.images["visual_pos"]
        assert (boxes[..., :2] <= boxes[..., 2:]).all()
        padded = batch.padded()
        assert padded["input_ids"].shape == (8, 20)
        assert torch.equal(padded["attention_mask"].sum(1), mask.sum(1))
        for question in range(8):
            assert torch.equal(padded["visual_feats"][question], batch.images["visual_feats"][question // 4])
        with pytest.raises(ValueError, match="multiple of images, got 8 and 3"):
            make_batch(model_sizes(tiny=True), questions=8, images=3)

    def test_labels(self, speed: ModuleType) -> None:
        from speed_inputs import make_batch, model_sizes, pretraining_labels

        from lxmert import LxmertConfig

        sizes = model_sizes(tiny=True)
        batch = make_batch(sizes, questions=8, images=2)
        labels = pretraining_labels(LxmertConfig(**sizes), batch)
        labelled = labels.words >= 0
        assert labelled.any(1).all()
        assert not (labelled & (batch.words["attention_mask"] == 0)).any()
        shared, padded = labels.shared(20), labels.padded(20)
        assert (shared["labels"][:, batch.longest :] == -100).all()
        for name, (values, weights) in shared["obj_labels"].items():
            assert len(values) == len(weights) == 2
            assert torch.equal(padded["obj_labels"][name][0], values.repeat_interleave(4, dim=0))


class TestMachine:
    def test_operations_by_hand(self, machine: ModuleType) -> None:
        layer, given = torch.nn.Linear(5, 7), torch.randn(3, 5)
        result, count = machine.counted_operations(lambda: layer(given))
        assert result.shape == (3, 7)
        assert count == 2 * 3 * 5 * 7
        given.requires_grad_()
        _, count = machine.counted_operations(lambda: layer(given).sum().backward())
        assert count == 3 * 2 * 3 * 5 * 7

    def test_attention_on_cpu_is_counted(self, machine: ModuleType) -> None:
        query, key = torch.randn(2, 4, 9, 8, requires_grad=True), torch.randn(2, 4, 11, 8, requires_grad=True)
        attend = torch.nn.functional.scaled_dot_product_attention
        forward = 2 * (2 * 4 * 9 * 11 * 8) * 2
        assert machine.counted_operations(lambda: attend(query, key, key))[1] == forward
        assert machine.counted_operations(lambda: attend(query, key, key).sum().backward())[1] > 2 * forward

    def test_rates(self, machine: ModuleType) -> None:
        rates = machine.product_rates(torch.float32, CPU)
        assert {"8 x 16 x 32", "16 x 16 x 16"} <= rates.keys()
        assert all(rate > 0 for rate in rates.values())
        assert list(machine.product_rates(torch.bfloat16, CPU)) == ["8 x 16 x 32", "16 x 16 x 16"]

    def test_names(self, machine: ModuleType) -> None:
        found = machine.describe_machine(CPU)
        assert found["versions"]["torch"] == torch.__version__
        assert found["cpu"]
        assert found["gpu"] is None


def outputs(*logits: float, loss: float | None = None, **gradients: float) -> Any:
    from speed_rounds import Outputs

    return Outputs(torch.tensor([logits]), loss, {name: torch.tensor([value]) for name, value in gradients.items()})


class TestComparison:
    @pytest.mark.parametrize(
        ("found", "within"),
        [
            ({"logits": (1.0, 2.0)}, True),
            ({"logits": (1.0, 2.000008)}, True),
            ({"logits": (1.0, 2.0001)}, False),
            ({"logits": (1.0, float("nan"))}, False),
            ({"loss": 4.0001}, False),
            ({"gradients": {"a": 3.001, "b": 4.0}}, False),
            ({"gradients": {"a": 3.0}}, False),
            ({"gradients": {"a": 3.0, "b": 4.0, "c": 1.0}}, False),
        ],
    )
    def test_float32(self, speed: ModuleType, found: dict[str, Any], within: bool) -> None:
        from speed_rounds import compare

        whole: dict[str, Any] = {"logits": (1.0, 2.0), "loss": 4.0, "gradients": {"a": 3.0, "b": 4.0}}
        reference, given = (
            outputs(*parts["logits"], loss=parts["loss"], **parts["gradients"]) for parts in (whole, whole | found)
        )
        assert compare(given, reference, "float32").within is within

    def test_figures(self, speed: ModuleType) -> None:
        from speed_rounds import compare

        found = compare(
            outputs(1.0, 0.9, loss=2.02, a=3.0, b=0.0), outputs(0.8, 0.9, loss=2.0, a=3.0, b=4.0), "bfloat16"
        )
        assert found.logits == pytest.approx(0.2)
        assert found.same_answers == 0
        assert found.loss == pytest.approx(0.01)
        assert found.gradients == pytest.approx(4 / 5)
        assert not found.within
        with pytest.raises(ValueError, match=r"reference's shape, got \(1, 2\) and \(1, 3\)"):
            compare(outputs(1.0, 2.0), outputs(1.0, 2.0, 3.0), "float32")


class TestRounds:
    """Times are given: the machine is 4 times slower in every second round."""

    def work(self, wrong: bool = False) -> Any:
        from speed_rounds import Contestant, Work

        contestants = [
            Contestant("reference", "float32", lambda: 6.0, lambda: outputs(1.0, 2.0)),
            Contestant("twice as fast", "float32", lambda: 3.0, lambda: outputs(1.0, 2.0 + wrong), goal=1.5),
            Contestant("other", "float32", lambda: 2.0),
        ]
        return Work("test", "a test", 3, contestants)

    def measure(self, work: Any, rounds: int = 4, seconds: float = 100.0, **choices: Any) -> tuple[Any, list[float]]:
        from speed_rounds import measure

        called: list[float] = []

        def timer(call: Callable[[], float], device: torch.device) -> float:
            called.append(call())
            return called[-1] * (1 if (len(called) - 1) // 3 % 2 == 0 else 4)

        return measure(work, rounds, seconds, CPU, timer=timer, progress=False, **choices), called

    def test_ratios_are_of_each_round(self, machine: ModuleType) -> None:
        measurement, called = self.measure(self.work())
        reference, fast, other = measurement.rows
        assert (reference.ratio, fast.ratio, other.ratio) == (1, 2, 3)
        assert fast.ratio_quartiles == (2, 2)
        assert fast.milliseconds == pytest.approx(1000 * 7.5 / 3)  # of 1, 1, 4 and 4 seconds a pair
        assert fast.milliseconds_quartiles == pytest.approx((1000.0, 4000.0))
        assert fast.rounds == 4
        assert called == [6, 3, 2, 3, 2, 6, 2, 6, 3, 6, 3, 2]
        assert [row.counts for row in measurement.rows] == [True, True, False]

    def test_no_round_begins_when_time_is_up(self, machine: ModuleType) -> None:
        assert self.measure(self.work(), rounds=9, seconds=0.0)[0].rows[0].rounds == 2

    def test_other_results_do_not_count(self, machine: ModuleType) -> None:
        rows = self.measure(self.work(wrong=True), with_rates=False)[0].rows
        assert [row.counts for row in rows] == [True, False, False]
        assert rows[1].equality.logits == pytest.approx(1)
        assert rows[1].utilisation is None

    def test_utilisation(self, machine: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        rounds = sys.modules["speed_rounds"]
        monkeypatch.setattr(rounds, "product_rates", lambda dtype, device: {"small": 5.0, "large": 50.0})
        monkeypatch.setattr(rounds, "counted_operations", lambda call: (call(), 60))
        measurement, _ = self.measure(self.work())
        row = measurement.rows[1]
        assert row.operations == 20  # a pair
        assert row.utilisation == pytest.approx((60 / 3 / 50 + 60 / 12 / 50) / 2)
        assert measurement.rates == {"float32": {"small": 5.0, "large": 50.0}}

    def test_names_differ(self, speed: ModuleType) -> None:
        work = self.work()
        with pytest.raises(ValueError, match="must differ in name or precision"):
            self.measure(replace(work, contestants=[*work.contestants, work.contestants[0]]))


@pytest.mark.parametrize("name", ["pretraining", "finetuning", "inference_32", "inference_1", "retrieval"])
def test_results_are_equal_and_less_is_computed(
    name: str, speed: ModuleType, machine: ModuleType, setting: Any
) -> None:
    work = speed.WORKS[name](setting)
    rows = speed.measure(work, 2, 0.0, CPU, with_rates=False, progress=False).rows
    assert all(row.counts for row in rows), [row for row in rows if not row.counts]
    found = {(row.contestant, row.precision): row for row in rows}
    assert rows[0].contestant == "transformers"
    operations = {
        contestant: row.operations for (contestant, precision), row in found.items() if precision == "float32"
    }
    assert operations["ours"] < operations["transformers"]
    assert operations.pop("ours, oneDNN") == operations["ours"]
    for contestant in operations.keys() - {"ours", "transformers"}:
        assert operations[contestant] < operations["ours"], contestant
    for (contestant, precision), row in found.items():
        if precision == "bfloat16":
            assert row.operations == operations[contestant]
            assert row.equality.logits > found[contestant, "float32"].equality.logits if contestant == "ours" else True
    if "training" in name or name == "finetuning":
        assert found["ours", "float32"].equality.gradients < 1e-5
        assert 1e-5 < found["ours", "bfloat16"].equality.gradients < 0.1


def test_training_changes_weights_only_with_an_optimizer(speed: ModuleType, setting: Any) -> None:
    from speed_contestants import both_models, training

    _, theirs = both_models("LxmertForQuestionAnswering", setting)
    inputs = setting.batch(4).padded() | {"labels": torch.arange(4)}
    weight = theirs.answer_head.logit_fc[0].weight
    before = weight.detach().clone()
    training("x", "float32", theirs, inputs).call()
    assert torch.equal(weight, before)
    training("x", "float32", theirs, inputs, torch.optim.AdamW(theirs.parameters())).call()
    assert not torch.equal(weight, before)
    assert weight.grad is None


def test_other_models_take_part(speed: ModuleType, machine: ModuleType, setting: Any) -> None:
    work = speed.WORKS["inference_32"](replace(setting, peers=("vilt", "visual_bert")))
    rows = speed.measure(work, 2, 0.0, CPU, with_rates=False, progress=False).rows
    others = [row for row in rows if not row.same_model]
    assert [row.contestant for row in others] == ["ViLT of transformers", "VisualBERT of transformers"]
    assert all(row.operations > 0 and row.equality is None for row in others)


def test_engines_take_part(speed: ModuleType, machine: ModuleType, setting: Any) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime", "openvino"):
        pytest.importorskip(package, reason="pip install lxmert[export]")
    work = speed.WORKS["inference_1"](replace(setting, peers=("onnxruntime", "openvino")))
    rows = speed.measure(work, 2, 0.0, CPU, with_rates=False, progress=False).rows
    assert all(row.counts for row in rows), [row for row in rows if not row.counts]
    names = {row.contestant for row in rows}
    assert {"ONNX Runtime on transformers' LXMERT", "OpenVINO on transformers' LXMERT"} <= names
    assert {"ours in ONNX Runtime, regions cached", "ours in OpenVINO, regions cached"} <= names
    peer = next(row for row in rows if row.contestant.startswith("ONNX Runtime on"))
    assert peer.operations == rows[0].operations


@pytest.mark.parametrize(
    ("device", "error", "message"),
    [("cpu", ModuleNotFoundError, "needs the package nowhere"), ("meta", ValueError, "runs on CPU here")],
)
def test_peers_that_cannot_run(
    speed: ModuleType, setting: Any, monkeypatch: pytest.MonkeyPatch, device: str, error: type[Exception], message: str
) -> None:
    peers = sys.modules["speed_peers"]
    monkeypatch.setitem(peers.PEERS, "openvino", "nowhere" if device == "cpu" else "torch")
    chosen = replace(setting, peers=("openvino",), device=torch.device(device))
    model = torch.nn.Linear(1, 1)
    with pytest.raises(error, match=message):
        peers.peers_that_answer(chosen, [], model, model, {})


class TestCommand:
    def run(self, speed: ModuleType, monkeypatch: pytest.MonkeyPatch, output: Path, *options: str) -> None:
        command = ["speed.py", "--tiny", "--rounds", "2", "--peers", "--retrieval", "3", "--output", str(output)]
        monkeypatch.setattr(sys, "argv", [*command, *options])
        speed.main()

    def test_files_and_going_on(
        self,
        speed: ModuleType,
        machine: ModuleType,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        capsys: pytest.CaptureFixture,
    ) -> None:
        self.run(speed, monkeypatch, tmp_path, "--works", "retrieval")
        content = json.loads((tmp_path / "speed.json").read_text())
        assert list(content["works"]) == ["retrieval"]
        first = content["works"]["retrieval"]["rows"]
        assert content["machine"]["command"].startswith("python speed.py --tiny")
        # a second call measures what is missing only
        works = dict(speed.WORKS, retrieval=lambda setting: pytest.fail("measured again"))
        monkeypatch.setattr(speed, "WORKS", works)
        self.run(speed, monkeypatch, tmp_path, "--works", "retrieval", "finetuning")
        content = json.loads((tmp_path / "speed.json").read_text())
        assert list(content["works"]) == ["retrieval", "finetuning"]
        assert content["works"]["retrieval"]["rows"] == first
        with (tmp_path / "speed.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [row["work"] for row in rows] == ["retrieval"] * 5 + ["finetuning"] * 8
        assert float(rows[2]["ratio"]) == pytest.approx(first[2]["ratio"])
        assert rows[0]["difference_logits"] == ""
        assert float(rows[2]["difference_logits"]) < 1e-5
        assert {row["counts"] for row in rows} == {"True"}
        assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")
        printed = capsys.readouterr().out
        assert "retrieval: 3 images x 3 captions" in printed
        assert "| bfloat16 | ours, 4 questions per image |" in printed
        with pytest.raises(ValueError, match=r"rounds 2 there, 5 now\): choose another --output"):
            self.run(speed, monkeypatch, tmp_path, "--rounds", "5")

    def test_other_results_end_in_an_error(
        self,
        speed: ModuleType,
        machine: ModuleType,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        capsys: pytest.CaptureFixture,
    ) -> None:
        monkeypatch.setattr(speed, "WORKS", {"retrieval": lambda setting: TestRounds().work(wrong=True)})
        with pytest.raises(SystemExit, match="ratios do not count"):
            self.run(speed, monkeypatch, tmp_path, "--works", "retrieval")
        assert ", does not count" in capsys.readouterr().out
        assert (tmp_path / "speed.png").exists()
        with pytest.raises(SystemExit, match="2"):
            self.run(speed, monkeypatch, tmp_path, "--rounds", "0")
        assert "--rounds must be positive, got 0" in capsys.readouterr().err
