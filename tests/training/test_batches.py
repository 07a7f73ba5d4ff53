from itertools import pairwise
from pathlib import Path

import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import DataLoader

from lxmert.training.batches import EpochBatches, EpochExamples, stable_seed
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
