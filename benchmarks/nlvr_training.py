"""How one contestant of the NLVR v1 benchmark learns: from what, in which stages, and what it is worth then."""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from nlvr_minilm import start_from_minilm
from nlvr_visual_bert import VisualBertForScenes, visual_bert_like
from transformers import BertTokenizer, set_seed

from lxmert import LxmertConfig, LxmertForPreTraining
from lxmert.detection import DrawnBoxesRegionExtractor, extract_images
from lxmert.detection.image_sources import ImageMapping
from lxmert.evaluation import nlvr_figures
from lxmert.processing import Question, RegionStore
from lxmert.processing.wordpiece import train_wordpiece_tokenizer
from lxmert.scenes import (
    REGIONS,
    Meant,
    Scenes,
    concatenate,
    draw_samples,
    given_samples,
    kind_of,
    pools,
    read_sentences,
)
from lxmert.training import TrainingSettings, train
from lxmert.training.batches import stable_seed
from lxmert.training.found_scenes import found_scenes
from lxmert.training.masking import ORIGINAL_CODE
from lxmert.training.nlvr import Nlvr, nlvr_images, read_nlvr
from lxmert.training.nlvr_drawing import nlvr_prototypes
from lxmert.training.scene_batches import Augmentation, SceneBatches
from lxmert.training.scene_pretraining import DrawnBatches, answer_scenes, scene_task

Setting = Literal["structured", "images"]
SETTINGS: tuple[Setting, ...] = ("structured", "images")


@dataclass(frozen=True)
class Variant:
    """One way to train; the defaults are the whole recipe.

    Args:
        model: "lxmert"; "visual_bert", a single stream of equal size; "minilm", LXMERT whose language encoder starts
            from MiniLM's weights.
        pretrained: learn from drawn scenes first.
        grounding: predict what phrases mean, and how many that is.
        five_tasks: the paper's tasks in pre-training.
        recombined: share of sentences in pre-training that are recombined, not read.
        drawn_scenes: pre-train on drawn scenes, too, not only on those of the training split.
        augmented: boxes permuted, mirrored, colours and shapes exchanged.
        withhold: train and judge without the image or the question.
    """

    model: Literal["lxmert", "visual_bert", "minilm"] = "lxmert"
    pretrained: bool = True
    grounding: bool = True
    five_tasks: bool = False
    recombined: float = 0.6
    drawn_scenes: bool = True
    augmented: bool = True
    withhold: Literal["image", "question"] | None = None


MODEL = {
    "hidden_size": 128,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "l_layers": 1,
    "r_layers": 1,
    "x_layers": 3,
    "max_position_embeddings": 64,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.05,  # small models stay on a plateau with 0.02
    "num_object_labels": 4,
    "num_attr_labels": 3,
}
EPOCHS = 12  # of pre-training; each draws its own sentences
SENTENCES, SCENES_FOR_EACH, POOL = 8000, 16, 30_000
BATCHES = 880  # of an epoch
BATCH_SIZE = 128
FINETUNING_EPOCHS = 5
LEAST_FINETUNING_EPOCHS = 2  # of a share of the recipe
LEARNING_RATE, FINETUNING_LEARNING_RATE = 1e-3, 1.5e-4
MINILM = {"l_layers": 2, "initializer_range": 0.02}  # six layers would take several times as long
MINILM_LEARNING_RATE = 5e-4
VOCABULARY = 700


@dataclass(frozen=True)
class Data:
    """What all runs share.

    Args:
        nlvr: the data set.
        tokenizer: with a vocabulary of the training sentences.
        prototypes: (28, D), what the extractor sees of each kind of object, and of a box.
        found: the regions of all pictures.
        read: the training sentences that the grammar reads.
    """

    nlvr: Nlvr
    tokenizer: BertTokenizer
    prototypes: np.ndarray
    found: RegionStore
    read: list[Meant]

    @classmethod
    def of(cls, folder: Path, work: Path) -> "Data":
        """Read all of it, and look at the pictures once."""
        nlvr, extractor = read_nlvr(folder), DrawnBoxesRegionExtractor()
        texts = [question.text for question in nlvr.training]
        pictures = {}
        for split in ("train", "dev"):
            pictures |= nlvr_images(folder, split, work)
        extract_images(ImageMapping(pictures), extractor, work / "regions")
        return cls(
            nlvr,
            train_wordpiece_tokenizer(texts, VOCABULARY, MODEL["max_position_embeddings"]),
            nlvr_prototypes(extractor),
            RegionStore(work / "regions"),
            read_sentences(texts, scenes_of(nlvr, nlvr.training), truths(nlvr.training)),
        )


