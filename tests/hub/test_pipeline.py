"""The pipeline: every way to call it gives what model and processor give by hand."""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import LxmertForQuestionAnswering as TheirModel
from transformers import pipeline
from transformers.pipelines import PIPELINE_REGISTRY

import lxmert
from lxmert import LxmertForQuestionAnswering, LxmertProcessor, LxmertVisualQuestionAnsweringPipeline, Regions
from lxmert.hub.pipeline import CUSTOM_PIPELINES, TASK
from lxmert.visualization import relevance
from tests.conftest import QUESTIONS, ROOT

NLVR = ROOT / "checkpoints" / "nlvr"
BOXES = ROOT / "docs" / "images" / "three_boxes.png"
TRUE, FALSE = "There is a box with two yellow circles.", "There is no black triangle."
QUESTION, OTHER, THIRD = QUESTIONS


@pytest.fixture
def pipe(small_config: Any, processor: LxmertProcessor) -> LxmertVisualQuestionAnsweringPipeline:
    """A small random model whose answers differ from question to question."""
    torch.manual_seed(0)
    config = small_config(
        vocab_size=len(processor.tokenizer),
        id2label=dict(enumerate("abcdefg")),
        initializer_range=0.5,
        visual_feat_dim=processor.region_extractor.feature_dim,
    )
    model = LxmertForQuestionAnswering(config)
    return LxmertVisualQuestionAnsweringPipeline(model=model, processor=processor, device="cpu")


