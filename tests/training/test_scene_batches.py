"""Batches of scenes, against the processor, against slow loops, and against the grammar's own truth."""

import dataclasses
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from transformers import BertTokenizer

from lxmert import LxmertProcessor
from lxmert.processing import train_wordpiece_tokenizer
from lxmert.scenes import (
    COLOURS,
    NOTHING,
    SHAPES,
    SIZES,
    SLOTS,
    Samples,
    Scenes,
    concatenate,
    draw_samples,
    given_samples,
    pools,
    random_scattered,
    random_towers,
    read_sentences,
)
from lxmert.scenes.grammar import nlvr_grammar
from lxmert.scenes.parsing import evaluate
from lxmert.scenes.words import split_words
from lxmert.training.masking import ORIGINAL_CODE
from lxmert.training.nlvr import BOX_OFFSETS, scene_regions
from lxmert.training.nlvr import COLOURS as CODES
from lxmert.training.scene_batches import Augmentation, SceneBatches, label_features
from lxmert.training.task import Batch
from tests.scenes.conftest import examples
from tests.scenes.notation import scattered, scenes_of

TOWER_TEXTS = [
    "There is a tower with a black block above a blue block.",
    "there are at least two towers with a yellow top",
    "there is a box with a yellow item on top and a blue item right beneath it",
    "there is a tower with blocks of the same color",
]
SCATTERED_TEXTS = [
    "There is a box with a yellow circle touching the right wall.",
    "there are two blue triangles touching the left edge",
    "there is a black square touching the bottom right corner of a box",
    "there is a box with 3 items of which two are yellow",
    "there are at most three circles",
    "there is a box with only black triangles",
]
NOTHING_VARIED = Augmentation(boxes=False, mirror=False, colours=False, shapes=False)
GIVEN = "Yellow black circles, a triangle on the right"
DRAWS = 96


@cache
def scene_tokenizer() -> BertTokenizer:
    """It knows all words that are exchanged."""
    texts = [*TOWER_TEXTS, *SCATTERED_TEXTS, GIVEN, "circles triangles triangle circle left right there is"]
    return train_wordpiece_tokenizer(texts * 3, model_max_length=40)


@cache
def drawn_samples() -> Samples:
    """Sentences with scenes, and what their phrases mean."""
    generator = np.random.default_rng(0)
    towers = examples(TOWER_TEXTS, random_towers(40, generator))
    others = examples(SCATTERED_TEXTS, random_scattered(40, generator))
    texts, scenes, labels = zip(towers, others, strict=True)
    read = read_sentences([*texts[0], *texts[1]], concatenate(scenes), np.concatenate(labels), progress=False)
    assert len(read) == len(TOWER_TEXTS) + len(SCATTERED_TEXTS)
    return draw_samples(read, pools(None, None, 800, seed=0), sentences=40, for_each=4, seed=0, progress=False)


def one_sample(text: str = GIVEN, scene: str = "ys10@0,90 bc20@30,40 | kt30@70,0 | ") -> Samples:
    return given_samples([text], scenes_of(scene), [True])


def only(name: str) -> Augmentation:
    return dataclasses.replace(NOTHING_VARIED, **{name: True})


def make(samples: Samples, seed: int = 0, rows: object = None, **arguments: object) -> Batch:
    batches = SceneBatches(samples, scene_tokenizer(), **arguments)  # type: ignore[arg-type]
    return batches.batch(np.arange(len(samples)) if rows is None else rows, np.random.default_rng(seed))  # type: ignore[arg-type]


def plain_and_varied(samples: Samples, augmentation: Augmentation, **arguments: object) -> tuple[Batch, Batch]:
    """The first sample many times."""
    rows = np.zeros(DRAWS, int)
    varied = make(samples, rows=rows, augmentation=augmentation, **arguments)
    return make(samples, rows=rows, **arguments), varied


def words_of(row: torch.Tensor) -> str:
    return scene_tokenizer().decode(row, skip_special_tokens=True)


