"""Progress over several processes, here of one and the files that another would write."""

import json
import threading
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
    other.write_text(json.dumps([30, 2, False]))
    with SharedProgress(tmp_path, 0, 2, total=100, before=10, shown=True) as progress:
        progress.count(done=5)
        progress.count(skipped=1)
        assert json.loads((tmp_path / ".process-00000.json").read_text()) == [5, 1, False]
        assert progress._bar.n == 10 + 5 + 1 + 30 + 2
        assert progress._bar.postfix == "skipped=3"
        finish = threading.Timer(0.2, lambda: other.write_text(json.dumps([80, 4, True])))
        finish.start()
        started = time.monotonic()
        assert progress.wait() == (85, 5)
        assert time.monotonic() - started > 0.15, "the other one had not finished"
    shown = capsys.readouterr().err
    assert "100/100" in shown
    assert "images/s" in shown


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
        "  Not looked at: 1 files whose names do not end like a picture's.",
    ]
