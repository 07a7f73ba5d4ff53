"""A page that others use: publishing on the Hub."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lxmert.hub.card_details import CardDetails, TrainingCost
    from lxmert.hub.own_files import license_of
    from lxmert.hub.publication import Publication
    from lxmert.hub.publishing import publish, publish_space
    from lxmert.hub.region_dataset import download_regions

# Found when asked for: `import lxmert` takes the pipeline from this folder, and need not load the training loop for it.
_MODULES = {
    "CardDetails": "card_details",
    "Publication": "publication",
    "TrainingCost": "card_details",
    "download_regions": "region_dataset",
    "license_of": "own_files",
    "publish": "publishing",
    "publish_space": "publishing",
}

__all__ = ["CardDetails", "Publication", "TrainingCost", "download_regions", "license_of", "publish", "publish_space"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
