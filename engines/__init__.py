"""Models without PyTorch: exported to ONNX or OpenVINO, whole or in halves, and run by these engines on a CPU."""

from lxmert.engines.exported import ExportedLxmert
from lxmert.engines.exporting import export
from lxmert.engines.graphs import PARTS
from lxmert.engines.record import FORMATS, PRECISIONS, ExportRecord

__all__ = ["FORMATS", "PARTS", "PRECISIONS", "ExportRecord", "ExportedLxmert", "export"]
