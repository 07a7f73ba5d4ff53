"""transformers' own tests of every model, run on our models and, side by side, on the LXMERT that transformers ships.

They are part of transformers' source distribution, not of its wheel: `fetch_transformers_source.sh` gets them. Nothing
of them is kept here. This file describes a small LXMERT to them, replaces the tests that know one stream of states
only, and lists what cannot pass.
"""

import importlib
import importlib.metadata
import itertools
import math
import os
import sys
import types
import unittest
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import pytest
import torch
import transformers
from torch import nn

import lxmert

if "TRANSFORMERS_SOURCE" not in os.environ:
    pytest.skip(
        "TRANSFORMERS_SOURCE names no unpacked source distribution of transformers: run `make common-tests`",
        allow_module_level=True,
    )
SOURCE = Path(os.environ["TRANSFORMERS_SOURCE"]).resolve()

# transformers' tests import each other relatively; a package name of our own keeps them apart from our `tests`.
PACKAGE = "transformers_common_tests"

# What fails, by test and with the reason; each entry is marked as a strict expected failure. A test that the built-in
# models pass is never listed for ours.
BUILT_IN_FAILURES = {
    "test_call_overrides_configuration": (
        "the built-in encoder collects maps where the configuration asks for them although the call declined them, and "
        "raises an IndexError"
    ),
}

# What a configuration of any model takes, each value unlike the default.
COMMON_CONFIG_VALUES: dict[str, Any] = {
    "architectures": ["SomeModel"],
    "chunk_size_feed_forward": 3,
    "dtype": "float16",
    "id2label": {0: "red", 1: "green", 2: "blue"},
    "is_encoder_decoder": True,
    "label2id": {"red": 0, "green": 1, "blue": 2},
    "output_attentions": True,
    "output_hidden_states": True,
    "problem_type": "regression",
    "return_dict": False,
}


def load_common_tests() -> tuple[types.ModuleType, types.ModuleType]:
    """transformers' test files for models and for configurations, as modules.

    Raises:
        FileNotFoundError: the folder holds no such files.
        RuntimeError: they belong to another version than the installed one.
    """
    for name in ("test_modeling_common.py", "test_configuration_common.py"):
        if not (SOURCE / "tests" / name).is_file():
            raise FileNotFoundError(f"TRANSFORMERS_SOURCE={SOURCE} has no tests/{name}: run `make common-tests`.")
    version = importlib.metadata.Distribution.at(SOURCE).version
    if version != transformers.__version__:
        raise RuntimeError(f"TRANSFORMERS_SOURCE holds {version}, installed is {transformers.__version__}.")

    package = types.ModuleType(PACKAGE)
    package.__path__ = [str(SOURCE / "tests")]
    sys.modules[PACKAGE] = package
    # The source distribution of 5.23 lacks these three files. The two mixins would add tests of exporting and of
    # `generate`; the last file holds values to build a configuration from.
    stand_in("exporters.test_export", ExportTesterMixin=type("ExportTesterMixin", (), {}))
    stand_in("generation.test_utils", GenerationTesterMixin=type("GenerationTesterMixin", (), {}))
    stand_in("utils.test_configuration_utils", config_common_kwargs=COMMON_CONFIG_VALUES)
    # `--strict-markers` would refuse transformers' own marks. The file for configurations loads transformers by way of
    # `tests/__init__.py`, which is missing as well.
    with (
        mock.patch.object(pytest, "mark", pytest.MarkGenerator(_ispytest=True)),
        mock.patch("transformers.utils.direct_transformers_import", return_value=transformers),
    ):
        return (
            importlib.import_module(f"{PACKAGE}.test_modeling_common"),
            importlib.import_module(f"{PACKAGE}.test_configuration_common"),
        )


def stand_in(name: str, **content: Any) -> None:
    """Put a module with `content` where transformers' tests look for their module `name`, if that is missing."""
    name = f"{PACKAGE}.{name}"
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith(PACKAGE):
            raise
        module = types.ModuleType(name)
        vars(module).update(content)
        sys.modules[name] = module


common, configuration_common = load_common_tests()
torch_device: str = common.torch_device

REQUESTS = ("output_hidden_states", "output_attentions")