@pytest.fixture
def extracted(processor: LxmertProcessor, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each call of the region extractor was given."""
    counts: list[int] = []
    found = type(processor.region_extractor).extract

    def count(self: Any, prepared: Any) -> Any:
        counts.append(len(prepared))
        return found(self, prepared)

    monkeypatch.setattr(type(processor.region_extractor), "extract", count)
    return counts


@pytest.fixture
def pictures(drawing: Image.Image, tmp_path: Path) -> list[Path]:
    """Files of two different drawings."""
    paths = [tmp_path / "0.png", tmp_path / "1.png"]
    drawing.save(paths[0])
    other = drawing.copy()
    other.paste("lime", (2, 3, 12, 13))
    other.save(paths[1])
    return paths


def by_hand(pipe: Any, image: Any, question: str) -> list[tuple[str, float]]:
    """All answers, the likeliest first, without the pipeline."""
    inputs = pipe.processor(text=question, images=image)
    with torch.no_grad():
        probabilities = pipe.model(**inputs).logits[0].softmax(-1)
    order = probabilities.argsort(descending=True).tolist()
    return [(pipe.model.config.id2label[i], probabilities[i].item()) for i in order]


def same(found: list[dict[str, Any]], expected: list[tuple[str, float]], count: int = 5) -> bool:
    """Whether the answers are the expected ones, in their order."""
    pairs = [(one["answer"], one["score"]) for one in found]
    assert [answer for answer, _ in pairs] == [answer for answer, _ in expected[:count]]
    assert [score for _, score in pairs] == pytest.approx([score for _, score in expected[:count]], abs=1e-5)
    return True


@pytest.mark.parametrize("kind", ["path", "text", "picture", "array", "bytes"])
def test_every_kind_of_image_gives_the_answers_of_the_model(kind: str, pipe: Any, pictures: list[Path]) -> None:
    path = pictures[0]
    image = {
        "path": path,
        "text": str(path),
        "picture": Image.open(path),
        "array": np.asarray(Image.open(path)),
        "bytes": path.read_bytes(),
    }[kind]
    expected = by_hand(pipe, path, QUESTION)
    assert same(pipe(image, QUESTION), expected)
    assert same(pipe(image=image, question=QUESTION, top_k=2), expected, 2)
    assert same(pipe({"image": image, "question": QUESTION}), expected)
    assert same(pipe([{"image": image, "question": QUESTION}])[0], expected)


def test_the_answers_tell_questions_and_pictures_apart(pipe: Any, pictures: list[Path]) -> None:
    """Else the other tests would show nothing."""
    scores = {
        (path, question): by_hand(pipe, path, question)[0][1] for path in pictures for question in (QUESTION, OTHER)
    }
    assert len({round(score, 4) for score in scores.values()}) == 4


@pytest.mark.parametrize("batch_size", [None, 2, 3, 16])
def test_lists_give_one_list_of_answers_each(batch_size: int | None, pipe: Any, pictures: list[Path]) -> None:
    first, second = pictures
    pairs = [(first, QUESTION), (second, OTHER), (first, THIRD), (second, QUESTION), (first, OTHER)]
    expected = [by_hand(pipe, *pair) for pair in pairs]
    items = [{"image": path, "question": question} for path, question in pairs]
    answers = pipe(items, batch_size=batch_size)
    assert len(answers) == 5
    assert all(same(found, one) for found, one in zip(answers, expected, strict=True))
    together = pipe(image=[first, second], question=[QUESTION, OTHER], batch_size=batch_size)
    assert all(same(found, one) for found, one in zip(together, expected[:2], strict=True))
    of_one = pipe(image=first, question=[QUESTION, OTHER], batch_size=batch_size)
    assert all(same(found, one) for found, one in zip(of_one, (expected[0], expected[4]), strict=True))
    one_for_all = pipe(image=[first, second], question=QUESTION, batch_size=batch_size)
    assert all(same(found, one) for found, one in zip(one_for_all, (expected[0], expected[3]), strict=True))


def test_lists_of_one_stay_lists(pipe: Any, pictures: list[Path]) -> None:
    expected = by_hand(pipe, pictures[0], QUESTION)
    for answers in (
        pipe([pictures[0]], QUESTION),
        pipe(pictures[0], [QUESTION]),
        pipe(regions=pipe.processor.region_extractor(pictures[:1]), question=QUESTION),
    ):
        assert len(answers) == 1
        assert same(answers[0], expected)


def test_an_image_is_looked_at_once(pipe: Any, pictures: list[Path], extracted: list[int]) -> None:
    first, second = pictures
    pipe(image=first, question=QUESTIONS)
    assert extracted == [1]
    extracted.clear()
    pipe([{"image": path, "question": QUESTION} for path in (first, second, first, str(second), first)], batch_size=2)
    assert extracted == [2]
    extracted.clear()
    opened = Image.open(first)
    pipe([{"image": opened, "question": question} for question in QUESTIONS])
    assert extracted == [1]


def test_regions_are_kept_no_longer_than_needed(
    pipe: Any, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 20 pictures asked about one after the other, never more than two have regions at a time."""
    alive: set[int] = set()
    most = 0

    class Watched(Regions):
        def __post_init__(self) -> None:
            super().__post_init__()
            nonlocal most
            alive.add(id(self))
            most = max(most, len(alive))

        def __del__(self) -> None:
            alive.discard(id(self))

    def extract(images: Any) -> list[Regions]:
        return [Watched(np.zeros((1, 12)), [[0, 0, 40, 30]], (30, 40)) for _ in images]

    monkeypatch.setattr(pipe, "_extract", extract)
    pipe([{"image": f"{i // 2}.png", "question": QUESTION} for i in range(40)])
    assert 1 <= most <= 3


def test_given_regions_need_no_extractor(small_model: LxmertForQuestionAnswering, processor: LxmertProcessor) -> None:
    blind = LxmertVisualQuestionAnsweringPipeline(
        model=small_model, processor=LxmertProcessor(processor.tokenizer), device="cpu"
    )
    regions = Regions(np.ones((3, 12)), [[0, 0, 9, 9], [1, 1, 5, 5], [2, 3, 9, 9]], image_size=(9, 9))
    inputs = processor(text=QUESTION, regions=regions)
    expected = small_model(**inputs).logits[0].softmax(-1).max().item()
    assert blind(regions=regions, question=QUESTION)[0]["score"] == pytest.approx(expected, abs=1e-6)
    assert blind({"regions": regions, "question": QUESTION}, top_k=1)[0]["score"] == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="no region extractor.*give regions="):
        blind("picture.png", QUESTION)