def changed(plain: Batch, varied: Batch) -> set[str]:
    assert plain.keys() == varied.keys()
    return {name for name in plain if not torch.equal(plain[name], varied[name])}


def test_features_of_every_kind_are_those_of_scene_regions() -> None:
    for shape, shape_name in enumerate(SHAPES):
        for colour, code in enumerate(CODES.values()):
            for size, pixels in enumerate(SIZES):
                item = {"x_loc": 0, "y_loc": 0, "type": shape_name, "color": code, "size": pixels}
                regions = scene_regions("one", [[item], [], []])
                assert np.array_equal(label_features()[(shape * 3 + colour) * 3 + size], regions.features[0])
    assert np.array_equal(label_features()[27], regions.features[1]), "a box"


def test_unvaried_batches_are_the_processors() -> None:
    texts = [GIVEN, "There is a yellow circle touching the left edge."]
    scenes = scenes_of("ys10@0,90 bc20@30,40 | kt30@70,0 | ", "k - y")
    expected = LxmertProcessor(scene_tokenizer())(
        text=texts, regions=[scene_regions(f"scene {row}", scenes.structured(row)) for row in range(2)]
    )
    for augmentation in (None, NOTHING_VARIED):
        batch = make(given_samples(texts, scenes, [True, False]), augmentation=augmentation)
        for name in ("input_ids", "attention_mask", "visual_attention_mask", "visual_feats"):
            assert torch.equal(batch[name], expected[name]), name
            assert batch[name].dtype == expected[name].dtype, name
        torch.testing.assert_close(batch["visual_pos"], expected["visual_pos"], rtol=0, atol=1e-7)
        assert batch["ans"].tolist() == [1, 0]
        assert not (batch["grounding_labels"] != -100).any(), "what given sentences' phrases mean is not known"
        assert not (batch["count_labels"] != -100).any()


def test_boxes_stand_in_every_order() -> None:
    plain, varied = plain_and_varied(one_sample(), only("boxes"))
    assert changed(plain, varied) == {"visual_pos"}
    box = torch.tensor([0, 0, 0, 1, 1, 2])
    moved = (varied["visual_pos"] - plain["visual_pos"]) * torch.tensor([400, 100, 400, 100])  # (B, R, 4)
    offsets = moved.round()[..., ::2] + torch.tensor(BOX_OFFSETS)[box][:, None]
    assert torch.equal(offsets[..., 0], offsets[..., 1])
    torch.testing.assert_close(moved, moved.round(), rtol=0, atol=1e-3)
    assert not moved.round()[..., 1::2].any()
    orders = {tuple(row) for row in offsets[:, [0, 3, 5], 0].int().tolist()}
    assert orders == {(0, 150, 300), (0, 300, 150), (150, 0, 300), (150, 300, 0), (300, 0, 150), (300, 150, 0)}
    assert torch.equal(offsets[:, 0], offsets[:, 1]), "objects of one box stay together"


def test_left_and_right_are_swapped_in_scene_and_sentence() -> None:
    plain, varied = plain_and_varied(one_sample(), only("mirror"))
    assert changed(plain, varied) == {"visual_pos", "input_ids"}
    words, left = [words_of(row) for row in varied["input_ids"]], (varied["visual_pos"][..., 0] * 400).round()
    wide = ((varied["visual_pos"][..., 2] - varied["visual_pos"][..., 0]) * 400).round()
    assert (wide == torch.tensor([10, 20, 100, 30, 100, 100])).all()
    assert torch.equal(varied["visual_pos"][..., 1::2], plain["visual_pos"][..., 1::2])
    sides = {text: x.tolist() for text, x in zip(words, left, strict=True)}
    assert sides == {
        "yellow black circles, a triangle on the right": [0, 30, 0, 220, 150, 300],
        "yellow black circles, a triangle on the left": [90, 50, 0, 150, 150, 300],
    }
    assert len({(text, *x.tolist()) for text, x in zip(words, left, strict=True)}) == 2, "both at once or neither"


