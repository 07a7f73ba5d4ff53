"""The page in a real browser: what it shows, not only that it shows something."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lxmert.visualization import Explanation
from lxmert.visualization.attention import KINDS
from lxmert.visualization.explorer import COLOURS, write_explorer
from tests.browser import SCREENSHOTS, needs_chromium
from tests.visualization.pictures import pixels_of
from tests.visualization.test_explorer import ANSWERS, WICKED, WORDS, make_explanation, many_boxes

MOST_SECONDS = 2.0  # to write and show 500 regions and 60 words at the paper's size
READY = "html[data-ready]"
TEXTS = "h1, p:not(:empty), h2, h3, label, option, .word bdi, .word small, .name, .number, .ticks span, li"

pytestmark = needs_chromium


@dataclass
class Opened:
    """A page in the browser, and what it asked the network for or complained about."""

    page: Any
    address: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    seconds: float = 0.0  # to write and show it

    def settle(self) -> None:
        """Wait until what was chosen is drawn."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def hover(self, selector: str) -> None:
        """Move the pointer to the middle of an element that may lie below another."""
        box = self.page.locator(selector).bounding_box()
        self.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        self.settle()

    def leave(self) -> None:
        """Move the pointer to where nothing is."""
        self.page.mouse.move(1, 1)
        self.settle()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
        self.settle()

    def select(self, name: str, title: str) -> None:
        self.page.select_option(f"#{name}", label=title)
        self.settle()

    def show(self, title: str) -> None:
        self.page.get_by_role("radio", name=title, exact=True).check()
        self.settle()

    def weights(self, side: str) -> list[float] | None:
        """The numbers of words or regions, None where none has one."""
        labels = self.page.eval_on_selector_all(f"#{side} > div", "all => all.map(one => one.ariaLabel)")
        found = [re.search(r": ([-.e\d]+)$", label) for label in labels]
        assert all(found) or not any(found)
        return [float(one[1]) for one in found if one] or None

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def colours(self) -> list[tuple[int, ...]]:
        """The background of each word."""
        found = self.page.eval_on_selector_all(".word", "all => all.map(one => getComputedStyle(one).backgroundColor)")
        return [tuple(map(int, re.findall(r"\d+", colour)[:3])) for colour in found]

    def picture(self, name: str) -> np.ndarray:
        """(H, W, 3), the picture with its regions as it is seen."""
        path = SCREENSHOTS / f"{name}.png"
        self.page.locator("#stage").screenshot(path=path)
        return pixels_of(path)


