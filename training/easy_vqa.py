"""easy-VQA: 5,000 drawings of one shape each with 48,248 questions, shipped whole by the PyPI package `easy-vqa`."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from lxmert.processing import Question


@dataclass(frozen=True)
class EasyVqa:
    """The data set with a validation part split off the training images.

    Args:
        images: paths of the PNG files by image id; ids are the split's name and the file's number, "test/17".
        training: examples to learn from.
        validation: examples about other images, to choose a checkpoint.
        test: the official test split, whole.
        answers: the 13 answers.
    """

    images: dict[str, str]
    training: list[Question]
    validation: list[Question]
    test: list[Question]
    answers: list[str]


def read_easy_vqa(validation_images: int = 200, seed: int = 0, questions: int | None = None) -> EasyVqa:
    """Read the data set out of the installed package.

    Args:
        validation_images: number of training images whose questions validate.
        seed: chooses them.
        questions: keep so many of each split at most, chosen at random, for a quick trial; None keeps all.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    try:
        import easy_vqa
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("easy-VQA comes with a package: pip install easy-vqa==1.0") from error

    train_paths, test_paths = easy_vqa.get_train_image_paths(), easy_vqa.get_test_image_paths()
    held_out = set(random.Random(seed).sample(sorted(train_paths), validation_images))
    examples = _examples("train", easy_vqa.get_train_questions)
    held_out_ids = {f"train/{number}" for number in held_out}

    def some(part: list[Question]) -> list[Question]:
        return part if questions is None else random.Random(seed).sample(part, min(questions, len(part)))

    return EasyVqa(
        images={f"train/{number}": train_paths[number] for number in sorted(train_paths)}
        | {f"test/{number}": test_paths[number] for number in sorted(test_paths)},
        training=some([example for example in examples if example.image_id not in held_out_ids]),
        validation=some([example for example in examples if example.image_id in held_out_ids]),
        test=some(_examples("test", easy_vqa.get_test_questions)),
        answers=sorted(easy_vqa.get_answers()),
    )


def _examples(split: str, questions: Callable[[], tuple[list[str], list[str], list[int]]]) -> list[Question]:
    return [
        Question((f"{split}/{number}",), question, {answer: 1.0}, question_id=f"{split}/{row}")
        for row, (question, answer, number) in enumerate(zip(*questions(), strict=True))
    ]