def test_right_that_is_no_side_is_not_mirrored() -> None:
    for text in ("a yellow circle right above a black item", "a black block Right on top of a block on the right"):
        plain, varied = plain_and_varied(one_sample(text), only("mirror"))
        assert not changed(plain, varied), text


def test_colours_are_exchanged_in_scene_and_sentence() -> None:
    plain, varied = plain_and_varied(one_sample("Yellow, blue, black right circle."), only("colours"))
    assert changed(plain, varied) == {"visual_feats", "input_ids"}
    fixed = [0, 1, 2, 3, 7, 8, 9]
    assert torch.equal(varied["visual_feats"][..., fixed], plain["visual_feats"][..., fixed])
    seen = set()
    for row in range(DRAWS):
        colours = [COLOURS[i] for i in varied["visual_feats"][row, [0, 1, 3], 4:7].argmax(-1)]  # yellow, blue, black
        assert words_of(varied["input_ids"][row]) == f"{colours[0]}, {colours[1]}, {colours[2]} right circle."
        assert not varied["visual_feats"][row, [2, 4, 5], 4:7].any(), "boxes have no colour"
        seen.add(tuple(colours))
    assert len(seen) == 6


def test_circles_and_triangles_are_swapped_in_scene_and_sentence() -> None:
    plain, varied = plain_and_varied(one_sample("Circle, triangles, square, circles, triangle."), only("shapes"))
    assert changed(plain, varied) == {"visual_feats", "input_ids"}
    fixed = [0, *range(3, 10)]
    assert torch.equal(varied["visual_feats"][..., fixed], plain["visual_feats"][..., fixed])
    pairs = {
        (words_of(ids), *feats[:, :4].argmax(-1).tolist())
        for ids, feats in zip(varied["input_ids"], varied["visual_feats"], strict=True)
    }
    assert pairs == {
        ("circle, triangles, square, circles, triangle.", 0, 1, 3, 2, 3, 3),
        ("triangle, circles, square, triangles, circle.", 0, 2, 3, 1, 3, 3),
    }


def test_a_sentence_with_a_slip_only_has_its_boxes_moved() -> None:
    plain, varied = plain_and_varied(one_sample("a yelow circle on the right"), Augmentation())
    assert changed(plain, varied) == {"visual_pos"}
    boxes = (varied["visual_pos"][:, 0, 0] * 400).round()
    assert set(boxes.tolist()) == {0, 150, 300}, "the first object stays at its box's left wall"


def own_features(count: int, width: int = 10) -> np.ndarray:
    return (np.arange(count * 27 * width).reshape(count, 27, width) / 64).astype(np.float16)


def test_scenes_with_features_of_their_own() -> None:
    scenes = scenes_of("ys10@0,90 bc20@30,40 | kt30@70,0 | ", "ys10@0,90 | bt20@0,0 | ")
    samples = given_samples([GIVEN] * 2, scenes, [True, False])
    own = own_features(2)
    batch = make(samples, own_features=own, own_scenes=np.array([True, False]))
    assert torch.equal(batch["visual_feats"][0], torch.from_numpy(own[0, [0, 1, 8, 9, 17, 26]]).float())
    assert torch.equal(batch["visual_feats"][1], make(samples)["visual_feats"][1])
    assert not batch["visual_feats"][1, 5].any(), "padding"


def test_scenes_with_features_of_their_own_keep_colours_and_shapes() -> None:
    own = {"own_features": own_features(1), "own_scenes": np.array([True])}
    plain, varied = plain_and_varied(one_sample(), Augmentation(), **own)
    assert changed(plain, varied) == {"visual_pos", "input_ids"}
    assert {words_of(row) for row in varied["input_ids"]} == {
        "yellow black circles, a triangle on the right",
        "yellow black circles, a triangle on the left",
    }


