"""Answers the requests of an Inference Endpoint. Lies in a model's repository as handler.py and stands on its own.

Hugging Face's endpoints (huggingface-inference-toolkit) make one `EndpointHandler` of the repository's folder and call
it with the content of each request; what it raises goes back to the caller as {"error": text} with the status 400.
"""

import base64
import binascii
import io
import warnings
from typing import Any

from PIL import Image, UnidentifiedImageError
from transformers import pipeline

MAX_IMAGE_BYTES = 10 * 2**20
MAX_PIXELS = 25_000_000
MAX_SIDE = 10_000  # pixels
MAX_QUESTIONS = 32
MAX_CHARACTERS = 500  # of a question
MAX_TOP_K = 1000
MAX_EXPLAINED = 32  # answers to all questions together: each runs the model once more, forth and back
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")  # Pillow's others reach code that few have looked at
FORMS = (
    'Send {"inputs": {"image": "<base64>", "question": "..."}, "parameters": {"top_k": 5}}, or what '
    "huggingface_hub.InferenceClient(...).visual_question_answering(image, question) sends."
)
PARAMETERS = ("top_k", "explain")


class BadRequestError(ValueError):
    """What is wrong with a request, for its sender to read."""


class EndpointHandler:
    """The checkpoint in a folder, asked over the network: pictures and questions from strangers.

    Where the package lxmert is installed, it answers; where it is not, the code in the folder does. Nothing limits the
    time of a request: a picture of noise with 4 million pixels keeps the extractor of drawings busy for 16 s on one
    core. Shrinking it first would change what is found in thin drawings.

    Args:
        path: folder of the checkpoint.
    """

    def __init__(self, path: str = ""):
        try:
            from lxmert.hub.pipeline import TASK
        except ModuleNotFoundError:
            self.pipeline = pipeline("visual-question-answering", model=path, trust_remote_code=True)
        else:
            self.pipeline = pipeline(TASK, model=path, trust_remote_code=False)

    def __call__(self, data: dict[str, Any]) -> list[Any]:
        """Answer one request.

        Args:
            data: `{"inputs": {"image": ..., "question": ...}, "parameters": {...}}`, or image and question beside
                "inputs", as `InferenceClient` sends them. The image is a file as base64 (a data URL too), and never an
                address or path. The question may be a list of questions about the image. Parameters are `top_k` and
                `explain`, see the pipeline; with `explain`, `top_k` is 1 by default, and `top_k` times the number of
                questions is limited.

        Returns:
            `[{"answer", "score"}, ...]`, the likeliest first; a list of these for a list of questions.

        Raises:
            BadRequestError: a request that cannot be answered, with what to do about it.
        """
        if not isinstance(data, dict):
            raise BadRequestError(f"The request must be a JSON object. {FORMS}")
        inputs = data.get("inputs")
        given = inputs if isinstance(inputs, dict) else data
        if given is data:
            _check_keys(data, ("inputs", "image", "question", "parameters"), "in the request")
        else:
            _check_keys(data, ("inputs", "parameters"), 'beside "inputs"')
            _check_keys(given, ("image", "question"), 'in "inputs"')
        image = given.get("image")
        if image is None and given is data:
            image = inputs
        question = _checked_questions(given.get("question"))
        parameters = _checked_parameters(data.get("parameters"), len(question) if isinstance(question, list) else 1)
        picture = _opened(image)
        try:
            return self.pipeline(image=picture, question=question, **parameters)
        except (ValueError, TypeError, ModuleNotFoundError) as error:  # the texts say what to do
            raise BadRequestError(str(error)) from error


def _short(value: Any) -> str:
    return repr(value)[:40]


def _check_keys(given: dict[str, Any], known: tuple[str, ...], place: str) -> None:
    unknown = set(given) - set(known)
    if unknown:
        names = ", ".join(sorted(map(_short, unknown)))
        raise BadRequestError(f"Unknown keys: {names} {place}; known there are {', '.join(known)}. {FORMS}")


