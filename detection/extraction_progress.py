"""Progress of an extraction over all processes: each writes how far it is, the main one shows the sum."""

import json
import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tqdm.auto import tqdm

if sys.platform != "win32":
    import fcntl

MARKS = ".process-*.json"
WRITE_EVERY = 0.5  # seconds


class SharedProgress:
    """Counts the pictures of this process and shows those of all; a context manager.

    Each process has a file in the store's folder, locked as long as the process lives. Waiting for the others reads
    these files: a barrier would give up after some minutes.

    Args:
        folder: of the store.
        process: number of this one.
        processes: how many there are.
        total: number of pictures.
        before: how many were done or skipped before this run.
        shown: show a bar with images per second, time left and the number of skipped ones.
    """

    def __init__(self, folder: Path, process: int, processes: int, total: int, before: int, shown: bool):
        self.folder, self.process, self.processes, self.before = folder, process, processes, before
        self.done = self.skipped = 0
        self._written = 0.0
        self._bar = tqdm(total=total, initial=before, desc="Regions", unit=" images", disable=not shown or process > 0)

    def __enter__(self) -> Self:
        # opened without cutting it off, in case it is another run's
        self._file = os.fdopen(os.open(self._mark(self.process), os.O_RDWR | os.O_CREAT, 0o666), "r+", encoding="utf-8")
        _lock(self._file, self.folder)
        self._write(finished=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()
        self._file.close()

    def count(self, done: int = 0, skipped: int = 0) -> None:
        """Add pictures of this process."""
        self.done += done
        self.skipped += skipped
        if time.monotonic() - self._written >= WRITE_EVERY:
            self._write(finished=False)
            self._show(self._others())

    def wait(self) -> tuple[int, int]:
        """Say that this process has finished, and return done and skipped over all when all have.

        Raises:
            RuntimeError: another process ended before it had finished.
        """
        self._write(finished=True)
        while True:
            others = self._others()
            self._show(others)
            self._check_alive()
            if len(others) == self.processes - 1 and all(finished for _, _, finished in others):
                done, skipped = (sum(other[i] for other in others) for i in (0, 1))
                return self.done + done, self.skipped + skipped
            time.sleep(WRITE_EVERY)

    def _mark(self, process: int) -> Path:
        return self.folder / f".process-{process:05d}.json"

    def _write(self, finished: bool) -> None:
        self._written = time.monotonic()
        self._file.seek(0)
        # of one length, so that a shorter line leaves nothing of a longer one
        self._file.write(json.dumps([self.done, self.skipped, finished]).ljust(60) + "\n")
        self._file.flush()

    def _others(self) -> list[tuple[int, int, bool]]:
        found = []
        for process in range(self.processes):
            if process != self.process:  # closing one's own file would unlock it
                try:
                    done, skipped, finished = json.loads(self._mark(process).read_text(encoding="utf-8"))
                except (OSError, ValueError):  # not there yet, or being written
                    continue
                found.append((done, skipped, finished))
        return found

    def _check_alive(self) -> None:
        for process in range(self.processes):
            if process == self.process or not self._unfinished(process) or not self._ended(process):
                continue
            if self._unfinished(process):  # looked at again: it may have finished just before it ended
                raise RuntimeError(
                    f"Process {process} ended before its pictures were done: start the extraction again, it goes on."
                )

    def _unfinished(self, process: int) -> bool:
        try:
            return not json.loads(self._mark(process).read_text(encoding="utf-8"))[2]
        except (OSError, ValueError):
            return False  # not there yet, or being written

    def _ended(self, process: int) -> bool:
        """Whether a process that left its mark lives no more."""
        if sys.platform == "win32":
            return False
        with self._mark(process).open("r+", encoding="utf-8") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
        return True

    def _show(self, others: list[tuple[int, int, bool]]) -> None:
        if self._bar.disable:
            return
        done, skipped = (sum(other[i] for other in others) for i in (0, 1))
        if all_skipped := self.skipped + skipped:
            self._bar.set_postfix(skipped=all_skipped, refresh=False)
        self._bar.update(self.before + self.done + done + all_skipped - self._bar.n)


def clear_marks(folder: Path) -> None:
    """Remove what earlier runs left.

    Raises:
        FileExistsError: a process of another run still writes.
    """
    for mark in folder.glob(MARKS):
        with mark.open("r+", encoding="utf-8") as file:
            _lock(file, folder)
        mark.unlink(missing_ok=True)


def _lock(file: IO[str], folder: Path) -> None:
    """Lock a process's file; unlike other locks this one is not shared with workers that outlive the process."""
    if sys.platform == "win32":
        return
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise FileExistsError(
            f"Another run is writing regions into {folder}: wait until it ends, or stop all of its processes."
        ) from error