class LxmertModelTester:
    """Describes a small LXMERT to the common tests: its configuration and a batch of questions with regions.

    Numbers of words, regions and layers differ from each other wherever the limit of two layers allows it, so that
    no assertion on shapes holds by chance.
    """

    batch_size = 7
    seq_length = 9
    num_regions = 6
    l_layers = 2
    r_layers = 1
    x_layers = 2
    num_hidden_layers = 2
    hidden_size = 32
    num_attention_heads = 4
    vocab_size = 99
    num_qa_labels = 5
    num_object_labels = 11
    num_attr_labels = 7
    visual_feat_dim = 24
    is_training = True

    def __init__(self, config_class: type[transformers.PreTrainedConfig], images: int = 1):
        self.config_class = config_class
        self.images = images  # for each sentence

    @property
    def num_rows(self) -> int:
        """How many pairs of a sentence and an image run through the encoders."""
        return self.batch_size * self.images

    def get_config(self) -> transformers.PreTrainedConfig:
        """A configuration with all sizes small."""
        return self.config_class(
            vocab_size=self.vocab_size,
            hidden_size=self.hidden_size,
            num_attention_heads=self.num_attention_heads,
            intermediate_size=40,
            max_position_embeddings=20,
            num_qa_labels=self.num_qa_labels,
            num_object_labels=self.num_object_labels,
            num_attr_labels=self.num_attr_labels,
            l_layers=self.l_layers,
            r_layers=self.r_layers,
            x_layers=self.x_layers,
            visual_feat_dim=self.visual_feat_dim,
        )

    def prepare_config_and_inputs_for_common(self) -> tuple[transformers.PreTrainedConfig, dict[str, torch.Tensor]]:
        """A configuration and the inputs of all models; every second item is padded on both sides."""
        words, regions = (self.batch_size, self.seq_length), (self.batch_size, self.num_regions)
        if self.images > 1:
            regions = (self.batch_size, self.images, self.num_regions)
        attention_mask = torch.ones(words, dtype=torch.long)
        attention_mask[::2, -3:] = 0
        visual_attention_mask = torch.ones(regions, dtype=torch.long)
        visual_attention_mask[::2, ..., -2:] = 0
        inputs = {
            "input_ids": torch.randint(1, self.vocab_size, words),
            "visual_feats": torch.rand(*regions, self.visual_feat_dim),
            "visual_pos": torch.rand(*regions, 4),
            "attention_mask": attention_mask,
            "visual_attention_mask": visual_attention_mask,
            "token_type_ids": torch.randint(0, 2, words),
        }
        return self.get_config(), {name: tensor.to(torch_device) for name, tensor in inputs.items()}

    def class_ids(self, classes: int, *lengths: int) -> torch.Tensor:
        """Labels (B, *lengths) that go through all classes."""
        shape = (self.batch_size, *lengths)
        return (torch.arange(math.prod(shape), device=torch_device) % classes).reshape(shape)

    def pretraining_labels(self) -> dict[str, Any]:
        """Labels of all pre-training tasks."""
        regions = (self.batch_size, self.num_regions)
        generator = torch.Generator().manual_seed(0)
        weights = torch.rand(*regions, generator=generator).to(torch_device)
        features = torch.rand(*regions, self.visual_feat_dim, generator=generator).to(torch_device)
        return {
            "labels": self.class_ids(self.vocab_size, self.seq_length),
            "obj_labels": {
                "obj": (self.class_ids(self.num_object_labels, self.num_regions), weights),
                "attr": (self.class_ids(self.num_attr_labels, self.num_regions), weights),
                "feat": (features, weights.round()),
            },
            "matched_label": self.class_ids(2),
            "ans": self.class_ids(self.num_qa_labels),
        }


class AttentionCall:
    """One call of an attention layer: what it was asked, for the map to be worked out again."""

    def __init__(self, layer: nn.Module, queries: torch.Tensor, keys: torch.Tensor):
        self.layer, self.queries, self.keys = layer, queries, keys

    def map(self, heads: int, key_mask: torch.Tensor) -> torch.Tensor:
        """softmax(Q K^T / sqrt(H / heads)) over the keys that `key_mask` (B, K) allows: (B, heads, Q, K)."""
        query, key = (
            linear(states).unflatten(-1, (heads, -1)).transpose(1, 2)
            for linear, states in ((self.layer.query, self.queries), (self.layer.key, self.keys))
        )
        scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
        return scores.masked_fill(key_mask[:, None, None] == 0, -torch.inf).softmax(-1)


