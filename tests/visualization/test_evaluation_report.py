import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from lxmert import LxmertConfig, LxmertForQuestionAnswering, LxmertProcessor, Regions
from lxmert.modeling_lxmert import LxmertForVisualReasoning
from lxmert.processing import Question, QuestionTable
from lxmert.visualization import (
    EvaluationReport,
    ask_again,
    draw_answers,
    given_answers,
    report_answers,
    worst_questions,
    write_evaluation_report,
)
from tests.visualization.pictures import colour_share, pixels_of

GREEN, RED, PALE, BLUE = (42, 127, 79), (181, 56, 44), (236, 211, 208), (31, 95, 168)


class Store(dict):
    """Regions by image id."""

    def many(self, image_ids: list[str]) -> list[Regions]:
        return [self[image_id] for image_id in image_ids]


def some_regions(seed: int, count: int = 4, size: tuple[int, int] = (30, 40)) -> Regions:
    generator = np.random.default_rng(seed)
    corners = np.sort(generator.random((2, count, 2)), axis=0) * (size[1], size[0])
    return Regions(generator.normal(size=(count, 12)), np.concatenate(corners, axis=1), size)


@pytest.fixture
def store() -> Store:
    return Store({f"image {i}": some_regions(i) for i in range(4)})


def small(processor: LxmertProcessor, **labels: object) -> LxmertConfig:
    torch.manual_seed(0)
    return LxmertConfig(
        vocab_size=len(processor.tokenizer),
        hidden_size=16,
        num_attention_heads=2,
        l_layers=1,
        r_layers=1,
        x_layers=1,
        intermediate_size=16,
        visual_feat_dim=12,
        initializer_range=0.5,
        **labels,
    )


# Six questions: of the "yes" ones two of three are right, of the "no" ones one of two, and one is withheld.
QUESTIONS = [
    Question(("image 0",), "is there a circle in the image?", {"yes": 1.0}, "a", kinds={"type": "circle", "n": "10"}),
    Question(("image 1",), "is there a circle in the image?", {"yes": 1.0}, "b", kinds={"type": "circle", "n": "9"}),
    Question(("image 2",), "is there no red shape?", {"yes": 1.0}, "c", kinds={"type": "colour", "n": "9"}),
    Question(("image 0",), "is there no red shape?", {"no": 1.0}, "d", kinds={"type": "colour", "n": "9"}),
    Question(("image 1",), "is there no red shape?", {"no": 1.0}, "e", kinds={"type": "colour", "n": "9"}),
    Question(("image 1",), "what color is the shape?", {}, "f"),
]
ANSWERS = {"a": "yes", "b": "yes", "c": "red", "d": "no", "e": "yes", "f": "red"}
PROBABILITIES = {"a": 0.9, "b": 0.8, "c": 0.4, "d": 0.6, "e": 0.7, "f": 0.99}


def test_counts_by_hand() -> None:
    report = EvaluationReport.of("title", QUESTIONS, ANSWERS, PROBABILITIES, {"accuracy": 0.6})
    assert (report.questions, report.images, report.soft) == (6, 3, False)
    assert (report.overall.questions, report.overall.right) == (5, 3)
    assert report.overall.score == pytest.approx(0.6)
    assert report.overall.probability == pytest.approx((0.9 + 0.8 + 0.4 + 0.6 + 0.7) / 5)
    rows = [(t.answer, t.questions, t.right, t.given, t.instead, t.instead_count) for t in report.answers]
    assert rows == [("yes", 3, 2, 3, "red", 1), ("no", 2, 1, 1, "yes", 1), ("red", 0, 0, 2, None, 0)]
    assert report.confusions == [("no", "yes", 1), ("yes", "red", 1)]
    assert {value: (t.questions, t.right) for value, t in report.kinds["type"].items()} == {
        "circle": (2, 2),
        "colour": (3, 1),
    }
    assert list(report.kinds["n"]) == ["9", "10"]
    assert [(wrong.question_id, wrong.probability, wrong.truth) for wrong in report.worst] == [
        ("e", 0.7, "no"),
        ("c", 0.4, "yes"),
    ]


