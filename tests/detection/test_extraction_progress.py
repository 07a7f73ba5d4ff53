"""Progress over several processes, here of one and the files that another would write."""

import fcntl
import json
import os
import time
from pathlib import Path

import pytest

from lxmert.detection import ExtractionReport, SkippedImage
from lxmert.detection.extraction_progress import SharedProgress


def test_the_bar_shows_all_processes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lxmert.detection.extraction_progress.WRITE_EVERY", 0)
    other = tmp_path / ".process-00001.json"
    child = os.fork()
    if not child:  # the other process: locks its mark, and finishes after a while
        with other.open("w+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            (tmp_path / ".finish").touch()
            file.write(json.dumps([30, 2, False]).ljust(60))
            file.flush()
            while (tmp_path / ".finish").exists():
                time.sleep(0.01)
            time.sleep(0.2)
            file.seek(0)
            file.write(json.dumps([80, 4, True]).ljust(60))
            file.flush()
            os._exit(0)
    while not other.exists() or not other.read_text():
        time.sleep(0.01)
    with SharedProgress(tmp_path, 0, 2, total=100, before=10, shown=True) as progress:
        progress.count(done=5)
        progress.count(skipped=1)
        assert json.loads((tmp_path / ".process-00000.json").read_text()) == [5, 1, False]
        assert progress._bar.n == 10 + 5 + 1 + 30 + 2
        assert progress._bar.postfix == "skipped=3"
        (tmp_path / ".finish").unlink()
        started = time.monotonic()
        assert progress.wait() == (85, 5)
        assert time.monotonic() - started > 0.15, "the other one had not finished"
    os.waitpid(child, 0)
    shown = capsys.readouterr().err
    assert "100/100" in shown
    assert "images/s" in shown


def test_a_process_that_died_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / ".process-00001.json").write_text("[3, 0, false]")
    with (
        SharedProgress(tmp_path, 0, 2, total=9, before=0, shown=False) as progress,
        pytest.raises(RuntimeError, match="Process 1 ended before its pictures were done: start the extraction again"),
    ):
        progress.wait()


def test_only_the_main_process_shows_a_bar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".process-00000.json").write_text("[0, 0, true]")
    with SharedProgress(tmp_path, 1, 2, total=3, before=0, shown=True) as progress:
        progress.count(done=3)
        assert progress.wait() == (3, 0)
    assert capsys.readouterr().err == ""


def test_a_report_is_a_short_table() -> None:
    skipped = [SkippedImage(str(i), f"{i}.jpg", "no picture" if i else "damaged file", "broken") for i in range(3)]
    report = ExtractionReport(Path("store"), 1507, done=1500, reused=4, skipped=skipped, seconds=3.0, others=1)
    assert report.images_per_second == 500
    assert str(report).splitlines() == [
        "Regions of 1,504 of 1,507 images are in store:",
        "  done            1,500 in 3.0 s, 500.0 images/s",
        "  reused              4",
        "  skipped             3",
        "           2  no picture, such as 1.jpg",
        "           1  damaged file, such as 0.jpg",
        "  All that were skipped: store/skipped.jsonl",
        "  To try them again: --retry-skipped, or retry_skipped=True.",
        "  Not looked at: 1 files whose names do not end like a picture's.",
    ]


def test_nothing_was_left_to_do_only_if_nothing_was_tried() -> None:
    skipped = [SkippedImage("a", "a\n\x1b[31m\udcff.jpg", "no picture", "broken")]
    report = ExtractionReport(Path("store"), 5, reused=4, skipped=skipped, skipped_now=1)
    assert "nothing left" not in str(report)
    assert "such as a\\n\\x1b[31m\\udcff.jpg" in str(report)
    report.skipped_now = 0
    assert str(report).endswith("There was nothing left to do.")
