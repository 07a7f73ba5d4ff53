import pytest
import torch

from lxmert.processing import Question
from lxmert.training import AnswerCollator
from tests.training.conftest import ColourTask


def test_a_batch_holds_what_the_examples_say(colour_task: ColourTask) -> None:
    collate = AnswerCollator(colour_task.processor, colour_task.store, colour_task.label2id)
    examples = [colour_task.examples[i] for i in (0, 3, 2)]
    batch = collate(examples)
    assert batch["labels"].tolist() == [colour_task.label2id[example.answer] for example in examples]
    decoded = colour_task.processor.tokenizer.batch_decode(batch["input_ids"], skip_special_tokens=True)
    assert [text.replace(" ?", "?") for text in decoded] == [example.text for example in examples]
    for i, example in enumerate(examples):
        expected = torch.from_numpy(colour_task.store[example.image_id].features)
        assert torch.equal(batch["visual_feats"][i], expected)


def test_images_that_are_shared_come_once(colour_task: ColourTask) -> None:
    sources = colour_task.processor, colour_task.store, colour_task.label2id
    examples = [colour_task.examples[i] for i in (4, 0, 5, 1, 6)]  # images 2, 0, 2, 0, 3
    plain, shared = AnswerCollator(*sources)(examples), AnswerCollator(*sources, share_images=True)(examples)
    assert shared["image_indices"].tolist() == [0, 1, 0, 1, 2]
    for name in ("visual_feats", "visual_pos", "visual_attention_mask"):
        assert len(shared[name]) == 3
        assert torch.equal(shared[name][shared["image_indices"]], plain[name])
    for name in ("input_ids", "attention_mask", "token_type_ids", "labels"):
        assert torch.equal(shared[name], plain[name])
    model = colour_task.model().eval()
    with torch.no_grad():
        torch.testing.assert_close(model(**shared).logits, model(**plain).logits)


def test_the_numbers_of_words_and_regions_are_counted(colour_task: ColourTask) -> None:
    sources = colour_task.processor, colour_task.store, colour_task.label2id
    examples = [colour_task.examples[i] for i in (0, 1, 0)]  # 7, 6 and 7 wordpieces
    count = len(colour_task.store["image 0"])
    for withhold, words, regions in ((None, 20, 3 * count), ("image", 20, 3), ("question", 2 * 3, 3 * count)):
        batch = AnswerCollator(*sources, withhold=withhold)(examples)  # type: ignore[arg-type]
        assert batch["word_count"] == batch["attention_mask"].sum() == words
        assert batch["region_count"] == batch["visual_attention_mask"].sum() == regions
        assert type(batch["word_count"]) is type(batch["region_count"]) is int
    shared = AnswerCollator(*sources, share_images=True)(examples)
    assert (shared["word_count"], shared["region_count"]) == (20, count)


def test_withholding_the_image_leaves_nothing_of_it(colour_task: ColourTask) -> None:
    collate = AnswerCollator(colour_task.processor, colour_task.store, colour_task.label2id, withhold="image")
    one, other = collate(colour_task.examples[:1]), collate(colour_task.examples[2:3])
    for name in ("visual_feats", "visual_pos", "visual_attention_mask"):
        assert torch.equal(one[name], other[name])
    assert one["visual_feats"].abs().sum() == 0
    assert one["visual_pos"].tolist() == [[[0, 0, 1, 1]]]
    assert one["labels"].tolist() != other["labels"].tolist()


def test_withholding_the_question_leaves_cls_and_sep(colour_task: ColourTask) -> None:
    collate = AnswerCollator(colour_task.processor, colour_task.store, colour_task.label2id, withhold="question")
    batch = collate(colour_task.examples[:2])
    assert batch["input_ids"].tolist() == [[2, 3], [2, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1], [1, 1]]
    assert colour_task.model()(**batch).logits.shape == (2, 5)


