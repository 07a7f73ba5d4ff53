"""NLVR v1 from its files to a checkpoint and a table: pre-train on drawn scenes, fine-tune on examples, judge on dev.

One run takes about an hour on one core. It needs the folder of https://github.com/lil-lab/nlvr that holds train/ and
dev/:

    python benchmarks/nlvr.py --data NLVR_FOLDER

Finished runs are kept in OUTPUT and not repeated, so seeds can run side by side, and the table grows:

    python benchmarks/nlvr.py --data NLVR_FOLDER --seeds 1 2 3
    python benchmarks/nlvr.py --data NLVR_FOLDER --seeds 1 2 3 --ablation --share 0.1

What every figure is: *structured*, regions from the data set's representation; *images*, regions found in the PNG files
and features from their pixels. Eight training directories choose the checkpoint; dev is only ever judged.
"""

import argparse
import json
import shutil
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
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
from lxmert.training.resume import write_whole
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
        finetuned: learn from the data set's examples.
        grounding: predict what phrases mean, and how many that is.
        five_tasks: the paper's tasks in pre-training.
        recombined: share of sentences in pre-training that are recombined, not read.
        drawn_scenes: pre-train on drawn scenes, too, not only on those of the training split.
        augmented: boxes permuted, mirrored, colours and shapes exchanged.
        withhold: train and judge without the image or the question.
    """

    model: Literal["lxmert", "visual_bert", "minilm"] = "lxmert"
    pretrained: bool = True
    finetuned: bool = True
    grounding: bool = True
    five_tasks: bool = False
    recombined: float = 0.6
    drawn_scenes: bool = True
    augmented: bool = True
    withhold: Literal["image", "question"] | None = None


VARIANTS = {
    "whole recipe": Variant(),
    "without fine-tuning": Variant(finetuned=False),
    "without pre-training": Variant(pretrained=False),
    "answers only": Variant(grounding=False),
    "the paper's five tasks only": Variant(grounding=False, five_tasks=True),
    "with the paper's five tasks": Variant(five_tasks=True),
    "without recombined sentences": Variant(recombined=0.0),
    "without drawn scenes": Variant(drawn_scenes=False),
    "without augmentation": Variant(augmented=False),
    "VisualBERT of equal size": Variant(model="visual_bert"),
    "language encoder from MiniLM": Variant(model="minilm"),
    "question only": Variant(withhold="image"),
    "image only": Variant(withhold="question"),
}
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
EPOCHS = 20  # of pre-training; each draws its own sentences
SENTENCES, SCENES_FOR_EACH, POOL = 8000, 16, 30_000
BATCHES = 440  # of an epoch
BATCH_SIZE = 256
FINETUNING_EPOCHS = 5
VOCABULARY = 700


@dataclass(frozen=True)
class Data:
    """What all runs share.

    Args:
        nlvr: the data set.
        tokenizer: with a vocabulary of the training sentences.
        extractor: finds regions in the pictures.
        prototypes: (28, D), what the extractor sees of each kind of object, and of a box.
        found: the regions of all pictures.
        read: the training sentences that the grammar reads.
    """

    nlvr: Nlvr
    tokenizer: BertTokenizer
    extractor: DrawnBoxesRegionExtractor
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
            extractor,
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
        data.tokenizer,
        data.prototypes,
        augmentation,
        own_features=np.concatenate(own),
        own_scenes=np.concatenate(is_own),
        withhold=variant.withhold,
    )


def drawn(data: Data, variant: Variant, seed: int) -> DrawnBatches:
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
            data.tokenizer,
            data.prototypes,
            augmentation=Augmentation() if variant.augmented else None,
            objectives=ORIGINAL_CODE if variant.five_tasks else None,
            withhold=variant.withhold,
        )

    return DrawnBatches(make, BATCHES, BATCH_SIZE, seed)


def model_of(data: Data, variant: Variant) -> Any:
    """The model that a variant starts from."""
    five, grounding = variant.five_tasks, variant.grounding and variant.withhold is None
    config = LxmertConfig(
        **MODEL,
        vocab_size=len(data.tokenizer),
        visual_feat_dim=data.prototypes.shape[1],
        id2label={0: "false", 1: "true"},
        attn_implementation="eager",  # the fused kernel's backward is several times slower on CPUs
        task_matched=five,
        task_mask_lm=five,
        task_obj_predict=five,
        visual_loss_normalizer=1.0,
        task_grounding=grounding,
    )
    return LxmertForPreTraining(config)


def run(data: Data, variant: Variant, seed: int, folder: Path, share: float, compiled: bool) -> dict[str, Any]:
    """One variant and one seed: figures, their course, and what they cost."""
    started = time.perf_counter()
    set_seed(seed)
    model = model_of(data, variant)
    result: dict[str, Any] = {"parameters": model.num_parameters()}
    validation = examples(data, data.nlvr.validation, variant, SETTINGS)
    if compiled:
        model.compile(dynamic=True)
    common = {
        "batch_size": 1,  # an example is a whole batch
        "evaluation_batch_size": 1,
        "mixed_precision": "bf16",
        "max_gradient_norm": 1.0,
        "save_state_every": BATCHES,
        "resume": folder.is_dir(),
        "seed": seed,
    }
    if variant.pretrained:
        epochs = max(round(EPOCHS * share), 1)
        task = scene_task("pre-training", drawn(data, variant, seed), validation, saved_with_model=(data.tokenizer,))
        settings = TrainingSettings(
            folder / "pretraining", epochs=epochs, learning_rate=1.5e-3, warmup_share=min(0.05, 0.5 / epochs), **common
        )
        result["pretraining"] = train(model, task, settings).history
        result["seconds_of_pretraining"] = time.perf_counter() - started
    if variant.finetuned:
        varied = Augmentation() if variant.augmented else None
        source = examples(data, data.nlvr.training, variant, SETTINGS, varied)
        training = DrawnBatches(lambda epoch: source, len(source.samples) // BATCH_SIZE, BATCH_SIZE, seed)
        task = scene_task("fine-tuning", training, validation, saved_with_model=(data.tokenizer,))
        settings = TrainingSettings(
            folder / "finetuning", epochs=FINETUNING_EPOCHS, learning_rate=1.5e-4, weight_decay=0.05, **common
        )
        outcome = train(model, task, settings)
        result["finetuning"] = outcome.history
        model.load_state_dict(type(model).from_pretrained(outcome.best).state_dict())
    result["seconds"] = time.perf_counter() - started
    for name, questions in (("validation", data.nlvr.validation), ("dev", data.nlvr.test)):
        for setting in SETTINGS:
            answers = answer_scenes(model, examples(data, questions, variant, (setting,)))
            result[f"{name}, {setting}"] = figures(questions, answers)
    return result


def figures(questions: list[Question], answers: np.ndarray) -> dict[str, float]:
    """Accuracy and consistency."""
    given = {
        question.question_id: ("false", "true")[answer] for question, answer in zip(questions, answers, strict=True)
    }
    return {name: value for name, value in nlvr_figures(questions, given, progress=False).items() if "/" not in name}


def main() -> None:
    """Run what is not there yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds train/ and dev/")
    parser.add_argument("--output", type=Path, default=Path("runs/nlvr"), help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="(default: 1)")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=["whole recipe"], metavar="NAME")
    parser.add_argument("--ablation", action="store_true", help=f"all variants: {', '.join(VARIANTS)}")
    parser.add_argument("--share", type=float, default=1.0, help="of pre-training's epochs (default: 1)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="(default: %(default)s)")
    parser.add_argument("--eager", action="store_true", help="without torch.compile, which needs a C++ compiler")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    compiled = not arguments.eager and shutil.which("g++") is not None

    work = arguments.output / f"share {arguments.share:g}"
    data = None
    for seed in arguments.seeds:
        for name in VARIANTS if arguments.ablation else arguments.variants:
            folder = work / f"{name} {seed}".replace(" ", "_").replace("'", "")
            file = folder / "figures.json"
            if not file.is_file():
                data = data or Data.of(arguments.data, arguments.output)
                print(f"{name}, seed {seed}: {folder}", flush=True)
                result = run(data, VARIANTS[name], seed, folder, arguments.share, compiled)
                result |= {"variant": name, "seed": seed, "settings": asdict(VARIANTS[name]), "share": arguments.share}
                write_whole(file, json.dumps(result, indent=2) + "\n")
    print(table(work))


def table(work: Path) -> str:
    """Mean and spread over seeds, of every variant that has run."""
    results = [json.loads(file.read_text()) for file in sorted(work.glob("*/figures.json"))]
    columns = [f"dev, {setting}" for setting in SETTINGS] + [f"validation, {setting}" for setting in SETTINGS]
    lines = [f"{'variant':<32}{'seeds':>6}{'':>2}" + "".join(f"{name:<24}" for name in columns) + f"{'minutes':>8}"]
    for name in VARIANTS:
        if runs := [result for result in results if result["variant"] == name]:
            cells = [f"{spread(runs, name, 'accuracy')} / {spread(runs, name, 'consistency')}" for name in columns]
            minutes = statistics.mean(result["seconds"] for result in runs) / 60
            lines.append(f"{name:<32}{len(runs):>6}  " + "".join(f"{cell:<24}" for cell in cells) + f"{minutes:>8.1f}")
    lines.append("Accuracy / consistency in %, mean and standard deviation over seeds.")
    return "\n".join(lines)


def spread(runs: list[dict[str, Any]], split: str, figure: str) -> str:
    """Mean and standard deviation, in percent."""
    values = [100 * result[split][figure] for result in runs]
    deviation = f"±{statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{deviation}"


if __name__ == "__main__":
    main()
