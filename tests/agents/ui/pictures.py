"""``python -m tests.agents.ui.pictures FOLDER BUILD_FOLDER``: take the pictures of the page that ``docs/pictures`` has.

They show two builds: the one in ``BUILD_FOLDER`` (``runs/nano-…``), whose records are copied, and the released nano
with its spec, its evaluation and what the gates say to it, as if it waited for a person.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from agents.builds import write_state
from agents.state import BuildState
from slm.evaluation.figures import Evaluation
from slm.evaluation.gates import judge
from slm.files import read_json
from slm.layout import Layout
from slm.lineage import read_manifest
from slm.spec_file import parse_spec
from tests.agents.ui.serving import ROOT, served
from tests.browser import browsing, choose

QUESTION = "which driver for pci 8086:10d3?"
_RECORDS = ("build.json", "events.jsonl", "journal.jsonl", "spec.json", "training/log.jsonl", "evaluation.json")


def main() -> None:
    """Make the home, serve it, and show one tab after the other."""
    out, run = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        layout = Layout(Path(place) / "home")
        _copy(run, layout.build(run.name))
        _waiting(layout)
        with served(layout.home) as address, browsing(Path(place), 1100, 760) as page:
            page.goto(address)
            _take_all(page, out, run.name)


def _copy(run: Path, folder: Path) -> None:
    for name in _RECORDS:
        if (run / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(run / name, folder / name)


def _waiting(layout: Layout) -> None:
    released = ROOT / "checkpoints" / "released" / "nano"
    build = read_manifest(released).name
    _copy(released, layout.build(build))
    spec = parse_spec(read_json(released / "spec.json"), where=str(released))
    gates = judge(Evaluation.model_validate(read_json(released / "evaluation.json")), spec, finished=True).gates
    waiting = BuildState(build=build, spec=spec.name, review="manual", stage="review", state="waiting", gates=gates)
    write_state(layout.build(build), waiting.model_copy(update={"checkpoint": str(released)}))


def _take_all(page: Page, out: Path, build: str) -> None:
    _open(page, "Review")
    page.get_by_role("heading", name="Samples").wait_for()
    _take(page, out / "review.png")
    _open(page, "Ask a model")
    page.get_by_label("Hardware question").fill(QUESTION)
    page.keyboard.press("Enter")
    page.get_by_role("rowheader", name="Confidence").wait_for()
    _take(page, out / "ask.png")
    _open(page, "Progress")
    page.get_by_label("Build").focus()
    choose(page, build)
    page.get_by_role("img", name="Validation").wait_for()
    _take(page, out / "progress.png")


def _open(page: Page, tab: str) -> None:
    page.get_by_role("tab", name=tab).click()


def _take(page: Page, file: Path) -> None:
    page.screenshot(path=file, full_page=True)
    # Letters and lines need few colours, and a repository few bytes.
    Image.open(file).convert("RGB").quantize(64).save(file, optimize=True)
    print(file, f"{file.stat().st_size / 1e3:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
