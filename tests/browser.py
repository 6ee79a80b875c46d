"""A real browser that is driven by keyboard, and that reaches nobody but this machine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.needs import need_program

#: Milliseconds that anything on a page may take; machines are busy.
LIMIT = 300_000

_FLAGS = (
    "--no-sandbox",  # Chromium has none for root, whom CI is
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)

_FOCUSED = """() => {
    const element = document.activeElement;
    const style = getComputedStyle(element);
    const label = element.getAttribute("aria-label") || element.labels?.[0]?.innerText;
    return {
        name: (label || element.innerText || "").trim(),
        what: element.getAttribute("role") || element.type || element.tagName.toLowerCase(),
        outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0,
    };
}"""

_ACTIVE = """() => {
    const active = document.activeElement.getAttribute("aria-activedescendant");
    return document.getElementById(active)?.innerText || "";
}"""


@contextlib.contextmanager
def browsing(profile: Path, width: int = 1280, height: int = 900, password: str = "") -> Iterator[Page]:
    """Open Debian's Chromium with a fresh profile below ``profile``; it gives ``password`` where one is asked for."""
    program = need_program("chromium", "chromium")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch_persistent_context(
            profile / "chromium",
            executable_path=program,
            args=_FLAGS,
            viewport={"width": width, "height": height},
            http_credentials={"username": "ann", "password": password} if password else None,
        ) as context,
    ):
        context.set_default_timeout(LIMIT)
        yield context.pages[0]


def tab_to(page: Page, what: str, name: str) -> None:
    """Press Tab until an element has the focus, by its role or type and its label; every one on the way shows that."""
    passed = []
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate(_FOCUSED)
        if focused["what"] == "body":  # the end of the page; the next one is its beginning
            continue
        assert focused["name"], f"an element without a name: {focused}"
        assert focused["outlined"], f"an element that does not show that it has the focus: {focused}"
        passed.append((focused["what"], focused["name"]))
        if passed[-1] == (what, name):
            return
    raise AssertionError(f"no {what} {name!r} among {passed}")


def choose(page: Page, option: str) -> None:
    """Choose an option of the list that has the focus, with the arrow keys; it may still have to come."""
    deadline = time.monotonic() + LIMIT / 1000
    while option not in page.evaluate(_ACTIVE):
        assert time.monotonic() < deadline, f"no option {option!r}"
        page.keyboard.press("ArrowDown")
        page.wait_for_timeout(100)
    page.keyboard.press("Enter")
