"""A run that was killed and resumed ends as one that was never stopped, bit for bit."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from lxmert.training.loop import train
from lxmert.training.resume import SavedStates, put_back, written_whole
from tests.training import runs

COMPARED = ("weights", "best", "last", "history", "figure", "scores")
EVERY = 4  # steps between saved states
SHORT = {"save_state_every": EVERY, "epochs": 2}  # 12 steps, 22 forwards


def run_program(plans: list[dict[str, Any]], processes: int = 1, dies: bool = False) -> None:
    """Run `runs.py`, one plan after the other; in a single process, each in a child that may die."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    launch = torchrun if processes > 1 else []
    done = subprocess.run(
        [sys.executable, *launch, str(Path(runs.__file__)), json.dumps(plans)],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert dies == (done.returncode != 0), done.stderr[-3000:]


def read(folder: Path, number: int, rank: int = 0) -> dict[str, Any]:
    return json.loads((folder / f"summary-{number}-{rank}.json").read_text())


def compared(summed: dict[str, Any]) -> dict[str, Any]:
    assert "error" not in summed
    return {name: summed[name] for name in COMPARED}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run that was never stopped, and what files it wrote."""
    folder = tmp_path_factory.mktemp("whole")
    run_program([SHORT | {"folder": str(folder)}])
    return read(folder, 0)


def killed_and_resumed(tmp_path: Path, kills: list[dict[str, int]]) -> list[dict[str, Any]]:
    plans = []
    for i, kill in enumerate(kills):
        plan = SHORT | {"folder": str(tmp_path / str(i))}
        plans += [plan | kill, plan | {"resume": True}]
    run_program(plans)
    for i in range(len(kills)):
        assert not (tmp_path / str(i) / f"summary-{2 * i}-0.json").exists(), "it must have died"
        assert not list((tmp_path / str(i)).glob("state-*")), "a finished run keeps no state"
    return [read(tmp_path / str(i), 2 * i + 1) for i in range(len(kills))]


@pytest.mark.slow
def test_killed_at_a_step(whole: dict[str, Any], tmp_path: Path) -> None:
    """Before the first state, between states, right after one, in the middle of an accumulation, in the last step."""
    resumed = killed_and_resumed(tmp_path, [{"dies_at": forward} for forward in (1, 9, 12, 15, 19, 22)])
    assert all(compared(one) == compared(whole) for one in resumed)
    assert len({entry["loss"] for entry in whole["history"]}) == len(whole["history"]) == 4


@pytest.mark.slow
def test_killed_while_writing(whole: dict[str, Any], tmp_path: Path) -> None:
    """Before every file operation of one period between states, and around the end."""
    operations = whole["operations"]
    saved = [i for i, said in enumerate(operations) if said.startswith("os.rename") and "state-" in said]
    numbers = [*range(saved[0], saved[1] + 6), *range(len(operations) - 6, len(operations))]
    kills = [{"dies_at_file": number + 1} for number in numbers if operations[number] != operations[number - 1]]
    resumed = killed_and_resumed(tmp_path, kills)
    assert len(kills) >= 15
    assert all(compared(one) == compared(whole) for one in resumed)


@pytest.mark.slow
def test_killed_in_two_processes(tmp_path: Path) -> None:
    """One of them is killed, torchrun ends the other; the same command with `resume` goes on."""
    whole, killed = ({"folder": str(tmp_path / name), "save_state_every": 3} for name in ("whole", "killed"))
    run_program([whole, killed | {"dies_at": 16, "dies_in_rank": 1}], processes=2, dies=True)
    assert [path.name for path in (tmp_path / "killed").glob("state-*")] == ["state-000000006"]
    run_program([killed | {"resume": True}], processes=2)
    summaries = [read(tmp_path / name, 0, rank) for name in ("whole", "killed") for rank in range(2)]
    assert all(compared(one) == compared(summaries[0]) for one in summaries)
    assert len(summaries[0]["history"]) == 6


def stopped(folder: Path, **settings: Any) -> None:
    """A run that stops at its tenth forward, in step 6 of 18."""

    class StopError(Exception):
        pass

    def stop() -> None:
        raise StopError

    model = runs.make_model()
    runs.at_forward(model, 10, stop)
    with pytest.raises(StopError):
        train(model, runs.make_task(), runs.make_settings(folder, save_state_every=EVERY, **settings))
    assert [path.name for path in folder.glob("state-*")] == ["state-000000004"]


def resume(folder: Path, task: Any = None, **settings: Any) -> dict[str, Any]:
    model = runs.make_model()
    return runs.summary(model, train(model, task or runs.make_task(), runs.make_settings(folder, **settings)))


def test_another_rate_of_saving_and_workers_change_nothing(tmp_path: Path) -> None:
    stopped(tmp_path / "stopped")
    resumed = resume(tmp_path / "stopped", resume=True, save_state_every=None, workers=1)
    assert resumed == resume(tmp_path / "plain")


def test_without_bias_correction(tmp_path: Path) -> None:
    stopped(tmp_path / "stopped", bias_correction=False)
    changes = {"bias_correction": False}
    assert resume(tmp_path / "stopped", resume=True, **changes) == resume(tmp_path / "plain", **changes)
    assert resume(tmp_path / "plain", **changes)["weights"] != resume(tmp_path / "corrected")["weights"]


def test_a_state_is_not_overlooked(tmp_path: Path) -> None:
    stopped(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match="holds the state of an unfinished run at step 4: pass resume=True"):
        resume(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_another_runs_state_is_refused(tmp_path: Path) -> None:
    stopped(tmp_path)
    with pytest.raises(ValueError, match="another run's: it has batch_size 2, now 3, seed 9595, now 1. Pass what"):
        resume(tmp_path, resume=True, batch_size=3, seed=1)
    with pytest.raises(ValueError, match="it has training examples 22, now 21"):
        resume(tmp_path, runs.make_task(training=runs.DrawnRows(21)), resume=True)
    file = tmp_path / "state-000000004" / "progress.json"
    file.write_text(file.read_text().replace('"processes": 1', '"processes": 2'))
    with pytest.raises(ValueError, match="it has processes 2, now 1"):
        resume(tmp_path, resume=True)


def test_nothing_to_resume_is_said(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="There is no state in .* to resume: the run starts from the beginning"):
        resumed = resume(tmp_path / "new", resume=True)
    assert resumed == resume(tmp_path / "plain")


def test_a_finished_run_gives_its_result_again(tmp_path: Path) -> None:
    first = resume(tmp_path, save_state_every=EVERY)
    model = runs.make_model()
    runs.at_forward(model, 1, lambda: pytest.fail("it must not train"))
    again = train(model, runs.make_task(), runs.make_settings(tmp_path, resume=True))
    assert runs.summary(model, again) == first
    with pytest.raises(ValueError, match="it has epochs 3, now 4"):
        resume(tmp_path, resume=True, epochs=4)
    assert len(resume(tmp_path, epochs=4)["history"]) == 8, "without resume, a finished run is replaced"


def test_a_state_executes_nothing(tmp_path: Path) -> None:
    stopped(tmp_path)

    class Evil:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "evil"),)

    torch.save({"model": Evil()}, tmp_path / "state-000000004" / "tensors.pt")
    with pytest.raises(Exception, match="[Ww]eights.only"):
        resume(tmp_path, resume=True)
    assert not (tmp_path / "evil").exists()


def test_a_folder_is_whole_or_as_before(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for text in ("one", "two"):
        with written_whole(folder) as writing:
            (writing / "file").write_text(text)
        assert (folder / "file").read_text() == text
    with pytest.raises(RuntimeError), written_whole(folder) as writing:  # noqa: PT012
        (writing / "file").write_text("three")
        raise RuntimeError
    assert (folder / "file").read_text() == "two"
    with written_whole(folder) as writing:
        (writing / "other").write_text("four")
    assert [path.name for path in folder.iterdir()] == ["other"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    folder.rename(tmp_path / ".folder.former")  # as a kill between the two renamings leaves it
    put_back(folder)
    assert [path.name for path in folder.iterdir()] == ["other"]


def test_states_from_before_a_setting_have_its_default(tmp_path: Path) -> None:
    runs.run(str(tmp_path), epochs=1)
    file = tmp_path / "finished.json"
    content = json.loads(file.read_text())
    for name in ("sentences_per_image", "resident_regions"):
        del content["fingerprint"][name]
    file.write_text(json.dumps(content))
    assert runs.run(str(tmp_path), epochs=1, resume=True)["history"] == content["progress"]["history"]
    with pytest.raises(ValueError, match="sentences_per_image 1, now 2"):
        SavedStates(tmp_path, Accelerator(cpu=True), content["fingerprint"] | {"sentences_per_image": 2}).open(True)
