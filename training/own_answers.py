"""What stands in the answer column of a user's own table, as scores by answer."""

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import datasets

from lxmert.processing.vqa_answers import annotator_agreement
from lxmert.processing.whole_json import is_unicode

FEWEST_ANNOTATORS = 4  # fewer cannot agree so much that their answer scores 1
Normalize = Callable[[str], str]


class OwnAnswers:
    """Turns values of an answer column into scores in (0, 1], the answer that stands for all first.

    | value | scores |
    |---|---|
    | a text | 1 |
    | a number | 1, its text; 3.0 is "3" |
    | true or false (not a spreadsheet's text TRUE) | 1, "yes" and "no"; about pairs of images "true" and "false" |
    | a class id of a `ClassLabel` | 1, the class's name; -1 means withheld |
    | a list, or objects with "answer": one of each annotator | VQA's agreement (`annotator_agreement`); of fewer than \
four annotators the share of the most frequent answer's count |
    | an object of scores by answer | as they stand; 0 counts as absent |

    In a CSV file a list or object is written as JSON.

    Args:
        feature: type of the column, if it has one.
        pairs: whether questions are about pairs of images.
        normalize: applied to every answer.
    """

    def __init__(self, feature: Any = None, pairs: bool = False, normalize: Normalize | None = None):
        if isinstance(feature, datasets.List):
            feature = feature.feature
        self._names = feature.names if isinstance(feature, datasets.ClassLabel) else None
        self._truths = ("false", "true") if pairs else ("no", "yes")
        self._normalize = normalize

    def __call__(self, value: Any, from_text: bool = False) -> tuple[dict[str, float], tuple[str, ...]]:
        """Scores by answer, and the annotators' answers as they stand where there are several.

        Args:
            value: of a row.
            from_text: JSON in a text counts.

        Raises:
            ValueError: no answer, or one that cannot be used; says what to do.
        """
        if from_text and isinstance(value, str):
            value = _from_json(value.strip())
        if self._names is not None and value == -1:
            return {}, ()
        if isinstance(value, Mapping):
            return self._scored({name: score for name, score in value.items() if score is not None}), ()
        if not isinstance(value, Sequence) or isinstance(value, str):
            return {self._text(value): 1.0}, ()
        annotators = tuple(self._raw(item["answer"] if _is_annotation(item) else item) for item in value)
        if not annotators:
            raise ValueError("is an empty list: write at least one answer, or leave the row out")
        counts = Counter(self._finished(answer) for answer in annotators).most_common()
        scores = {answer: _agreement(count, counts[0][1], len(annotators)) for answer, count in counts}
        return scores, annotators if len(annotators) > 1 else ()

    def _scored(self, scores: Mapping[Any, Any]) -> dict[str, float]:
        found: dict[str, float] = {}
        for answer, score in scores.items():
            if isinstance(score, bool) or not isinstance(score, (int, float)) or not 0 <= score <= 1:
                raise ValueError(f"gives {answer!r} the score {score!r:.80}: scores must be numbers in [0, 1]")
            text = self._text(answer)
            found[text] = max(found.get(text, 0.0), float(score))
        found = {answer: score for answer, score in found.items() if score}
        if not found:
            raise ValueError("has no answer with a score above 0: give one, or leave the row out")
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def _text(self, value: Any) -> str:
        return self._finished(self._raw(value))

    def _finished(self, text: str) -> str:
        normalized = text if self._normalize is None else self._normalize(text).strip()
        if not normalized:
            raise ValueError(f"{text!r:.80} is empty once it is normalised: correct it, or leave the row out")
        return normalized

    def _raw(self, value: Any) -> str:
        if value is None or (isinstance(value, float) and math.isnan(value)):
            raise ValueError("is empty: write the answer, or leave the row out")
        if isinstance(value, bool):
            return self._truths[value]
        if self._names is not None and isinstance(value, int):
            if not 0 <= value < len(self._names):
                raise ValueError(f"is {value}, no class of 0 to {len(self._names) - 1}")
            return self._names[value]
        if isinstance(value, float) and math.isinf(value):
            raise ValueError(f"must be a finite number, got {value}: write the answer as a text")
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, (int, float)):
            return str(value)
        if not isinstance(value, str):
            raise ValueError(f"must be a text, a number, a list of these or scores by answer, got {value!r:.80}")
        if not readable(value):
            raise ValueError("is empty: write the answer, or leave the row out")
        return value.strip()


def readable(text: str) -> bool:
    """Whether there is something to see in a text, and it can be written to a file.

    Raises:
        ValueError: no valid Unicode.
    """
    if not is_unicode(text):
        raise ValueError(f"is no valid Unicode text: {text!a:.80}")
    return any(character.isprintable() and not character.isspace() for character in text)


def _agreement(count: int, largest: int, annotators: int) -> float:
    return annotator_agreement(count, annotators) if annotators >= FEWEST_ANNOTATORS else count / largest


def _is_annotation(item: Any) -> bool:
    return isinstance(item, Mapping) and "answer" in item


def _from_json(text: str) -> Any:
    if text[:1] + text[-1:] not in ("[]", "{}"):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f'{text!r:.80} looks like a list or an object, but is no JSON: write ["yes", "no"] or {{"yes": 1.0}}'
        ) from error
