"""The `evaluate` metrics reach out for nothing, and work side by side."""

import socket

import evaluate
import pytest

from lxmert.evaluation import AnswerAccuracy, GqaAccuracy, NlvrAccuracy, RetrievalRecall, VqaAccuracy


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a metric reached out")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for variable in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("metric", "columns"),
    [
        (AnswerAccuracy, {"predictions": [1], "references": [1]}),
        (VqaAccuracy, {"predictions": ["yes"], "references": [["yes"] * 10]}),
        (GqaAccuracy, {"predictions": ["yes"], "references": ["yes"]}),
        (NlvrAccuracy, {"predictions": ["true"], "references": ["true"], "sentences": ["s"]}),
        (RetrievalRecall, {"predictions": [[0.5]], "references": [0]}),
    ],
)
def test_metrics_work_without_network(metric: type[evaluate.Metric], columns: dict) -> None:
    with pytest.raises(AssertionError, match="reached out"):
        socket.create_connection(("localhost", 9))
    assert set(metric().compute(**columns).values()) == {1.0}


def test_metrics_run_combined() -> None:
    both = evaluate.combine([GqaAccuracy(), NlvrAccuracy()])
    both.add_batch(predictions=["true", "true"], references=["true", "false"], sentences=["s", "s"])
    assert both.compute() == {"gqa_accuracy_accuracy": 0.5, "nlvr_accuracy_accuracy": 0.5, "consistency": 0.0}
