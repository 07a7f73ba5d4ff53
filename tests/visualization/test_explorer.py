import base64
import io
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lxmert import Regions
from lxmert.visualization import METHODS, AttentionRecord, Explanation, Relevance
from lxmert.visualization.attention import KINDS
from lxmert.visualization.explorer import write_explorer
from lxmert.visualization.explorer_data import Block, direction, packed
from lxmert.visualization.relevance_rules import WITHOUT_GRADIENT, Method

WORDS = ("[CLS]", "a", "red", "square", "[SEP]")
BOXES = ((2, 3, 12, 13), (20, 10, 36, 26), (0, 0, 40, 30))
ANSWERS = (("true", 0.625), ("false", 0.25), ("maybe", 0.125))
# What a page must show as it stands, in every place where there is text.
WICKED = '</script><script>window.broken = 1</script><b>"it\'s"</b> &amp; <!-- \\u0041 {{title}} {{explanation}} \u2028'


def probabilities(generator: np.random.Generator, *shape: int) -> np.ndarray:
    """Rows that sum to 1, a few weights far above the others."""
    weights = np.exp(2 * generator.standard_normal(shape, dtype=np.float32))
    return weights / weights.sum(-1, keepdims=True)


def make_relevance(method: Method, number: int, words: int, regions: int) -> Relevance:
    """Of answer `number`, whatever the answer where the method says so."""
    generator = np.random.default_rng([METHODS.index(method), 0 if method in WITHOUT_GRADIENT else number])
    within, onto, back = (
        0.3 * probabilities(generator, 1, *shape) for shape in ((words, words), (words, regions), (regions, words))
    )
    among = 0.2 * probabilities(generator, 1, regions, regions) + np.eye(regions, dtype=np.float32)
    within = within + np.eye(words, dtype=np.float32)
    within[:, 0, 0] = 0
    return Relevance(within[:, 0], onto[:, 0], within, onto, among, back, (number,), np.zeros(1), method)


def make_explanation(
    words: tuple[str, ...] = WORDS,
    boxes: Any = BOXES,
    image: Any = None,
    image_size: tuple[int, int] = (30, 40),
    names: tuple[str, ...] | None = None,
    layers: tuple[int, int, int] = (3, 2, 2),
    heads: int = 2,
    explained: int = 2,
    methods: tuple[Method, ...] = METHODS,
) -> Explanation:
    """By hand, without a model; layers are those of the three encoders."""
    generator = np.random.default_rng(0)
    counts = {"words": len(words), "regions": len(boxes)}
    depths = {"language": layers[0], "vision": layers[1]}
    maps = {
        kind: probabilities(generator, depths.get(kind, layers[2]), 1, heads, counts[of.queries], counts[of.keys])
        for kind, of in KINDS.items()
    }
    names = names or tuple(f"region {i}" for i in range(len(boxes)))
    masks = (np.ones((1, count), bool) for count in counts.values())
    return Explanation(
        image=image,
        question="a red square",
        regions=Regions(np.zeros((len(boxes), 1)), np.array(boxes, float), image_size),
        record=AttentionRecord(maps, (words,), (names,), *masks),
        answers=ANSWERS,
        relevances={
            method: {
                answer: make_relevance(method, i, len(words), len(boxes))
                for i, (answer, _) in enumerate(ANSWERS[:explained])
            }
            for method in methods
        },
    )


def many_boxes(count: int, height: int, width: int) -> np.ndarray:
    """(count, 4), of all sizes, anywhere."""
    generator = np.random.default_rng(1)
    centres, sides = generator.uniform(0, 1, (count, 2)), generator.uniform(0.05, 0.3, (count, 2))
    corners = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1).clip(0, 1)
    return corners * [width, height, width, height]


def read_page(path: Path) -> dict[str, Any]:
    """The data that a page holds."""
    found = re.findall(r'<script id="explanation" type="application/json">(.*?)</script>', path.read_text(), re.DOTALL)
    assert len(found) == 1
    return json.loads(found[0])


def unpack(block: dict[str, Any]) -> np.ndarray:
    """(layers, heads, queries, keys), written without a look at how they were packed."""
    held = zlib.decompress(base64.b64decode(block["packed"]))
    layers, heads, queries, keys = block["shape"]
    rows = layers * heads * queries
    floats = np.frombuffer(held[: 4 * rows * (1 + block["has_own"])], "<f4").reshape(-1, layers, heads, queries)
    codes = np.frombuffer(held[floats.nbytes :], np.uint8).reshape(block["shape"])
    values = codes * (floats[0] / 255)[..., None]
    if block["has_own"]:
        diagonal = np.arange(keys)
        assert not codes[..., diagonal, diagonal].any()
        values[..., diagonal, diagonal] = floats[1]
    return values


def assert_near(found: np.ndarray, expected: np.ndarray, within: bool = False) -> None:
    """Equal within half a step of 255 of each row's largest weight, own weights apart where words see words."""
    others = expected * (1 - np.eye(expected.shape[-1])) if within else expected
    steps = np.broadcast_to(others.max(-1, keepdims=True) / 510, expected.shape)
    assert (np.abs(found - expected) <= 1.001 * steps + 1e-7).all()


