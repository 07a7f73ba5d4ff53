"""The programs for fine-tuning and evaluation, as a newcomer calls them."""

import csv
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from lxmert.processing import RegionStore
from lxmert.training import training_data_of
from tests.conftest import ROOT
from tests.examples.test_demo import run
from tests.training.conftest import COLOURS
from tests.training.test_pretraining_collator import make_regions

FINETUNE, EVALUATE, ANSWER = (ROOT / "examples" / name for name in ("4_finetune.py", "5_evaluate.py", "2_answer.py"))
SMALL = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32, "initializer_range": 0.1}
SMALL |= {"l_layers": 1, "r_layers": 1, "x_layers": 1, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def refused(program: Path, *arguments: object, cwd: Path) -> str:
    """The message of the error that a program ends with; run in this process, which saves importing everything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.setattr(sys, "argv", [str(program), *map(str, arguments)])
        patch.setattr(sys, "excepthook", sys.excepthook)
        with pytest.raises((ValueError, OSError)) as caught:
            runpy.run_path(str(program), run_name="__main__")
    return str(caught.value)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures, two tables of questions, a recipe, and what one command made of them."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "pictures").mkdir()
    for name, numbers in (("questions", range(48)), ("more", range(48, 60))):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["file", "question", "answer"])
            for i in numbers:
                colour = COLOURS[i % 3]
                picture = Image.new("RGB", (20, 20), "white")
                picture.paste(colour, (i % 8, i % 5, i % 8 + 8, i % 5 + 8))
                picture.save(folder / "pictures" / f"{i}.png")
                table.writerow([f"{i}.png", "what color is it?", colour])
    training = {"epochs": 30, "batch_size": 16, "learning_rate": 3e-3, "seed": 1}
    recipe = {"task": "my_dataset", "regions": {"extractor": "components"}, "model": SMALL, "training": training}
    (folder / "small.yaml").write_text(yaml.safe_dump(recipe))
    command = ("--task", "my_dataset", "--recipe", "small.yaml", "--train", "questions.csv", "--images", "pictures")
    printed = run(FINETUNE, *command, "--test", "more.csv", "--column", "image=file", cwd=folder)
    (folder / "printed.txt").write_text(printed)
    return folder


@pytest.mark.slow
def test_one_command_gives_a_checkpoint_and_a_report(own: Path) -> None:
    printed = (own / "printed.txt").read_text()
    assert "Held out" in printed
    assert "3 answers" in printed
    output = own / "runs" / "small"
    names = {path.name for path in output.iterdir()}
    assert {"best", "last", "history.json", "regions", "report"} <= names
    report = json.loads((output / "report" / "report.json").read_text())
    assert report["figures"]["accuracy"] == 1.0
    text = (output / "report" / "report.md").read_text()
    for answer in COLOURS:
        assert f"| {answer} |" in text
    assert Image.open(output / "report" / "answers.png").size[0] > 300
    (entry,) = training_data_of(output / "best")
    assert (entry.task, entry.split) == ("my_dataset", "questions.csv")
    answered = run(ANSWER, own / "pictures" / "50.png", "what color is it?", "--checkpoint", output / "best", cwd=own)
    assert answered.splitlines()[0].split()[-1] == COLOURS[50 % 3]


@pytest.mark.slow
def test_the_checkpoint_is_judged_by_other_questions(own: Path) -> None:
    best = own / "runs" / "small" / "best"
    command = ("--task", "my_dataset", "--split", "more.csv", "--images", "pictures", "--column", "image=file")
    printed = run(EVALUATE, *command, "--checkpoint", best, "--output", "judged", cwd=own)
    assert "accuracy" in printed
    assert "1.0000" in printed
    lines = [json.loads(line) for line in (own / "judged" / "answers.jsonl").read_text().splitlines()]
    assert [line["answer"] for line in lines] == [COLOURS[i % 3] for i in range(48, 60)]
    scored = run(EVALUATE, *command, "--predictions", "judged/answers.jsonl", "--output", "scored", cwd=own)
    assert "1.0000" in scored
    blind = run(EVALUATE, *command, "--checkpoint", best, "--withhold", "image", "--output", "blind", cwd=own)
    assert "0.3333" in blind, "each of three colours is as likely"


@pytest.mark.slow
def test_judging_by_what_was_learned_warns(own: Path) -> None:
    command = [
        sys.executable,
        str(EVALUATE),
        "--task",
        "my_dataset",
        "--split",
        "questions.csv",
        "--images",
        "pictures",
    ]
    command += ["--column", "image=file", "--checkpoint", "runs/small/best", "--output", "again"]
    result = subprocess.run(command, cwd=own, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "has learned from my_dataset questions.csv" in result.stderr
    assert "Take another split" in result.stderr


@pytest.mark.slow
def test_bad_input_ends_with_its_message(own: Path) -> None:
    command = ("--task", "my_dataset", "--recipe", "small.yaml", "--images", "pictures", "--output", "bad")
    assert "file" in refused(FINETUNE, *command, "--train", "questions.csv", cwd=own), "a column unsaid"
    (own / "broken.csv").write_text(
        "image,question,answer\n0.png,what?,red\n99.png,what?,red\n1.png,,red\n2.png,what?,\n"
    )
    said = refused(FINETUNE, *command, "--train", "broken.csv", cwd=own)
    for part in ("broken.csv", "row 3", "99.png", "row 4", "question", "row 5", "answer"):
        assert part in said
    assert "name the folder" in refused(FINETUNE, "--task", "vqa", cwd=own)
    (own / "train.json").write_text("[1]")
    assert "train.json" in refused(FINETUNE, "--task", "vqa", "--data", ".", "--train", "train.json", cwd=own)
    evaluate = ("--task", "my_dataset", "--checkpoint", "runs/small/best", "--images", "pictures", "--output", "bad")
    assert "gone.csv" in refused(EVALUATE, *evaluate, "--split", "gone.csv", "--column", "image=file", cwd=own)
    (own / "answers.jsonl").write_text('{"question_id": "7777", "answer": "red"}\n')
    predictions = ("--task", "my_dataset", "--split", "more.csv", "--column", "image=file", "--output", "bad")
    assert "7777" in refused(EVALUATE, *predictions, "--predictions", "answers.jsonl", cwd=own)
    assert not list((own / "bad").glob("*.arrow")) if (own / "bad").exists() else True


@pytest.mark.slow
def test_two_processes_judge_as_one(own: Path) -> None:
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", EVALUATE, "--task", "my_dataset"]
    command += ["--split", "more.csv", "--images", "pictures", "--column", "image=file", "--batch-size", "5"]
    printed = run(*command, "--checkpoint", "runs/small/best", "--output", "two", cwd=own)
    assert printed.count("1.0000") == 1, "said once"
    one, two = (own / "runs" / "small" / "best", own / "two" / "answers.jsonl")
    assert one.is_dir()
    assert len(two.read_text().splitlines()) == 12


@pytest.mark.slow
def test_a_sentence_about_two_images(tmp_path: Path) -> None:
    """NLVR2 from its own lines to the official file."""
    lines: dict[str, list[str]] = {"train": [], "dev": []}
    regions = []
    for split in lines:
        for i in range(6):
            for side in range(2):
                picture = make_regions(2 * i + side)
                regions.append(type(picture)(**vars(picture) | {"image_id": f"{split}-{i}-0-img{side}"}))
            line = {"identifier": f"{split}-{i}-0-0", "sentence": f"Both are {i}.", "label": ["False", "True"][i % 2]}
            lines[split].append(json.dumps(line | {"left_url": "l", "right_url": "r"}))
        (tmp_path / f"{split}.json").write_text("\n".join(lines[split]))
    RegionStore.create(tmp_path / "regions", regions)
    recipe = {"task": "nlvr2", "model": SMALL, "training": {"epochs": 2, "batch_size": 4}}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(recipe))
    command = ("--task", "nlvr2", "--data", ".", "--regions", "regions")
    printed = run(FINETUNE, *command, "--recipe", "small.yaml", cwd=tmp_path)
    assert "consistency" in printed
    best = tmp_path / "runs" / "small" / "best"
    run(EVALUATE, *command, "--split", "dev", "--checkpoint", best, "--output", "judged", cwd=tmp_path)
    answers = (tmp_path / "judged" / "answers.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in answers] == [f"dev-{i}-0-0" for i in range(6)]
    assert {line.split(",")[1] for line in answers} <= {"True", "False"}