Open = Callable[..., Opened]


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Writes and opens a page; at the end of the test it must have fetched nothing else and complained of nothing."""
    opened: list[Opened] = []

    def open_page(
        explanation: Explanation, width: int = 1280, height: int = 900, scheme: str = "light", **keywords: Any
    ) -> Opened:
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        start = time.perf_counter()
        path = write_explorer(explanation, tmp_path / "page.html", **keywords)
        found = Opened(page, path.as_uri())
        page.on("request", lambda request: found.requests.append(request.url))
        page.on("console", lambda message: found.complaints.append(message.text))
        page.on("pageerror", lambda error: found.complaints.append(str(error)))
        opened.append(found)
        page.goto(found.address)
        page.wait_for_selector(READY)
        found.settle()
        found.seconds = time.perf_counter() - start
        return found

    yield open_page
    for one in opened:
        assert [address for address in one.requests if not address.startswith("data:")] == [one.address]
        assert one.complaints == []
        one.page.close()


def near(expected: np.ndarray) -> Any:
    """As shown: within the rounding of the packing and of three decimals."""
    return pytest.approx(expected.tolist(), abs=float(expected.max()) / 509 + 0.00051)


def colour_of(share: float) -> Any:
    """On a light page, of a share beyond those that fade into it."""
    place = (1 - 0.78 * share) * (len(COLOURS) - 1)
    lower = int(place)
    return pytest.approx(COLOURS[lower] + (COLOURS[lower + 1] - COLOURS[lower]) * (place - lower), abs=1)


def test_at_first_words_and_regions_show_what_the_answer_rests_on(show: Open, drawing: Image.Image) -> None:
    explanation = make_explanation(image=drawing)
    opened = show(explanation)
    relevance = explanation.relevances["generic"]["true"]
    assert opened.weights("words") == near(relevance.words[0])
    assert opened.weights("regions") == near(relevance.regions[0])
    assert opened.text("#caption") == "What the answer “true” rests on: the state of [CLS], from which it is read."
    assert opened.text("h1") == "a red square"
    assert opened.page.locator(".answer").all_inner_texts() == ["true\n62.5 %", "false\n25.0 %", "maybe\n12.5 %"]
    colours, strongest = opened.colours(), int(relevance.words[0].argmax())
    assert colours[0] == (255, 255, 255), "no weight, no colour"
    assert colours[strongest] == colour_of(1)
    for i in np.flatnonzero(relevance.words[0] > 0.1 * relevance.words[0].max()):
        assert colours[i] == pytest.approx(
            list(colour_of(relevance.words[0, i] / relevance.words[0].max()).expected), abs=4
        )
    ticks = opened.page.locator(".ticks span").all_inner_texts()
    tops = [relevance.words.max(), relevance.regions.max()]
    assert [float(tick) for tick in ticks] == pytest.approx(
        [0, tops[0] / 2, tops[0], 0, tops[1] / 2, tops[1]], abs=6e-4
    )
    order = np.argsort(-relevance.words[0])
    names = opened.page.locator("#strongest-words li:not([hidden]) .name").all_inner_texts()
    assert names == [WORDS[i] for i in order]


def test_a_word_lights_up_its_regions_and_a_region_its_words(show: Open, drawing: Image.Image) -> None:
    explanation = make_explanation(image=drawing)
    relevance = explanation.relevances["generic"]["true"]
    # "square" is made of the blue rectangle, "red" of the red one.
    relevance.words_to_regions[0, 2:4] = [[0.5, 0, 0], [0, 0.25, 0]]
    relevance.regions_to_words[0, 0] = [0, 0.125, 1, 0, 0]
    opened = show(explanation)
    scale = opened.page.locator("#stage").bounding_box()["width"] / 40

    def pixel(picture: np.ndarray, x: int, y: int) -> list[int]:
        return picture[round(scale * y), round(scale * x)].tolist()

    places = "all => all.map(one => [one.offsetLeft, one.offsetTop, one.offsetWidth])"
    before = opened.page.eval_on_selector_all(".word", places)
    opened.hover(".word >> nth=2")
    assert opened.page.eval_on_selector_all(".word", places) == before, "nothing moves below the pointer"
    assert opened.weights("regions") == near(np.array([0.5, 0, 0]))
    assert opened.weights("words") == near(relevance.words_to_words[0, 2])
    assert opened.text("#caption").startswith("What the state of “red” is made of")
    picture = opened.picture("hover_red")
    veiled = [round(0.34 * value + 0.66 * 255) for value in (0, 0, 255)]
    assert pixel(picture, 7, 9) == [255, 0, 0], "no veil"
    assert pixel(picture, 30, 20) == pytest.approx(veiled, abs=3)
    opened.hover(".word >> nth=3")
    assert opened.weights("regions") == near(np.array([0, 0.25, 0]))
    picture = opened.picture("hover_square")
    assert pixel(picture, 30, 20) == [0, 0, 255]
    assert pixel(picture, 7, 9) == pytest.approx([255, 168, 168], abs=3)
    opened.hover(".region >> nth=0")
    assert opened.weights("words") == near(np.array([0, 0.125, 1, 0, 0]))
    assert opened.weights("regions") == near(relevance.regions_to_regions[0, 0])
    assert opened.text("#caption").startswith("What the state of region 0 is made of")
    assert opened.colours()[2] == colour_of(1)
    # The own weight, above 1, is not what the scale of the regions ends at.
    others = relevance.regions_to_regions[0, 0, 1:]
    assert float(opened.page.locator(".ticks span").last.inner_text()) == pytest.approx(others.max(), abs=6e-4)
    opened.leave()
    assert opened.weights("words") == near(relevance.words[0])


def test_methods_and_answers_change_the_numbers(show: Open) -> None:
    explanation = make_explanation()
    opened = show(explanation)
    titles = opened.page.locator("#method option").all_inner_texts()
    for method, title in zip(explanation.relevances, titles, strict=True):
        opened.select("method", title)
        for i, (answer, _) in enumerate(ANSWERS[:2]):
            opened.page.locator(".answer input").nth(i).check()
            opened.settle()
            relevance = explanation.relevances[method][answer]
            assert opened.weights("words") == near(relevance.words[0]), (method, answer)
            assert opened.weights("regions") == near(relevance.regions[0]), (method, answer)
            assert f"“{answer}”" in opened.text("#caption")
    assert opened.text("#sentence").endswith("alike for every answer.")


def test_kinds_layers_and_heads_change_the_numbers(show: Open) -> None:
    explanation = make_explanation()
    opened = show(explanation)
    opened.show("Attention")
    assert opened.page.locator(".answer input").first.is_disabled()
    assert opened.page.locator("#kind option").all_inner_texts() == [of.title for of in KINDS.values()]
    for kind, of in KINDS.items():
        opened.select("kind", of.title)
        maps = explanation.record.maps[kind][:, 0]  # (layers, heads, queries, keys)
        layer, head = len(maps) - 1, 1
        for which, chosen in (("mean", maps.mean((0, 1))), ("layer", maps[layer].mean(0)), ("head", maps[layer, head])):
            if which != "mean":
                opened.select(which, f"{which} {layer if which == 'layer' else head}")
            opened.leave()
            start = chosen[0] if of.queries == "words" else chosen.mean(0)
            assert opened.weights(of.keys) == near(start), (kind, which)
            singular = {"words": ".word", "regions": ".region"}
            opened.hover(f"{singular[of.queries]} >> nth=1")
            assert opened.weights(of.keys) == near(chosen[1]), (kind, which)
            if of.queries != of.keys:
                assert opened.weights(of.queries) is None, "only what is looked at has a weight"
                opened.hover(f"{singular[of.keys]} >> nth=1")
                assert opened.weights(of.queries) == near(chosen[:, 1]), (kind, which)
                assert opened.text("#caption").startswith(f"Which {of.queries} look at ")
    opened.select("kind", KINDS["language"].title)
    opened.hover(".region >> nth=1")
    assert opened.text("#caption").startswith("Regions take no part here.")
    opened.show("Relevance for the answer")
    assert opened.page.locator(".answer input").first.is_enabled()


def test_pins_hold_until_they_are_let_go(show: Open) -> None:
    explanation = make_explanation()
    relevance = explanation.relevances["generic"]["true"]
    opened = show(explanation)
    opened.page.locator(".word").nth(2).click()
    opened.hover(".word >> nth=3")
    assert opened.weights("regions") == near(relevance.words_to_regions[0, 2]), "the pinned one, not the one pointed at"
    assert opened.text("#caption").startswith(
        "What the state of “red” is made of; its own part is not coloured. (pinned)"
    )
    assert "“square”: " in opened.text("#caption")
    assert opened.page.locator("[aria-selected=true]").get_attribute("aria-label").startswith("word 2, red")
    opened.press("Escape")
    assert opened.weights("regions") == near(relevance.words_to_regions[0, 3])
    box = opened.page.locator(".region >> nth=1").bounding_box()
    opened.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    opened.leave()
    assert opened.weights("words") == near(relevance.regions_to_words[0, 1])
    opened.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    opened.leave()
    assert opened.weights("words") == near(relevance.words[0]), "a second click lets go"
    opened.page.locator("#strongest-regions button").first.click()
    opened.leave()
    assert opened.weights("words") == near(relevance.regions_to_words[0, int(relevance.regions[0].argmax())])


def test_the_keyboard_reaches_everything(show: Open) -> None:
    explanation = make_explanation()
    relevance = explanation.relevances["generic"]["true"]
    opened = show(explanation)
    opened.press("Tab", "ArrowRight", "ArrowRight")
    assert opened.weights("regions") == near(relevance.words_to_regions[0, 2])
    ring = (
        "getComputedStyle(document.activeElement).outlineStyle + getComputedStyle(document.activeElement).outlineWidth"
    )
    assert opened.page.evaluate(ring) == "solid3px"
    opened.press("End", "ArrowLeft", "Enter", "Home")
    assert opened.weights("regions") == near(relevance.words_to_regions[0, 3]), "pinned"
    opened.press("Escape")
    assert opened.weights("words")[1:] == near(relevance.words[0, 1:]), "[CLS] has the focus"
    opened.press("Tab", "ArrowRight")
    assert opened.weights("words") == near(relevance.regions_to_words[0, 1])
    assert opened.page.evaluate(ring) == "solid3px"
    opened.press("Tab", "ArrowDown")  # the answers
    relevance = explanation.relevances["generic"]["false"]
    assert opened.weights("words") == near(relevance.words[0])
    opened.press("Tab", "Tab", "ArrowDown")  # past what the colours show to the method
    relevance = explanation.relevances["gradient_attention"]["false"]
    assert opened.weights("words") == near(relevance.words[0])
    opened.press("Tab", "Enter")  # the strongest word
    strongest = int(relevance.words[0].argmax())
    assert opened.weights("regions") == near(relevance.words_to_regions[0, strongest])
    opened.press("Escape")
    names = opened.page.eval_on_selector_all(
        "button, select, input, [role=listbox], [role=option]",
        """all => all.filter(one => one.checkVisibility())
            .filter(one => !(one.ariaLabel || one.labels?.[0]?.innerText || one.innerText)).length""",
    )
    assert names == 0, "each has a name for a screen reader"


def test_right_to_left_questions_are_walked_to_the_left(show: Open) -> None:
    words = ("[CLS]", "האם", "יש", "ריבוע", "[SEP]")
    explanation = replace(make_explanation(words), question="האם יש ריבוע")
    opened = show(explanation)
    first, second = (opened.page.locator(".word").nth(i).bounding_box()["x"] for i in (0, 1))
    assert second < first
    opened.press("Tab", "ArrowLeft", "ArrowLeft")
    relevance = explanation.relevances["generic"]["true"]
    assert opened.weights("regions") == near(relevance.words_to_regions[0, 2])


def wicked_explanation(image: Any = None) -> Explanation:
    """Every text is as bad as it gets."""
    words = ("[CLS]", WICKED, "שלום", "这是什么颜色", "w" * 400, "[SEP]")
    explanation = make_explanation(words, names=(WICKED, "x" * 400, "region 2"), image=image)
    answers = {"true": WICKED, "false": "y" * 400, "maybe": "maybe"}
    return replace(
        explanation,
        question=WICKED * 3,
        answers=tuple((answers[answer], probability) for answer, probability in explanation.answers),
        relevances={
            method: {answers[answer]: relevance for answer, relevance in by_answer.items()}
            for method, by_answer in explanation.relevances.items()
        },
    )


def test_texts_are_shown_as_they_stand(show: Open) -> None:
    opened = show(wicked_explanation(), title=f"title {WICKED}")
    line = " ".join(WICKED.split())
    assert opened.page.evaluate("window.broken") is None
    assert opened.page.locator("b").count() == 0
    assert opened.page.locator(".word bdi").nth(1).text_content() == line
    assert opened.page.locator(".answer .name").first.text_content() == line
    assert opened.page.locator("#question").text_content() == WICKED * 3
    assert opened.page.title().startswith("title </script><script>window.broken = 1")
    opened.hover(".region >> nth=0")
    assert f"region 0, {line}" in opened.page.locator("#caption").text_content()


@pytest.mark.parametrize("wicked", [False, True], ids=["plain", "long texts"])
def test_narrow_screens_scroll_down_only(wicked: bool, show: Open, drawing: Image.Image) -> None:
    opened = show(wicked_explanation(drawing) if wicked else make_explanation(image=drawing), width=360, height=740)
    for view in ("Relevance for the answer", "Attention"):
        opened.show(view)
        assert opened.page.evaluate("document.documentElement.scrollWidth") == 360
        boxes = opened.page.eval_on_selector_all(
            "main *:not(option)", "all => all.map(one => one.getBoundingClientRect()).map(box => [box.left, box.right])"
        )
        assert np.min(boxes) >= 0
        assert np.max(boxes) <= 360
    heights = opened.page.eval_on_selector_all(".word, .answer, .row", "all => all.map(one => one.offsetHeight)")
    assert max(heights) < 60, "long texts are cut, not broken"
    stage = opened.page.locator("#stage").bounding_box()
    assert stage["width"] > 300
    assert stage["width"] / stage["height"] == pytest.approx(40 / 30, rel=0.01)
    opened.page.screenshot(path=SCREENSHOTS / f"narrow_{'long' if wicked else 'plain'}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_what_is_behind_them(scheme: str, show: Open, drawing: Image.Image) -> None:
    explanation = make_explanation(image=drawing)
    opened = show(explanation, scheme=scheme)
    pairs = opened.page.eval_on_selector_all(
        TEXTS,
        """all => all.filter(one => one.checkVisibility()).map(one => {
            let behind = one;
            while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
            return [getComputedStyle(one).color, getComputedStyle(behind).backgroundColor];
        })""",
    )
    assert len(pairs) > 40
    for pair in pairs:
        light, dark = sorted(map(luminance, pair), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, pair
    page = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(page) > 0.5) == (scheme == "light")
    order = explanation.relevances["generic"]["true"].words[0].argsort()
    lights = [luminance(str(opened.colours()[i])) for i in order]
    assert lights == sorted(lights, reverse=scheme == "light"), "strong is dark on a light page and light on a dark one"
    assert abs(lights[-1] - luminance(page)) > 0.5
    opened.page.screenshot(path=SCREENSHOTS / f"{scheme}.png", full_page=True)


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2, of a colour as the browser writes it."""
    parts = np.array(list(map(float, re.findall(r"[\d.]+", colour)[:3]))) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_without_a_picture_there_is_a_canvas_of_its_shape(show: Open) -> None:
    opened = show(make_explanation())
    stage = opened.page.locator("#stage").bounding_box()
    assert stage["width"] / stage["height"] == pytest.approx(40 / 30, rel=0.01)
    assert opened.text("#caption").endswith("(picture not at hand)")