def test_the_most_frequent_confusion_and_kinds_that_are_no_names() -> None:
    kinds = [{"few": str(i % 2), "one": "x", "many": str(i)} for i in range(120)]
    questions = [Question(("1",), "x", {"yes": 1.0}, str(i), kinds=kind) for i, kind in enumerate(kinds)]
    answers = {str(i): "red" if i < 20 else "blue" if i < 70 else "yes" for i in range(120)}
    report = EvaluationReport.of("title", questions, answers)
    assert (report.answers[0].instead, report.answers[0].instead_count) == ("blue", 50)
    assert {kind: len(values) for kind, values in report.kinds.items()} == {"few": 2}


def test_the_worst_come_first() -> None:
    assert worst_questions(QUESTIONS, ANSWERS, PROBABILITIES) == [4, 2]
    assert worst_questions(QUESTIONS, ANSWERS, PROBABILITIES, count=1) == [4]
    assert worst_questions(QUESTIONS, ANSWERS) == [2, 4]
    assert worst_questions(QuestionTable.write(QUESTIONS), ANSWERS, PROBABILITIES) == [4, 2]
    soft = [Question(("1",), "x", {"two": 1.0, "2": 0.9, "to": 0.3, "too": 1.0}, str(i)) for i in range(5)]
    given = dict(zip("01234", ("2", "to", "five", "two", "too"), strict=True))
    assert worst_questions(soft, given, dict.fromkeys("01234", 0.9)) == [2, 1, 0]
    report = EvaluationReport.of("title", soft, given)
    assert report.soft
    assert report.overall.right == 2
    assert report.overall.score == pytest.approx((0.9 + 0.3 + 0 + 1 + 1) / 5)


