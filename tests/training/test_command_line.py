import subprocess
import sys
from argparse import Namespace
from pathlib import Path

from lxmert.training import sections


def test_sections_hold_what_was_given() -> None:
    given = Namespace(**{"task": "vqa", "training.epochs": 0, "data.training": ["a"], "data.images": None})
    assert sections(given) == {"training": {"epochs": 0}, "data": {"training": ["a"]}}


def end_of(code: str, folder: Path) -> str:
    program = folder / "program.py"
    program.write_text(f"from lxmert.training import *\nshow_plain_errors()\n{code}\n")
    result = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=False, cwd=folder)
    assert result.returncode != 0
    return result.stderr


def test_bad_input_ends_with_its_message_alone(tmp_path: Path) -> None:
    said = end_of("FineTuningRecipe('x', 'vqa2')", tmp_path)
    assert said.startswith("program.py: task must be one of vqa, gqa")
    assert "Traceback" not in said
    assert end_of("open('gone.txt')", tmp_path).startswith("program.py: [Errno 2] No such file")
    assert end_of("raise KeyboardInterrupt", tmp_path).strip() == "Stopped."


def test_faults_of_others_keep_their_traceback(tmp_path: Path) -> None:
    assert "Traceback" in end_of("import json; json.loads('{')", tmp_path)
    assert "Traceback" in end_of("TASKS['vqa2']", tmp_path)
