from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoModelForVisualQuestionAnswering,
    Trainer,
    TrainingArguments,
)

from lxmert import LxmertConfig, LxmertForQuestionAnswering, LxmertModel
from lxmert.training import Task, TrainingSettings, train
from tests.conftest import make_batch


def test_hard_and_soft_labels_give_their_losses(small_model: LxmertForQuestionAnswering) -> None:
    inputs, hard = make_batch(), torch.tensor([0, -100, 3])
    soft = torch.rand(3, 7, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = small_model(**inputs).logits
        assert small_model(**inputs, labels=hard).loss.item() == pytest.approx(
            nn.functional.cross_entropy(logits[[0, 2]], hard[[0, 2]]).item()
        )
        assert small_model(**inputs, labels=soft).loss.item() == pytest.approx(
            7 * nn.functional.binary_cross_entropy_with_logits(logits, soft).item()
        )


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (torch.tensor([0, 7, 1]), ValueError, r"labels must be class ids in 0..6 \(or -100 or -1 for none\), got 7"),
        (torch.tensor([0, -2, 1]), ValueError, r"got -2"),
        (torch.tensor([0, 1]), ValueError, r"class ids \(3,\) or scores \(3, 7\), got \(2,\)"),
        (torch.zeros(3, 6), ValueError, r"class ids \(3,\) or scores \(3, 7\), got \(3, 6\)"),
        (torch.full((3, 7), 1.5), ValueError, r"scores in \[0, 1\], got 1.5..1.5"),
        (torch.full((3, 7), float("nan")), ValueError, r"scores in \[0, 1\], got nan"),
        (torch.zeros(3), TypeError, r"class ids of an integer type, got torch.float32"),
        (torch.zeros(3, 7).long(), TypeError, r"floating-point scores, got torch.int64"),
    ],
)
def test_bad_labels_are_refused(
    small_model: LxmertForQuestionAnswering, labels: torch.Tensor, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        small_model(**make_batch(), labels=labels)


def test_auto_classes_give_our_models(small_model: LxmertForQuestionAnswering, tmp_path: Path) -> None:
    small_model.save_pretrained(tmp_path)
    assert type(AutoModel.from_pretrained(tmp_path)) is LxmertModel
    for auto in (AutoModelForQuestionAnswering, AutoModelForVisualQuestionAnswering):
        loaded = auto.from_pretrained(tmp_path)
        assert type(loaded) is LxmertForQuestionAnswering
        assert torch.equal(loaded(**make_batch()).logits, small_model(**make_batch()).logits)
    with pytest.raises(TypeError, match="hiden_size"):
        AutoModelForVisualQuestionAnswering.from_pretrained(tmp_path, hiden_size=3)


def test_resizing_keeps_rows_texts_and_dtype(small_config: Callable[..., LxmertConfig]) -> None:
    config = small_config(num_qa_labels=None, id2label={0: "red", 1: "blue", 2: "no"})
    model = LxmertForQuestionAnswering(config).to(torch.bfloat16)
    old = model.get_qa_logit_layer().weight.clone()

    layer = model.resize_num_qa_labels(5)
    assert (layer.out_features, layer.weight.dtype, model.num_qa_labels) == (5, torch.bfloat16, 5)
    assert torch.equal(layer.weight[:3], old)
    assert model.config.id2label == {0: "red", 1: "blue", 2: "no", 3: "LABEL_3", 4: "LABEL_4"}

    layer = model.resize_num_qa_labels(2)
    assert torch.equal(layer.weight, old[:2])
    assert model.config.label2id == {"red": 0, "blue": 1}
    assert model.resize_num_qa_labels(None) is layer
    with pytest.raises(ValueError, match="at least 1, got 0"):
        model.resize_num_qa_labels(0)


def test_the_parameters_that_cannot_learn_are_named(small_model: LxmertForQuestionAnswering) -> None:
    names = small_model.parameters_without_gradient()
    assert len(names) == 16
    assert {name.split(".")[4] for name in names} == {"visn_self_att", "visn_inter", "visn_output"}
    assert all(name.startswith("lxmert.encoder.x_layers.1.") for name in names)


def test_trainer_trains_as_our_loop_does(small_model: LxmertForQuestionAnswering, tmp_path: Path) -> None:
    """Same examples, order, optimiser and schedule: the same weights to float precision."""
    examples = [
        {name: tensor[0] for name, tensor in make_batch(batch=1, seed=seed).items()}
        | {"labels": torch.tensor(seed % 7)}
        for seed in range(16)
    ]
    ours = LxmertForQuestionAnswering(small_model.config)
    ours.load_state_dict(small_model.state_dict())
    for model in (small_model, ours):
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0

    trainer = Trainer(
        small_model,
        TrainingArguments(
            output_dir=str(tmp_path / "trainer"),
            per_device_train_batch_size=16,
            num_train_epochs=12,
            learning_rate=1e-3,
            weight_decay=0.01,
            max_grad_norm=5.0,
            lr_scheduler_type="linear",
            optim="adamw_torch_fused",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            save_strategy="no",
            logging_strategy="no",
        ),
        train_dataset=examples,
    )
    # Trainer exempts biases and layer normalisations from the decay; the original, and our loop, do not
    trainer.get_decay_parameter_names = lambda model: [name for name, _ in model.named_parameters()]
    trainer.train()

    def collate(batch: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        return {name: torch.stack([example[name] for example in batch]) for name in batch[0]}

    task = Task("test", examples, examples, collate, lambda *_: {"figure": 0.0}, "figure")
    settings = TrainingSettings(
        tmp_path / "loop", epochs=12, batch_size=16, learning_rate=1e-3, warmup_share=0.0, progress=False
    )
    result = train(ours, task, settings)

    assert result.history[-1]["loss"] < 0.6 * result.history[0]["loss"]
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter, small_model.get_parameter(name), atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_learns_eight_examples_by_heart(small_config: Callable[..., LxmertConfig], labels: str) -> None:
    torch.manual_seed(0)
    model = LxmertForQuestionAnswering(small_config(hidden_dropout_prob=0, attention_probs_dropout_prob=0))
    inputs, answers = make_batch(batch=8), torch.arange(8) % 7
    target = answers if labels == "hard" else nn.functional.one_hot(answers, 7).float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(120):
        loss = model(**inputs, labels=target).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.1
    assert torch.equal(model.eval()(**inputs).logits.argmax(-1), answers)
