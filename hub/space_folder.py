"""The files of a Space about a model: the app of `space/`, filled in, with the package beside it."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from huggingface_hub import RepoCard

from lxmert.hub.small_pictures import small_copy

APP = Path(__file__).parent / "space"
APP_FILES = ("app.py", "answer_views.py", "style.css", "requirements.txt")
PACKAGE = Path(__file__).parent.parent  # the sub-packages lie here in a checkout and once installed
FACADE = ("__init__.py", "py.typed")
SUB_PACKAGES = ("configuration", "detection", "modeling_lxmert", "processing", "visualization")
HUB_FILES = ("__init__.py", "pipeline.py")
KINDS = {".py", ".html", ".css", ".js"}  # files of the package; an editor leaves others there
LONGEST_TITLE = 60  # characters; the Hub's page of Spaces cuts longer ones

ExampleSet = Literal["nlvr", "easy_vqa"]
OWN_EXAMPLES: dict[ExampleSet, tuple[str, tuple[tuple[str, str], ...]]] = {
    "nlvr": (
        "This model was trained on pictures of three boxes with squares, circles and triangles: tell it something "
        "about such a picture, and it says whether it is true.",
        (
            ("scattered.png", "There is a box with two yellow circles."),
            ("scattered.png", "There is a blue square touching the base."),
            ("towers.png", "There is a tower with a black block at the top."),
            ("towers.png", "There is exactly one tower with three blocks."),
        ),
    ),
    "easy_vqa": (
        "This model was trained on drawings of one shape: ask for its shape or colour, or whether it is there.",
        (
            ("circle.png", "what shape is in the image?"),
            ("triangle.png", "what is the color of the triangle?"),
            ("rectangle.png", "is there a circle in the image?"),
            ("rectangle.png", "does the image not contain a circle?"),
        ),
    ),
}


def prepare_space(
    work: str | Path,
    model: str,
    examples: ExampleSet | Sequence[tuple[str | Path, str]],
    title: str = "Ask a picture",
    hint: str = "",
    license: str = "apache-2.0",  # noqa: A002  (the card's name for it)
) -> dict[str, Path]:
    """Write what a Space about a model needs that no file of this package is already.

    Args:
        work: folder to write to.
        model: what the Space loads, OWNER/NAME on the Hub.
        examples: pictures and questions that visitors may click, or the name of a set that comes along.
        title: of the page.
        hint: a line beneath it: what pictures and questions the model knows. A set that comes along has its own.
        license: of the Space, as the Hub names licences.

    Returns:
        Files by their names in the Space's repository; `work` has those that were made.

    Raises:
        FileNotFoundError, TypeError: an example's picture that is not there or no picture.
        ValueError: no examples, an unknown set, an empty question, a title that is empty or too long, or a picture that
            cannot be read.
    """
    work = Path(work)
    if not 0 < len(title.strip()) <= LONGEST_TITLE:
        raise ValueError(f"title must have 1 to {LONGEST_TITLE} characters, got {title!r}.")
    if isinstance(examples, str):
        if examples not in OWN_EXAMPLES:
            raise ValueError(f"examples must be {' or '.join(OWN_EXAMPLES)}, or pictures and questions: {examples!r}.")
        own_hint, named = OWN_EXAMPLES[examples]
        hint = hint or own_hint
        examples = [(APP / "examples" / examples / name, question) for name, question in named]
    if not examples:
        raise ValueError("examples is empty: visitors begin with the first one, so give one at least.")
    files = {name: APP / name for name in APP_FILES} | _package_files()
    shown = []
    for number, (path, question) in enumerate(examples):
        if not question.strip():
            raise ValueError(f"examples has an empty question as number {number}.")
        name = f"examples/{number}.png"
        files[name] = small_copy(path, work / name)
        shown.append({"image": name, "question": question})
    settings = {"model": model, "title": title, "hint": hint, "examples": shown}
    files["space.json"] = work / "space.json"
    files["space.json"].write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    files["README.md"] = work / "README.md"
    card = RepoCard.load(APP / "README.md")
    card.data.title, card.data.license, card.data.models = title, license, [model]
    card.save(files["README.md"])
    return files


def write_space(
    folder: str | Path, model: str, examples: ExampleSet | Sequence[tuple[str | Path, str]], **keywords: str
) -> Path:
    """Put all files of a Space into a folder, to run it here: `python app.py` there. Arguments as `prepare_space`.

    Raises:
        FileExistsError: the folder holds something.
    """
    folder = Path(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} holds something already: take another folder, or empty it.")
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in prepare_space(folder, model, examples, **keywords).items():
        target = folder / name
        if source != target:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return folder


def _package_files() -> dict[str, Path]:
    """The part of this package that the app imports, by its names below the folder `lxmert`."""
    facade = PACKAGE if (PACKAGE / "py.typed").is_file() else PACKAGE / "lxmert"
    sources = [facade / name for name in FACADE]
    files = {f"lxmert/{path.name}": path for path in sources}
    files |= {f"lxmert/hub/{name}": PACKAGE / "hub" / name for name in HUB_FILES}
    for package in SUB_PACKAGES:
        inside = [path for path in sorted((PACKAGE / package).iterdir()) if path.is_file()]
        found = [path for path in inside if path.suffix in KINDS and not path.name.startswith(".")]
        files |= {f"lxmert/{package}/{path.name}": path for path in found}
    return files
