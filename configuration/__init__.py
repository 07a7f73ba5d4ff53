"""What can be chosen about a model: configurations that validate themselves on construction."""

from lxmert.configuration.lxmert import LxmertConfig

__all__ = ["LxmertConfig"]