def test_a_misspelt_ablation_is_refused(colour_task: ColourTask) -> None:
    with pytest.raises(ValueError, match="withhold must be .* got 'images'"):
        AnswerCollator(colour_task.processor, colour_task.store, colour_task.label2id, withhold="images")


def test_bad_examples_are_named(colour_task: ColourTask) -> None:
    collate = AnswerCollator(colour_task.processor, colour_task.store, colour_task.label2id)
    with pytest.raises(
        ValueError, match=r"The answer 'green' to 'what\?' \(image image 0\) is not among the model's 5"
    ):
        collate([Question(("image 0",), "what?", {"green": 1.0})])
    with pytest.raises(KeyError, match="Image 'gone' is not among the 24 images"):
        collate([Question(("gone",), "is it red?", {"yes": 1.0})])


def test_scores_of_all_answers(colour_task: ColourTask) -> None:
    labels = {"red": 0, "blue": 1, "yes": 2}
    collate = AnswerCollator(
        colour_task.processor, colour_task.store, labels, targets="scores", unknown_answers="ignore"
    )
    questions = [
        Question(("image 0",), "what?", {"red": 1.0, "crimson": 0.6, "blue": 0.3}),
        Question(("image 1",), "what?", {"crimson": 1.0}),
        Question(("image 2",), "what?"),
    ]
    expected = torch.tensor([[1.0, 0.3, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(collate(questions)["labels"], expected)
    classes = AnswerCollator(colour_task.processor, colour_task.store, labels, unknown_answers="ignore")
    assert classes(questions)["labels"].tolist() == [0, -100, -100], "what is not known is not learned"


def test_withheld_answers_are_no_fault(colour_task: ColourTask) -> None:
    collate = AnswerCollator(colour_task.processor, colour_task.store, colour_task.label2id)
    assert collate([Question(("image 0",), "is it red?")])["labels"].tolist() == [-100]


def test_pairs_of_images(colour_task: ColourTask) -> None:
    labels = {"false": 0, "true": 1}
    questions = [
        Question(("image 0", "image 5"), "is it red?", {"true": 1.0}),
        Question(("image 5", "image 2"), "what color is it?", {"false": 1.0}),
    ]
    batch = AnswerCollator(colour_task.processor, colour_task.store, labels)(questions)
    assert batch["visual_feats"].shape[:2] == (2, 2)
    assert batch["labels"].tolist() == [1, 0]
    for i, question in enumerate(questions):
        for side, image_id in enumerate(question.image_ids):
            features = torch.from_numpy(colour_task.store[image_id].features)
            assert torch.equal(batch["visual_feats"][i, side, : len(features)], features)
    single = Question(("image 1",), "is it red?", {"true": 1.0})
    with pytest.raises(ValueError, match="pairs of images are mixed with questions about single ones"):
        AnswerCollator(colour_task.processor, colour_task.store, labels)([*questions, single])
    withheld = AnswerCollator(colour_task.processor, colour_task.store, labels, "image")(questions)
    assert withheld["visual_feats"].shape == (2, 2, 1, 12)
    assert withheld["visual_pos"].tolist() == [[[[0, 0, 1, 1]]] * 2] * 2


def test_long_questions_are_cut(colour_task: ColourTask) -> None:
    question = Question(("image 0",), "is it red? " * 20, {"yes": 1.0})
    collate = AnswerCollator(colour_task.processor, colour_task.store, colour_task.label2id, max_length=7)
    assert collate([question])["input_ids"].shape == (1, 7)
    with pytest.raises(ValueError, match="the limit is 16"):
        AnswerCollator(colour_task.processor, colour_task.store, colour_task.label2id)([question])


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"targets": "score"}, "targets must be .* got 'score'"),
        ({"unknown_answers": "skip"}, "unknown_answers must be"),
    ],
)
def test_other_choices_are_refused(colour_task: ColourTask, keywords: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AnswerCollator(colour_task.processor, colour_task.store, colour_task.label2id, **keywords)
