"""A program for an interpreter that has transformers but not this package: load repositories and write what they give.

without_package.py JOB OUTPUT: JOB is a JSON file; what each step gave goes into OUTPUT as a torch file.
"""

# ruff: noqa: E402 - the import must be blocked before anything else is imported

import sys


class NotInstalled:
    """Makes the package unimportable, however it is installed."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] == "lxmert":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, NotInstalled())

import json
import shutil
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.dynamic_module_utils import get_class_from_dynamic_module


def tensors(output: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach() for name, value in output.items() if isinstance(value, torch.Tensor)}


def kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def run_models(models: list[dict[str, str]], trust: bool | None) -> list[dict[str, Any]]:
    """Load each repository with its Auto class and run it on its inputs."""
    found = []
    for each in models:
        model = getattr(transformers, each["auto"]).from_pretrained(each["repo"], trust_remote_code=trust).eval()
        with torch.no_grad():
            output = model(**torch.load(each["inputs"]))
        found.append({"kind": kind(model), "output": tensors(output)})
    return found


def run_processors(processors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make tensors of a question and a picture, or of regions."""
    found = []
    for each in processors:
        processor = transformers.AutoProcessor.from_pretrained(each["repo"], trust_remote_code=True)
        given = {"images": each["image"]} if "image" in each else {}
        if "regions" in each:
            regions_class = get_class_from_dynamic_module("processing_lxmert.Regions", each["repo"])
            given["regions"] = regions_class(**each["regions"])
        found.append({"kind": kind(processor), "output": tensors(processor(text=each["text"], **given))})
    return found


def run_pipelines(pipelines: list[dict[str, Any]]) -> list[Any]:
    """Ask the pipeline that the repository brings."""
    found = []
    for each in pipelines:
        pipe = transformers.pipeline(model=each["repo"], trust_remote_code=True, device="cpu")
        found.append({"kind": kind(pipe), "answers": pipe(each["image"], each["text"], **each.get("keywords", {}))})
    return found


def reload(pipelines: list[dict[str, Any]]) -> list[Any] | str:
    """What pipelines answer that are loaded from what was saved, or why they do not."""
    try:
        return run_pipelines(pipelines)
    except Exception as error:
        return repr(error)


def save_again(repo: str, auto: str, target: str) -> None:
    """Load by the repository's code and save: the model and the processor, as people do after training."""
    getattr(transformers, auto).from_pretrained(repo, trust_remote_code=True).save_pretrained(target)
    transformers.AutoProcessor.from_pretrained(repo, trust_remote_code=True).save_pretrained(target)


def refusal(repo: str, auto: str) -> str:
    """What is said where the flag is missing and transformers has no class of its own."""
    try:
        getattr(transformers, auto).from_pretrained(repo)
    except ValueError as error:
        return str(error)
    return ""


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Every step of a job."""
    try:
        import lxmert  # noqa: F401
    except ModuleNotFoundError:
        pass
    else:
        raise AssertionError("lxmert can be imported, so this proves nothing")
    for again in job.get("save_again", []):
        shutil.rmtree(again["target"], ignore_errors=True)
        save_again(**again)
    return {
        "models": run_models(job.get("models", []), job.get("trust")),
        "processors": run_processors(job.get("processors", [])),
        "pipelines": run_pipelines(job.get("pipelines", [])),
        "reloaded": reload(job.get("reloaded", [])),
        "refusal": refusal(**job["refused"]) if "refused" in job else None,
    }


if __name__ == "__main__":
    torch.save(main(json.loads(Path(sys.argv[1]).read_text())), sys.argv[2])
