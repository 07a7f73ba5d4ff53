"""What every model class promises. A test class of a model only declares its class and inputs."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import pad

from lxmert import LxmertConfig
from lxmert.modeling_lxmert import LxmertPreTrainedModel
from tests.conftest import SMALL, make_batch, make_masks


class ModelContract:
    """Inherited by the test class of each model.

    Attributes:
        model_class: under test.
        main_output: the field of the output that is compared.
        labels: keywords that make the model return a loss, none for a model without one.
        images: for each sentence.
    """

    model_class: type[LxmertPreTrainedModel]
    main_output: str
    labels: dict[str, Any] = {}
    images: int = 1

    def batch(self) -> dict[str, torch.Tensor]:
        return make_batch(images=self.images)

    def padded_batch(self) -> dict[str, torch.Tensor]:
        return self.batch() | make_masks(images=self.images)

    def make(self, **overrides: object) -> LxmertPreTrainedModel:
        torch.manual_seed(0)
        return self.model_class(LxmertConfig(**(SMALL | overrides))).eval()

    def run(self, model: LxmertPreTrainedModel, inputs: dict[str, Any]) -> torch.Tensor:
        with torch.no_grad():
            return model(**inputs)[self.main_output]

    def loss(self, model: LxmertPreTrainedModel, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """The model's own loss, or for a model without one a sum of its outputs, squared lest it be constant."""
        output = model(**inputs, **self.labels)
        return output.loss if self.labels else sum((output[name] ** 2 + output[name].sin()).sum() for name in output)

    @pytest.mark.parametrize("implementation", ["eager", "sdpa"])
    def test_more_padding_changes_nothing(self, implementation: str) -> None:
        model = self.make(attn_implementation=implementation)
        inputs = self.padded_batch()
        padded = {
            "input_ids": pad(inputs["input_ids"], (0, 4), value=17),
            "attention_mask": pad(inputs["attention_mask"], (0, 4)),
            # what stands in a padded region must not matter
            "visual_feats": pad(inputs["visual_feats"], (0, 0, 0, 3), value=9.0),
            "visual_pos": pad(inputs["visual_pos"], (0, 0, 0, 3), value=0.3),
            "visual_attention_mask": pad(inputs["visual_attention_mask"], (0, 3)),
        }
        expected, got = self.run(model, inputs), self.run(model, padded)
        torch.testing.assert_close(self._without_padding(got, expected), expected, atol=1e-5, rtol=1e-5)

    @staticmethod
    def _without_padding(got: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
        return got[:, : expected.shape[1]]

    def test_each_example_gets_what_it_gets_alone(self) -> None:
        model = self.make()
        inputs = self.padded_batch()
        together = self.run(model, inputs)
        for i in range(3):
            alone = self.run(model, {name: tensor[i : i + 1] for name, tensor in inputs.items()})
            torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-5)

    def test_eager_and_sdpa_agree(self) -> None:
        model = self.make(attn_implementation="eager")
        inputs = self.padded_batch()
        eager = self.run(model, inputs)
        model.set_attn_implementation("sdpa")
        torch.testing.assert_close(self.run(model, inputs), eager, atol=1e-5, rtol=1e-5)

    def test_flex_attention_agrees(self) -> None:
        model = self.make(attn_implementation="eager", hidden_size=64)  # flex attention wants heads of at least 16
        inputs = self.padded_batch()
        eager = self.run(model, inputs)
        model.set_attn_implementation("flex_attention")
        torch.testing.assert_close(self.run(model, inputs), eager, atol=1e-4, rtol=1e-4)

    def test_save_and_load(self, tmp_path: Path) -> None:
        model, inputs = self.make(), self.padded_batch()
        model.save_pretrained(tmp_path)
        assert [file.suffix for file in tmp_path.iterdir() if "model" in file.name] == [".safetensors"]
        loaded, report = self.model_class.from_pretrained(tmp_path, output_loading_info=True)
        assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
        assert torch.equal(self.run(loaded, inputs), self.run(model, inputs))

    def test_bfloat16_is_close_to_float32(self) -> None:
        model, inputs = self.make(), self.padded_batch()
        expected = self.run(model, inputs)
        half = {name: t.bfloat16() if t.is_floating_point() else t for name, t in inputs.items()}
        got = self.run(model.bfloat16(), half)
        assert got.dtype == torch.bfloat16
        assert torch.equal(self.run(model, inputs), got), "float32 features, as the processor gives them, are taken too"
        torch.testing.assert_close(got.float(), expected, atol=0.05, rtol=0.05)

    def test_every_parameter_that_should_learn_gets_a_gradient(self) -> None:
        self.check_what_learns(self.make())

    def check_what_learns(self, model: LxmertPreTrainedModel) -> None:
        types = {"token_type_ids": torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1]] * 3)}  # row 0 never learns
        self.loss(model, self.padded_batch() | types).backward()
        without = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
        expected = model.parameters_without_gradient()
        assert len(expected) == len(set(expected))
        # a bias of the keys shifts all scores of a row alike, and softmax cancels it: its gradient is rounding
        assert sorted(name for name in without if not name.endswith("key.bias")) == sorted(
            name for name in expected if not name.endswith("key.bias")
        )

    def test_gradient_checkpointing_changes_nothing(self) -> None:
        model, inputs = self.make(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train(), self.batch()
        checkpointed = copy.deepcopy(model)
        checkpointed.gradient_checkpointing_enable()
        assert checkpointed.is_gradient_checkpointing
        losses = []
        for each in (model, checkpointed):
            losses.append(self.loss(each, inputs))
            losses[-1].backward()
        assert torch.equal(losses[0], losses[1])
        for name, parameter in model.named_parameters():
            other = checkpointed.get_parameter(name).grad
            assert (parameter.grad is None) == (other is None), name
            if other is not None:
                torch.testing.assert_close(other, parameter.grad, atol=1e-6, rtol=1e-6)

    def test_compiles_into_one_graph(self) -> None:
        torch._dynamo.reset()
        model, inputs = self.make(attn_implementation="sdpa"), self.padded_batch() | self.labels
        expected = self.run(model, inputs)
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        torch.testing.assert_close(self.run(compiled, inputs), expected, atol=1e-6, rtol=1e-6)

    def test_tuples_hold_the_same_tensors(self) -> None:
        model = self.make(attn_implementation="eager")
        wanted = self.batch() | self.labels | {"output_attentions": True, "output_hidden_states": True}
        with torch.no_grad():
            output, values = model(**wanted), model(**wanted, return_dict=False)
        assert isinstance(values, tuple)
        assert len(values) == len(output)
        for value, expected in zip(values, output.to_tuple(), strict=True):
            torch.testing.assert_close(value, expected, atol=0, rtol=0)

    def test_an_unknown_keyword_is_named(self) -> None:
        with pytest.raises(TypeError, match=r"unknown keyword `visual_feat` \(did you mean `visual_feats`\?\)"):
            self.make()(**self.batch(), visual_feat=1)