def test_streams_are_answered_as_they_come(pipe: Any, pictures: list[Path], extracted: list[int]) -> None:
    drawn = []

    def items() -> Iterator[dict[str, Any]]:
        for i in range(6):
            drawn.append(i)
            yield {"image": pictures[i // 3], "question": QUESTIONS[i % 3], "question_id": i}

    answers = pipe(items(), batch_size=2, top_k=1)
    assert next(answers)[0]["answer"] == by_hand(pipe, pictures[0], QUESTION)[0][0]
    assert len(drawn) <= 4
    rest = [one[0]["answer"] for one in answers]
    assert rest == [by_hand(pipe, pictures[i // 3], QUESTIONS[i % 3])[0][0] for i in range(1, 6)]

    class Items(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, i: int) -> dict[str, Any]:
            return {"image": str(pictures[i]), "question": OTHER}

    assert all(same(found, by_hand(pipe, path, OTHER)) for found, path in zip(pipe(Items()), pictures, strict=True))


def test_a_stream_may_fill_one_array_again(pipe: Any, pictures: list[Path]) -> None:
    frame = np.zeros((30, 40, 3), np.uint8)

    def frames() -> Iterator[dict[str, Any]]:
        for path in pictures:
            frame[:] = np.asarray(Image.open(path))
            yield {"image": frame, "question": QUESTION}

    assert all(same(found, by_hand(pipe, path, QUESTION)) for found, path in zip(pipe(frames()), pictures, strict=True))


@pytest.mark.parametrize("batch_size", [1, 2])
def test_explanations_are_those_of_relevance(batch_size: int, pipe: Any, pictures: list[Path]) -> None:
    questions = ["is there a circle in the image?", "what color is the shape?"]
    answers = pipe(pictures, questions, explain=True, top_k=3, batch_size=batch_size)
    for path, question, found in zip(pictures, questions, answers, strict=True):
        regions = pipe.processor.region_extractor(path)[0]
        inputs = pipe.processor(text=question, regions=regions)
        assert len(found) == 3
        for answer in found:
            expected = relevance(pipe.model, inputs, answer["answer"])
            assert [one["word"] for one in answer["words"]] == question.replace("?", " ?").split()
            assert [one["score"] for one in answer["words"]] == pytest.approx(
                expected.words[0, 1:-1].tolist(), rel=1e-4
            )
            rows = [one["region"] for one in answer["regions"]]
            assert sorted(rows) == list(range(len(regions)))
            scores = [one["score"] for one in answer["regions"]]
            assert scores == sorted(scores, reverse=True)
            assert scores == pytest.approx(expected.regions[0, rows].tolist(), rel=1e-4)
            assert list(answer["regions"][0]["box"].values()) == regions.boxes[rows[0]].tolist()
            assert answer["regions"][0]["label"] == regions.describe(rows[0])
    assert any(answer["words"] for answer in answers[0])
    json.dumps(answers)


def test_wordpieces_are_joined_to_words(pipe: Any, pictures: list[Path]) -> None:
    question = "Is there a redcircle?"
    pieces = pipe.processor.tokenizer.tokenize(question)
    found = pipe(pictures[0], question, explain=True, top_k=1)[0]
    assert len(pieces) > 5
    assert [one["word"] for one in found["words"]] == ["Is", "there", "a", "redcircle", "?"]
    whole = relevance(pipe.model, pipe.processor(text=question, images=pictures[0]), found["answer"]).words[0]
    assert found["words"][3]["score"] == pytest.approx(whole[4:-2].sum(), abs=1e-5)


def test_explaining_says_what_is_missing(pipe: Any, pictures: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("lxmert.visualization")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r"explain=True needs .* matplotlib.* is missing: pip install"):
        pipe(pictures[0], QUESTION, explain=True)
    assert pipe(pictures[0], QUESTION, top_k=1)


def test_keywords_of_the_construction_hold_for_all_calls(pipe: Any, pictures: list[Path]) -> None:
    made = LxmertVisualQuestionAnsweringPipeline(
        model=pipe.model, processor=pipe.processor, device="cpu", top_k=2, batch_size=4
    )
    assert len(made(pictures[0], QUESTION)) == 2
    assert len(made(pictures[0], QUESTION, top_k=3)) == 3
    assert len(made(pictures[0], QUESTION, top_k=100)) == 7, "the model has no more"


def test_long_questions_are_refused_or_cut(pipe: Any, pictures: list[Path]) -> None:
    long = QUESTION * 5
    with pytest.raises(ValueError, match="truncation=True"):
        pipe(pictures[0], long)
    assert len(pipe(pictures[0], long, truncation=True)) == 5


def test_an_error_leaves_the_pipeline_as_it_was(pipe: Any, pictures: list[Path]) -> None:
    expected = by_hand(pipe, pictures[0], QUESTION)
    with pytest.raises(FileNotFoundError):
        pipe([pictures[0], "/no/such.png"], QUESTION)
    assert same(pipe(pictures[0], QUESTION), expected)


def test_other_models_are_refused(processor: LxmertProcessor, small_config: Any, pipe: Any) -> None:
    with pytest.raises(TypeError, match="must be LxmertForQuestionAnswering, got LxmertForVisualReasoning"):
        LxmertVisualQuestionAnsweringPipeline(
            model=lxmert.LxmertForVisualReasoning(small_config()), processor=processor, device="cpu"
        )
    with pytest.raises(ValueError, match="processor is None"):
        LxmertVisualQuestionAnsweringPipeline(model=pipe.model, device="cpu")


def test_transformers_own_model_answers_alike(pipe: Any, pictures: list[Path], tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "ours")
    theirs = TheirModel.from_pretrained(tmp_path / "ours")
    made = LxmertVisualQuestionAnsweringPipeline(model=theirs, processor=pipe.processor, device="cpu")
    assert same(made(pictures[0], QUESTION), by_hand(pipe, pictures[0], QUESTION))


def test_the_extractor_goes_to_the_device(
    pipe: Any, processor: LxmertProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices: list[str] = []
    monkeypatch.setattr(
        type(processor.region_extractor), "to", lambda self, device: devices.append(str(device)) or self
    )
    LxmertVisualQuestionAnsweringPipeline(model=pipe.model, processor=processor, device="cpu")
    assert devices == ["cpu"]


def test_training_mode_is_left(pipe: Any, processor: LxmertProcessor) -> None:
    made = LxmertVisualQuestionAnsweringPipeline(model=pipe.model.train(), processor=processor, device="cpu")
    assert not made.model.training


def test_a_folder_is_all_it_takes(pipe: Any, pictures: list[Path], tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "model")
    loaded = pipeline(TASK, model=str(tmp_path / "model"), device="cpu")
    assert type(loaded) is LxmertVisualQuestionAnsweringPipeline
    assert same(loaded(pictures[0], QUESTION), by_hand(pipe, pictures[0], QUESTION))
    half = pipeline(TASK, model=str(tmp_path / "model"), device="cpu", dtype=torch.bfloat16)
    assert half.model.dtype == torch.bfloat16
    answer = half(pictures[0], QUESTION, top_k=1, explain=True)[0]
    assert answer["score"] == pytest.approx(by_hand(pipe, pictures[0], QUESTION)[0][1], abs=0.1)


def test_the_task_is_registered_once_and_quietly(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        code = compile((ROOT / "lxmert" / "__init__.py").read_text(), "lxmert", "exec")
        exec(code, {"__name__": "again", "__file__": lxmert.__file__, "__path__": []})
    assert not caplog.records
    task, found, _ = PIPELINE_REGISTRY.check_task(TASK)
    assert (task, found["impl"]) == (TASK, LxmertVisualQuestionAnsweringPipeline)


def test_the_standard_name_comes_back_through_the_repository(
    pipe: Any, pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    pipe.model.config.custom_pipelines = CUSTOM_PIPELINES
    pipe.save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["custom_pipelines"] == CUSTOM_PIPELINES
    (folder / "pipeline_lxmert.py").write_text(
        "from lxmert.hub.pipeline import LxmertVisualQuestionAnsweringPipeline  # the one class\n"
    )
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", [str(tmp_path / "modules"), *sys.path])
    with pytest.raises(ValueError, match="trust_remote_code"):
        pipeline("visual-question-answering", model=str(folder), device="cpu")
    loaded = pipeline("visual-question-answering", model=str(folder), device="cpu", trust_remote_code=True)
    assert same(loaded(pictures[0], QUESTION), by_hand(pipe, pictures[0], QUESTION))
    loaded.save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "config.json").read_text())["custom_pipelines"] == CUSTOM_PIPELINES
    assert same(
        pipeline(TASK, model=str(folder), device="cpu")(pictures[0], QUESTION), by_hand(pipe, pictures[0], QUESTION)
    )


def test_the_checkpoint_that_comes_along_answers() -> None:
    pipe = pipeline(TASK, model=str(NLVR), device="cpu")
    answers = pipe(BOXES, [TRUE, FALSE], explain=True, top_k=1, batch_size=2)
    assert [one[0]["answer"] for one in answers] == ["true", "false"]
    assert all(one[0]["score"] > 0.9 for one in answers)
    strongest = max(answers[0][0]["words"], key=lambda one: one["score"])
    assert strongest["word"] == "circles"
    assert "yellow circle" in [one["label"] for one in answers[0][0]["regions"][:3]]
