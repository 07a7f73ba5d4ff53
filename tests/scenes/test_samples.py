import dataclasses

import numpy as np
import pytest

from lxmert.scenes import (
    PHRASES,
    SLOTS,
    Meant,
    Samples,
    Scenes,
    draw_samples,
    given_samples,
    kind_of,
    pools,
    random_scattered,
    random_towers,
)
from lxmert.scenes.samples import UNKNOWN, is_exchangeable
from tests.scenes.notation import scenes_of

FOR_EACH = 16


@pytest.fixture(scope="module")
def kinds() -> dict:
    return pools(None, None, 800, seed=0)


@pytest.fixture(scope="module")
def samples(read: list[Meant], kinds: dict) -> Samples:
    return draw_samples(read, kinds, sentences=80, for_each=FOR_EACH, seed=1, progress=False)


@pytest.fixture(scope="module")
def own(read: list[Meant], kinds: dict) -> Samples:
    return draw_samples(read, kinds, sentences=40, for_each=FOR_EACH, seed=1, own_share=1.0, progress=False)


def test_half_is_true(samples: Samples) -> None:
    assert set(samples.truth) == {0, 1}
    assert 0.4 < samples.truth.mean() < 0.6
    counts = np.bincount(samples.sentence)
    assert (counts <= FOR_EACH).all()
    assert (np.bincount(samples.sentence, samples.truth) >= 1).all(), "each is true of some"
    assert (np.bincount(samples.sentence, samples.truth) < counts).all(), "and false of some"
    assert (np.bincount(samples.sentence, samples.truth) == FOR_EACH // 2).mean() > 0.7, "half where there are such"
    assert len(samples) == counts.sum() == len(samples.scene) == len(samples.regions)


def test_scenes_are_of_the_sentences_kind(samples: Samples) -> None:
    towers = kind_of(samples.scenes[samples.scene])
    for row, text in enumerate(samples.texts):
        of = towers[samples.sentence == row]
        assert of.all() or not of.any(), text


def test_bits_mean_what_they_say(own: Samples, read: list[Meant]) -> None:
    """Against a slow loop over phrases, boxes and slots."""
    by_text = {meant.text: meant for meant in read}
    assert set(own.texts) <= by_text.keys()
    for sample in range(0, len(own), 7):
        meant = by_text[own.texts[own.sentence[sample]]]
        truth, regions = meant.evaluate(own.scenes[[own.scene[sample]]])
        assert truth[0] == own.truth[sample]
        for phrase, position in enumerate(sorted(regions)):
            mask, bits = regions[position], int(own.regions[sample, phrase])
            assert own.places[own.sentence[sample], phrase] == meant.places[position]
            assert own.of_boxes[own.sentence[sample], phrase] == (mask.ndim == 2)
            for box in range(3):
                whole = bool(bits >> (box * (SLOTS + 1) + SLOTS) & 1)
                found = [bool(bits >> (box * (SLOTS + 1) + slot) & 1) for slot in range(SLOTS)]
                if mask.ndim == 2:
                    assert (found, whole) == ([False] * SLOTS, bool(mask[0, box]))
                else:
                    assert (found, whole) == (mask[0, box].tolist(), bool(mask[0, box].any()))
        assert (own.places[own.sentence[sample], len(regions) :] == UNKNOWN).all()
        assert (own.regions[sample, len(regions) :] == 0).all()


def test_shares_and_seeds(own: Samples, samples: Samples, read: list[Meant], kinds: dict) -> None:
    texts = {meant.text for meant in read}
    assert len(set(samples.texts) - texts) > 10
    again = draw_samples(read, kinds, sentences=40, for_each=FOR_EACH, seed=1, own_share=1.0, progress=False)
    other = draw_samples(read, kinds, sentences=40, for_each=FOR_EACH, seed=2, own_share=1.0, progress=False)
    assert again.texts == own.texts != other.texts
    assert (again.scene == own.scene).all()
    assert (again.regions == own.regions).all()


def test_given_labels() -> None:
    scenes = scenes_of("y b k", "b b k")
    samples = given_samples(["there is a yellow block", "there is a yelow block"], scenes, [True, False])
    assert samples.truth.tolist() == [1, 0]
    assert samples.sentence.tolist() == samples.scene.tolist() == [0, 1]
    assert samples.exchangeable.tolist() == [True, False]
    assert samples.places.shape == (2, PHRASES)
    assert (samples.places == UNKNOWN).all()
    assert not samples.regions.any()


@pytest.mark.parametrize(
    ("text", "right"),
    [("There is a Yellow block.", True), ("a gray box", True), ("a yelow block", False), ("a green block", False)],
)
def test_exchangeable(text: str, right: bool) -> None:
    assert is_exchangeable(text) == right


def test_pools() -> None:
    real = scenes_of("y b k", "yc20@0,0 | | ", "yy b k")
    found = pools(real, kind_of(real), 5, seed=0)
    assert {kind: len(scenes) for kind, scenes in found.items()} == {"towers": 7, "scattered": 6}
    assert kind_of(found["towers"]).all()
    assert not kind_of(found["scattered"]).any()
    alone = pools(real, kind_of(real), 0, seed=0)
    assert {kind: len(scenes) for kind, scenes in alone.items()} == {"towers": 2, "scattered": 1}
    same = pools(real, kind_of(real), 5, seed=0)
    assert all((found[kind].x == same[kind].x).all() for kind in found)


def always(read: list[Meant]) -> Meant:
    rule = read[0].tree.rule._replace(meaning=lambda scenes, *_: np.ones(len(scenes), bool))
    return dataclasses.replace(read[0], tree=read[0].tree._replace(rule=rule))


def test_errors(read: list[Meant], kinds: dict) -> None:
    def draw(**changes) -> Samples:
        return draw_samples(
            **({"read": read, "kinds": kinds, "sentences": 2, "for_each": 4, "seed": 0, "progress": False} | changes)
        )

    few = {"towers": random_towers(9, np.random.default_rng(0)), "scattered": kinds["scattered"]}
    for changes, words in [
        ({"read": []}, "read holds no sentences; read some with read_sentences"),
        ({"sentences": 0}, "sentences must be at least 1, not 0"),
        ({"for_each": 1}, "for_each must be at least 2, one scene for true and one for false, not 1"),
        ({"own_share": 40}, "own_share is a share between 0 and 1, not 40"),
        ({"kinds": {"towers": kinds["towers"]}}, "kinds has no scenes of scattered; pools draws both"),
        ({"kinds": few}, r"kinds\['towers'\] has 9 scenes, but a sentence is tried on 768; draw more"),
        ({"read": [always(read)], "own_share": 1.0}, "None of 2 sentences is true of some scenes and false of others"),
    ]:
        with pytest.raises(ValueError, match=words):
            draw(**changes)
    real: Scenes = random_scattered(2, np.random.default_rng(0))
    with pytest.raises(ValueError, match="these are 1 texts, 2 scenes and 1 labels"):
        given_samples(["a"], real, [True])
    with pytest.raises(ValueError, match="these are 0 texts"):
        given_samples([], real[:0], [])
    with pytest.raises(ValueError, match="real and real_towers belong together"):
        pools(real, None, 5, 0)
    with pytest.raises(ValueError, match="real and real_towers belong together"):
        pools(real, np.array([True]), 5, 0)
    with pytest.raises(ValueError, match="count must be at least 1"):
        pools(None, None, 0, 0)
