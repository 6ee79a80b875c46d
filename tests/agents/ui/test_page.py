"""The page in a real browser, by keyboard alone, with a build that waits for a person."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from slm.files import append_line
from slm.layout import Layout
from tests.agents.written import BUILD, written
from tests.browser import LIMIT, browsing, tab_to
from tests.builds import miniature
from tests.data.corpus.make import write_corpus
from tests.integration.test_whole_build import Home

pytestmark = pytest.mark.slow

REASON = "reads well <img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with a build that waits for review, and one in which every foreign text is hostile."""
    sources = tmp_path_factory.mktemp("sources")
    write_corpus(sources)
    gates = {"perplexity": 10_000, "distinct_trigrams": 0.0}
    made = Home(tmp_path_factory.mktemp("home"), miniature(sources, train={"tokens": 64 * 8 * 40}, gates=gates))
    code, out = made.build("--review", "manual")
    assert code == 4, out
    written(made.folder, state="rejected")
    return made


@pytest.fixture(scope="module")
def address(home: Home) -> Iterator[str]:
    """The served page's address."""
    server = home.start("agents.ui", "--port", "0")
    assert server.stdout is not None
    line = server.stdout.readline()
    assert "http://127.0.0.1:" in line, line
    try:
        yield line.split()[-1]
    finally:
        server.terminate()
        out, _ = server.communicate(timeout=60)
        assert "Traceback" not in out


@pytest.fixture
def page(address: str, tmp_path: Path) -> Iterator[Page]:
    """The page in a browser, which fails the test when foreign text runs, or anything leaves the page's own address."""
    asked: list[str] = []
    ran: list[str] = []
    with browsing(tmp_path) as opened:
        opened.on("request", lambda request: asked.append(request.url))
        opened.on("dialog", lambda dialog: (ran.append(dialog.message), dialog.dismiss()))
        opened.on("pageerror", lambda error: ran.append(str(error)))
        opened.goto(address, timeout=LIMIT)
        opened.get_by_role("tab", name="Progress").wait_for()
        yield opened
    assert asked and not [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert ran == []


def test_a_build_is_approved_and_its_model_asked_by_keyboard_alone(home: Home, page: Page) -> None:
    build = home.spec.build_id
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

    tab_to(page, "tab", "Ask a model")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Model")).to_have_value(f"mini, accepted as {build}", timeout=LIMIT)
    tab_to(page, "textarea", "Hardware question")
    page.keyboard.type("restart nginx")
    page.keyboard.press("Enter")
    expect(page.get_by_role("row", name="From the kernel interface's rules")).to_be_visible(timeout=LIMIT)
    expect(page.get_by_role("status").filter(has_text="systemctl restart nginx")).to_be_visible(timeout=LIMIT)


def test_another_build_is_chosen_and_followed_and_nothing_hostile_in_it_runs(home: Home, page: Page) -> None:
    tab_to(page, "listbox", "Build")
    for _ in range(2):
        if page.get_by_label("Build").input_value() != BUILD:
            page.keyboard.press("ArrowDown")
            page.keyboard.press("Enter")
    expect(page.get_by_label("Build")).to_have_value(BUILD, timeout=LIMIT)
    expect(page.get_by_role("cell", name="5.500 nats a token at step 10")).to_be_visible(timeout=LIMIT)
    log = Layout(home.folder).training(BUILD, 2) / "log.jsonl"
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