def scenes_of(nlvr: Nlvr, questions: list[Question]) -> Scenes:
    """The scenes of these questions, as arrays."""
    return Scenes.of([nlvr.scenes[question.image_ids[0]] for question in questions])


def truths(questions: list[Question]) -> np.ndarray:
    """(N,), whether each sentence is true."""
    return np.array([question.scores.get("true", 0.0) == 1 for question in questions])


def examples(
    data: Data,
    questions: list[Question],
    variant: Variant,
    tokenizer: BertTokenizer,
    settings: tuple[Setting, ...],
    augmentation: Augmentation | None = None,
) -> SceneBatches:
    """The data set's own examples, with the regions of one setting or, one after the other, of both."""
    scenes, own, is_own = [], [], []
    for setting in settings:
        if setting == "structured":
            scenes.append(scenes_of(data.nlvr, questions))
            own.append(np.zeros((len(questions), REGIONS, data.prototypes.shape[1]), np.float16))
        else:
            found, features = found_scenes([data.found[question.image_ids[0]] for question in questions])
            scenes.append(found)
            own.append(features)
        is_own.append(np.full(len(questions), setting == "images"))
    samples = given_samples(
        [question.text for question in questions] * len(settings),
        concatenate(scenes),
        np.tile(truths(questions), len(settings)),
    )
    return SceneBatches(
        samples,
        tokenizer,
        data.prototypes,
        augmentation,
        own_features=np.concatenate(own),
        own_scenes=np.concatenate(is_own),
        withhold=variant.withhold,
    )


def drawn(data: Data, variant: Variant, tokenizer: BertTokenizer, seed: int) -> DrawnBatches:
    """Batches of drawn sentences about drawn scenes, others in every epoch."""
    real = scenes_of(data.nlvr, data.nlvr.training)
    kinds = pools(real, kind_of(real), POOL if variant.drawn_scenes else 0, seed)

    def make(epoch: int) -> SceneBatches:
        samples = draw_samples(
            data.read,
            kinds,
            SENTENCES,
            SCENES_FOR_EACH,
            stable_seed("sentences", seed, epoch) % 2**32,
            own_share=1 - variant.recombined,
            progress=False,
        )
        return SceneBatches(
            samples,
            tokenizer,
            data.prototypes,
            augmentation=Augmentation() if variant.augmented else None,
            objectives=ORIGINAL_CODE if variant.five_tasks else None,
            withhold=variant.withhold,
        )

    return DrawnBatches(make, BATCHES, BATCH_SIZE, seed)


def start(data: Data, variant: Variant) -> tuple[Any, BertTokenizer, float]:
    """The model that a variant starts from, its tokenizer, and pre-training's learning rate."""
    sizes = MODEL | (MINILM if variant.model == "minilm" else {})
    config = LxmertConfig(
        **sizes,
        vocab_size=len(data.tokenizer),
        visual_feat_dim=data.prototypes.shape[1],
        id2label={0: "false", 1: "true"},
        attn_implementation="eager",  # the fused kernel's backward is several times slower on CPUs
        task_matched=variant.five_tasks,
        task_mask_lm=variant.five_tasks,
        task_obj_predict=variant.five_tasks,
        visual_loss_normalizer=1.0,
        grounding_loss_weight=3.0,  # with the weight of the answers it is learned half as fast
        count_loss_weight=0.3,
        task_grounding=variant.grounding and variant.withhold is None,
    )
    if variant.model == "visual_bert":
        return VisualBertForScenes(visual_bert_like(config).config), data.tokenizer, LEARNING_RATE
    if variant.model == "minilm":
        begun = start_from_minilm(config, [question.text for question in data.nlvr.training])
        return begun.model, begun.tokenizer, MINILM_LEARNING_RATE
    return LxmertForPreTraining(config), data.tokenizer, LEARNING_RATE