def test_five_hundred_regions_are_there_at_once(show: Open) -> None:
    """The paper's size; written and shown by the clock."""
    words = ("[CLS]", *(f"word{i}" for i in range(58)), "[SEP]")
    rows, columns = np.mgrid[:600, :800]
    waves = np.stack([np.sin(rows / 40), np.cos(columns / 60), np.sin((rows + columns) / 90)], axis=-1)
    photo = (127 + 120 * waves).astype(np.uint8)
    boxes = many_boxes(500, 600, 800)
    explanation = make_explanation(words, boxes, photo, (600, 800), None, (9, 5, 5), heads=12)
    opened = show(explanation)
    size = len(Path(opened.address.removeprefix("file://")).read_bytes())
    print(f"500 regions and 60 words: written and shown in {opened.seconds:.2f} s, {size:,} bytes")
    assert opened.seconds < MOST_SECONDS
    assert size <= 4_500_000
    assert opened.weights("regions") == near(explanation.relevances["generic"]["true"].regions[0])
    opened.show("Attention")
    opened.select("kind", KINDS["vision"].title)
    assert opened.text("#head") == "mean of 12"
    assert opened.page.locator("#head").is_disabled()
    assert opened.text("#sentence").endswith("Single heads were left out of this page.")
    assert "object-relationship encoder: the mean of 12 heads" in opened.text("#notes")
    opened.select("layer", "layer 4")
    opened.press("Escape")
    start = time.perf_counter()
    opened.hover(".region >> nth=250")
    print(f"pointing at a region: {time.perf_counter() - start:.2f} s")
    mean = explanation.record.maps["vision"][4, 0].mean(0)  # (queries, keys)
    at = int(re.search(r"region (\d+)", opened.text("#caption"))[1])  # type: ignore[index]
    kept = np.where(mean[at] >= np.sort(mean[at])[-32], mean[at], 0)
    assert opened.weights("regions") == near(kept)
    opened.page.screenshot(path=SCREENSHOTS / "many_regions.png", full_page=True)
