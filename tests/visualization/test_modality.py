"""Withholding the image or the question, in every way."""

import numpy as np
import pytest
import torch

from lxmert import LxmertForQuestionAnswering
from lxmert.visualization.modality import ModalityAblation, Withholding, ablate_modalities, withhold
from tests.conftest import make_batch, make_masks
from tests.visualization.test_perturbation import toy_batch
from tests.visualization.toy_model import ANSWERS, toy_model


def test_a_model_that_needs_both() -> None:
    model = toy_model()
    found = ablate_modalities(model, [toy_batch()], progress=False)
    assert found.pairs == 4
    assert found.row("nothing").accuracy == found.row("nothing").unchanged == 1
    # the key word is half of the answer, the region the other half: guessing half of it is right at best in one of two
    for withheld in ("image", "question"):
        for way in ("removed", "zeroed", "swapped"):
            assert found.row(withheld, way).accuracy <= 0.5, (withheld, way)
            assert found.row(withheld, way).probability < found.row("nothing").probability, (withheld, way)
    # pairs in order: yes plus, yes minus, no plus, no minus; the image of the pair before is always another value
    assert found.row("image", "swapped").accuracy == 0
    assert found.row("question", "swapped").accuracy == 0.5
    shares = found.shapley()
    total = found.row("nothing").accuracy - found.row("both", "removed").accuracy
    assert sum(shares.values()) == pytest.approx(total)
    assert min(shares.values()) > 0.2


def test_the_table_has_every_way() -> None:
    table = ablate_modalities(toy_model(), [toy_batch()], ways=["mean"], progress=False).table()
    assert list(zip(table["withheld"], table["way"], strict=True)) == [
        *(("nothing", ""), ("both", "removed"), ("image", "removed"), ("question", "removed")),
        *(("image", "mean"), ("question", "mean")),
    ]
    assert list(table.columns) == ["withheld", "way", "accuracy", "unchanged", "probability"]


def test_shapley_values_of_two_players_by_hand() -> None:
    accuracies = {
        ("nothing", ""): 0.9,
        ("both", "removed"): 0.3,
        ("image", "removed"): 0.5,
        ("question", "removed"): 0.4,
    }
    found = ModalityAblation(tuple(Withholding(*case, value, 0, 0) for case, value in accuracies.items()), 10)
    # image: ((0.9 - 0.5) + (0.4 - 0.3)) / 2
    assert found.shapley() == {"image": pytest.approx(0.25), "question": pytest.approx(0.35)}
    with pytest.raises(KeyError, match="'image' withheld in the way 'swapped'"):
        found.row("image", "swapped")


def test_each_way_by_hand(small_model: LxmertForQuestionAnswering) -> None:
    inputs = make_batch() | make_masks()
    words, regions = inputs["attention_mask"].bool(), inputs["visual_attention_mask"].bool()

    zeroed = withhold(small_model, inputs, "image", "zeroed")
    assert not zeroed["visual_feats"][regions].any()
    torch.testing.assert_close(zeroed["visual_pos"], inputs["visual_pos"])
    mean = withhold(small_model, inputs, "image", "mean")["visual_feats"]
    torch.testing.assert_close(mean[regions], inputs["visual_feats"][regions].mean(0).expand(regions.sum(), -1))

    embedded = small_model.get_input_embeddings()(inputs["input_ids"])
    zeroed = withhold(small_model, inputs, "question", "zeroed")
    assert "input_ids" not in zeroed
    between = words.clone()
    between[:, 0] = False
    between[0, 8] = between[1, 3] = between[2, 8] = False  # [SEP]
    assert not zeroed["inputs_embeds"][between].any()
    torch.testing.assert_close(zeroed["inputs_embeds"][:, 0], embedded[:, 0])
    mean = withhold(small_model, inputs, "question", "mean")["inputs_embeds"]
    torch.testing.assert_close(mean[between], embedded[between].mean(0).expand(between.sum(), -1))

    swapped = withhold(small_model, inputs, "image", "swapped")
    for name in ("visual_feats", "visual_pos", "visual_attention_mask"):
        torch.testing.assert_close(swapped[name], inputs[name][[2, 0, 1]])
    torch.testing.assert_close(swapped["input_ids"], inputs["input_ids"])
    swapped = withhold(small_model, inputs, "question", "swapped")
    for name in ("input_ids", "attention_mask"):
        torch.testing.assert_close(swapped[name], inputs[name][[2, 0, 1]])
    torch.testing.assert_close(swapped["visual_feats"], inputs["visual_feats"])


def test_scores_of_all_answers_are_figures_too() -> None:
    found = ablate_modalities(toy_model(), [toy_batch() | {"labels": 0.6 * torch.eye(4)}], progress=False)
    assert found.row("nothing").accuracy == pytest.approx(0.6)
    own = toy_model()(**{name: value for name, value in toy_batch().items() if name != "labels"}).logits.softmax(-1)
    assert found.row("nothing").probability == pytest.approx(own.max(-1).values.mean().item(), abs=1e-6)
    assert len(ANSWERS) == 4


def test_means_are_over_all_pairs(small_model: LxmertForQuestionAnswering) -> None:
    first, second = make_batch(seed=1), make_batch(seed=2, batch=2)
    apart = [ablate_modalities(small_model, [batch], ["removed"], progress=False) for batch in (first, second)]
    both = ablate_modalities(small_model, [first, second], ["removed"], progress=False)
    assert both.pairs == 5
    expected = (3 * apart[0].row("image", "removed").probability + 2 * apart[1].row("image", "removed").probability) / 5
    assert both.row("image", "removed").probability == pytest.approx(expected)
    assert np.isfinite(both.row("both", "removed").probability)


def test_what_is_refused(small_model: LxmertForQuestionAnswering) -> None:
    with pytest.raises(TypeError, match="got str: put a single batch into a list"):
        ablate_modalities(small_model, make_batch(), progress=False)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="batches is empty"):
        ablate_modalities(small_model, [], progress=False)
    with pytest.raises(ValueError, match="ways must be some of removed, zeroed, mean, swapped, got"):
        ablate_modalities(small_model, [make_batch()], ["blurred"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="A batch of one pair has no other to swap with"):
        ablate_modalities(small_model, [make_batch(batch=1)], progress=False)
    small_model.forward = None  # type: ignore[assignment]  # said before the first batch runs
    with pytest.raises(ValueError, match="A batch of one pair has no other to swap with"):
        ablate_modalities(small_model, [make_batch(), make_batch(batch=1)], progress=False)
    with pytest.raises(ValueError, match='withheld in the way "removed" only'):
        withhold(small_model, make_batch(), "both", "mean")
