"""What goes wrong between here and the Hub, in one line with a next step."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants, get_token
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LOG_IN = "run `hf auth login`, or set HF_TOKEN to a token with write access (https://huggingface.co/settings/tokens)"


def check_repo_id(repo_id: str, argument: str = "repo_id") -> None:
    """Refuse what cannot be a repository's name.

    Args:
        repo_id: the name.
        argument: what it was given as.

    Raises:
        ValueError: another form than OWNER/NAME.
    """
    try:
        validate_repo_id(repo_id)
        right = repo_id.count("/") == 1
    except HFValidationError:
        right = False
    if not right:
        raise ValueError(
            f"{argument} must be OWNER/NAME in letters, digits, '-', '_' and '.', without '--' and '..', at most 96 "
            f"long, got {repo_id!r}."
        )


def check_token(token: str | None) -> None:
    """Refuse a token, given or saved, that cannot be sent.

    Raises:
        ValueError: other characters than visible ones of ASCII; the token is not shown.
    """
    known = token or get_token() or ""
    if any(not "!" <= character <= "~" for character in known):
        raise ValueError(
            "The token of the Hub has characters that no token has, such as a blank, a line break or an accent: copy "
            "it again (https://huggingface.co/settings/tokens)."
        )


@contextmanager
def plain_disk_errors(left: str) -> Iterator[None]:
    """Say in one line what the disk refused while something is written for the Hub; other errors pass.

    Args:
        left: how things stand then.

    Raises:
        OSError: no space, no right to write, a file where a folder should be.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:  # no error of the disk, or one in words already
            raise
        where = f": {error.filename}" if error.filename else ""
        raise OSError(
            f"{error.strerror or error}{where}; {left}. Make room there or rights to write, or name another folder "
            "(prepared, --prepared)."
        ) from error


@contextmanager
def plain_hub_errors(repo_id: str, left: str) -> Iterator[None]:
    """Say in one line what the Hub, the network or the disk refused; other errors pass.

    Args:
        repo_id: that it was about.
        left: how things stand then, such as "nothing was published".

    Raises:
        PermissionError: no token, or one that may not do this.
        FileNotFoundError: no such repository, revision or file.
        FileExistsError: it changed meanwhile, or is there and not to be seen.
        ConnectionError: the Hub cannot be reached, fails, or answers in another way than is known.
        ValueError: the Hub refuses what was sent.
        OSError: no space left.
    """
    try:
        yield
    except Exception as error:
        if (plain := _in_words(error, repo_id, left)) is None:
            raise
        raise plain from error


def _in_words(error: BaseException, repo_id: str, left: str) -> Exception | None:
    """The error to raise instead; upload and streaming wrap what happened, so causes are looked at, too."""
    seen: BaseException | None = error
    while seen is not None:
        if (plain := _of_one(seen, repo_id, left)) is not None:
            return plain
        seen = seen.__cause__ or seen.__context__
    return None


def _of_one(error: BaseException, repo_id: str, left: str) -> Exception | None:
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        return OSError(f"There is no space left on the disk ({error}); {left}. Make room, or name another place.")
    if isinstance(error, OfflineModeIsEnabled):
        return ConnectionError(f"HF_HUB_OFFLINE forbids to ask the Hub; {left}. Unset it.")
    if isinstance(error, LocalTokenNotFoundError):
        return PermissionError(f"There is no token for {constants.ENDPOINT}; {left}. To get one, {LOG_IN}.")
    if isinstance(error, HfHubHTTPError):
        return _of_answer(error, repo_id, left)
    lost = isinstance(error, HTTPError) and not hasattr(error, "response")  # else an answer, and not of the Hub
    if lost or isinstance(error, ConnectionError | TimeoutError):
        return ConnectionError(
            f"{constants.ENDPOINT} cannot be reached, or the connection broke ({type(error).__name__}); {left}. Run "
            "the same again."
        )
    return None


def _of_answer(error: HfHubHTTPError, repo_id: str, left: str) -> Exception:
    status = error.response.status_code
    said = " ".join((error.server_message or "").split()) or f"status {status}"
    if isinstance(error, RepositoryNotFoundError) and status == 404:
        return FileNotFoundError(
            f"{repo_id} is not on the Hub, or private and not for your token; {left}. Look at its name, or {LOG_IN}."
        )
    if isinstance(error, RevisionNotFoundError):
        return FileNotFoundError(
            f"{repo_id} has no such revision ({said}); {left}. Name a commit, branch or tag that its page "
            "on the Hub lists."
        )
    if status == 404:
        return FileNotFoundError(
            f"The Hub does not find what was asked of {repo_id} ({said}); {left}. Look at its page, and run the same "
            "again."
        )
    if status == 401:
        return PermissionError(f"The Hub wants a valid token for {repo_id} ({said}); {left}. To get one, {LOG_IN}.")
    if status in (402, 403):
        return PermissionError(
            f"Your token may not do this with {repo_id} ({said}); {left}. Take a name of your own, or {LOG_IN}."
        )
    if status == 409:
        return FileExistsError(
            f"{repo_id} is on the Hub already, perhaps private and not for your token, or is being changed ({said}); "
            f"{left}. Take another name, or a token that sees it: {LOG_IN}."
        )
    if status == 413:
        return ValueError(
            f"What was sent to {repo_id} is too large for the Hub ({said}); {left}. Send less or smaller files."
        )
    if status == 412:
        return FileExistsError(f"Somebody changed {repo_id} meanwhile; {left}. Look at it, and run the same again.")
    if status in (400, 422):
        return ValueError(f"The Hub refuses {repo_id}: {said}; {left}. Change what it names, and run the same again.")
    if status in (408, 429) or status >= 500:
        return ConnectionError(f"The Hub fails or is busy ({said}); {left}. Run the same again later.")
    return ConnectionError(
        f"The Hub answers with status {status} for {repo_id} ({said}); {left}. Run the same again later, or look at "
        "https://status.huggingface.co."
    )
