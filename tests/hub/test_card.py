"""The card: what of a run, a checkpoint and a person is in it, and how an edited one is known."""

import ast
import json
import re
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from PIL import Image

from lxmert.hub.card import model_card
from lxmert.hub.card_details import CardDetails, TrainingCost
from lxmert.hub.card_mark import is_edited, with_mark
from lxmert.hub.card_usage import Usage
from lxmert.hub.checkpoint import Checkpoint, Example, check_checkpoint
from lxmert.hub.evaluation_results import model_index, results_file
from lxmert.hub.markdown import code_span
from lxmert.hub.training_curve import draw_training_curve
from lxmert.hub.training_run import Evaluation, TrainingRun, read_run
from lxmert.training import TASKS, TrainingData, TrainingDataCard

GQA = Evaluation(
    f"{TASKS['gqa'].title}, testdev", {"accuracy": 0.58765, "accuracy/type/query": 0.4}, 12578, "gqa", "testdev"
)
HISTORY = [
    {"epoch": float(i + 1), "loss": loss, "validation_accuracy": accuracy}
    for i, (loss, accuracy) in enumerate([(2.0, 0.5), (1.0, 0.7), (0.5, 0.6)])
]


def bare(head: str, **fields: object) -> Checkpoint:
    values = {"folder": Path(), "files": (), "parameters": 2_000_000, "answers": ("no", "yes"), "feature_dim": 8}
    return Checkpoint(**(values | {"head": head, "extractor": None, "longest": 20} | fields))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def card(checkpoint: Path, colours: Path) -> ModelCard:
    """Of the small run, with all that a person can say."""
    details = CardDetails(
        "mit",
        title="Colours",
        dataset="someone/colours",
        limits="Three colours.",
        cost=TrainingCost(hours=0.5, hardware="1 CPU core", watts=10, grams_per_kwh=200),
    )
    example = Example(colours / "pictures" / "25.png", "what color is it?")
    found = check_checkpoint(checkpoint, [example])
    return ModelCard(model_card(found, read_run(checkpoint), details, "someone/model"))


def test_its_metadata(card: ModelCard, colours: Path) -> None:
    data = card.data
    assert (data.license, data.language, data.library_name) == ("mit", "en", "lxmert")
    assert data.pipeline_tag == "visual-question-answering"
    assert data.datasets == ["someone/colours"]
    assert data.tags == ["lxmert", "my_dataset"]
    assert data.co2_eq_emissions["emissions"] == 1.0
    report = json.loads((colours / "report" / "report.json").read_text())
    (result,) = data.eval_results
    assert (result.metric_type, result.dataset_type) == ("accuracy", "someone/colours")
    assert result.metric_value == pytest.approx(report["figures"]["accuracy"], abs=1e-4)
    assert data.training_data[0]["questions"] == 22, "a tenth of 24 is held out"


def test_its_text(card: ModelCard, checkpoint: Path) -> None:
    text, history = card.text, json.loads((checkpoint.parent / "history.json").read_text())
    best = max(history, key=lambda entry: entry["validation_accuracy"])
    assert text.startswith("\n# Colours\n")
    assert f"held-out examples, {best['validation_accuracy']:.4f} after epoch {best['epoch']:g}" in text
    assert "| learning rate | 0.003 |" in text
    assert "| my\\_dataset | " in text
    assert "![Training loss and held-out figure by epoch](training_curve.png)" in text
    assert "| ![](widget/0.png) | what color is it? |" in text
    assert "Three colours." in text
    assert "0.5 hours on 1 CPU core, about 1 g of CO2 equivalent at 10 W and 200 g/kWh" in text
    for section in ("How to use it", "Figures", "What it is for", "Limits", "Bias", "Licence", "Citation"):
        assert f"\n## {section}\n" in text


def test_a_run_of_which_nothing_is_known() -> None:
    text = model_card(bare("LxmertForQuestionAnswering"), TrainingRun(), CardDetails("mit"), "someone/model")
    assert "It has not been judged on held-out questions." in text
    assert "What it learned from is not recorded." in text
    assert "were not recorded" in text
    assert "model-index" not in text
    assert "training_curve" not in text


def test_figures_of_a_known_task() -> None:
    run = TrainingRun((TrainingData("gqa", "train", 943000, "0" * 16),), {}, HISTORY, (GQA,))
    card = ModelCard(model_card(bare("LxmertForQuestionAnswering"), run, CardDetails("mit"), "someone/model"))
    (result,) = card.data.eval_results
    assert (result.dataset_type, result.dataset_split, result.metric_value) == ("lmms-lab/GQA", "testdev", 0.5877)
    assert card.data.datasets == ["lmms-lab/GQA"]
    assert "| accuracy/type/query | 0.4000 |" in card.text
    assert "0.7000 after epoch 2" in card.text


