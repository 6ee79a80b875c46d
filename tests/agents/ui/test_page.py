"""The page in a real browser, by keyboard alone, with a build that waits for a person."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Page, expect

from agents.builds import write_state
from agents.state import BuildState
from slm.files import append_line
from slm.layout import Layout
from tests.agents.ui.serving import served
from tests.agents.written import ATTACK, BUILD, written
from tests.browser import LIMIT, browsing, choose, tab_to
from tests.builds import miniature
from tests.data.corpus.make import write_corpus
from tests.home import Home

pytestmark = pytest.mark.slow

#: A folder may have any name.
BROKEN = "<img src=x onerror=alert(4)>"
REASON = "reads well <img src=x onerror=alert(1)>"


@contextlib.contextmanager
def opened(home: Path, profile: Path) -> Iterator[Page]:
    """Serve the page and open it; it fails when foreign text runs, or anything leaves the page's own address."""
    asked: list[str] = []
    ran: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        ran.append(dialog.message)
        dialog.dismiss()

    with served(home) as address, browsing(profile) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: ran.append(str(error)))
        page.on("dialog", dismiss)
        page.goto(address, timeout=LIMIT)
        page.get_by_role("tab", name="Progress").wait_for()
        yield page
    assert asked and [url for url in asked if not url.startswith((address, "data:"))] == []
    assert ran == []


def test_a_build_is_approved_and_its_model_asked_by_keyboard_alone(tmp_path: Path) -> None:
    write_corpus(tmp_path / "sources")
    gates = {"perplexity": 10_000, "distinct_trigrams": 0.0}
    spec = miniature(tmp_path / "sources", train={"tokens": 64 * 8 * 12}, gates=gates)
    home = Home(tmp_path / "home", spec)
    code, out = home.build("--review", "manual")
    assert code == 4, out
    with opened(home.folder, tmp_path) as page:
        approve(page, home, spec.build_id)
        ask(page, spec.build_id)


def approve(page: Page, home: Home, build: str) -> None:
    expect(page.get_by_role("status").filter(has_text=f"{build} is waiting for review.")).to_be_visible(timeout=LIMIT)
    tab_to(page, "tab", "Gates")
    page.keyboard.press("Enter")
    expect(page.get_by_role("cell", name="perplexity", exact=True).first).to_be_visible(timeout=LIMIT)

    tab_to(page, "tab", "Review")
    page.keyboard.press("Enter")
    tab_to(page, "textarea", "Your name, which is committed")
    page.keyboard.press("Control+A")
    page.keyboard.type("Ann Reviewer")
    tab_to(page, "textarea", "Reason: needed to reject, and to approve although a gate failed")
    page.keyboard.type(REASON)
    tab_to(page, "submit", "Approve")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="it is accepted")).to_be_visible(timeout=LIMIT)
    registry = home.folder / "checkpoints" / "registry"
    log = subprocess.run(["git", "-C", str(registry), "log"], capture_output=True, text=True, check=True).stdout
    assert f"Build: {build}" in log
    assert "Accepted-by: Ann Reviewer" in log
    assert f"Reason: {REASON}" in log

    tab_to(page, "tab", "Journal")
    page.keyboard.press("Enter")
    expect(page.get_by_role("cell", name=f"approved: {REASON}")).to_be_visible(timeout=LIMIT)


def ask(page: Page, build: str) -> None:
    tab_to(page, "tab", "Ask a model")
    page.keyboard.press("Enter")
    tab_to(page, "combobox", "Model")
    choose(page, f"mini, accepted as {build}")
    tab_to(page, "textarea", "Hardware question")
    page.keyboard.type("restart nginx")
    page.keyboard.press("Enter")
    expect(page.get_by_role("row", name="From the kernel interface's rules")).to_be_visible(timeout=LIMIT)
    expect(page.get_by_role("status").filter(has_text="systemctl restart nginx")).to_be_visible(timeout=LIMIT)


def test_a_build_is_chosen_and_followed_by_keyboard_and_nothing_hostile_in_it_runs(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "home")
    written(layout.home, state="rejected", reasons=[ATTACK], error=ATTACK)
    shutil.copytree(layout.build(BUILD), layout.build("mini-waits"))
    write_state(
        layout.build("mini-waits"), BuildState(build="mini-waits", spec="mini", review="manual", state="waiting")
    )
    (layout.build(BROKEN)).mkdir()
    (layout.build(BROKEN) / "build.json").write_text(ATTACK)
    with opened(layout.home, tmp_path) as page:
        choose_and_follow(page, layout)


def choose_and_follow(page: Page, layout: Layout) -> None:
    expect(page.get_by_label("Build")).to_have_value("mini-waits", timeout=LIMIT)
    expect(page.get_by_role("row", name=f"{BROKEN} damaged")).to_be_visible(timeout=LIMIT)
    tab_to(page, "combobox", "Build")
    choose(page, BUILD)
    expect(page.get_by_label("Build")).to_have_value(BUILD, timeout=LIMIT)
    expect(page.get_by_role("cell", name="5.500 nats a token at step 10")).to_be_visible(timeout=LIMIT)
    log = layout.training(BUILD, 2) / "log.jsonl"
    append_line(log, json.dumps({"step": 11, "loss": 4.25}))
    expect(page.get_by_role("cell", name="4.250 nats a token at step 11")).to_be_visible(timeout=LIMIT)
    for tab, words in (("Gates", "perplexity"), ("Journal", "iteration 2 with more"), ("Review", "The kernel")):
        tab_to(page, "tab", tab)
        page.keyboard.press("Enter")
        shown = page.get_by_role("tabpanel").filter(has_text=words)
        expect(shown.first).to_contain_text("<script>alert(1)</script>", timeout=LIMIT)
    tab_to(page, "tab", "Samples")
    page.keyboard.press("Enter")
    expect(page.get_by_role("columnheader", name=f"{BUILD}, iteration 2").first).to_be_visible(timeout=LIMIT)


def test_a_browser_that_gives_the_token_is_let_in(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "home")
    written(layout.home, state="waiting")
    token = tmp_path / "token"
    token.write_text("a token of many bytes\n")
    token.chmod(0o600)
    with (
        served(layout.home, "--token-file", str(token)) as address,
        browsing(tmp_path, password="a token of many bytes") as page,
    ):
        page.goto(address, timeout=LIMIT)
        expect(page.get_by_role("status").filter(has_text=f"{BUILD} is waiting")).to_be_visible(timeout=LIMIT)
        page.get_by_role("tab", name="Review").click()
        # Nobody is taken for the one who started the page.
        expect(page.get_by_label("Your name, which is committed")).to_have_value("", timeout=LIMIT)
