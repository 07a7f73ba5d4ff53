"""Region stores as data sets on the Hub: Parquet files of the same rows, a card, and the way back."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
from huggingface_hub import DatasetCardData, HfApi
from tqdm.auto import tqdm

from lxmert.hub.card_details import CardDetails
from lxmert.hub.card_mark import with_mark
from lxmert.hub.markdown import code_span, one_line
from lxmert.hub.plain_errors import check_repo_id, check_token, plain_hub_errors
from lxmert.processing import Regions, RegionStore
from lxmert.processing.region_rows import COLUMNS, from_row
from lxmert.processing.region_shards import DESCRIPTION_FILE, NAMES

SPLIT = "train"
SHARD_BYTES = 500 * 10**6
SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
TEXT = """\
# {title}

{images:,} images' regions: boxes with feature vectors, as LXMERT (Tan & Bansal, EMNLP 2019) takes them; {made}.
{labels}

## How to use it

```python
from datasets import load_dataset
from lxmert.hub import download_regions

store = download_regions("{repo_id}", "regions")  # the whole store, to train from
rows = load_dataset("{repo_id}", split="{split}", streaming=True)  # or row by row
```

{example} is a `Regions`. Without the package: each row is an image, and its columns hold raw little-endian
arrays of R regions.

| column | holds |
|---|---|
| `image_id`, `image_height`, `image_width` | name and pixels |
| `features` | (R, {width}), {dtype} |
| `boxes` | (R, 4), float32: x1, y1, x2, y2 in pixels |
| `object_ids`, `attribute_ids` | (R,), int32, or nothing |
| `object_scores`, `attribute_scores` | (R,), float32, or nothing |

`numpy.frombuffer(row["features"], "{numpy}").reshape(-1, {width})` reads one. `{description_file}` holds what made the
regions and the names of its classes.

## Limits and bias

Regions are what a detector saw: what it was not trained to see is not in them, and its mistakes are. Features carry
what pictures show, people included; the pictures' licences and the rights of who is on them hold for features, too.

## Licence

`{license}`. The pictures have licences of their own.
"""


def prepare_regions(folder: Path, work: Path, repo_id: str, details: CardDetails) -> dict[str, Path]:
    """Write a store as Parquet files with a card.

    Args:
        folder: of the store.
        work: to write to.
        repo_id: name on the Hub.
        details: what a person says.

    Returns:
        Files by their paths in the repository.

    Raises:
        FileNotFoundError, ValueError: see `RegionStore`; an empty store.
    """
    store = RegionStore(folder)
    if not len(store):
        raise ValueError(f"{folder} holds no regions: there is nothing to publish.")
    rows = store.dataset
    count = max(1, -(-sum(path.stat().st_size for path in folder.glob("*.arrow")) // SHARD_BYTES))
    files = {}
    (work / "data").mkdir(parents=True, exist_ok=True)
    for i in tqdm(range(count), desc="Writing Parquet files", unit=" files", disable=count == 1):
        name = f"data/{SPLIT}-{i:05d}-of-{count:05d}.parquet"
        rows.shard(count, i, contiguous=True).to_parquet(work / name)
        files[name] = work / name
    card = _card(store, repo_id, details, sum(path.stat().st_size for path in files.values()))
    (work / "README.md").write_text(card, encoding="utf-8")
    return files | {DESCRIPTION_FILE: folder / DESCRIPTION_FILE, "README.md": work / "README.md"}


def download_regions(
    repo_id: str, path: str | Path, revision: str | None = None, token: str | None = None, progress: bool = True
) -> RegionStore:
    """Bring a published region store back, row by row; the features are those that were published, bit for bit.

    Args:
        repo_id: name on the Hub.
        path: of the store, a folder that does not exist yet; it appears when all rows are there.
        revision: commit, branch or tag.
        token: for private ones, if none is saved.
        progress: show a bar with time left.

    Raises:
        FileExistsError: the folder is there already.
        FileNotFoundError: no such repository, or no region store in it.
        ConnectionError, PermissionError, OSError: network, token, disk; no folder is left then.
    """
    check_repo_id(repo_id)
    check_token(token)
    with plain_hub_errors(repo_id, f"{path} was not written"):
        api = HfApi(token=token)
        info = api.dataset_info(repo_id, revision=revision)
        if DESCRIPTION_FILE not in {sibling.rfilename for sibling in info.siblings or ()}:
            raise FileNotFoundError(
                f"{repo_id} is no region store: it has no {DESCRIPTION_FILE}. Take one that lxmert.hub.publish made."
            )
        described = api.hf_hub_download(repo_id, DESCRIPTION_FILE, repo_type="dataset", revision=info.sha)
        content = json.loads(Path(described).read_text(encoding="utf-8"))
        rows = datasets.load_dataset(repo_id, split=SPLIT, revision=info.sha, streaming=True, token=token)
        regions = _regions(rows, content, progress)
        return RegionStore.create(path, regions, content["description"], content["features_dtype"])


def _regions(rows: Any, content: dict[str, Any], progress: bool) -> Iterator[Regions]:
    names = {name: tuple(content[name]) if name in content else None for name in NAMES}
    total = rows.info.splits[SPLIT].num_examples if rows.info.splits else None
    for row in tqdm(rows, desc="Downloading regions", total=total, unit=" images", disable=not progress, delay=1):
        yield from_row(row, content["features_dtype"], **names)


def _card(store: RegionStore, repo_id: str, details: CardDetails, size: int) -> str:
    first = next(iter(store))
    example, description = store[first], store.description
    memory = store.dataset.data.nbytes
    info = {
        "features": [{"name": name, "dtype": column.dtype} for name, column in COLUMNS.items()],
        "splits": [{"name": SPLIT, "num_bytes": memory, "num_examples": len(store)}],
        "download_size": size,
        "dataset_size": memory,
    }
    metadata = DatasetCardData(
        license=details.license,
        task_categories=["visual-question-answering"],
        size_categories=next((name for limit, name in SIZES if len(store) < limit), "n>10M"),
        pretty_name=details.title,
        tags=["lxmert", "region-features"],
        configs=[{"config_name": "default", "data_files": [{"split": SPLIT, "path": f"data/{SPLIT}-*"}]}],
        dataset_info=info,
    )
    named = [f"{len(names):,} {kind}" for kind, names in _classes(store) if names]
    text = TEXT.format(
        title=one_line(details.title) if details.title else f"Regions of {len(store):,} images",
        images=len(store),
        made=f"made by {code_span(json.dumps(description, ensure_ascii=False))}"
        if description
        else "what made them is not recorded",
        labels=f"The detector knows {' and '.join(named)}." if named else "Its classes have no names.",
        repo_id=repo_id,
        split=SPLIT,
        example=code_span(f"store[{json.dumps(first, ensure_ascii=False)}]"),
        width=example.features.shape[1],
        dtype=store.features_dtype,
        numpy={"float16": "<f2", "float32": "<f4"}[store.features_dtype],
        description_file=DESCRIPTION_FILE,
        license=details.license,
    )
    return with_mark(f"---\n{metadata.to_yaml()}\n---\n\n{text}")


def _classes(store: RegionStore) -> list[tuple[str, tuple[str, ...] | None]]:
    return [("object classes", store.object_names), ("attributes", store.attribute_names)]