def test_an_ablation_says_so(tmp_path: Path) -> None:
    learned = (TrainingData("gqa", "train", 9, "0" * 16),)
    TrainingDataCard("LXMERT for GQA", learned, withhold="image").save_pretrained(str(tmp_path))
    run = read_run(tmp_path)
    assert run.withheld == "image"
    text = model_card(bare("LxmertForQuestionAnswering"), run, CardDetails("mit"), "someone/model")
    assert "trained with the image withheld" in text


def test_heads_without_a_task_of_the_hub() -> None:
    for head, said in (("LxmertForVisualReasoning", "a pair of pictures"), ("LxmertForPreTraining", "pre-trained")):
        card = ModelCard(model_card(bare(head), TrainingRun(), CardDetails("mit"), "someone/model"))
        assert card.data.pipeline_tag is None
        assert said in card.text


def test_snippets_of_pairs_and_of_regions() -> None:
    pairs = Usage(bare("LxmertForVisualReasoning", extractor="GridRegionExtractor"), "a/b", "AutoModel")
    assert 'images=[["left.png", "right.png"]]' in pairs.ours()
    assert "from transformers import AutoModel, AutoProcessor" in pairs.remote_code()
    assert "LxmertModel.from_pretrained(name, dtype=torch.float32)" in pairs.stock(), "transformers has no such head"
    regions = Usage(bare("LxmertForImageAndTextRetrieval"), "a/b", None)
    assert "from lxmert import LxmertForImageAndTextRetrieval, LxmertProcessor, Regions" in regions.ours()
    assert "trust_remote_code" not in str(regions)
    by_code = Usage(bare("LxmertForQuestionAnswering"), "a/b", "AutoModelForVisualQuestionAnswering").remote_code()
    assert by_code.index("Regions = get_class_from_dynamic_module") < by_code.index("regions = Regions(")


def test_an_edited_card_is_known() -> None:
    text = with_mark("---\nlicense: mit\n---\n\n# A model\n\nText.")
    assert not is_edited(text)
    assert not is_edited(text.replace("\n", "\r\n"))
    assert is_edited(text.replace("Text.", "Text!"))
    assert is_edited(text.replace("license: mit", "license: gpl-3.0"))
    assert is_edited(text + "More.\n")
    assert is_edited("# A model\n")


def test_the_card_that_training_leaves_is_nobodys_work(tmp_path: Path, checkpoint: Path) -> None:
    learned = (TrainingData("vqa", "train", 9, "0" * 16), TrainingData("gqa", "train", 8, "1" * 16))
    cards = [TrainingDataCard("LXMERT for VQA", learned), TrainingDataCard("LXMERT", learned, "question", None)]
    for card in cards:
        card.save_pretrained(str(tmp_path))
        text = (tmp_path / "README.md").read_text()
        assert not is_edited(text)
        assert is_edited(text + "\nMine.\n")
    assert not is_edited((checkpoint / "README.md").read_text())


def test_figures_for_the_hub() -> None:
    again = Evaluation(GQA.title, {"accuracy": 0.6}, 12578, "gqa", "testdev")
    own = Evaluation("my pictures", {"accuracy": 0.25}, 4)
    results = model_index([GQA, again, own])
    assert [(result.dataset_type, result.metric_value) for result in results] == [
        ("lmms-lab/GQA", 0.6),
        ("my_dataset", 0.25),
    ]
    name, content = results_file([GQA], "someone/GQA-bench:testdev", "https://huggingface.co/a/b")
    assert name == ".eval_results/gqa-bench.yaml"
    assert "task_id: testdev" in content
    assert "value: 0.5877" in content
    with pytest.raises(ValueError, match="benchmark must be OWNER/NAME"):
        results_file([GQA], "gqa", "")
    with pytest.raises(ValueError, match="benchmark needs a figure: judge the model first"):
        results_file([], "someone/gqa", "")


