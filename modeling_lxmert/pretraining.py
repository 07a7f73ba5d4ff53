"""`LxmertForPreTraining`: the paper's five pre-training tasks (section 3.1), and grounding."""

from typing import Any

import torch
from torch import nn
from transformers import initialization

from lxmert.configuration import LxmertConfig
from lxmert.modeling_lxmert.answers import LxmertAnswering
from lxmert.modeling_lxmert.checks import (
    VisualLabels,
    check_pretraining_labels,
    check_visual_labels,
)
from lxmert.modeling_lxmert.grounding import LxmertGroundingHead
from lxmert.modeling_lxmert.heads import LxmertPreTrainingHeads, LxmertVisualAnswerHead, LxmertVisualObjHead
from lxmert.modeling_lxmert.losses import (
    counting_loss,
    cross_modality_matching_loss,
    detected_label_loss,
    feature_regression_loss,
    grounding_loss,
    masked_language_modelling_loss,
    pairs_right_and_judged,
    question_answering_loss,
    right_and_judged,
)
from lxmert.modeling_lxmert.model import LxmertModel
from lxmert.modeling_lxmert.outputs import LxmertForPreTrainingOutput, LxmertModelOutput
from lxmert.modeling_lxmert.packing import marked_positions
from lxmert.modeling_lxmert.pretraining_targets import (
    PretrainingTargets,
    at_labels,
    labels_are_hidden,
    labels_of_pairs,
)

Tensors = dict[str, torch.Tensor]
Parts = dict[str, tuple[torch.Tensor, torch.Tensor | None]]  # by task: loss, right and judged
# The order in which the original adds them up, then ours.
TASKS = ("mask_lm", "matched", "obj", "attr", "feat", "qa", "grounding", "count")


