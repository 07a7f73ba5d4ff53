"""`LxmertModel`: from wordpieces and regions to the three outputs of section 2.3."""

import inspect
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, initialization
from transformers.utils import logging

from lxmert.configuration import LxmertConfig
from lxmert.configuration.plain_errors import unknown_keywords_message
from lxmert.modeling_lxmert.attention import attention_masks
from lxmert.modeling_lxmert.checks import check_encoded, check_pairs, check_regions, check_words
from lxmert.modeling_lxmert.embeddings import LxmertEmbeddings
from lxmert.modeling_lxmert.encoders import CrossModalityLayerOutput, EncoderStates, LxmertEncoder
from lxmert.modeling_lxmert.heads import LxmertLMPredictionHead
from lxmert.modeling_lxmert.outputs import LxmertModelOutput
from lxmert.modeling_lxmert.sequences import Sequences, pair

logger = logging.get_logger(__name__)


class LxmertPooler(nn.Module):
    """The cross-modality output: tanh of a projection of [CLS] (section 2.3)."""

    def __init__(self, config: LxmertConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = nn.Tanh()

    def forward(self, language_output: torch.Tensor) -> torch.Tensor:
        """(B, T, H) to (B, H)."""
        return self.activation(self.dense(language_output[:, 0]))


class LxmertPreTrainedModel(PreTrainedModel):
    """What all LXMERT models share: loading, saving, initial weights, and a `TypeError` for unknown keywords."""

    config: LxmertConfig
    config_class = LxmertConfig
    base_model_prefix = "lxmert"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _no_split_modules = ["LxmertEmbeddings", "LxmertVisualFeatureEncoder", "LxmertLayer", "LxmertXLayer"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    # The losses are means over the batch; Trainer then divides by the number of accumulation steps.
    accepts_loss_kwargs = False
    _forward_keywords: frozenset[str] = frozenset()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._forward_keywords = frozenset(inspect.signature(cls.forward).parameters) - {"self"}

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, LxmertLMPredictionHead):  # its bias is no layer of its own
            initialization.zeros_(module.bias)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model; an unknown keyword is named together with the nearest known one."""
        unknown = [name for name in kwargs if name not in self._forward_keywords]
        if unknown:
            message = unknown_keywords_message(type(self).__name__, unknown, self._forward_keywords)
            raise TypeError(f"{message}; it takes {', '.join(sorted(self._forward_keywords))}.")
        return super().__call__(*args, **kwargs)

    def parameters_without_gradient(self) -> list[str]:
        """Names of the parameters that no output used by this class's loss depends on; they cannot learn."""
        return []

    def parameters_unread(self, words: bool, regions: bool) -> list[str]:
        """Names of the encoders' parameters that reach nothing when only `words`, or only `regions`, are read.

        In the last cross-modality layer, self-attention and feed-forward of the side that is not read lead nowhere;
        without such layers, that side's whole encoder does.
        """
        last = f"encoder.x_layers.{self.config.x_layers - 1}."
        prefixes: list[str] = []
        if not regions:
            branch = ("visn_self_att", "visn_inter", "visn_output")
            prefixes += [last + part for part in branch] if self.config.x_layers else ["encoder.visn_fc", "encoder.r_"]
        if not words:
            branch = ("lang_self_att", "lang_inter", "lang_output")
            prefixes += [last + part for part in branch] if self.config.x_layers else ["embeddings", "encoder.layer."]
        starts = tuple(f"{self.base_model_prefix}.{prefix}" for prefix in prefixes)
        return [name for name, _ in self.named_parameters() if name.startswith(starts)]


class LxmertModel(LxmertPreTrainedModel):
    """Language, object-relationship and cross-modality encoder with the pooler, without a head.

    Example:
        >>> from lxmert import LxmertConfig
        >>> config = LxmertConfig(hidden_size=32, num_attention_heads=2, intermediate_size=64, visual_feat_dim=8)
        >>> model = LxmertModel(config).eval()
        >>> words, features, boxes = torch.tensor([[101, 2054, 102]]), torch.zeros(1, 5, 8), torch.zeros(1, 5, 4)
        >>> model(words, features, boxes).pooled_output.shape
        torch.Size([1, 32])
    """

    def __init__(self, config: LxmertConfig):
        super().__init__(config)
        self.embeddings = LxmertEmbeddings(config)
        self.encoder = LxmertEncoder(config)
        self.pooler = LxmertPooler(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """The word embeddings."""
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the word embeddings."""
        self.embeddings.word_embeddings = value

    def encode_text(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """States of the language encoder alone, (B, T, H); `forward` takes them as `encoded_text`.

        Args and errors as in `forward`.
        """
        check_words(self.config, input_ids, inputs_embeds, attention_mask, token_type_ids)
        words = Sequences.of(self.embeddings(input_ids, token_type_ids, inputs_embeds), attention_mask, False)
        return self.encoder.language(words.states, attention_masks(self.config, words, None)).last

    def encode_regions(
        self,
        visual_feats: torch.Tensor,
        visual_pos: torch.Tensor,
        visual_attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """States of the object-relationship encoder alone, (B, R, H); `forward` takes them as `encoded_regions`.

        Args and errors as in `forward`.
        """
        check_regions(self.config, visual_feats, visual_pos, visual_attention_mask)
        regions = Sequences.of(self.encoder.visn_fc(visual_feats, visual_pos), visual_attention_mask, False)
        return self.encoder.object_relationship(regions.states, attention_masks(self.config, None, regions)).last

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        visual_feats: torch.Tensor | None = None,
        visual_pos: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        visual_attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        encoded_text: torch.Tensor | None = None,
        encoded_regions: torch.Tensor | None = None,
        pooled_only: bool = False,
        text_indices: torch.Tensor | None = None,
        image_indices: torch.Tensor | None = None,
        skip_padding: bool = False,
        word_count: int | None = None,
        region_count: int | None = None,
    ) -> LxmertModelOutput | tuple:
        """Run the encoders on B pairs of T wordpieces and R regions.

        Args:
            input_ids: (B, T), wordpiece ids.
            visual_feats: (B, R, visual_feat_dim), the regions' features.
            visual_pos: (B, R, visual_pos_dim), the regions' boxes x1, y1, x2, y2 divided by the image's size.
            attention_mask: (B, T), 1 for words, 0 for padding; holes are allowed. All ones if left out.
            visual_attention_mask: (B, R), 1 for regions, 0 for padding. All ones if left out.
            token_type_ids: (B, T); zeros if left out.
            inputs_embeds: (B, T, H), word embeddings instead of `input_ids`.
            output_attentions: return all attention maps. Computed step by step (eager), whatever the attention
                implementation, for this call only.
            output_hidden_states: return the states after every layer.
            return_dict: False returns a tuple without the fields that are None.
            encoded_text: (B, T, H) or (1, T, H) from `encode_text`, instead of `input_ids`.
            encoded_regions: (B, R, H) or (1, R, H) from `encode_regions`, instead of `visual_feats` and
                `visual_pos`. The masks still count.
            pooled_only: return the pooled output without the states of words and regions, of which the last
                cross-modality layer then computes only what leads to it, and nothing of padding.
            text_indices: (B,), for each pair the row of its sentence, where words are those of C sentences.
            image_indices: (B,), for each pair the row of its image, where regions are those of I images; each image is
                encoded once for all its sentences.
            skip_padding: leave padded words out, which `language_output` then gives as zeros.
            word_count: the number of words that are no padding, or more; [CLS] counts always. Without it padding is
                left out on CPU only, and never in a compiled model: elsewhere counting would wait for the device. Fewer
                are an error, which only a CPU sees. Flash kernels, where they get packed words, let [CLS] be seen.
            region_count: likewise of regions, which are left out with `pooled_only`.

        A batch of 1 on either side is paired with every item of the other: one image serves many questions. Neither
        `pooled_only` nor `skip_padding` has an effect where hidden states or attention maps are asked for.

        Raises:
            TypeError: an unknown keyword.
            ValueError: shapes that do not fit the configuration or each other, too many tokens, zero regions; on CPU
                also features that are not finite, boxes outside [0, 1] and ids outside the vocabulary.
        """
        config = self.config
        output_attentions = config.output_attentions if output_attentions is None else output_attentions
        output_hidden_states = config.output_hidden_states if output_hidden_states is None else output_hidden_states
        return_dict = config.return_dict if return_dict is None else return_dict

        whole = output_attentions or output_hidden_states
        pooled_only, skip_padding = pooled_only and not whole, (pooled_only or skip_padding) and not whole

        words = Sequences.of(
            self._embed_or_take_text(input_ids, inputs_embeds, attention_mask, token_type_ids, encoded_text),
            attention_mask,
            skip_padding,
            word_count,
            keep_first=True,
        )
        regions = Sequences.of(
            self._embed_or_take_regions(visual_feats, visual_pos, visual_attention_mask, encoded_regions),
            visual_attention_mask,
            pooled_only,
            region_count,
        )
        pairs = check_pairs(words.shape[0], regions.shape[0], text_indices, image_indices)
        if whole:  # hidden states and maps of every pair
            words, regions, _ = pair(words, regions, pairs, text_indices, image_indices, False, False)
            text_indices = image_indices = None
        implementation = self._implementation(output_attentions)
        language = vision = None
        if encoded_text is None:
            language = self.encoder.language(words.states, attention_masks(config, words, None, implementation))
            words = words._replace(states=language.last)
        if encoded_regions is None:
            masks = attention_masks(config, None, regions, implementation)
            vision = self.encoder.object_relationship(regions.states, masks)
            regions = regions._replace(states=vision.last)
        words, regions, origin = pair(words, regions, pairs, text_indices, image_indices, skip_padding, pooled_only)
        masks = attention_masks(config, words, regions, implementation)
        cross = self.encoder.cross_modality(words.states, regions.states, masks, pooled_only, origin)

        if cross:
            words = words._replace(states=cross[-1].words)
        if cross and cross[-1].regions is not None:
            regions = regions._replace(states=cross[-1].regions)
        cls = words.states if cross and pooled_only else words.first  # (B, 1, H)
        output = LxmertModelOutput(
            language_output=None if pooled_only else words.padded,
            vision_output=None if pooled_only else regions.padded,
            pooled_output=self.pooler(cls),
            **(_hidden_states(language, vision, cross) if output_hidden_states else {}),
            **(_attention_maps(language, vision, cross) if output_attentions else {}),
        )
        return output if return_dict else output.to_tuple()

    def _embed_or_take_text(
        self,
        input_ids: torch.Tensor | None,
        inputs_embeds: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
        token_type_ids: torch.Tensor | None,
        encoded_text: torch.Tensor | None,
    ) -> torch.Tensor:
        if encoded_text is None:
            check_words(self.config, input_ids, inputs_embeds, attention_mask, token_type_ids)
            return self.embeddings(input_ids, token_type_ids, inputs_embeds)
        if input_ids is not None or inputs_embeds is not None:
            raise ValueError("Give either encoded_text or input_ids (or inputs_embeds), got both.")
        check_encoded("encoded_text", encoded_text, "attention_mask", attention_mask, self.config.hidden_size)
        return encoded_text

    def _embed_or_take_regions(
        self,
        visual_feats: torch.Tensor | None,
        visual_pos: torch.Tensor | None,
        visual_attention_mask: torch.Tensor | None,
        encoded_regions: torch.Tensor | None,
    ) -> torch.Tensor:
        if encoded_regions is None:
            check_regions(self.config, visual_feats, visual_pos, visual_attention_mask)
            return self.encoder.visn_fc(visual_feats, visual_pos)
        if visual_feats is not None or visual_pos is not None:
            raise ValueError("Give either encoded_regions or visual_feats with visual_pos, got both.")
        check_encoded(
            "encoded_regions", encoded_regions, "visual_attention_mask", visual_attention_mask, self.config.hidden_size
        )
        return encoded_regions

    def _implementation(self, output_attentions: bool) -> str | None:
        """The attention implementation of this call, None for the configuration's."""
        chosen = self.config._attn_implementation
        if not output_attentions or chosen in (None, "eager"):
            return None
        if not torch.compiler.is_compiling():
            logger.warning_once(
                f"Attention maps do not come out of {chosen!r} attention: calls that ask for them run eager."
            )
        return "eager"


def _hidden_states(
    language: EncoderStates | None, vision: EncoderStates | None, cross: list[CrossModalityLayerOutput]
) -> dict[str, tuple[torch.Tensor, ...]]:
    return {
        "language_hidden_states": (*(language.hidden_states if language else ()), *(layer.words for layer in cross)),
        "vision_hidden_states": (*(vision.hidden_states if vision else ()), *(layer.regions for layer in cross)),
    }


def _attention_maps(
    language: EncoderStates | None, vision: EncoderStates | None, cross: list[CrossModalityLayerOutput]
) -> dict[str, Any]:
    return {
        "language_attentions": tuple(language.attentions) if language else None,
        "vision_attentions": tuple(vision.attentions) if vision else None,
        "cross_encoder_attentions": tuple(layer.words_to_regions for layer in cross),
        "cross_encoder_vision_attentions": tuple(layer.regions_to_words for layer in cross),
        "cross_encoder_language_self_attentions": tuple(layer.words_to_words for layer in cross),
        "cross_encoder_vision_self_attentions": tuple(layer.regions_to_regions for layer in cross),
    }