def test_every_map_is_in_the_page(tmp_path: Path) -> None:
    explanation = make_explanation()
    path = tmp_path / "new" / "page.html"
    assert write_explorer(explanation, path) == path
    data = read_page(path)
    assert data["notes"] == []
    assert [kind["name"] for kind in data["kinds"]] == list(KINDS)
    for kind, expected in explanation.record.maps.items():
        assert_near(unpack(data["blocks"][f"attention/{kind}"]), expected[:, 0])
    places = {method["name"]: method["places"] for method in data["methods"]}
    assert places == {
        "generic": [0, 1],
        "gradient_attention": [2, 3],
        "attention_grad_cam": [4, 5],
        "rollout": [6, 6],
        "raw_attention": [7, 7],
    }, "what explains every answer alike is held once"
    for name in ("words_to_words", "words_to_regions", "regions_to_words", "regions_to_regions"):
        found = unpack(data["blocks"][f"relevance/{name}"])
        assert len(found) == 8
        for method, numbers in places.items():
            for place, answer in zip(numbers, ("true", "false"), strict=True):
                expected = getattr(explanation.relevances[method][answer], name)
                assert_near(found[place], expected, within=name in ("words_to_words", "regions_to_regions"))
    assert data["answers"][1] == {"text": "false", "probability": 0.25, "explained": 1}
    assert data["answers"][2] == {"text": "maybe", "probability": 0.125, "explained": None}
    assert data["boxes"] == [list(map(float, box)) for box in BOXES]


def test_packing_keeps_the_scale_of_each_row() -> None:
    values = np.array([[[[0.0, 1e-6, 2e-6], [0.0, 0.0, 0.0], [1.0, 0.5, 0.25]]]], np.float32)
    block = Block("name", "title", values, "words", "words", True)
    found = unpack({"shape": values.shape, "has_own": False, "packed": block.packed})
    assert found[0, 0, 0] == pytest.approx([0, 1e-6, 2e-6], abs=1e-6 / 255)
    assert found[0, 0, 1].tolist() == [0, 0, 0]
    assert found[0, 0, 2] == pytest.approx([1, 0.5, 0.25], abs=1 / 509)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.1])
