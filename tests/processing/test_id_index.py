import pickle

import numpy as np
import pyarrow as pa
import pytest

from lxmert.processing import id_index
from lxmert.processing.id_index import IdIndex


@pytest.mark.parametrize("buckets", [None, 3, 1])
def test_every_id_is_found_even_when_hashes_collide(buckets: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if buckets:
        monkeypatch.setattr(id_index, "_hash", lambda image_id: np.uint64(len(image_id) % buckets))
    ids = ["b", "a", "ccc", "", "größe", "a" * 40]
    index = IdIndex(pa.chunked_array([ids[:4], ids[4:]]))
    assert [index.find(image_id) for image_id in ids] == list(range(6))
    assert index.find("bb") is index.find("\ud800") is index.find(5) is None
    assert list(index) == ids
    assert len(index) == 6


def test_an_empty_index_and_a_copy_in_another_process() -> None:
    assert IdIndex(pa.chunked_array([[]], pa.string())).find("a") is None
    index = pickle.loads(pickle.dumps(IdIndex(pa.chunked_array([["a", "b", "a"]]))))
    assert (index.find("a"), index.find("b")) == (0, 1)
