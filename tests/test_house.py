"""The house's own rules: names that must not be hidden, commands that must be there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from auton import VERBS

ROOT = Path(__file__).parents[1]


def test_import_datasets_is_hugging_faces(tmp_path: Path) -> None:
    # Our folder of the same name holds data and no module, wherever Python is started.
    assert not list(ROOT.glob("datasets/**/__init__.py"))
    (tmp_path / "datasets" / "raw").mkdir(parents=True)
    for place in (ROOT, tmp_path):
        program = "import datasets; print(datasets.load_dataset.__module__, datasets.__file__)"
        done = subprocess.run([sys.executable, "-c", program], cwd=place, capture_output=True, text=True, check=True)
        module, file = done.stdout.split()
        assert module == "datasets.load"
        assert "site-packages" in file


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_its_module(verb: str) -> None:
    by_verb, by_module = (
        subprocess.run([sys.executable, *start, "--help"], cwd=ROOT, capture_output=True, text=True)
        for start in (["-m", "auton", verb], ["-m", VERBS[verb][0]])
    )
    assert by_verb.returncode == 0, by_verb.stderr
    assert by_module.returncode == 0
    assert "usage: " in by_verb.stdout

    def options(text: str) -> set[str]:
        return {word.strip("[],") for word in text.split() if word.strip("[,").startswith("--")}

    assert options(by_verb.stdout) == options(by_module.stdout)


def test_no_verb_imports_what_is_slow_before_it_has_read_its_arguments() -> None:
    slow = ("torch", "transformers", "langgraph", "ray", "deepspeed", "datasets", "matplotlib", "gradio")
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    if hasattr(importlib.import_module(name), '__path__'):\n"
        "        importlib.import_module(f'{name}.__main__')\n"
        f"print(*(set(sys.modules) & set({slow})))"
    )
    command = [sys.executable, "-c", program, *(module for module, _ in VERBS.values())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_an_unknown_verb_lists_the_known_ones() -> None:
    done = subprocess.run([sys.executable, "-m", "auton", "sing"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert all(verb in done.stderr for verb in VERBS)


def test_no_text_of_ours_points_outside_the_repository() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    texts = [ROOT / name for name in tracked if name.endswith((".md", ".py", ".yaml", ".toml")) or name == "Makefile"]
    assert len(texts) > 50
    for text in texts:
        assert "../" + "shared" not in text.read_text(encoding="utf-8"), text