def test_shapes_of_any_size_as_pictures_may_show_them() -> None:
    """Sizes become the nearest that NLVR has; boxes end at the wall."""
    samples = one_sample(scene="kt60@90,80 kt04@0,0 yc16@30,30 yc14@50,50 | | ")
    plain, varied = plain_and_varied(samples, only("mirror"))
    assert plain["visual_feats"][0, :4, 7:].argmax(-1).tolist() == [2, 0, 1, 0]
    assert plain["visual_feats"][0, :4, 1:3].argmax(-1).tolist() == [1, 1, 0, 0]
    corners = plain["visual_pos"][0, 0] * torch.tensor([400, 100, 400, 100])
    torch.testing.assert_close(corners, torch.tensor([90.0, 80, 100, 100]))
    assert varied["visual_pos"].min() >= 0
    assert varied["visual_pos"].max() <= 1
    assert set((varied["visual_pos"][:, 0, 2] * 400).round().tolist()) == {10, 100}


def test_labels_of_phrases_against_a_slow_loop() -> None:
    samples = drawn_samples()
    batch = make(samples, augmentation=Augmentation(), counts=3)
    tokens = batch["input_ids"].shape[1]
    for row in range(0, len(samples), 5):
        sentence, scene = samples.sentence[row], samples.scene[row]
        encoded = scene_tokenizer()(samples.texts[sentence], return_offsets_mapping=True)
        starts = [start for start, end in encoded["offset_mapping"]]
        places = [
            place for place in range(27) if place % 9 == 8 or samples.scenes.present[scene, place // 9, place % 9]
        ]
        grounding = np.full((tokens, batch["visual_feats"].shape[1]), -100)
        counts = np.full(tokens, -100)
        for phrase, begins in enumerate(samples.places[sentence]):
            if begins < 0:
                continue
            word, of_boxes, number = starts.index(begins, 1), samples.of_boxes[sentence, phrase], 0
            for region, place in enumerate(places):
                meant = int(samples.regions[row, phrase]) >> place & 1
                if place % 9 == 8 or not of_boxes:
                    grounding[word, region] = meant
                if (place % 9 == 8) == of_boxes:
                    number += meant
            counts[word] = min(number, 2)
        assert batch["grounding_labels"][row].tolist() == grounding.tolist()
        assert batch["count_labels"][row].tolist() == counts.tolist()
    assert set(batch["count_labels"].unique().tolist()) == {-100, 0, 1, 2}
    assert batch["ans"].tolist() == samples.truth.tolist()


def rebuilt(batch: Batch, row: int) -> tuple[Scenes, list[tuple[int, int]]]:
    """The scene that a row of a batch shows, and the box and slot of each region, slot 8 for the box itself."""
    arrays = {name: np.full((1, 3, SLOTS), NOTHING, np.int16) for name in ("shape", "colour", "size", "x", "y")}
    count = int(batch["visual_attention_mask"][row].sum())
    features = batch["visual_feats"][row, :count].numpy()
    corners = (batch["visual_pos"][row, :count].numpy() * [400, 100, 400, 100]).round().astype(int)
    places: list[tuple[int, int]] = []
    box = slot = 0
    for region in range(count):
        if features[region, 3]:
            for back in range(slot):
                arrays["x"][0, box, back] -= corners[region, 0]
            places.append((box, SLOTS))
            box, slot = box + 1, 0
            continue
        x1, y1, x2, y2 = corners[region]
        assert x2 - x1 == y2 - y1 == SIZES[features[region, 7:].argmax()]
        values = features[region, :3].argmax(), features[region, 4:7].argmax(), x2 - x1, x1, y1
        for name, value in zip(arrays, values, strict=True):
            arrays[name][0, box, slot] = value
        places.append((box, slot))
        slot += 1
    assert box == 3
    return Scenes(**arrays), places


def labelled(batch: Batch, row: int) -> dict[int, list[int]]:
    """By position of a word, the labels of the regions."""
    words = scene_tokenizer().convert_ids_to_tokens(batch["input_ids"][row])
    position, found = -1, {}
    count = int(batch["visual_attention_mask"][row].sum())
    for index, word in enumerate(words):
        position += word.isalnum() and word not in ("[PAD]", "[CLS]", "[SEP]")
        if (batch["grounding_labels"][row, index] >= 0).any():
            found[position] = batch["grounding_labels"][row, index, :count].tolist()
    return found


@pytest.mark.parametrize(
    "augmentation", [None, *map(only, ("boxes", "mirror", "colours", "shapes")), Augmentation()], ids=str
)
def test_the_changed_sentence_is_as_true_of_the_changed_scene(augmentation: Augmentation | None) -> None:
    """One of its readings has the original truth, and its phrases mean the regions that the labels say."""
    samples = drawn_samples()
    batch = make(samples, seed=1, augmentation=augmentation)
    assert not batch["visual_pos"][batch["visual_attention_mask"] == 0].any(), "padding is nowhere"
    for row in range(len(samples)):
        scene, places = rebuilt(batch, row)
        text = words_of(batch["input_ids"][row])
        wanted, original = labelled(batch, row), samples.texts[samples.sentence[row]]
        fits = []
        for tree in nlvr_grammar().parse(split_words(text)):
            truth, meant = evaluate(tree, scene)
            said = {}
            for position, mask in meant.items():
                if mask.ndim == 2:
                    said[position] = [int(mask[0, box]) if slot == SLOTS else -100 for box, slot in places]
                else:
                    said[position] = [
                        int(mask[0, box].any() if slot == SLOTS else mask[0, box, slot]) for box, slot in places
                    ]
            fits.append(bool(np.all(truth)) == batch["ans"][row] and said == wanted)
        assert any(fits), f"{original} became {text}"


def test_every_sample_comes_once_and_lengths_stay_together() -> None:
    samples = drawn_samples()
    batches = SceneBatches(samples, scene_tokenizer())
    order = batches.order(8, np.random.default_rng(0))
    assert sorted(np.concatenate(order)) == list(range(len(samples)))
    assert sorted(map(len, order))[1:] == [8] * (len(order) - 1)
    assert len(order) <= 32, "one part, which is sorted"
    by_length = sorted((min(found), max(found)) for found in (batches.regions[samples.scene[rows]] for rows in order))
    for (_, longest), (shortest, _) in pairwise(by_length):
        assert longest <= shortest
    lengths = [batches.regions[samples.scene[rows]].mean() for rows in order]
    assert lengths != sorted(lengths), "batches come in random order"
    same, other = (np.concatenate(batches.order(8, np.random.default_rng(seed))) for seed in (0, 1))
    assert np.array_equal(np.concatenate(order), same)
    assert not np.array_equal(np.concatenate(order), other)
    together = [{frozenset(rows) for rows in batches.order(8, np.random.default_rng(seed))} for seed in (0, 1)]
    assert together[0] != together[1], "alike samples meet others every time"
    assert sorted(np.concatenate(batches.order(1, np.random.default_rng(0)))) == list(range(len(samples)))


def test_without_the_image() -> None:
    samples = drawn_samples()
    batch, whole = make(samples, withhold="image"), make(samples)
    for name in ("input_ids", "attention_mask", "ans"):
        assert torch.equal(batch[name], whole[name])
    assert torch.equal(batch["visual_feats"], torch.zeros(len(samples), 1, 10))
    assert torch.equal(batch["visual_pos"], torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(len(samples), 1, 4))
    assert torch.equal(batch["visual_attention_mask"], torch.ones(len(samples), 1, dtype=torch.long))
    assert batch["grounding_labels"].shape == (*whole["input_ids"].shape, 1)
    assert (batch["grounding_labels"] == -100).all()
    assert (batch["count_labels"] == -100).all()
    assert batch["count_labels"].shape == whole["input_ids"].shape


def test_without_the_question() -> None:
    samples = drawn_samples()
    batch, whole = make(samples, withhold="question"), make(samples)
    for name in ("visual_feats", "visual_pos", "visual_attention_mask", "ans"):
        assert torch.equal(batch[name], whole[name])
    expected = scene_tokenizer()("", return_tensors="pt")["input_ids"]
    assert torch.equal(batch["input_ids"], expected.expand(len(samples), 2))
    assert torch.equal(batch["attention_mask"], torch.ones(len(samples), 2, dtype=torch.long))
    assert batch["grounding_labels"].shape == (len(samples), 2, whole["visual_feats"].shape[1])
    assert (batch["grounding_labels"] == -100).all()
    assert batch["count_labels"].tolist() == [[-100, -100]] * len(samples)


def test_what_cannot_be_made_into_batches() -> None:
    samples = one_sample()
    empty = dataclasses.replace(
        samples, **{name: getattr(samples, name)[:0] for name in ("sentence", "scene", "truth", "regions")}
    )
    with pytest.raises(ValueError, match="samples is empty; draw some with draw_samples"):
        SceneBatches(empty, scene_tokenizer())
    own = {"own_features": own_features(1), "own_scenes": np.array([True])}
    for name in own:
        with pytest.raises(ValueError, match="own_features and own_scenes belong together"):
            make(samples, **{name: own[name]})
    with pytest.raises(ValueError, match=r"shapes \(1, 27, 10\) and \(1,\).* got \(2, 27, 10\) and \(1,\)"):
        make(samples, **(own | {"own_features": own_features(2)}))
    with pytest.raises(ValueError, match=r"shapes \(1, 27, 10\).* got \(1, 27, 9\)"):
        make(samples, **(own | {"own_features": own_features(1, width=9)}))
    with pytest.raises(ValueError, match='withhold must be "image", "question" or None, got \'text\''):
        make(samples, withhold="text")
    with pytest.raises(ValueError, match="Without the image there is nothing to mask: leave out objectives or"):
        make(samples, withhold="image", objectives=ORIGINAL_CODE)


def test_words_that_cannot_be_exchanged_are_refused() -> None:
    few = train_wordpiece_tokenizer(["yellow blue black left right circle triangles"] * 3)
    SceneBatches(one_sample("blue"), few, augmentation=dataclasses.replace(Augmentation(), shapes=False))
    with pytest.raises(
        ValueError, match=r"exchanges 'triangle', which must be one wordpiece.*train a lower-casing one"
    ):
        SceneBatches(one_sample("blue"), few, augmentation=Augmentation())
    cased = BertTokenizer(vocab=scene_tokenizer().get_vocab(), do_lower_case=False)
    with pytest.raises(ValueError, match="exchanges 'yellow', which must be one wordpiece"):
        SceneBatches(one_sample("blue"), cased, augmentation=only("colours"))


def test_padding_with_another_id() -> None:
    """Masks come from lengths, not from the id of [PAD]."""
    vocabulary = scene_tokenizer().get_vocab()
    swapped = {"[PAD]": vocabulary["[SEP]"], "[SEP]": vocabulary["[PAD]"]}
    tokenizer = BertTokenizer(vocab=vocabulary | swapped)
    texts = [GIVEN, "there is a circle"]
    samples = given_samples(texts, scenes_of("y b k", "y b k"), [True, True])
    batch = SceneBatches(samples, tokenizer).batch([0, 1], np.random.default_rng(0))
    expected = tokenizer(texts, padding=True, return_tensors="pt")
    assert torch.equal(batch["input_ids"], expected["input_ids"])
    assert torch.equal(batch["attention_mask"], expected["attention_mask"])


def test_scattered_notation_and_random_scenes_agree_with_batches() -> None:
    scene = scattered("ys10@0,90 | | kc30@70,70")
    again, places = rebuilt(make(given_samples(["blue"], scene, [True])), 0)
    assert again.structured(0) == scene.structured(0)
    assert places == [(0, 0), (0, 8), (1, 8), (2, 0), (2, 8)]
