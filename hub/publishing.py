"""`publish`: a folder becomes a page on the Hub, looked at first, in one commit."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from huggingface_hub import DatasetCard, HfApi, ModelCard, RepoCard, SpaceCard, get_token

from lxmert.hub.card_details import CardDetails
from lxmert.hub.card_mark import is_edited, with_mark
from lxmert.hub.checkpoint import Example
from lxmert.hub.model_page import Page, prepare_model
from lxmert.hub.plain_errors import LOG_IN, check_repo_id, plain_hub_errors
from lxmert.hub.publication import CARD, NOTHING, Publication, Remote, RepoType, look_at
from lxmert.hub.region_dataset import prepare_regions
from lxmert.hub.space_folder import ExampleSet, prepare_space
from lxmert.processing.region_shards import DESCRIPTION_FILE

CARDS: dict[RepoType, type[RepoCard]] = {"model": ModelCard, "dataset": DatasetCard, "space": SpaceCard}
STALE_ROWS, STALE_CODE = re.compile(r"data/.*\.parquet"), re.compile(r"(lxmert|examples)/.*")


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
    card that a person edited is kept, here and on the Hub.

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
        force: replace cards that a person edited.
        token: of the Hub, if none is saved.
        prepared: folder for what is made for the page, to be looked at; by default one that goes at the end.

    Returns:
        What was published, or would be; printed, it is a table.

    Raises:
        FileNotFoundError, ValueError: see `prepare_model`, `prepare_regions`; no licence; a card that the Hub refuses.
        FileExistsError: the repository holds something and `update` is not set, or it changed meanwhile.
        PermissionError: no token, no right to write; `private` for a repository that is public.
        ConnectionError: the Hub cannot be reached; a dry run then only says so.
    """
    check_repo_id(repo_id)
    _check_token(token, dry_run)
    folder = Path(folder)
    kind: RepoType = "dataset" if (folder / DESCRIPTION_FILE).is_file() else "model"
    details = details or CardDetails(license=_license_of(folder / CARD, kind))
    asked = [Example(Path(image), question) for image, question in examples]
    with _workspace(prepared) as work:
        if kind == "dataset":
            page = Page(prepare_regions(folder, work, repo_id, details), STALE_ROWS)
        else:
            page = prepare_model(folder, work, repo_id, details, asked, evaluations)
        page = _keep_edited_card(page, folder / CARD, kind, details, force)
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
    check_repo_id(model)
    _check_token(token, dry_run)
    with _workspace(prepared) as work:
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
        return plan.with_notes(f"What the Hub has already, and whether it takes the card, is not known: {error}"), None
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
    if remote.card not in (None, own) and not force and is_edited(str(remote.card)):
        del files[CARD]
        notes.append(f"{CARD} on the Hub was edited by a person and stays as it is; force=True (--force) replaces it.")
    removed = tuple(sorted(name for name in remote.files - files.keys() if page.stale.fullmatch(name)))
    return replace(plan, files=files, private=remote.private, removed=removed).with_notes(*notes)


def _keep_edited_card(page: Page, card: Path, kind: RepoType, details: CardDetails, force: bool) -> Page:
    """The page with the card that lies in the folder, if a person edited it."""
    if force or not card.is_file() or not is_edited(card.read_text(encoding="utf-8")):
        return page
    if (says := _license_of(card, kind)) != details.license:
        raise ValueError(
            f"{card}, which a person edited, names the licence {says or 'not at all'}, but license is "
            f"{details.license!r}: change one of them, or have the card made anew (force=True, --force)."
        )
    note = f"{card} was edited by a person and is published as it is; force=True (--force) makes it anew."
    return replace(page, files=page.files | {CARD: card}, notes=(note,))


def _license_of(card: Path, kind: RepoType) -> str:
    """What a card names, nothing if there is no card or no licence."""
    if not card.is_file():
        return ""
    named = CARDS[kind].load(card, ignore_metadata_errors=True).data.get("license") or ""
    return named[0] if isinstance(named, list) else str(named)


def _validate(plan: Publication) -> None:
    """Have the Hub judge the card's metadata."""
    card = CARDS[plan.repo_type].load(plan.files[CARD], ignore_metadata_errors=True)
    with plain_hub_errors(f"the card of {plan.repo_id}", NOTHING):
        card.validate()


@contextmanager
def _workspace(prepared: str | Path | None) -> Iterator[Path]:
    """The folder for what is made, or one that goes at the end."""
    if prepared is not None:
        Path(prepared).mkdir(parents=True, exist_ok=True)
        yield Path(prepared)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
