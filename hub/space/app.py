"""A Hugging Face Space: drop a picture, ask, and see the answer with the words and regions that it rests on."""

import json
import os
from html import escape
from pathlib import Path
from typing import Any

import answer_views
import gradio as gr
from PIL import Image

from lxmert import LxmertForQuestionAnswering, LxmertProcessor
from lxmert.processing.images import load_image
from lxmert.visualization import Explanation, explain

HERE = Path(__file__).parent
MAX_PIXELS = 25_000_000
MAX_CHARACTERS = 300
MAX_FILE_SIZE = "10mb"
ANSWERS_AT_ONCE = 2
KEPT_SECONDS = 900  # that an answer waits to be explained
KEPT_SESSIONS = 200
NO_PICTURE = "Drop a picture on the left first, or click an example."
NO_QUESTION = "What would you like to know? Type a question about the picture."
UNREADABLE = "This file cannot be read as a picture. PNG, JPEG and WebP files work."
KEPT_NO_LONGER = "This answer is no longer kept. Press Ask once more."
NOTHING_YET = "The answer appears here."

Image.MAX_IMAGE_PIXELS = MAX_PIXELS


def read_settings() -> dict[str, Any]:
    """What space.json says; LXMERT_MODEL names another model."""
    settings = json.loads((HERE / "space.json").read_text(encoding="utf-8"))
    settings["model"] = os.environ.get("LXMERT_MODEL", settings["model"])
    return settings


def load(name: str) -> tuple[LxmertForQuestionAnswering, LxmertProcessor]:
    """Model and processor from a folder, or from the Hub."""
    source = str(HERE / name) if (HERE / name).is_dir() else name
    model = LxmertForQuestionAnswering.from_pretrained(source, attn_implementation="eager").float().eval()
    return model, LxmertProcessor.from_pretrained(source)


