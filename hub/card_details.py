"""What a page on the Hub says that no run knows: licence, use, limits, cost."""

import re
from dataclasses import dataclass, field, fields
from typing import Any

INTENDED_USE = (
    "Research on how questions and pictures meet in a transformer, teaching, and a start for training on your own data."
)
LIMITS = (
    "It chooses among the answers that it was trained with and always gives one of them, also where none is right. "
    "Questions in another language, pictures of another kind and regions of another detector than in training give "
    "answers that mean nothing. What it gives as a probability is not calibrated."
)
BIAS = (
    "It repeats what annotators asked and answered, and which pictures they saw: frequent answers are preferred, and "
    "people, places and customs that the data lack are misread. It was not tested for this. It must not decide about "
    "people."
)


@dataclass(frozen=True)
class TrainingCost:
    """What the training took, as far as somebody measured it.

    Args:
        hours: of training, wall clock.
        hardware: such as "2 CPU cores" or "1 NVIDIA H200".
        watts: mean draw of all of it.
        grams_per_kwh: carbon dioxide equivalent of the electricity used.

    Raises:
        ValueError: a number that is not positive, or a line break in `hardware`.

    Example:
        >>> TrainingCost(hours=2, watts=50, grams_per_kwh=300).grams
        30.0
    """

    hours: float | None = None
    hardware: str | None = None
    watts: float | None = None
    grams_per_kwh: float | None = None

    def __post_init__(self) -> None:
        for name in ("hours", "watts", "grams_per_kwh"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ValueError(f"{name} must be positive, got {value}.")
        _check_one_line("hardware", self.hardware)

    @property
    def grams(self) -> float | None:
        """Emissions in grams of carbon dioxide equivalent, None unless hours, watts and the grid's figure are known."""
        if self.hours is None or self.watts is None or self.grams_per_kwh is None:
            return None
        return self.hours * self.watts / 1000 * self.grams_per_kwh


@dataclass(frozen=True)
class CardDetails:
    """What a person says about a model or data set; texts are Markdown.

    Args:
        license: the Hub's identifier, such as "apache-2.0" or "cc-by-4.0". There is no default: only you know it.
        title: headline; by default the run's task.
        language: of questions and answers, as ISO 639-1.
        dataset: name on the Hub of the data set that the figures are of, if it is there.
        benchmark: name on the Hub, or NAME:TASK, of a data set registered as a benchmark, to whose leaderboard the
            first figure goes.
        intended_use: what it is for.
        limits: what it cannot do.
        bias: what it repeats of its data.
        cost: of training.

    Raises:
        ValueError: no licence, one that cannot be an identifier, a language that is none, or a line break in `title`.
    """

    license: str
    title: str | None = None
    language: str = "en"
    dataset: str | None = None
    benchmark: str | None = None
    intended_use: str = INTENDED_USE
    limits: str = LIMITS
    bias: str = BIAS
    cost: TrainingCost = field(default_factory=TrainingCost)

    def __post_init__(self) -> None:
        if not self.license:
            raise ValueError(
                "license is not given: name that of the weights (or regions) as the Hub does (--license), such as "
                "apache-2.0 or cc-by-4.0; https://huggingface.co/docs/hub/repositories-licenses lists them."
            )
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", self.license):
            raise ValueError(
                f"license must be an identifier of the Hub in small letters, such as apache-2.0, got {self.license!r}."
            )
        if not re.fullmatch(r"[a-z]{2,3}|multilingual", self.language):
            raise ValueError(f'language must be two or three small letters, such as "en", got {self.language!r}.')
        _check_one_line("title", self.title)

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the fields that are not as by default, the licence left out."""
        usual = CardDetails(self.license)
        return tuple(each.name for each in fields(self) if getattr(self, each.name) != getattr(usual, each.name))

    @property
    def emissions(self) -> dict[str, Any] | None:
        """The Hub's metadata field `co2_eq_emissions`."""
        if self.cost.grams is None:
            return None
        known = {"emissions": round(self.cost.grams, 3), "source": "hours x watts x grams per kilowatt hour"}
        return known | ({"hardware_used": self.cost.hardware} if self.cost.hardware else {})


def _check_one_line(name: str, text: str | None) -> None:
    if text is not None and len(text.splitlines()) > 1:
        raise ValueError(f"{name} must be one line, got {text!r}.")