@contextmanager
def recorded(
    base: nn.Module,
) -> Iterator[tuple[dict[str, list[AttentionCall]], dict[str, list[torch.Tensor]]]]:
    """Record what passes through the layers of a base model, by the output field it belongs to."""
    calls: dict[str, list[AttentionCall]] = {}
    states: dict[str, list[torch.Tensor]] = {"language_hidden_states": [], "vision_hidden_states": []}
    hooks = []

    def record_call(*fields: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        # A layer that serves several fields is called for one after the other.
        turn = itertools.cycle(fields)

        def hook(layer: nn.Module, arguments: tuple[Any, ...]) -> None:
            calls.setdefault(next(turn), []).append(AttentionCall(layer, *arguments[:2]))

        return hook

    def record_states(*fields: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(layer: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
            for field, tensor in zip(fields, output, strict=False):
                states[field].append(tensor)

        return hook

    encoder = base.encoder
    for layers, stream in ((encoder.layer, "language"), (encoder.r_layers, "vision")):
        for layer in layers:
            hooks.append(layer.attention.self.register_forward_pre_hook(record_call(f"{stream}_attentions")))
            hooks.append(layer.register_forward_hook(record_states(f"{stream}_hidden_states")))
    for layer in encoder.x_layers:
        both = record_call("cross_encoder_attentions", "cross_encoder_vision_attentions")
        hooks.append(layer.visual_attention.att.register_forward_pre_hook(both))
        for stream, sub_layer in (("language", layer.lang_self_att), ("vision", layer.visn_self_att)):
            hook = record_call(f"cross_encoder_{stream}_self_attentions")
            hooks.append(sub_layer.self.register_forward_pre_hook(hook))
        hooks.append(layer.register_forward_hook(record_states("language_hidden_states", "vision_hidden_states")))
    try:
        yield calls, states
    finally:
        for handle in hooks:
            handle.remove()


def transformers_fields(outputs: Mapping[str, Any]) -> list[str]:
    """The names of an output's fields, without what our pre-training has behind those of transformers."""
    return [name for name in outputs if name not in ("losses", "correct", "visual_predictions")]


class LxmertCommonTests(common.ModelTesterMixin):
    """transformers' tests of models and configurations, for a family of LXMERT classes."""

    config_class: ClassVar[type[transformers.PreTrainedConfig]]
    images: ClassVar[int] = 1
    # Attention maps of an output with the rows' and the keys' stream.
    maps: ClassVar[dict[str, tuple[str, str]]] = {
        "language_attentions": ("words", "words"),
        "vision_attentions": ("regions", "regions"),
        "cross_encoder_attentions": ("words", "regions"),
    }
    additional_model_inputs = ["visual_feats", "visual_pos", "visual_attention_mask", "token_type_ids"]
    test_can_init_all_missing_weights_before_2023 = True
    # The last regions of LXMERT reach no answer; `test_parameters_without_gradient` says which parameters that are.
    test_all_params_have_gradient = False

    def setUp(self) -> None:
        torch.manual_seed(0)
        self.model_tester = LxmertModelTester(self.config_class, self.images)
        self.config_tester = configuration_common.ConfigTester(
            self, config_class=self.config_class, hidden_size=36, num_attention_heads=4, l_layers=3
        )

    def _prepare_for_class(
        self, inputs_dict: dict[str, Any], model_class: type[transformers.PreTrainedModel], return_labels: bool = False
    ) -> dict[str, Any]:
        inputs = super()._prepare_for_class(inputs_dict, model_class)
        if return_labels and model_class in (
            lxmert.LxmertForVisualReasoning,
            lxmert.LxmertForImageAndTextRetrieval,
        ):
            inputs["labels"] = self.model_tester.class_ids(2)
        if return_labels and model_class.__name__ == "LxmertForQuestionAnswering":
            inputs["labels"] = self.model_tester.class_ids(self.model_tester.num_qa_labels)
        if return_labels and model_class.__name__ == "LxmertForPreTraining":
            inputs |= self.model_tester.pretraining_labels()
        return inputs

    def _built(self, model_class: type[transformers.PreTrainedModel], **settings: bool) -> transformers.PreTrainedModel:
        config = self.model_tester.get_config()
        for name, value in settings.items():
            setattr(config, name, value)
        return model_class._from_config(config, attn_implementation="eager").to(torch_device).eval()

    def _inputs(self, model_class: type[transformers.PreTrainedModel]) -> dict[str, torch.Tensor]:
        return self._prepare_for_class(self.model_tester.prepare_config_and_inputs_for_common()[1], model_class)

    def test_attention_outputs(self) -> None:
        """Every map is the softmax of its layer's scores, whether asked for by the call or by the configuration."""
        tester = self.model_tester
        layers = {"language_attentions": tester.l_layers, "vision_attentions": tester.r_layers}
        lengths = {"words": tester.seq_length, "regions": tester.num_regions}
        for model_class in self.all_model_classes:
            inputs = self._inputs(model_class)
            masks = {
                "words": inputs["attention_mask"].repeat_interleave(self.images, dim=0),
                "regions": inputs["visual_attention_mask"].reshape(tester.num_rows, -1),
            }
            by_config = self._built(model_class, output_attentions=True)
            for model, arguments in ((self._built(model_class), {"output_attentions": True}), (by_config, {})):
                with torch.no_grad(), recorded(model.base_model) as (calls, _):
                    outputs = model(**inputs, **arguments)
                assert transformers_fields(outputs)[-len(self.maps) :] == list(self.maps)
                for field, (queries, keys) in self.maps.items():
                    assert len(outputs[field]) == layers.get(field, tester.x_layers)
                    for found, call in zip(outputs[field], calls[field], strict=True):
                        size = (tester.num_rows, tester.num_attention_heads, lengths[queries], lengths[keys])
                        assert found.shape == size
                        assert found[masks[keys][:, None, None].expand_as(found) == 0].abs().max() == 0
                        torch.testing.assert_close(found.sum(-1), torch.ones(size[:-1], device=torch_device))
                        expected = call.map(tester.num_attention_heads, masks[keys])
                        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
                with torch.no_grad():
                    both = model(**inputs, **arguments, output_hidden_states=True)
                assert len(both) == len(outputs) + 2
                assert transformers_fields(both)[-len(self.maps) :] == list(self.maps)
            assert not set(self.maps) & set(self._built(model_class)(**inputs))

    def test_cross_attention_starts_from_the_states_that_enter_the_layer(self) -> None:
        """Neither direction of a cross-attention sees what the other has just made."""
        tester = self.model_tester
        for model_class in self.all_model_classes:
            model = self._built(model_class)
            with torch.no_grad(), recorded(model.base_model) as (calls, states):
                model(**self._inputs(model_class), output_hidden_states=True)  # heads leave out what they do not read
            words = states["language_hidden_states"][tester.l_layers - 1 : -1]
            regions = states["vision_hidden_states"][tester.r_layers - 1 : -1]
            for field, queries, keys in (
                ("cross_encoder_attentions", words, regions),
                ("cross_encoder_vision_attentions", regions, words),
            ):
                for call, query, key in zip(calls[field], queries, keys, strict=True):
                    torch.testing.assert_close(call.queries, query, atol=0, rtol=0)
                    torch.testing.assert_close(call.keys, key, atol=0, rtol=0)

    def test_hidden_states_output(self) -> None:
        """Hidden states are what the layers gave, single-modality layers first; the outputs rest on the last ones."""
        tester = self.model_tester
        expected = {
            "language_hidden_states": (tester.l_layers + tester.x_layers, tester.seq_length),
            "vision_hidden_states": (tester.r_layers + tester.x_layers, tester.num_regions),
        }
        for model_class in self.all_model_classes:
            inputs = self._inputs(model_class)
            by_config = self._built(model_class, output_hidden_states=True)
            for model, arguments in ((self._built(model_class), {"output_hidden_states": True}), (by_config, {})):
                with torch.no_grad(), recorded(model.base_model) as (_, states):
                    outputs = model(**inputs, **arguments)
                for field, (number, length) in expected.items():
                    assert len(outputs[field]) == number
                    for found, state in zip(outputs[field], states[field], strict=True):
                        assert found.shape == (tester.num_rows, length, tester.hidden_size)
                        torch.testing.assert_close(found, state, atol=0, rtol=0)
                words, regions = (outputs[field][-1] for field in expected)
                with torch.no_grad():
                    pooled = model.base_model.pooler(words)
                    if "pooled_output" in outputs:
                        torch.testing.assert_close(outputs.language_output, words, atol=0, rtol=0)
                        torch.testing.assert_close(outputs.vision_output, regions, atol=0, rtol=0)
                        torch.testing.assert_close(outputs.pooled_output, pooled)
                    elif "question_answering_score" in outputs:
                        torch.testing.assert_close(outputs.question_answering_score, model.answer_head(pooled))
                    elif self.images > 1:
                        side_by_side = pooled.reshape(tester.batch_size, -1)
                        torch.testing.assert_close(outputs.logits, model.answer_head(side_by_side))
                    else:
                        torch.testing.assert_close(outputs.logits, model.cls(pooled))
            assert not set(expected) & set(self._built(model_class)(**inputs))

    def test_call_overrides_configuration(self) -> None:
        """A call may decline the hidden states and maps that the configuration asks for."""
        names = {"language_hidden_states", "vision_hidden_states", *self.maps}
        for model_class in self.all_model_classes:
            model, inputs = self._built(model_class, **dict.fromkeys(REQUESTS, True)), self._inputs(model_class)
            with torch.no_grad():
                assert names <= set(model(**inputs))
                assert not names & set(model(**inputs, **dict.fromkeys(REQUESTS, False)))

    def test_retain_grad_hidden_states_attentions(self) -> None:
        """States and maps lie on the path from the input to the first output, as far as LXMERT's wiring leads there."""
        for model_class in self.all_model_classes:
            model = self._built(model_class, **dict.fromkeys(REQUESTS, True))
            outputs = model(**self._inputs(model_class))
            kept = {name: outputs[name] for name in ("language_hidden_states", "vision_hidden_states", *self.maps)}
            for tensor in (tensor for tensors in kept.values() for tensor in tensors):
                tensor.retain_grad()
            outputs[0].flatten()[1].backward()  # logit 0 is that of padding, whose embedding starts at 0
            for name, tensors in kept.items():
                # Words read the regions that enter the last cross-modality layer, not those that leave it.
                unread = name in (
                    "vision_hidden_states",
                    "cross_encoder_vision_attentions",
                    "cross_encoder_vision_self_attentions",
                )
                for tensor in tensors[:-1] if unread else tensors:
                    assert tensor.grad is not None, name
                    assert tensor.grad.abs().max() > 0, name
                if unread:
                    assert tensors[-1].grad is None, name

    def test_parameters_without_gradient(self) -> None:
        """The loss of an answer reaches every parameter but the regions' half of the last cross-modality layer.

        Those of pre-training together reach all.
        """
        for model_class in self.all_model_classes:
            inputs = self._prepare_for_class(self._inputs(model_class), model_class, return_labels=True)
            if "labels" not in inputs:
                continue
            model = self._built(model_class).train()
            model(**inputs).loss.backward()
            found = {name for name, parameter in model.named_parameters() if parameter.grad is None}
            last = f"lxmert.encoder.x_layers.{self.model_tester.x_layers - 1}.visn_"
            reads_regions = "obj_labels" in inputs
            assert found == {name for name in model.state_dict() if name.startswith(last) and not reads_regions}
            assert len(found) == (0 if reads_regions else 16)
            if hasattr(model, "parameters_without_gradient"):
                assert found == set(model.parameters_without_gradient())


def add_configuration_tests(cls: type[LxmertCommonTests]) -> None:
    """Give the class one test for each check of transformers' `ConfigTester`, named after it."""

    def test_of(check: str) -> Callable[[LxmertCommonTests], None]:
        return lambda self: getattr(self.config_tester, check)()

    for check in vars(configuration_common.ConfigTester):
        if check.startswith(("create_and_test_", "check_")):
            setattr(cls, f"test_{check}", test_of(check))


def expect_failures(cls: type[LxmertCommonTests], failures: dict[str, str]) -> None:
    """Mark tests of the class as expected, strictly, to fail for the given reasons."""
    for name, reason in failures.items():
        setattr(cls, name, pytest.mark.xfail(reason=reason, strict=True)(getattr(cls, name)))


add_configuration_tests(LxmertCommonTests)


class TestOurModels(LxmertCommonTests, unittest.TestCase):
    config_class = lxmert.LxmertConfig
    all_model_classes = (
        lxmert.LxmertModel,
        lxmert.LxmertForQuestionAnswering,
        lxmert.LxmertForPreTraining,
        lxmert.LxmertForImageAndTextRetrieval,
    )
    maps: ClassVar[dict[str, tuple[str, str]]] = LxmertCommonTests.maps | {
        "cross_encoder_vision_attentions": ("regions", "words"),
        "cross_encoder_language_self_attentions": ("words", "words"),
        "cross_encoder_vision_self_attentions": ("regions", "regions"),
    }


class TestOurModelOfPairs(LxmertCommonTests, unittest.TestCase):
    config_class = lxmert.LxmertConfig
    images = 2
    all_model_classes = (lxmert.LxmertForVisualReasoning,)
    maps = TestOurModels.maps


class TestBuiltInModels(LxmertCommonTests, unittest.TestCase):
    config_class = transformers.LxmertConfig
    all_model_classes = (
        transformers.LxmertModel,
        transformers.LxmertForQuestionAnswering,
        transformers.LxmertForPreTraining,
    )


expect_failures(TestBuiltInModels, BUILT_IN_FAILURES)