def test_what_is_no_weight_is_refused(wrong: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="negative, NaN or infinite"):
        packed(np.array([[0.5, wrong]], np.float32))
    explanation = make_explanation()
    explanation.relevances["generic"]["false"].words_to_regions[0, 1, 1] = wrong
    with pytest.raises(ValueError, match="negative, NaN or infinite"):
        write_explorer(explanation, tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_heads_go_first_where_regions_see_regions(tmp_path: Path) -> None:
    explanation = make_explanation(boxes=many_boxes(100, 30, 40), layers=(2, 2, 2), heads=6)
    path = tmp_path / "page.html"
    full = write_explorer(explanation, path).stat().st_size
    assert read_page(path)["notes"] == []
    assert write_explorer(explanation, path, max_bytes=full - 30_000).stat().st_size <= full - 30_000
    data = read_page(path)
    reduced = [
        name for name, block in data["blocks"].items() if name.startswith("attention") and block["shape"][1] == 1
    ]
    assert reduced in (["attention/vision"], ["attention/cross_vision_self"])
    kind = reduced[0].removeprefix("attention/")
    assert_near(unpack(data["blocks"][reduced[0]]), explanation.record.maps[kind][:, 0].mean(1, keepdims=True))
    assert data["notes"] == [f"{KINDS[kind].title}: the mean of 6 heads"]
    heads = {entry["name"]: entry["heads"] for entry in data["kinds"]}
    assert heads[kind] == 6, "the page says how many there were"
    small = full - 175_000
    assert write_explorer(explanation, path, max_bytes=small).stat().st_size <= small
    data = read_page(path)
    strongest = unpack(data["blocks"]["relevance/regions_to_regions"])[0, 0]
    expected = explanation.relevances["generic"]["true"].regions_to_regions[0] * (1 - np.eye(100))
    others = strongest * (1 - np.eye(100))
    assert ((others > 0).sum(1) <= 32).all()
    kept = np.argsort(-expected, axis=1)[:, :32]
    rows = np.arange(100)[:, None]
    assert others[rows, kept] == pytest.approx(expected[rows, kept], abs=expected.max() / 509)
    assert "relevance among regions: of 100 regions the 32 strongest, the others as 0" in data["notes"]
    assert data["blocks"]["attention/language_to_vision"]["shape"] == [2, 6, 5, 100], "across, every head is there"


def test_the_smallest_page_has_means_only_and_a_smaller_one_is_refused(tmp_path: Path) -> None:
    explanation = make_explanation(boxes=many_boxes(60, 30, 40), layers=(2, 2, 2), heads=4)
    path = tmp_path / "page.html"
    with pytest.raises(ValueError, match=r"The page is ([\d,]+) bytes larger than max_bytes") as refused:
        write_explorer(explanation, path, max_bytes=1000)
    assert not path.exists()
    missing = int(str(refused.value).split()[3].replace(",", ""))
    assert write_explorer(explanation, path, max_bytes=1000 + missing).stat().st_size <= 1000 + missing
    data = read_page(path)
    vision = unpack(data["blocks"]["attention/vision"])
    assert vision.shape == (1, 1, 60, 60)
    mean = explanation.record.maps["vision"][:, 0].mean(1)
    assert vision[0, 0].max() == pytest.approx(mean.mean(0).max(), rel=0.03), "of the strongest of each layer"
    assert len(unpack(data["blocks"]["relevance/words_to_words"])) == 8, "answers are not mixed"
    note = "object-relationship encoder: the mean of 4 heads; of 60 regions the 32 strongest, the others as 0; "
    assert note + "the mean of 2 layers" in data["notes"]


def test_paper_sized_explanations_of_36_regions_are_whole(tmp_path: Path) -> None:
    words = tuple(f"word{i}" for i in range(20))
    explanation = make_explanation(words, many_boxes(36, 30, 40), layers=(9, 5, 5), heads=12)
    path = write_explorer(explanation, tmp_path / "page.htm")
    data = read_page(path)
    assert data["notes"] == []
    assert data["blocks"]["attention/vision"]["shape"] == [5, 12, 36, 36]
    assert path.stat().st_size < 600_000


def test_texts_cannot_leave_their_place(tmp_path: Path) -> None:
    odd = ("[CLS]", WICKED, "שלום", "这是", "\ud800", "x" * 1000)
    explanation = replace(
        make_explanation(odd, names=(WICKED, "b", "c")),
        question=WICKED,
        answers=((WICKED, 0.5), ("true", 0.25), ("false", 0.25)),
    )
    path = write_explorer(explanation, tmp_path / "page.html", title=f"{WICKED} \ud800")
    page = path.read_text()
    assert page.count("</script>") == 2, "those of the template"
    assert page.count("<b>") == 0
    assert "<title>&lt;/script&gt;&lt;script&gt;window.broken = 1" in page
    data = read_page(path)
    line = " ".join(WICKED.split())
    assert data["question"] == WICKED
    assert data["words"] == ["[CLS]", line, "שלום", "这是", "\ud800", "x" * 299 + "…"]
    assert data["regions"][0] == data["answers"][0]["text"] == line


@pytest.mark.parametrize(
    ("text", "expected"), [("red?", "ltr"), ("2 «שלום» red", "rtl"), ("هل", "rtl"), ("这是", "ltr"), ("", "ltr")]
)
def test_direction_is_that_of_the_first_letter(text: str, expected: str) -> None:
    assert direction(text) == expected


def test_drawings_are_kept_and_photographs_made_smaller(drawing: Image.Image, tmp_path: Path) -> None:
    def embedded(explanation: Explanation) -> Image.Image:
        data = read_page(write_explorer(explanation, tmp_path / "page.html"))
        return Image.open(io.BytesIO(base64.b64decode(data["picture"].partition(",")[2])))

    found = embedded(make_explanation(image=drawing))
    assert found.format == "PNG"
    assert (np.asarray(found.convert("RGB")) == np.asarray(drawing)).all()
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)
    photo = np.asarray(Image.fromarray(pixels).resize((1600, 1200), Image.Resampling.BICUBIC))
    found = embedded(make_explanation(image=photo, image_size=(1200, 1600), boxes=[[0, 0, 1600, 1200]]))
    assert (found.format, found.size) == ("JPEG", (1024, 768))
    assert np.asarray(found).mean() == pytest.approx(photo.mean(), rel=0.02)


def test_pictures_that_are_absent_or_damaged_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "damaged.png").write_bytes(b"nothing")
    notes = {
        None: "picture not at hand",
        "damaged.png": "picture cannot be read",
        "absent.png": "picture cannot be read",
    }
    for name, note in notes.items():
        explanation = make_explanation(image=name and tmp_path / name)
        data = read_page(write_explorer(explanation, tmp_path / "page.html"))
        assert (data["picture"], data["picture_note"]) == (None, note)


def test_bad_calls_are_refused(drawing: Image.Image, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"give a path that ends in \.html, got .*page\.png"):
        write_explorer(make_explanation(), tmp_path / "page.png")
    turned = make_explanation(image=drawing.rotate(90, expand=True))
    with pytest.raises(ValueError, match="image has 40 x 30 pixels .* one of 30 x 40"):
        write_explorer(turned, tmp_path / "page.html")
    whole = make_explanation()
    empty = replace(whole, record=replace(whole.record, maps={}), relevances={})
    with pytest.raises(ValueError, match="neither attention maps nor relevances"):
        write_explorer(empty, tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_one_of_maps_and_relevances_is_enough(tmp_path: Path) -> None:
    whole = make_explanation()
    data = read_page(write_explorer(replace(whole, relevances={}), tmp_path / "page.html"))
    assert (len(data["kinds"]), data["methods"]) == (6, [])
    data = read_page(write_explorer(replace(whole, record=replace(whole.record, maps={})), tmp_path / "page.html"))
    assert (data["kinds"], len(data["methods"])) == ([], 5)
