from itertools import groupby, pairwise
from pathlib import Path

import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import DataLoader

from lxmert.training.batches import EpochBatches, EpochExamples, _by_groups, stable_seed
from lxmert.training.loop import train
from tests.training import runs


def indices(batches: EpochBatches | BatchSamplerShard) -> list[list[int]]:
    return [[index for _, index in batch] for batch in batches]


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    first, other = EpochBatches(10, 4, seed=1), EpochBatches(10, 4, seed=2)
    orders = []
    for epoch in (0, 1, 0):
        first.start(epoch)
        torch.manual_seed(epoch)
        orders.append(indices(first))
        assert sorted(index for batch in orders[-1] for index in batch) == list(range(10))
    assert [len(batch) for batch in orders[0]] == [4, 4, 2]
    assert orders[0] == orders[2] != orders[1]
    assert indices(other) != orders[0]


def test_an_epoch_may_start_in_its_middle() -> None:
    batches = EpochBatches(23, 2, seed=0, processes=3)
    whole = indices(batches)
    assert len(whole) == len(batches) == 12
    batches.start(0, skip=2)
    assert indices(batches) == whole[6:]
    batches.start(0, skip=4)
    assert indices(batches) == []
    assert batches.batch(0, 7) == [(0, index) for index in whole[7]]


@pytest.mark.parametrize("examples", [1, 2, 11, 12, 13, 23])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_share_the_batches_of_one(examples: int, processes: int) -> None:
    """Each round of all processes holds what one process with a batch of their common size would."""
    together = indices(EpochBatches(examples, 6, seed=0))
    batches = EpochBatches(examples, 6 // processes, seed=0, processes=processes)
    # as Accelerate divides them
    shards = [indices(BatchSamplerShard(batches, processes, process)) for process in range(processes)]
    assert {len(shard) for shard in shards} == {len(together)}
    for number, large in enumerate(together):
        parts = [shard[number] for shard in shards]
        joined = [index for part in parts for index in part]
        if len(large) >= processes:
            assert joined == large
            assert max(map(len, parts)) - min(map(len, parts)) <= 1
        else:
            assert joined[: len(large)] == large
            assert [len(part) for part in parts] == [1] * processes


IMAGES = torch.arange(20).repeat_interleave(torch.arange(20) % 7 + 1)  # (77,)
IMAGES = IMAGES[torch.randperm(77, generator=torch.Generator().manual_seed(0))]


def runs_of(images: list[int]) -> list[int]:
    return [len(list(run)) for _, run in groupby(images)]


def test_examples_of_one_image_stay_together() -> None:
    """20 images with 1 to 7 examples in groups of up to 3; two groups of an image may meet."""
    orders = []
    for epoch in range(2):
        batches = EpochBatches(len(IMAGES), 8, seed=1, images=IMAGES, sentences_per_image=3)
        batches.start(epoch)
        found = indices(batches)
        assert [len(batch) for batch in found] == [8] * 9 + [5], "as without groups"
        orders.append([index for batch in found for index in batch])
        assert sorted(orders[-1]) == list(range(len(IMAGES)))
        groups = sum(-(-count // 3) for count in IMAGES.bincount().tolist())
        assert groups - 3 <= len(runs_of(IMAGES[orders[-1]].tolist())) <= groups
    partners = [{frozenset(pair) for pair in pairwise(order) if IMAGES[pair[0]] == IMAGES[pair[1]]} for order in orders]
    assert len(partners[0] & partners[1]) < len(partners[0]) / 2, "other examples of an image meet in another epoch"


def test_groups_that_fit_fill_the_batches() -> None:
    images = torch.arange(200) % 40
    batches = EpochBatches(200, 10, seed=0, images=images, sentences_per_image=5)
    assert [len(set(images[batch].tolist())) for batch in indices(batches)] == [2] * 20
    alone = EpochBatches(200, 10, seed=0)
    assert min(len(set(images[batch].tolist())) for batch in indices(alone)) > 5
    assert indices(EpochBatches(200, 10, seed=0, images=images)) == indices(alone), "one at a time is today's order"


def test_groups_come_at_any_time() -> None:
    """One image with 30 examples, ten with 1: neither the large nor the small groups come first."""
    images = torch.tensor([0] * 30 + list(range(1, 11)))
    generator = torch.Generator().manual_seed(0)
    places = torch.zeros(40)
    for _ in range(400):
        order = torch.randperm(40, generator=generator)
        places[order[_by_groups(images[order], 3, generator)]] += torch.arange(40)
    assert places[:30].mean() / 400 == pytest.approx(19.5, abs=0.3)
    assert (places / 400).std() < 1


def test_processes_and_resumed_epochs_have_the_same_groups() -> None:
    keywords = {"seed": 0, "images": IMAGES, "sentences_per_image": 3}
    together = indices(EpochBatches(len(IMAGES), 6, **keywords))
    shared = EpochBatches(len(IMAGES), 3, processes=2, **keywords)
    parts = indices(shared)
    assert [parts[i] + parts[i + 1] for i in range(0, len(parts), 2)] == together
    shared.start(0, skip=4)
    assert indices(shared) == parts[8:]


def test_examples_are_drawn_where_they_can_be() -> None:
    assert EpochExamples(runs.DrawnRows())[2, 5] == (5, 0.2)
    assert EpochExamples("abcdef")[2, 5] == "f"
    assert len(EpochExamples("abcdef")) == 6


@pytest.mark.parametrize("workers", [0, 2])
def test_every_epoch_reaches_the_workers(workers: int) -> None:
    batches = EpochBatches(4, 2, seed=0)
    loader = DataLoader(EpochExamples(runs.DrawnRows(4)), batch_sampler=batches, collate_fn=list, num_workers=workers)
    for epoch in range(2):
        batches.start(epoch)
        drawn = [example for batch in loader for example in batch]
        assert sorted(drawn) == [(index, 0.1 * epoch) for index in range(4)]


def test_workers_change_nothing(tmp_path: Path) -> None:
    summaries = []
    for workers in (0, 2):
        model = runs.make_model()
        settings = runs.make_settings(tmp_path / str(workers), workers=workers, epochs=2)
        summaries.append(runs.summary(model, train(model, runs.make_task(), settings)))
    assert summaries[0] == summaries[1]


def test_seeds_are_stable_and_spread() -> None:
    assert stable_seed("order", 9595, 0) == 1189332796532643847
    seeds = sorted(stable_seed("computation", seed, step) for seed in range(30) for step in range(30))
    assert 0 <= seeds[0] < seeds[-1] < 2**63
    assert all(low < high for low, high in pairwise(seeds))
