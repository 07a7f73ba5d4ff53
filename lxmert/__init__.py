"""LXMERT for Hugging Face users: from a picture and a question to an answer.

Importing this package registers its classes with transformers' Auto classes and pipelines, and does nothing else.
"""

import pathlib

# The sub-packages lie beside this folder in a checkout and inside it once installed. A plain (not editable) install
# imported from the checkout's root finds this file first, so the way to the sub-packages is added here.
if not (pathlib.Path(__file__).parent / "configuration").is_dir():
    __path__.append(str(pathlib.Path(__file__).parent.parent))

from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForPreTraining,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForVisualQuestionAnswering,
    AutoModelForZeroShotImageClassification,
    AutoProcessor,
)
from transformers.pipelines import PIPELINE_REGISTRY

from lxmert.configuration import FasterRcnnConfig, LxmertConfig
from lxmert.detection import (
    ComponentRegionExtractor,
    DetectorRegionExtractor,
    FasterRcnnForRegionFeatures,
    FasterRcnnImageProcessor,
    FasterRcnnRegionExtractor,
    GridRegionExtractor,
)
from lxmert.hub.pipeline import TASK, LxmertVisualQuestionAnsweringPipeline
from lxmert.modeling_lxmert import (
    LxmertForImageAndTextRetrieval,
    LxmertForPreTraining,
    LxmertForQuestionAnswering,
    LxmertForVisualReasoning,
    LxmertModel,
)
from lxmert.processing import LxmertProcessor, Regions

AutoConfig.register("lxmert", LxmertConfig, exist_ok=True)
AutoModel.register(LxmertConfig, LxmertModel, exist_ok=True)
AutoModelForPreTraining.register(LxmertConfig, LxmertForPreTraining, exist_ok=True)
AutoModelForQuestionAnswering.register(LxmertConfig, LxmertForQuestionAnswering, exist_ok=True)
AutoModelForVisualQuestionAnswering.register(LxmertConfig, LxmertForQuestionAnswering, exist_ok=True)
# A sentence gets one of two classes; BLIP-2's matching head is there as well.
AutoModelForSequenceClassification.register(LxmertConfig, LxmertForVisualReasoning, exist_ok=True)
AutoModelForZeroShotImageClassification.register(LxmertConfig, LxmertForImageAndTextRetrieval, exist_ok=True)
AutoProcessor.register(LxmertConfig, LxmertProcessor, exist_ok=True)

AutoConfig.register("faster_rcnn", FasterRcnnConfig, exist_ok=True)
AutoModel.register(FasterRcnnConfig, FasterRcnnForRegionFeatures, exist_ok=True)
AutoImageProcessor.register(FasterRcnnConfig, image_processor_classes={"pil": FasterRcnnImageProcessor}, exist_ok=True)

PIPELINE_REGISTRY.supported_tasks.pop(TASK, None)  # registering a name again would warn
PIPELINE_REGISTRY.register_pipeline(
    TASK, LxmertVisualQuestionAnsweringPipeline, AutoModelForVisualQuestionAnswering, type="multimodal"
)

__version__ = "0.1.0"

__all__ = [
    "ComponentRegionExtractor",
    "DetectorRegionExtractor",
    "FasterRcnnConfig",
    "FasterRcnnForRegionFeatures",
    "FasterRcnnImageProcessor",
    "FasterRcnnRegionExtractor",
    "GridRegionExtractor",
    "LxmertConfig",
    "LxmertForImageAndTextRetrieval",
    "LxmertForPreTraining",
    "LxmertForQuestionAnswering",
    "LxmertForVisualReasoning",
    "LxmertModel",
    "LxmertProcessor",
    "LxmertVisualQuestionAnsweringPipeline",
    "Regions",
]