def run(data: Data, variant: Variant, seed: int, folder: Path, share: float) -> dict[str, Any]:
    """One variant and one seed.

    Args:
        data: what is learned from.
        variant: how.
        seed: of all that is random.
        folder: for states and checkpoints, `pretraining` and `finetuning`; a run that was stopped goes on from there.
        share: of the epochs of both stages.

    Returns:
        Accuracy and consistency on validation and dev in both settings, before fine-tuning and after it, the course of
        both stages, and the seconds that it took, None for a run that was stopped.
    """
    started = time.perf_counter()
    resumed = folder.is_dir()
    set_seed(seed)
    model, tokenizer, learning_rate = start(data, variant)
    result: dict[str, Any] = {"parameters": model.num_parameters()}
    validation = examples(data, data.nlvr.validation, variant, tokenizer, SETTINGS)
    common = {
        "batch_size": 1,  # an example is a whole batch
        "evaluation_batch_size": 1,
        "mixed_precision": "bf16",
        "max_gradient_norm": 1.0,
        "save_state_every": BATCHES,
        "resume": resumed,
        "seed": seed,
    }
    varied = Augmentation() if variant.augmented else None
    source = examples(data, data.nlvr.training, variant, tokenizer, SETTINGS, varied)
    own_batches = len(source.samples) // BATCH_SIZE
    epochs, finetuning_epochs = epochs_of(variant, share, own_batches)
    if variant.pretrained:
        training = drawn(data, variant, tokenizer, seed)
        settings = TrainingSettings(
            folder / "pretraining",
            epochs=epochs,
            learning_rate=learning_rate,
            warmup_share=min(0.05, 0.5 / epochs),
            **common,
        )
        task = scene_task("pre-training", training, validation, saved_with_model=(tokenizer,))
        result["pretraining"] = train(model, task, settings).history
        result["before fine-tuning"] = judge(data, variant, model, tokenizer)
    training = DrawnBatches(lambda epoch: source, own_batches, BATCH_SIZE, seed)
    settings = TrainingSettings(
        folder / "finetuning",
        epochs=finetuning_epochs,
        learning_rate=FINETUNING_LEARNING_RATE if variant.pretrained else learning_rate,
        weight_decay=0.05,
        **common,
    )
    task = scene_task("fine-tuning", training, validation, saved_with_model=(tokenizer,))
    outcome = train(model, task, settings)
    result["finetuning"] = outcome.history
    model.load_state_dict(type(model).from_pretrained(outcome.best).state_dict())
    result["seconds"] = None if resumed else time.perf_counter() - started
    return result | judge(data, variant, model, tokenizer)


def epochs_of(variant: Variant, share: float, own_batches: int) -> tuple[int, int]:
    """Epochs of pre-training and of fine-tuning, whose epoch has so many batches.

    Without pre-training, fine-tuning has as many steps as the others have in both stages.
    """
    pretraining = max(round(EPOCHS * share), 1)
    finetuning = max(round(FINETUNING_EPOCHS * share), LEAST_FINETUNING_EPOCHS)
    if variant.pretrained:
        return pretraining, finetuning
    return 0, finetuning + math.ceil(pretraining * BATCHES / own_batches)


def judge(data: Data, variant: Variant, model: Any, tokenizer: BertTokenizer) -> dict[str, dict[str, float]]:
    """Accuracy and consistency by split and setting."""
    result = {}
    for name, questions in (("validation", data.nlvr.validation), ("dev", data.nlvr.test)):
        for setting in SETTINGS:
            answers = answer_scenes(model, examples(data, questions, variant, tokenizer, (setting,)))
            result[f"{name}, {setting}"] = figures(questions, answers)
    return result


def figures(questions: list[Question], answers: np.ndarray) -> dict[str, float]:
    """Accuracy and consistency."""
    given = {
        question.question_id: ("false", "true")[answer] for question, answer in zip(questions, answers, strict=True)
    }
    return {name: value for name, value in nlvr_figures(questions, given, progress=False).items() if "/" not in name}