class Demo:
    """The page and what stands behind it.

    Args:
        settings: as `read_settings` gives them.
    """

    def __init__(self, settings: dict[str, Any]):
        self.settings = settings
        self.model, self.processor = load(settings["model"])

    def answer(self, image: str | None, question: str | None) -> Explanation:
        """Answer a question and explain its likeliest answers.

        Raises:
            ValueError: what the visitor should change.
        """
        if not image:
            raise ValueError(NO_PICTURE)
        if not (question or "").strip():
            raise ValueError(NO_QUESTION)
        assert question is not None
        if len(question) > MAX_CHARACTERS:
            raise ValueError(f"Please ask in at most {MAX_CHARACTERS} characters; these are {len(question)}.")
        try:
            with Image.open(image) as opened:
                width, height = opened.size
            if width * height > MAX_PIXELS:
                raise Image.DecompressionBombError
            picture = load_image(image)
        except Image.DecompressionBombError as error:
            raise ValueError(f"This picture is too large: at most {MAX_PIXELS // 10**6} million pixels.") from error
        except (OSError, ValueError) as error:
            raise ValueError(UNREADABLE) from error
        tokenizer = self.processor.tokenizer
        pieces = len(tokenizer(question, verbose=False)["input_ids"])
        if pieces > tokenizer.model_max_length:
            most = tokenizer.model_max_length
            raise ValueError(f"Please ask more briefly: this model reads {most} word pieces, these are {pieces}.")
        if pieces <= tokenizer.num_special_tokens_to_add():
            raise ValueError(NO_QUESTION)
        return explain(self.model, self.processor, picture, question.strip(), methods=answer_views.METHOD)

    def ask(self, image: str | None, question: str | None) -> list[Any]:
        """New content of all outputs."""
        try:
            found = self.answer(image, question)
        except ValueError as error:
            return [answer_views.message(str(error)), gr.update(visible=False), gr.update(visible=False), None]
        best = found.explained[0]
        choice = gr.update(choices=list(found.explained), value=best, visible=len(found.explained) > 1)
        return [answer_views.bars(found), choice, gr.update(visible=True), found]

    def broken(self) -> list[Any]:
        """New content of all outputs where `ask` could not even begin: the file is no picture."""
        return [answer_views.message(UNREADABLE), gr.update(visible=False), gr.update(visible=False), None]

    def why(self, found: Explanation | None, answer: str | None) -> list[Any]:
        """Words and regions behind one answer."""
        if found is None or answer not in found.explained:
            return [gr.update(), gr.update(), gr.update()]
        return [
            answer_views.words(found, answer),
            answer_views.regions(found, answer),
            answer_views.picture(found, answer),
        ]

    def choose(self, found: Explanation | None, answer: str | None) -> list[Any]:
        """As `why`, once a visitor has chosen an answer: it may be gone by then."""
        return [answer_views.message(KEPT_NO_LONGER), "", None] if found is None else self.why(found, answer)

    def page(self) -> gr.Blocks:
        """The page, not yet served."""
        settings = self.settings
        examples = [[str(HERE / one["image"]), one["question"]] for one in settings["examples"]]
        first = examples[0] if examples else [None, ""]
        with gr.Blocks(title=settings["title"], analytics_enabled=False, delete_cache=(600, 3600)) as page:
            gr.HTML(_header(settings))
            state = gr.State(None, time_to_live=KEPT_SECONDS)
            with gr.Row(equal_height=False):
                with gr.Column(scale=5, min_width=300):
                    image = gr.Image(
                        first[0],
                        label="Picture",
                        type="filepath",
                        image_mode=None,  # the file as it is
                        sources=["upload", "clipboard"],
                        height=260,
                        elem_id="picture",
                    )
                    question = gr.Textbox(first[1], label="Question", lines=2, max_length=4000, elem_id="question")
                    button = gr.Button("Ask", variant="primary", elem_id="ask")
                with gr.Column(scale=6, min_width=300, elem_id="result"):
                    answers = gr.HTML(f'<div class="nothing">{NOTHING_YET}</div>', elem_id="answers")
                    with gr.Column(visible=False, elem_id="why") as reasons:
                        choice = gr.Radio([], label="Explain the answer", elem_id="choice")
                        words = gr.HTML(elem_id="words")
                        regions = gr.HTML(elem_id="regions")
                        seen = gr.Image(format="png", interactive=False, show_label=False, buttons=[], elem_id="seen")
            inputs, outputs = [image, question], [answers, choice, reasons, state]
            asking: dict[str, Any] = {"fn": self.ask, "inputs": inputs, "outputs": outputs, "api_name": False}
            telling: dict[str, Any] = {
                "fn": self.why,
                "inputs": [state, choice],
                "outputs": [words, regions, seen],
                "api_name": False,
            }
            asked = [gr.on([button.click, question.submit], **asking), page.load(**asking)]
            if examples:
                shown = gr.Examples(examples, inputs, label="Examples", cache_examples=False, elem_id="examples")
                asked.append(shown.load_input_event.then(**asking))
            for event in asked:
                event.success(**telling)
                event.failure(self.broken, outputs=outputs, api_name=False)
            choice.input(**telling | {"fn": self.choose})
        return page


def _header(settings: dict[str, Any]) -> str:
    name = escape(settings["model"])
    link = "" if (HERE / settings["model"]).is_dir() else f'<a href="https://huggingface.co/{name}">{name}</a>'
    return (
        f"<header><h1>{escape(settings['title'])}</h1><p>Drop a picture, ask a question, and see the answer with the "
        f'words and regions that it rests on. {link}</p><p class="told">{escape(settings.get("hint", ""))}</p></header>'
    )


def main() -> None:
    """Serve the page."""
    page = Demo(read_settings()).page()
    page.queue(default_concurrency_limit=ANSWERS_AT_ONCE)
    theme = gr.themes.Soft(
        primary_hue="indigo",
        neutral_hue="slate",
        font=["ui-sans-serif", "system-ui", "sans-serif"],  # fonts of the visitor's machine: nothing is fetched
        font_mono=["ui-monospace", "monospace"],
    ).set(
        body_background_fill="*neutral_50",
        checkbox_label_background_fill_selected="*primary_600",
        button_primary_background_fill="*primary_600",
    )
    page.launch(
        theme=theme,
        css_paths=HERE / "style.css",
        footer_links=[],
        max_file_size=MAX_FILE_SIZE,
        allowed_paths=[str(HERE / "examples")],
        ssr_mode=False,
        share=False,
        state_session_capacity=KEPT_SESSIONS,
    )


if __name__ == "__main__":
    main()