def _checked_questions(question: Any) -> str | list[str]:
    if question is None:
        raise BadRequestError(f"There is no question. {FORMS}")
    questions = question if isinstance(question, list) else [question]
    if not 1 <= len(questions) <= MAX_QUESTIONS:
        raise BadRequestError(f"question must be 1 to {MAX_QUESTIONS} questions, got {len(questions)}.")
    for one in questions:
        if not isinstance(one, str):
            raise BadRequestError(f"question must be a text or a list of texts, got {_short(one)}.")
        if not one.strip():
            raise BadRequestError("question is empty: ask something about the image.")
        if any("\ud800" <= character <= "\udfff" for character in one):
            raise BadRequestError(f"question holds half a surrogate pair, which is no character: {_short(one)}.")
        if len(one) > MAX_CHARACTERS:
            raise BadRequestError(f"question must have at most {MAX_CHARACTERS} characters, got {len(one)}.")
    return question


def _checked_parameters(parameters: Any, questions: int) -> dict[str, Any]:
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise BadRequestError(f"parameters must be an object, got {_short(parameters)}.")
    unknown = set(parameters) - set(PARAMETERS)
    if unknown:
        raise BadRequestError(
            f"Unknown parameters: {', '.join(sorted(map(_short, unknown)))}; known are {', '.join(PARAMETERS)}."
        )
    top_k, explain = parameters.get("top_k"), parameters.get("explain")
    if top_k is not None and (type(top_k) is not int or not 1 <= top_k <= MAX_TOP_K):
        raise BadRequestError(f"top_k must be a whole number from 1 to {MAX_TOP_K}, got {_short(top_k)}.")
    if explain is not None and not isinstance(explain, bool):
        raise BadRequestError(f"explain must be true or false, got {_short(explain)}.")
    if explain:
        top_k = top_k or 1
        if top_k * questions > MAX_EXPLAINED:
            raise BadRequestError(
                f"With explain, top_k times the number of questions may be {MAX_EXPLAINED} at most, got {top_k} x "
                f"{questions}: ask for fewer answers, or fewer questions."
            )
    given = {"top_k": top_k, "explain": explain}
    return {name: value for name, value in given.items() if value is not None}


def _opened(image: Any) -> Image.Image:
    """The picture, of which only the head is read until its size is known to be in bounds."""
    if isinstance(image, Image.Image):  # newer toolkits decode some fields themselves
        _check_size(image)
        return image
    if not isinstance(image, str) or not image:
        raise BadRequestError(f"There is no image. {FORMS}")
    if len(image) > (MAX_IMAGE_BYTES + 2) // 3 * 4 + 100:
        raise BadRequestError(f"The image is larger than {MAX_IMAGE_BYTES // 2**20} MiB: send a smaller one.")
    head, comma, content = image[:100].partition(";base64,")
    content = content + image[100:] if comma and head.startswith("data:") else image
    try:
        decoded = base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequestError(
            f"image must be an image file as base64, got {_short(image)}: addresses are not fetched and paths are not "
            "opened."
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            picture = Image.open(io.BytesIO(decoded), formats=FORMATS)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        bomb = isinstance(error, Image.DecompressionBombError)
        kinds = ", ".join(FORMATS)
        raise BadRequestError(
            f"image holds more than {MAX_PIXELS:,} pixels: send a smaller one."
            if bomb
            else f"image holds no picture that can be read: it is none of {kinds}, or broken or cut off. Send a whole "
            "file as base64."
        ) from error
    _check_size(picture)
    picture.filename = "image"  # what messages call it
    return picture


def _check_size(picture: Image.Image) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise BadRequestError(
            f"The image has {width} x {height} pixels: send one of at most {MAX_PIXELS:,}, and {MAX_SIDE:,} a side."
        )
