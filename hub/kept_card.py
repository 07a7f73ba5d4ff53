"""The card that a person edited in a folder: it is published as it is."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lxmert.hub.card import OF_THE_CARD
from lxmert.hub.card_details import CardDetails
from lxmert.hub.card_mark import as_copy, is_edited
from lxmert.hub.model_page import Page
from lxmert.hub.own_files import CARD, license_of, read_card


def keep_edited_card(page: Page, folder: Path, work: Path, details: CardDetails, unused: Sequence[str]) -> Page:
    """The page with the folder's card, if a person edited it, and with what that card shows.

    Args:
        page: with the card that was made.
        folder: where the person's card lies.
        work: gets a copy of it, to be looked at.
        details: what a person says.
        unused: names of the options that only a card that is made shows.

    Raises:
        ValueError: a card that cannot be read, or that names another licence.
    """
    path, text = folder / CARD, read_card(folder)
    if text is None or not is_edited(text):
        return page
    if (says := license_of(folder)) != details.license:
        raise ValueError(
            f"{path}, which a person edited, names the licence {says or 'not at all'}, but license is "
            f"{details.license!r}: change one of them, or delete the file to have the card made anew."
        )
    (work / CARD).write_text(as_copy(text), encoding="utf-8")
    files = {name: file for name, file in page.files.items() if not OF_THE_CARD.fullmatch(name) or name in text}
    notes = [f"{path} was edited by a person and is published as it is; delete it to have the card made anew."]
    if unused:
        notes.append(f"That card does not take what was given as {', '.join(unused)}.")
    return replace(page, files=files | {CARD: path}, notes=(*notes, *page.notes))
