"""`publish`: a folder becomes a page on the Hub, looked at first, in one commit."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from huggingface_hub import DatasetCard, HfApi, ModelCard, RepoCard, SpaceCard, get_token

from lxmert.hub.card import OF_THE_CARD
from lxmert.hub.card_details import CardDetails
from lxmert.hub.card_mark import is_edited, is_intact, with_mark
from lxmert.hub.checkpoint import Example
from lxmert.hub.kept_card import keep_edited_card
from lxmert.hub.model_page import Page, prepare_model
from lxmert.hub.own_files import CARD, license_of, read_card
from lxmert.hub.plain_errors import LOG_IN, check_repo_id, check_token, plain_disk_errors, plain_hub_errors
from lxmert.hub.publication import NOTHING, Publication, Remote, RepoType, look_at
from lxmert.hub.region_dataset import SPLIT, prepare_regions
from lxmert.hub.space_folder import ExampleSet, prepare_space
from lxmert.processing.region_shards import DESCRIPTION_FILE

CARDS: dict[RepoType, type[RepoCard]] = {"model": ModelCard, "dataset": DatasetCard, "space": SpaceCard}
STALE_ROWS, STALE_CODE = re.compile(rf"data/{SPLIT}-\d{{5}}-of-\d{{5}}\.parquet"), re.compile(r"(lxmert|examples)/.*")


def publish(
    folder: str | Path,
    repo_id: str,
    details: CardDetails | None = None,
    *,
    examples: Sequence[tuple[str | Path, str]] = (),
    evaluations: Sequence[str | Path] = (),
    private: bool = False,
    dry_run: bool = True,
    update: bool = False,
    force: bool = False,
    token: str | None = None,
    prepared: str | Path | None = None,
) -> Publication:
    """Publish a checkpoint, or a region store as a data set.

    What is there is checked first, then the page is made: card, curve, results, code; then all goes in one commit. A
    card in the folder that a person edited is published as it is; delete it to have the card made anew. One that a
    person edited on the Hub stays, with the pictures that it shows, unless `force` replaces it.

    Args:
        folder: a checkpoint such as `runs/finetune_gqa/best`, or a region store.
        repo_id: OWNER/NAME.
        details: what a person says; by default the licence that the folder's card names, and the texts of
            `CardDetails`.
        examples: pictures and questions about them, shown on the page with the model's answers.
        evaluations: folders of reports of held-out questions, see `read_run`.
        private: make the repository private.
        dry_run: send nothing, and say what would be sent.
        update: commit to a repository that holds something already.
        force: replace a card on the Hub that a person edited.
        token: of the Hub, if none is saved.
        prepared: folder of its own for what is made for the page, to be looked at; by default one that goes at the end.

    Returns:
        What was published, or would be; printed, it is a table.

    Raises:
        FileNotFoundError, ValueError: see `prepare_model`, `prepare_regions`; no licence; a card that the Hub refuses;
            `prepared` is the folder itself or holds another checkpoint.
        TypeError: one evaluation or example in place of a list.
        FileExistsError: the repository holds something and `update` is not set, or it changed meanwhile; `prepared`
            holds a card that a person edited.
        PermissionError: no token, no right to write; `private` for a repository that is public.
        ConnectionError: the Hub cannot be reached; a dry run then only says so.
        OSError: the disk is full, or `prepared` cannot be written.
    """
    check_repo_id(repo_id)
    _check_token(token, dry_run)
    for name, given in (("examples", examples), ("evaluations", evaluations)):
        if isinstance(given, str | Path):
            raise TypeError(f"{name} must be a list, got {given!r} alone: put it into brackets.")
    folder = Path(folder)
    kind: RepoType = "dataset" if (folder / DESCRIPTION_FILE).is_file() else "model"
    details = details or CardDetails(license=license_of(folder))
    asked = [Example(Path(image), question) for image, question in examples]
    lists = [name for name, given in (("examples", examples), ("evaluations", evaluations)) if given]
    with plain_disk_errors(NOTHING), _workspace(prepared, folder) as work:
        if kind == "dataset":
            unused = [name for name in [*details.given, *lists] if name != "title"]
            notes = (f"A region store's page does not take {', '.join(unused)}.",) if unused else ()
            page = Page(prepare_regions(folder, work, repo_id, details), STALE_ROWS, notes)
        else:
            page = prepare_model(folder, work, repo_id, details, asked, evaluations)
            unused = [name for name in [*details.given, *lists] if name != "benchmark"]
        page = keep_edited_card(page, folder, work, details, unused)
        plan = Publication(repo_id, kind, page.files, private, notes=page.notes)
        return _publish(page, plan, dry_run=dry_run, update=update, force=force, token=token)


def publish_space(
    repo_id: str,
    model: str,
    details: CardDetails,
    examples: ExampleSet | Sequence[tuple[str | Path, str]],
    *,
    private: bool = False,
    dry_run: bool = True,
    update: bool = False,
    force: bool = False,
    token: str | None = None,
    prepared: str | Path | None = None,
) -> Publication:
    """Publish a Space in which visitors ask a published model about their pictures.

    Args:
        repo_id: OWNER/NAME of the Space.
        model: OWNER/NAME of the model.
        details: licence and title.
        examples: pictures and questions, to be clicked on, or the name of a set that comes along.
        private, dry_run, update, force, token, prepared: as in `publish`.

    Raises:
        As `publish` and `prepare_space`.
    """
    check_repo_id(repo_id)
    check_repo_id(model, "model")
    _check_token(token, dry_run)
    with plain_disk_errors(NOTHING), _workspace(prepared) as work:
        title = {"title": details.title} if details.title else {}
        page = Page(prepare_space(work, model, examples, license=details.license, **title), STALE_CODE)
        card = page.files[CARD]
        card.write_text(with_mark(card.read_text(encoding="utf-8")), encoding="utf-8")
        plan = Publication(repo_id, "space", page.files, private)
        return _publish(page, plan, dry_run=dry_run, update=update, force=force, token=token)


def _publish(
    page: Page, plan: Publication, *, dry_run: bool, update: bool, force: bool, token: str | None
) -> Publication:
    """Look at what the Hub has, and send unless it is a dry run."""
    api = HfApi(token=token)
    plan, remote = _plan(api, plan, dry_run)
    if remote is not None:
        plan = _onto(plan, remote, page, update, force)
    return plan.measured() if dry_run else plan.measured().send(api, "Publish with lxmert", remote)


def _check_token(token: str | None, dry_run: bool) -> None:
    check_token(token)
    if not dry_run and not (token or get_token()):
        raise PermissionError(f"There is no token of the Hub; {NOTHING}. To get one, {LOG_IN}.")


def _plan(api: HfApi, plan: Publication, dry_run: bool) -> tuple[Publication, Remote | None]:
    """Ask the Hub what it has, and whether it takes the card."""
    try:
        remote = look_at(api, plan.repo_id, plan.repo_type)
        _validate(plan)
    except ConnectionError as error:
        if not dry_run:
            raise
        reason = str(error).partition(f"; {NOTHING}")[0]
        return plan.with_notes(f"{reason}: what is there already, and whether it takes the card, is not known."), None
    return plan, remote


def _onto(plan: Publication, remote: Remote, page: Page, update: bool, force: bool) -> Publication:
    """The plan for a repository that is there.

    Raises:
        FileExistsError: it holds something, and `update` is not set.
        PermissionError: it is public, but was to be private.
    """
    if plan.private and not remote.private:
        raise PermissionError(
            f"{plan.repo_id} is public already, and publishing does not change that; {NOTHING}. Make it private in its "
            "settings on the Hub, or take another name."
        )
    if not remote.empty and not update:
        raise FileExistsError(
            f"{plan.repo_id} is on the Hub and holds {len(remote.files)} files; {NOTHING}. To add a commit to it, say "
            "so (update=True, --update); or take another name."
        )
    files = dict(plan.files)
    notes = ["It is private already and stays so."] if remote.private and not plan.private else []
    own = files[CARD].read_text(encoding="utf-8")
    kept = remote.card not in (None, own) and not force and is_edited(str(remote.card))
    if kept:  # with what it shows
        files = {name: file for name, file in files.items() if name != CARD and not OF_THE_CARD.fullmatch(name)}
        notes.append(
            f"{CARD} on the Hub was edited by a person and stays as it is, with its pictures; force=True (--force) "
            "replaces it."
        )
    stale = (name for name in remote.files - files.keys() if page.stale.fullmatch(name))
    removed = tuple(sorted(name for name in stale if not (OF_THE_CARD.fullmatch(name) and (kept or name in own))))
    return replace(plan, files=files, private=remote.private, removed=removed).with_notes(*notes)


def _validate(plan: Publication) -> None:
    """Have the Hub judge the card's metadata."""
    card = CARDS[plan.repo_type].load(plan.files[CARD], ignore_metadata_errors=True)
    with plain_hub_errors(f"the card of {plan.repo_id}", NOTHING):
        card.validate()


@contextmanager
def _workspace(prepared: str | Path | None, folder: Path | None = None) -> Iterator[Path]:
    """The folder for what is made, or one that goes at the end.

    Args:
        prepared: a person's wish.
        folder: that is published, which must stay as it is.
    """
    if prepared is None:
        with tempfile.TemporaryDirectory() as made:
            yield Path(made)
        return
    work = Path(prepared)
    inside = folder is not None and work.resolve().is_relative_to(folder.resolve())
    places = [work] if folder is not None else [work, work.parent]  # a Space's lies below that of its model
    if inside or any((place / DESCRIPTION_FILE).is_file() or any(place.glob("model*.safetensors")) for place in places):
        raise ValueError(
            f"prepared must be a folder of its own, not that of a checkpoint or region store, got {work}: what is made "
            "for the page would overwrite its files."
        )
    work.mkdir(parents=True, exist_ok=True)
    card = read_card(work)
    if card is not None and not is_intact(card):
        raise FileExistsError(
            f"{work / CARD} was edited by a person and would be overwritten: to publish it, move it into "
            f"{folder or 'another folder'}; or delete it, or name another folder (prepared, --prepared)."
        )
    yield work
