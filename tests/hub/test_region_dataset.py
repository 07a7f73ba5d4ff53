"""Region stores as data sets: to the stand-in Hub, streamed row by row, and back bit for bit."""

from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import DatasetCard

from lxmert import Regions
from lxmert.hub import CardDetails, download_regions, publish
from lxmert.processing import RegionStore
from tests.hub import clients
from tests.hub.conftest import Client
from tests.hub.stand_in_hub import StandInHub

DETAILS = CardDetails("cc-by-4.0", title="Made-up regions")
SENT = {"dry_run": False, "token": "hf_writer"}
NAMES = ("cat", "dog", "tree")


def made_regions(count: int = 7, width: int = 6) -> list[Regions]:
    """Regions with labels, those of every second image without attributes."""
    random, made = np.random.default_rng(0), []
    for i in range(count):
        corners = np.sort(random.uniform(0, 50, (i + 1, 2, 2)), axis=1).reshape(i + 1, 4).astype(np.float32)
        attributes = {"attribute_ids": random.integers(0, 9, i + 1)} if i % 2 else {}
        made.append(
            Regions(
                features=random.standard_normal((i + 1, width)).astype(np.float32),
                boxes=corners,
                image_size=(50, 50 + i),
                image_id=f"image {i}",
                object_ids=random.integers(0, 3, i + 1),
                object_scores=random.uniform(size=i + 1).astype(np.float32),
                object_names=NAMES,
                **attributes,
            )
        )
    return made


@pytest.fixture(scope="module", params=["float16", "float32"])
def published(request: pytest.FixtureRequest, _hub: StandInHub, client: Client, tmp_path_factory) -> tuple[str, Path]:  # type: ignore[no-untyped-def]
    """Name on the Hub, and the store that was published."""
    path = tmp_path_factory.mktemp("stores") / request.param
    RegionStore.create(path, made_regions(), {"detector": "none"}, request.param)
    client(publish, path, f"someone/regions-{request.param}", DETAILS, **SENT)
    return f"someone/regions-{request.param}", path


def same(left: Regions, right: Regions) -> bool:
    names = ("features", "boxes", "object_ids", "object_scores", "attribute_ids", "attribute_scores")
    pairs = [(getattr(left, name), getattr(right, name)) for name in names]
    equal = all((a is None) == (b is None) and (a is None or np.array_equal(a, b)) for a, b in pairs)
    return equal and (left.image_size, left.object_names) == (right.image_size, right.object_names)


def test_it_is_a_data_set_with_a_card(published: tuple[str, Path], hub: StandInHub) -> None:
    name, path = published
    repository = hub.repositories[f"datasets/{name}"]
    assert repository.titles == ["initial commit", "Publish with lxmert"]
    data = {"README.md", "region_store.json", "data/train-00000-of-00001.parquet"}
    assert repository.commits[repository.head].keys() == data | {".gitattributes"}
    card = DatasetCard(hub.read(f"datasets/{name}", "README.md").decode())
    assert card.data.license == "cc-by-4.0"
    assert card.data.task_categories == ["visual-question-answering"]
    assert card.data.dataset_info["splits"][0]["num_examples"] == 7
    assert "# Made-up regions" in card.text
    assert f"(R, 6), {path.name}" in card.text
    assert "knows 3 object classes." in card.text


def test_rows_are_streamed(published: tuple[str, Path], client: Client) -> None:
    name, path = published
    rows = client(clients.streamed, name)
    store = RegionStore(path)
    assert [row["image_id"] for row in rows] == list(store)
    numpy = {"float16": "<f2", "float32": "<f4"}[path.name]
    for row in rows:  # as the card says
        features = np.frombuffer(row["features"], numpy).reshape(-1, 6)
        assert np.array_equal(features, store[row["image_id"]].features)


def test_the_store_comes_back_bit_for_bit(published: tuple[str, Path], client: Client, tmp_path: Path) -> None:
    name, path = published
    client(clients.features_of, name, str(tmp_path / "back"))
    before, after = RegionStore(path), RegionStore(tmp_path / "back")
    assert list(after) == list(before)
    assert (after.description, after.features_dtype) == (before.description, before.features_dtype)
    assert all(same(before[image_id], after[image_id]) for image_id in before)
    if path.name == "float32":
        assert np.array_equal(after["image 6"].features, made_regions()[6].features)