def test_reports_of_other_folders(tmp_path: Path, checkpoint: Path) -> None:
    report = {"title": f"{TASKS['nlvr2'].title}, dev", "figures": {"accuracy": 0.7, "lost": None}, "questions": 3}
    (tmp_path / "report.json").write_text(json.dumps(report))
    alone = shutil.copytree(checkpoint, tmp_path / "alone")
    (judged,) = read_run(alone, [tmp_path]).evaluations
    assert (judged.task, judged.split, judged.figures) == ("nlvr2", "dev", {"accuracy": 0.7})
    assert len(read_run(checkpoint, [tmp_path]).evaluations) == 2
    with pytest.raises(FileNotFoundError, match="is not there: name a folder that examples/5_evaluate.py wrote"):
        read_run(checkpoint, [tmp_path / "nowhere"])
    (tmp_path / "report.json").write_text('{"title": "x"}')
    with pytest.raises(ValueError, match="is no report of answered questions"):
        read_run(checkpoint, [tmp_path])
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        read_run(checkpoint, [tmp_path])


def test_the_curve(tmp_path: Path) -> None:
    path = draw_training_curve(HISTORY, tmp_path / "curve.png", "Colours", "validation_accuracy")
    with Image.open(path) as drawn:
        assert min(drawn.size) > 300
        blue = sum(1 for r, g, b in drawn.convert("RGB").get_flattened_data() if b > 120 and r < 80)
    assert blue > 200, "the figure of held-out examples is drawn"
    with pytest.raises(ValueError, match="history is empty"):
        draw_training_curve([], path, "Colours")


def test_what_a_person_says_is_checked() -> None:
    for value, message in (
        ("", "license is not given"),
        ("Apache 2.0", "must be an identifier"),
        ("MIT", "small letters"),
    ):
        with pytest.raises(ValueError, match=message):
            CardDetails(value)
    with pytest.raises(ValueError, match="language must be two or three small letters"):
        CardDetails("mit", language="English")
    with pytest.raises(ValueError, match="hours must be positive, got 0"):
        TrainingCost(hours=0)
    assert TrainingCost(hours=1, watts=100).grams is None


def test_texts_of_others_are_text() -> None:
    odd = 'is "it"\\n a | b,\n*bold* or <b>$1</b>?'
    example = Example(Path("a.png"), odd, "a_b|c", 0.5)
    run = TrainingRun(evaluations=(Evaluation("my|data", {"acc|uracy": 0.5}, 3),))
    details = CardDetails("mit", title="*A* [title]", cost=TrainingCost(hours=1, hardware="<b>CPU"))
    shown = bare("LxmertForQuestionAnswering", extractor="GridRegionExtractor", examples=(example,), answers=("a_b|c",))
    text = model_card(shown, run, details, "someone/model", "AutoModelForVisualQuestionAnswering")
    for part in (r"# \*A\* \[title\]", r"\<b\>CPU", r"**my\|data**", r"| acc\|uracy | 0.5", r"| a\_b\|c (50.0%) |"):
        assert part in text
    assert r"| is " r'"it"\\n a \| b, \*bold\* or \<b\>\$1\</b\>? |' in text
    snippets = re.findall(r"```python\n(.*?)\n```", text, re.DOTALL)
    assert len(snippets) == 3
    for snippet in snippets:
        literals = [node.value for node in ast.walk(ast.parse(snippet)) if isinstance(node, ast.Constant)]
        assert odd in literals
    assert code_span("a `b` c") == "`` a `b` c ``"
    for wrong in (lambda: CardDetails("mit", title="a\nb"), lambda: TrainingCost(hardware="a\nb")):
        with pytest.raises(ValueError, match="must be one line"):
            wrong()


def test_a_title_is_no_formula(tmp_path: Path) -> None:
    path = draw_training_curve(HISTORY, tmp_path / "curve.png", r"a $\frac$ of it")
    assert path.stat().st_size > 1000


def test_a_report_given_again_is_one(checkpoint: Path, colours: Path) -> None:
    again = [colours / "report", colours / "report" / "report.json"]
    assert len(read_run(checkpoint, again).evaluations) == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("history.json", [1]),
        ("history.json", [{"epoch": 1}]),
        ("history.json", [{"epoch": 1, "loss": "low"}]),
        ("history.json", {}),
        ("finished.json", []),
        ("finished.json", {"fingerprint": 3}),
        ("finished.json", {"progress": {"history": 3}}),
        ("report/report.json", {"title": 1, "figures": {}, "questions": 3}),
        ("report/report.json", {"title": "x", "figures": [], "questions": 3}),
        ("report/report.json", {"title": "x", "figures": {"accuracy": "high"}, "questions": 3}),
    ],
)
def test_files_of_an_odd_shape_are_named(tmp_path: Path, checkpoint: Path, name: str, content: object) -> None:
    best = shutil.copytree(checkpoint, tmp_path / "best")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=name) as caught:
        read_run(best)
    assert "\n" not in str(caught.value)