@pytest.mark.parametrize(
    ("questions", "answers", "probabilities", "problem"),
    [
        ([], {}, None, "questions is empty"),
        (QUESTIONS[:1] * 2, {"a": "x"}, None, "id 'a' comes twice"),
        (QUESTIONS[:2], {"a": "x"}, None, "answers has none to question 'b' .'is there a circle"),
        (QUESTIONS[:1], {"a": "x", "z": "x", "y": "x"}, None, "answers has 2 to questions that were not asked.* 'z'"),
        (QUESTIONS[:1], {"a": "x"}, {"b": 0.5}, "one in .0, 1. for question 'a', got None"),
        (QUESTIONS[:1], {"a": "x"}, {"a": 1.5}, "for question 'a', got 1.5"),
        (QUESTIONS[:1], {"a": "x"}, {"a": math.nan}, "for question 'a', got nan"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    tmp_path: Path, questions: list[Question], answers: dict, probabilities: dict | None, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        write_evaluation_report(tmp_path / "report", "title", questions, answers, probabilities)
    with pytest.raises(ValueError, match=problem):
        worst_questions(questions, answers, probabilities)
    assert not (tmp_path / "report").exists()


def test_the_folder_holds_text_data_and_pictures(tmp_path: Path, store: Store) -> None:
    figures = {"accuracy": 0.6, "accuracy/type/circle": 1.0, "accuracy/other/x": 0.25, "distance": math.nan}
    worst = given_answers([QUESTIONS[4], QUESTIONS[2]], ANSWERS, PROBABILITIES, store)
    folder = tmp_path / "new" / "report"
    path = write_evaluation_report(folder, "An *exam*", QUESTIONS, ANSWERS, PROBABILITIES, figures, worst)
    assert sorted(file.name for file in folder.iterdir()) == ["answers.png", "report.json", "report.md", "worst.png"]
    text = path.read_text()
    assert text.startswith("# An \\*exam\\*\n\n6 questions about 3 images. The right answer is known for 5;")
    assert "Answered right: 3 (60.0 %)" in text
    assert "| accuracy | 0.6 |\n| accuracy/other/x | 0.25 |\n| distance | - |\n" in text
    assert "| yes | 3 | 2 | 66.7 % | 3 | red (1) |\n| no | 2 | 1 | 50.0 % | 1 | yes (1) |\n| red | 0 | 0 | - |" in text
    assert "| circle | 2 | 2 | 100.0 % | 1 |\n| colour | 3 | 1 | 33.3 % | - |" in text
    assert "| e | image 1 | is there no red shape? | yes | 70.0 % | no |" in text
    content = json.loads((folder / "report.json").read_text())
    assert content["figures"] == figures | {"distance": None}
    assert content["answers"][0]["answer"] == "yes"
    assert content["confusions"][0] == {"truth": "no", "answer": "yes", "questions": 1}
    assert [wrong["question_id"] for wrong in content["worst"]] == ["e", "c"]
    pixels = pixels_of(folder / "answers.png")
    assert colour_share(pixels, GREEN) > 0.03, "what is right"
    assert colour_share(pixels, PALE) > 0.02, "what is not"
    pixels = pixels_of(folder / "worst.png")
    assert colour_share(pixels, RED) > 0.01, "the answers' bars"
    assert colour_share(pixels, (230, 159, 0)) > 0.002, "the regions, without attention"
    write_evaluation_report(folder, "Another", QUESTIONS[:1], {"a": "yes"})
    assert sorted(file.name for file in folder.iterdir()) == ["answers.png", "report.json", "report.md"]
    assert "None: every answer is right." in path.read_text()


def test_a_failure_leaves_the_files_whole(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_evaluation_report(tmp_path, "Before", QUESTIONS, ANSWERS)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def fail(figure: object, file: Path, **choices: object) -> None:
        Path(file).write_bytes(b"half a picture")
        raise OSError("No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    with pytest.raises(OSError, match="No space"):
        write_evaluation_report(tmp_path, "After", QUESTIONS, ANSWERS)
    with pytest.raises(OSError, match="No space"):
        draw_answers(given_answers(QUESTIONS[:1], ANSWERS, None, store), tmp_path / "new.png", "After")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    with pytest.raises(FileExistsError, match=r"report\.md is a file"):
        write_evaluation_report(path, "After", QUESTIONS, ANSWERS)


def test_withheld_answers_are_not_judged(tmp_path: Path, store: Store) -> None:
    questions = [Question(q.image_ids, q.text, {}, q.question_id) for q in QUESTIONS]
    predictions = SimpleNamespace(answers=ANSWERS, probabilities=PROBABILITIES)
    text = report_answers(tmp_path, None, None, questions, predictions, regions=store).read_text()
    assert "The right answers are not known" in text
    assert "| yes | 3 |\n| red | 2 |\n| no | 1 |" in text
    assert "right (" not in text
    assert "Confusions" not in text
    assert not (tmp_path / "worst.png").exists()
    assert colour_share(pixels_of(tmp_path / "answers.png"), BLUE) > 0.05


def test_any_text_is_drawn(tmp_path: Path, store: Store, recwarn: pytest.WarningsRecorder) -> None:
    answers = ["$^_$", "żółty", "красный", "左の人", "a|b\n<b>c</b>", "long " * 40]
    answers += [f"answer {i}" for i in range(3000)]
    text = "how many $ is $\\frac? " * 30
    questions = [Question(("image 0",), text, {answer: 1.0}, str(i)) for i, answer in enumerate(answers)]
    given = {question.question_id: answers[(i * 7) % 5] for i, question in enumerate(questions)}
    worst = given_answers(questions[5:7], given, None, store)
    text = write_evaluation_report(tmp_path, "A title of $ and 左 " * 9, questions, given, worst=worst).read_text()
    assert "| a\\|b \\<b\\>c\\</b\\> | 1 |" in text
    assert "The first 50 of 3,006; all are in [report.json](report.json)." in text
    assert len(json.loads((tmp_path / "report.json").read_text())["answers"]) == 3006
    for name in ("answers.png", "worst.png"):
        with Image.open(tmp_path / name) as picture:
            assert 300 < picture.height < 1500
    assert not [str(warning.message) for warning in recwarn if "Glyph" in str(warning.message)]


def test_the_worst_are_asked_again(tmp_path: Path, store: Store, processor: LxmertProcessor) -> None:
    model = LxmertForQuestionAnswering(small(processor, id2label={0: "yes", 1: "no", 2: "red"})).eval()
    asked: list[set[str]] = []

    def pictures(image_ids: set[str]) -> dict:
        asked.append(image_ids)
        return {"image 1": Image.new("RGB", (40, 30), (0, 0, 255)), "image 2": "not there.png"}

    predictions = SimpleNamespace(answers=ANSWERS, probabilities=PROBABILITIES)
    without = LxmertProcessor(processor.tokenizer)
    report_answers(tmp_path, model, without, QUESTIONS, predictions, {}, store, pictures, "Title")
    assert asked == [{"image 1", "image 2"}]
    pixels = pixels_of(tmp_path / "worst.png")
    assert colour_share(pixels, (0, 0, 255)) > 0.03, "the picture"
    assert colour_share(pixels, (243, 243, 243)) > 0.03, "the one that cannot be read"
    assert colour_share(pixels, (240, 249, 33)) > 0.0005, "the region of most attention"
    answered = ask_again(model, without, [QUESTIONS[4]] * 9, store, max_length=8)
    inputs = processor(text=QUESTIONS[4].text, regions=store["image 1"])
    with torch.no_grad():
        output = model(**inputs, output_attentions=True)
    assert len(answered) == 9
    for item in answered:
        assert item.answers[0][1] == pytest.approx(output.logits.softmax(-1).max().item(), abs=1e-6)
        weights = output.cross_encoder_attentions[-1][0, :, 0].mean(0)
        np.testing.assert_allclose(item.region_weights, weights, atol=1e-6)
        assert (item.truth, item.caption) == ("no", "question e, image image 1")
    with pytest.raises(ValueError, match="model and processor go together"):
        report_answers(tmp_path, model, None, QUESTIONS, predictions)


def test_pairs_are_drawn_side_by_side(tmp_path: Path, processor: LxmertProcessor) -> None:
    store = Store({"left": some_regions(0, 3), "right": some_regions(1, 5, size=(60, 30))})
    questions = [
        Question(("left", "right"), "is there no red shape?", {answer: 1.0}, answer) for answer in ("false", "true")
    ]
    model = LxmertForVisualReasoning(small(processor)).eval()
    pictures = {"left": Image.new("RGB", (40, 30), (0, 0, 255)), "right": Image.new("RGB", (30, 60), (0, 255, 0))}
    answered = ask_again(model, processor, questions, store, pictures)
    inputs = processor(text=[q.text for q in questions], regions=[[store["left"], store["right"]]] * 2)
    with torch.no_grad():
        output = model(**inputs, output_attentions=True)
    for i, item in enumerate(answered):
        assert dict(item.answers)["true"] == pytest.approx(output.logits.softmax(-1)[i, 1].item(), abs=1e-6)
        assert [len(weights) for weights in item.region_weights] == [3, 5]
        for side, weights in enumerate(item.region_weights):
            expected = output.cross_encoder_attentions[-1][2 * i + side, :, 0].mean(0)[: len(weights)]
            np.testing.assert_allclose(weights, expected, atol=1e-6)
    given = {"false": "true", "true": "true"}
    write_evaluation_report(tmp_path, "Pairs", questions, given, {"false": 0.5, "true": 0.5}, worst=answered[:1])
    pixels = pixels_of(tmp_path / "worst.png")
    blue, green = (np.abs(pixels - colour).max(axis=2) <= 8 for colour in ((0, 0, 255), (0, 255, 0)))
    assert blue.mean() > 0.02
    assert green.mean() > 0.005
    assert blue.any(0).nonzero()[0].max() < green.any(0).nonzero()[0].min(), "left before right"
    heights = [np.ptp(mask.any(1).nonzero()[0]) for mask in (blue, green)]
    assert heights[0] == pytest.approx(heights[1], rel=0.05)
