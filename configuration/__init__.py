"""What can be chosen about a model: configurations that validate themselves on construction."""

from lxmert.configuration.faster_rcnn import FasterRcnnConfig
from lxmert.configuration.lxmert import LxmertConfig

__all__ = ["FasterRcnnConfig", "LxmertConfig"]
