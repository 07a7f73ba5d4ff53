"""Which columns of a user's own table hold what: named, or guessed by what such columns are usually called."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import datasets

from lxmert.training.own_rows import OwnRows, check_columns_differ

# What columns are usually called; the role's own name comes first and wins.
USUAL_NAMES = {
    "image": ("image", "image_id", "img_id", "file_name", "filename", "picture"),
    "question": ("question", "sentence", "text"),
    "answer": ("answer", "answers", "label", "multiple_choice_answer"),
    "question_id": ("question_id", "id"),
    "image_id": ("image_id", "img_id"),
}
OPTIONAL = ("question_id", "image_id")
CAN_BE_NONE = ("answer", *OPTIONAL)
Columns = Mapping[str, str | Sequence[str] | None]


@dataclass(frozen=True)
class ChosenColumns:
    """The columns that are read.

    Args:
        images: one of them, or two for pairs.
        question: one.
        answer: None where answers are withheld.
        question_id: None where rows are numbered.
        image_ids: of pictures that a data set holds, one for each of `images`; none where their content names them.
        kinds: classes of questions.
        guessed: roles whose columns were not named.
    """

    images: tuple[str, ...]
    question: str
    answer: str | None
    question_id: str | None
    image_ids: tuple[str, ...]
    kinds: tuple[str, ...]
    guessed: tuple[str, ...]

    @classmethod
    def of(cls, rows: OwnRows, given: Mapping[str, Any], kinds: Sequence[str]) -> "ChosenColumns":
        """Look up the named columns, and guess the others.

        Raises:
            ValueError: a column that is absent, there twice, or may be one of several.
        """
        if unknown := given.keys() - USUAL_NAMES.keys():
            raise ValueError(f"columns may name {', '.join(USUAL_NAMES)}, got {', '.join(map(repr, sorted(unknown)))}.")
        for role in given.keys() - set(CAN_BE_NONE):
            if not given[role]:
                raise ValueError(f"columns[{role!r}] is {given[role]!r}: name a column.")
        found: dict[str, tuple[str, ...]] = {}
        for role in USUAL_NAMES:
            if role in given:
                name = given[role]
                found[role] = () if name is None else (name,) if isinstance(name, str) else tuple(name)
            else:
                found[role] = _guess(rows, role, found)
            most = 2 if role.startswith("image") else 1
            if len(found[role]) > most:
                raise ValueError(f"columns[{role!r}] must name at most {most} columns, got {list(found[role])}.")
            for name in found[role]:
                _check_is_there(rows, name, f"columns[{role!r}]")
        for name in kinds:
            _check_is_there(rows, name, "kinds")
        if found["image_id"] and len(found["image_id"]) != len(found["image"]):
            raise ValueError(f"columns['image_id'] must name as many columns as columns['image'], {found['image']}.")
        check_columns_differ(rows, [name for names in found.values() for name in names] + list(kinds))
        return cls(
            images=found["image"],
            question=found["question"][0],
            answer=next(iter(found["answer"]), None),
            question_id=next(iter(found["question_id"]), None),
            image_ids=found["image_id"],
            kinds=tuple(kinds),
            guessed=tuple(role for role in found if role not in given and found[role]),
        )

    def needed(self) -> list[str]:
        """Columns whose values are read; pictures only where they have no ids."""
        single = [name for name in (self.question, self.answer, self.question_id) if name is not None]
        return list(dict.fromkeys([*(self.image_ids or self.images), *single, *self.kinds]))

    def __str__(self) -> str:
        roles = {"image": " and ".join(self.images), "question": self.question, "answer": self.answer}
        roles |= {"question_id": self.question_id, "image_id": " and ".join(self.image_ids)}
        parts = [
            f"{role} from {name!r}" + (" (guessed)" if role in self.guessed else "")
            for role, name in roles.items()
            if name
        ]
        return ", ".join(parts)


def _guess(rows: OwnRows, role: str, found: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The column that is called as such columns usually are.

    Raises:
        ValueError: none, or several.
    """
    held = [name for name in rows.columns if isinstance(rows.features.get(name), datasets.Image)]
    if role == "image_id" and (not all(name in held for name in found["image"]) or len(found["image"]) > 1):
        return ()
    taken = {name for names in found.values() for name in names}
    alike = [name for name in rows.columns if _plain(name) in USUAL_NAMES[role] and name not in taken]
    if role == "image" and held:
        alike = held
    own = [name for name in alike if _plain(name) == role]
    if len(own) == 1 or len(alike) == 1:
        return tuple(own or alike)
    if not alike and role in OPTIONAL:
        return ()
    there = ", ".join(map(repr, rows.columns))
    withheld = ', or columns={"answer": None} if answers are withheld' if role == "answer" else ""
    problem = (
        f"several columns that may hold the {role}: {', '.join(map(repr, alike))}"
        if alike
        else f"no column that is called as the {role} usually is ({', '.join(USUAL_NAMES[role])})"
    )
    raise ValueError(f"{rows.name} has {problem}. Say which of {there} it is: columns={{{role!r}: ...}}{withheld}.")


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _check_is_there(rows: OwnRows, name: str, argument: str) -> None:
    if name not in rows.columns:
        close = difflib.get_close_matches(name, rows.columns, n=1)
        hint = f"; is it {close[0]!r}" if close else ""
        raise ValueError(
            f"{argument} is {name!r}, no column of {rows.name}, which has {', '.join(map(repr, rows.columns))}{hint}."
        )
