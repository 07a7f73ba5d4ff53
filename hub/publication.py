"""What goes to a repository on the Hub, and its one commit."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from huggingface_hub import (
    CommitOperation,
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    constants,
)
from huggingface_hub.errors import RepositoryNotFoundError

from lxmert.hub.own_files import CARD
from lxmert.hub.plain_errors import plain_hub_errors

RepoType = Literal["model", "dataset", "space"]
NOTHING = "nothing was published"


@dataclass(frozen=True)
class Remote:
    """A repository as it stands on the Hub.

    Args:
        commit: the newest on main.
        private: whether only its owner sees it.
        files: paths of all files.
        card: text of its README.md, None if it has none.
    """

    commit: str
    private: bool
    files: frozenset[str]
    card: str | None

    @property
    def empty(self) -> bool:
        """Whether nothing was published there yet, as after an upload that broke."""
        return self.files <= {".gitattributes"}


@dataclass(frozen=True)
class Publication:
    """What is, or was, published in one repository.

    Args:
        repo_id: its name.
        repo_type: "model", "dataset" or "space".
        files: local files by their paths in the repository.
        private: whether the repository is private, or is made so if it is new.
        removed: paths that the commit deletes.
        notes: what a person should know, each a sentence.
        sizes: bytes of each file, see `measured`.
        commit_url: page of the commit, None after a dry run.
    """

    repo_id: str
    repo_type: RepoType
    files: Mapping[str, Path]
    private: bool = False
    removed: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
    sizes: Mapping[str, int] = field(default_factory=dict)
    commit_url: str | None = None

    def __str__(self) -> str:
        """A table of what is uploaded, and the notes."""
        kind = f"{'private' if self.private else 'public'} {self.repo_type}"
        lines = [f"{constants.ENDPOINT}/{page_of(self.repo_id, self.repo_type)} ({kind})"]
        lines += [f"{size:>15,}  {name}" for name, size in sorted(self.sizes.items())]
        lines += [f"{'removed':>15}  {name}" for name in self.removed]
        lines += [
            f"{sum(self.sizes.values()):>15,}  bytes in {len(self.files)} files",
            *(f"Note: {note}" for note in self.notes),
        ]
        lines.append(f"Published: {self.commit_url}" if self.commit_url else "A dry run: nothing was sent.")
        return "\n".join(lines)

    def measured(self) -> "Publication":
        """The same with the files' sizes, which it tells even when they are gone."""
        return replace(self, sizes={name: path.stat().st_size for name, path in self.files.items()})

    def with_notes(self, *notes: str) -> "Publication":
        """The same with more notes."""
        return replace(self, notes=(*self.notes, *notes))

    def send(self, api: HfApi, message: str, remote: Remote | None) -> "Publication":
        """Make the repository if it is not there, and send everything in one commit.

        The commit is whole or absent: what breaks before it leaves the repository as it was.

        Args:
            api: with a token.
            message: of the commit.
            remote: the repository as it was when the publication was planned; a change since is refused.

        Raises:
            PermissionError, FileExistsError, ConnectionError, ValueError, OSError: see `plain_hub_errors`.
        """
        with plain_hub_errors(self.repo_id, NOTHING):
            if remote is None:
                sdk = "gradio" if self.repo_type == "space" else None
                api.create_repo(self.repo_id, repo_type=self.repo_type, private=self.private, space_sdk=sdk)
                info = api.repo_info(self.repo_id, repo_type=self.repo_type)
                commit = info.sha
            else:
                commit = remote.commit
            additions = [CommitOperationAdd(name, str(path)) for name, path in sorted(self.files.items())]
            operations: list[CommitOperation] = [*additions, *(CommitOperationDelete(name) for name in self.removed)]
            done = api.create_commit(
                self.repo_id, operations, commit_message=message, repo_type=self.repo_type, parent_commit=commit
            )
        return replace(self, commit_url=str(done.commit_url))


def page_of(repo_id: str, repo_type: RepoType) -> str:
    """The path of a repository's page."""
    return f"{constants.REPO_TYPES_URL_PREFIXES.get(repo_type, '')}{repo_id}"


def look_at(api: HfApi, repo_id: str, repo_type: RepoType) -> Remote | None:
    """The repository as it stands, None if it is not there or not to be seen.

    Raises:
        PermissionError, ConnectionError: see `plain_hub_errors`.
    """
    with plain_hub_errors(repo_id, NOTHING):
        try:
            info = api.repo_info(repo_id, repo_type=repo_type)
        except RepositoryNotFoundError:
            return None
        files = frozenset(sibling.rfilename for sibling in getattr(info, "siblings", None) or ())
        card = None
        if CARD in files:
            path = api.hf_hub_download(repo_id, CARD, repo_type=repo_type, revision=info.sha)
            card = Path(path).read_text(encoding="utf-8", errors="replace")  # whoever wrote it
        return Remote(str(info.sha), bool(info.private), files, card)
