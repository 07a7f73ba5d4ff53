"""LXMERT for Hugging Face users: from a picture and a question to an answer.

Importing this package registers its classes with transformers' Auto classes and does nothing else.
"""

import pathlib

# The sub-packages lie beside this folder in a checkout and inside it once installed. A plain (not editable) install
# imported from the checkout's root finds this file first, so the way to the sub-packages is added here.
if not (pathlib.Path(__file__).parent / "configuration").is_dir():
    __path__.append(str(pathlib.Path(__file__).parent.parent))

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForPreTraining,
    AutoModelForQuestionAnswering,
    AutoModelForVisualQuestionAnswering,
    AutoProcessor,
)

from lxmert.configuration import LxmertConfig
from lxmert.detection import ComponentRegionExtractor, GridRegionExtractor
from lxmert.modeling_lxmert import LxmertForPreTraining, LxmertForQuestionAnswering, LxmertModel
from lxmert.processing import LxmertProcessor, Regions

AutoConfig.register("lxmert", LxmertConfig, exist_ok=True)
AutoModel.register(LxmertConfig, LxmertModel, exist_ok=True)
AutoModelForPreTraining.register(LxmertConfig, LxmertForPreTraining, exist_ok=True)
AutoModelForQuestionAnswering.register(LxmertConfig, LxmertForQuestionAnswering, exist_ok=True)
AutoModelForVisualQuestionAnswering.register(LxmertConfig, LxmertForQuestionAnswering, exist_ok=True)
AutoProcessor.register(LxmertConfig, LxmertProcessor, exist_ok=True)

__version__ = "0.1.0"

__all__ = [
    "ComponentRegionExtractor",
    "GridRegionExtractor",
    "LxmertConfig",
    "LxmertForPreTraining",
    "LxmertForQuestionAnswering",
    "LxmertModel",
    "LxmertProcessor",
    "Regions",
]