class LxmertForPreTraining(LxmertAnswering):
    """LXMERT with the heads of all pre-training tasks that its configuration switches on.

    | task | configuration | labels | part of `losses` |
    |---|---|---|---|
    | masked cross-modality language modelling | `task_mask_lm` | `labels` | `mask_lm` |
    | cross-modality matching | `task_matched` | `matched_label` | `matched` |
    | classification of detected objects | `task_obj_predict`, `visual_obj_loss` | `obj_labels["obj"]` | `obj` |
    | classification of detected attributes | `task_obj_predict`, `visual_attr_loss` | `obj_labels["attr"]` | `attr` |
    | RoI-feature regression | `task_obj_predict`, `visual_feat_loss` | `obj_labels["feat"]` | `feat` |
    | image question answering | `task_qa` | `ans` | `qa` |
    | which regions a word means | `task_grounding` | `grounding_labels` | `grounding` |
    | how many regions a word means | `task_grounding` | `count_labels` | `count` |

    The last two are not the paper's, and off by default; see `LxmertGroundingHead`.

    Example:
        >>> config = LxmertConfig(hidden_size=32, num_attention_heads=2, intermediate_size=64, visual_feat_dim=8)
        >>> model = LxmertForPreTraining(config).eval()
        >>> words, features, boxes = torch.tensor([[101, 103, 102]]), torch.zeros(1, 5, 8), torch.zeros(1, 5, 4)
        >>> output = model(words, features, boxes, labels=torch.tensor([[-100, 2054, -100]]), ans=torch.tensor([-1]))
        >>> list(output.losses), output.losses["qa"].item()  # no question has a label
        (['mask_lm', 'qa'], 0.0)
    """

    _tied_weights_keys = {"cls.predictions.decoder.weight": "lxmert.embeddings.word_embeddings.weight"}

    def __init__(self, config: LxmertConfig):
        super().__init__(config)
        self.lxmert = LxmertModel(config)
        self.cls = LxmertPreTrainingHeads(config)
        if config.task_obj_predict:
            self.obj_predict_head = LxmertVisualObjHead(config)
        if config.task_qa:
            self.answer_head = LxmertVisualAnswerHead(config, self.num_qa_labels)
        if config.task_grounding:
            self.grounding_head = LxmertGroundingHead(config)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, LxmertGroundingHead):  # its bias is no layer of its own
            initialization.zeros_(module.bias)

    def get_output_embeddings(self) -> nn.Linear:
        """The decoder of masked wordpieces, tied to the word embeddings."""
        return self.cls.predictions.decoder

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Replace the decoder of masked wordpieces."""
        self.cls.predictions.decoder = new_embeddings

    def resize_token_embeddings(self, *arguments: Any, **keywords: Any) -> nn.Embedding:
        """As in transformers; the bias of the masked wordpieces keeps its values, dtype and device, new ones are 0."""
        embeddings = super().resize_token_embeddings(*arguments, **keywords)
        old = self.cls.predictions.bias
        if old.numel() != embeddings.num_embeddings:
            kept = min(old.numel(), embeddings.num_embeddings)
            bias = old.new_zeros(embeddings.num_embeddings)
            bias[:kept] = old.data[:kept]
            self.cls.predictions.bias = nn.Parameter(bias)
        return embeddings

    def parameters_without_gradient(self) -> list[str]:
        """Heads of tasks that are switched off, and what no task that is on reads."""
        config = self.config
        regions = config.task_obj_predict and any(
            (config.visual_obj_loss, config.visual_attr_loss, config.visual_feat_loss)
        )
        pooled = config.task_matched or config.task_qa
        if not (config.task_mask_lm or pooled or regions or config.task_grounding):
            return [name for name, _ in self.named_parameters()]
        heads = {
            "cls.predictions.": config.task_mask_lm,
            "cls.seq_relationship.": config.task_matched,
            "lxmert.pooler.": pooled,
            "obj_predict_head.": regions,
        }
        off = tuple(prefix for prefix, on in heads.items() if not on)
        unused = [name for name, _ in self.named_parameters() if name.startswith(off)]
        words = config.task_mask_lm or pooled or config.task_grounding
        return unused + self.parameters_unread(words=words, regions=regions or config.task_grounding)

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        visual_feats: torch.Tensor | None = None,
        visual_pos: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        visual_attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        obj_labels: VisualLabels | None = None,
        matched_label: torch.Tensor | None = None,
        ans: torch.Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        encoded_text: torch.Tensor | None = None,
        encoded_regions: torch.Tensor | None = None,
        return_logits: bool = True,
        loss_counts: Tensors | None = None,
        grounding_labels: torch.Tensor | None = None,
        count_labels: torch.Tensor | None = None,
        image_indices: torch.Tensor | None = None,
        word_count: int | None = None,
        region_count: int | None = None,
        labelled_word_count: int | None = None,
        masked_region_count: int | None = None,
    ) -> LxmertForPreTrainingOutput | tuple:
        """Predict what was masked; encoder arguments and errors as in `LxmertModel.forward`.

        Labels of a task that is switched off are ignored, and so are targets of -100 or -1. A task without any
        label in the batch gives 0 with a finite gradient.

        Args:
            labels: (B, T), wordpiece ids at masked words.
            obj_labels: by task, labels and weights of B x R regions. `obj`, `attr`: class ids (B, R) and the detector's
                confidences (B, R). `feat`: features before masking (B, R, visual_feat_dim) and 1 for masked regions
                (B, R).
            matched_label: (B,), 1 where the sentence belongs to the image, 0 where not.
            ans: (B,) class ids of answers, or (B, num_qa_labels) scores in [0, 1].
            return_logits: False leaves out padded words, computes the vocabulary's logits at the labelled words and
                features at the masked regions only, and returns neither them nor what is predicted about regions,
                pairs and counts. Labels of padded words count on CPU only.
            loss_counts: divide the losses' sums instead of the batch's own counts; see `losses.loss_counts`.
            grounding_labels: (B, T, R) of any integer type, 1 where the phrase of a word means a region, 0 where not.
            count_labels: (B, T), class ids of how many regions the phrase of a word means.
            image_indices: (B,), see `LxmertModel.forward`; `obj_labels` then has one row for each of the I images.
            word_count, region_count: see `LxmertModel.forward`.
            labelled_word_count: the number of words with a label, or more; found on CPU without it.
            masked_region_count: likewise of masked regions, those of an image once for each of its sentences.

        Raises:
            TypeError: labels of the wrong type.
            ValueError: labels of another shape, out of range, or of an unknown visual task; "masked" label regions
                without the mask of `obj_labels["feat"]`.
        """
        return_dict = self.config.return_dict if return_dict is None else return_dict
        skip_padding = not (return_logits or labels_are_hidden(attention_mask, labels, grounding_labels, count_labels))
        encoded = self.lxmert(
            input_ids=input_ids,
            visual_feats=visual_feats,
            visual_pos=visual_pos,
            attention_mask=attention_mask,
            visual_attention_mask=visual_attention_mask,
            token_type_ids=token_type_ids,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            encoded_text=encoded_text,
            encoded_regions=encoded_regions,
            image_indices=image_indices,
            skip_padding=skip_padding,
            word_count=word_count,
            region_count=region_count,
        )
        assert encoded.vision_output is not None
        assert encoded.pooled_output is not None
        if image_indices is not None and obj_labels is not None:
            images = next(len(given) for given in (visual_feats, encoded_regions) if given is not None)
            check_visual_labels(self.config, obj_labels, (images, encoded.vision_output.shape[1]))
            obj_labels = labels_of_pairs(obj_labels, image_indices)
        given = (labels, obj_labels, matched_label, ans, grounding_labels, count_labels)
        check_pretraining_labels(self.config, encoded, *given)
        targets = PretrainingTargets(*given, loss_counts or {}, labelled_word_count, masked_region_count)
        parts: Parts = {}
        logits = self._predict_words(encoded, targets, parts, return_logits)
        matching, answers = self._judge_pairs(encoded.pooled_output, targets, parts)
        predictions = self._predict_regions(encoded, targets, parts, return_logits)
        pairs, numbers = self._ground_words(encoded, targets, parts, return_logits)

        loss = losses = correct = None
        if any(label is not None for label in given):
            losses = {name: parts[name][0] for name in TASKS if name in parts}
            correct = {name: right for name in TASKS if name in parts and (right := parts[name][1]) is not None}
            loss = sum(losses.values(), start=encoded.pooled_output.new_zeros((), dtype=torch.float32))
        output = LxmertForPreTrainingOutput(
            loss=loss,
            prediction_logits=logits,
            cross_relationship_score=matching,
            question_answering_score=answers,
            **encoded.states_and_maps(),
            losses=losses,
            correct=correct,
            visual_predictions=predictions,
            grounding_logits=pairs,
            count_logits=numbers,
        )
        return output if return_dict else output.to_tuple()

    def _predict_words(
        self, encoded: LxmertModelOutput, targets: PretrainingTargets, parts: Parts, return_logits: bool
    ) -> torch.Tensor | None:
        states, labels = encoded.language_output, targets.labels
        assert states is not None
        if labels is None or not self.config.task_mask_lm:
            return self.cls.predictions(states) if return_logits else None
        if not return_logits:
            states, labels = at_labels(states, labels, targets.labelled_word_count)
        logits = self.cls.predictions(states)
        loss = masked_language_modelling_loss(logits, labels, targets.counts.get("mask_lm"))
        parts["mask_lm"] = loss, right_and_judged(logits, labels)
        return logits if return_logits else None

    def _judge_pairs(
        self, pooled: torch.Tensor, targets: PretrainingTargets, parts: Parts
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Scores of matching (B, 2) and of the answers (B, num_qa_labels)."""
        matching = self.cls.seq_relationship(pooled)
        matched = targets.matched_label
        if matched is not None and self.config.task_matched:
            loss = cross_modality_matching_loss(matching, matched, targets.counts.get("matched"))
            parts["matched"] = loss, right_and_judged(matching, matched)
        if not self.config.task_qa:
            return matching, None
        answers = self.answer_head(pooled)
        if targets.ans is not None:
            loss = question_answering_loss(answers, targets.ans, targets.counts.get("qa"))
            one_each = not targets.ans.is_floating_point()
            parts["qa"] = loss, right_and_judged(answers, targets.ans) if one_each else None
        return matching, answers

    def _predict_regions(
        self, encoded: LxmertModelOutput, targets: PretrainingTargets, parts: Parts, return_logits: bool
    ) -> Tensors | None:
        obj_labels, count = targets.obj_labels or {}, targets.counts.get("regions")
        if not self.config.task_obj_predict or not (return_logits or obj_labels):
            return None
        states = encoded.vision_output
        assert states is not None
        _, masked = obj_labels.get("feat", (None, None))  # (B, R, D), (B, R)
        masks: dict[str, Any] = dict.fromkeys(self.obj_predict_head.decoder_dict, masked)
        rows = None if return_logits or masked is None else marked_positions(masked, targets.masked_region_count)
        if rows is None:
            predictions = self.obj_predict_head(states)
        else:
            assert masked is not None
            count = torch.tensor(masked.numel(), device=masked.device) if count is None else count
            there = masks.keys() if self.config.visual_label_regions == "masked" else masks.keys() & {"feat"}
            everywhere = masks.keys() - there
            predictions = self.obj_predict_head(states, everywhere) if everywhere else {}
            predictions |= self.obj_predict_head(rows.take(states), there)
            # What is predicted at n masked regions only has n labels, and 0 where a row only fills up.
            obj_labels = {
                name: (rows.take(labels), rows.take(weights)) if name in there else (labels, weights)
                for name, (labels, weights) in obj_labels.items()
            }
            masks |= dict.fromkeys(there, rows.take(masked) * rows.real)
        normalizer = self.config.visual_loss_normalizer
        for name in ("obj", "attr"):
            if name in predictions and name in obj_labels:
                classes, weights = obj_labels[name]  # (B, R) each, or (n,)
                if self.config.visual_label_regions == "masked" and masks[name] is not None:  # checked above
                    weights = masks[name]
                loss = normalizer * detected_label_loss(predictions[name], classes, weights, count)
                parts[name] = loss, right_and_judged(predictions[name], classes, masks[name])
        if "feat" in predictions and "feat" in obj_labels:
            distance, features = self.config.visual_feat_distance, obj_labels["feat"][0]
            loss = feature_regression_loss(predictions["feat"], features, masks["feat"], distance, count)
            parts["feat"] = normalizer * loss, None
        return predictions if return_logits else None

    def _ground_words(
        self, encoded: LxmertModelOutput, targets: PretrainingTargets, parts: Parts, return_logits: bool
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Logits of grounding (B, T, R) and of counts (B, T, num_count_labels)."""
        grounding, count = targets.grounding_labels, targets.count_labels
        if not self.config.task_grounding or not (return_logits or grounding is not None or count is not None):
            return None, None
        pairs, numbers = self.grounding_head(encoded.language_output, encoded.vision_output)
        if grounding is not None:
            loss = grounding_loss(pairs, grounding, targets.counts.get("grounding"))
            parts["grounding"] = self.config.grounding_loss_weight * loss, pairs_right_and_judged(pairs, grounding)
        if count is not None:
            loss = counting_loss(numbers, count, targets.counts.get("count"))
            parts["count"] = self.config.count_loss_weight * loss, right_and_judged(numbers, count)
        return (pairs, numbers) if return_logits else (None, None)