def test_what_an_extractor_stored(store: RegionStore, client: Client, tmp_path: Path) -> None:
    client(publish, store.path, "someone/colours", DETAILS, **SENT)
    back = client(clients.features_of, "someone/colours", str(tmp_path / "back"))
    assert back.keys() == set(store)
    assert all(same(store[image_id], back[image_id]) for image_id in store)


def test_a_revision(client: Client, hub: StandInHub, tmp_path: Path) -> None:
    for count in (3, 5):
        RegionStore.create(tmp_path / f"store {count}", made_regions(count))
        client(publish, tmp_path / f"store {count}", "someone/grown", DETAILS, update=count == 5, **SENT)
    first = list(hub.repositories["datasets/someone/grown"].commits)[1]
    assert len(client(clients.features_of, "someone/grown", str(tmp_path / "new"))) == 5
    assert len(client(clients.features_of, "someone/grown", str(tmp_path / "old"), revision=first)) == 3


def test_private_regions_need_a_token(client: Client, tmp_path: Path) -> None:
    RegionStore.create(tmp_path / "store", made_regions(2))
    client(publish, tmp_path / "store", "someone/hidden", DETAILS, private=True, **SENT)
    with pytest.raises(PermissionError, match="wants a valid token for someone/hidden.*hf auth login"):
        client(clients.features_of, "someone/hidden", str(tmp_path / "back"))
    assert len(client(clients.features_of, "someone/hidden", str(tmp_path / "back"), token="hf_writer")) == 2


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("someone/nowhere", PermissionError, "someone/nowhere"),
        ("nowhere", ValueError, "repo_id must be OWNER/NAME"),
    ],
)
def test_there_is_none(client: Client, tmp_path: Path, name: str, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        client(download_regions, name, tmp_path / "back")
    assert "\n" not in str(caught.value)


def test_another_data_set_is_no_store(client: Client, hub: StandInHub, tmp_path: Path) -> None:
    RegionStore.create(tmp_path / "store", made_regions(2))
    client(publish, tmp_path / "store", "someone/other", DETAILS, **SENT)
    repository = hub.repositories["datasets/someone/other"]
    files = dict(repository.files("main") or {})
    del files["region_store.json"]
    repository.add(files, "Delete region_store.json")
    with pytest.raises(FileNotFoundError, match=r"someone/other is no region store: it has no region_store.json"):
        client(download_regions, "someone/other", tmp_path / "back")


def test_a_full_disk_leaves_no_folder(client: Client, tmp_path: Path) -> None:
    RegionStore.create(tmp_path / "store", made_regions(60, width=300), features_dtype="float32")
    client(publish, tmp_path / "store", "someone/large", DETAILS, **SENT)
    with pytest.raises(OSError, match=r"no space left on the disk.*back was not written. Make room") as caught:
        client(clients.with_little_space, 100_000, download_regions, "someone/large", tmp_path / "back", progress=False)
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"store"}, "neither a store nor a part of one"
    assert len(client(clients.features_of, "someone/large", str(tmp_path / "back"))) == 60


def test_a_network_gone_while_streaming_leaves_no_folder(client: Client, hub: StandInHub, tmp_path: Path) -> None:
    RegionStore.create(tmp_path / "store", made_regions(8, width=200))
    client(publish, tmp_path / "store", "someone/cut", DETAILS, **SENT)
    hub.trouble = lambda method, path: 501 if ".parquet" in path or path.startswith("cdn/") else None
    with pytest.raises(ConnectionError, match="back was not written") as caught:
        client(download_regions, "someone/cut", tmp_path / "back", progress=False)
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"store"}


def test_an_empty_store_is_refused(tmp_path: Path) -> None:
    RegionStore.create(tmp_path / "store", [])
    with pytest.raises(ValueError, match="holds no regions"):
        publish(tmp_path / "store", "someone/empty", DETAILS)


def test_names_of_others_are_text(client: Client, tmp_path: Path) -> None:
    region = Regions(np.ones((1, 2), np.float32), np.array([[1, 1, 4, 4]], np.float32), (5, 5), image_id='a "b" `c`')
    RegionStore.create(tmp_path / "store", [region], {"detector": "<b> `x`"})
    client(publish, tmp_path / "store", "someone/odd", CardDetails("mit", title="*A*"), prepared=tmp_path / "page")
    text = (tmp_path / "page" / "README.md").read_text()
    assert r"# \*A\*" in text
    assert 'made by `` {"detector": "<b> `x`"} ``' in text
    assert r'`` store["a \"b\" `c`"] `` is a' in text
