"""``python -m tests.agents.ui.pictures URL FOLDER``: take the pictures in ``docs/pictures`` of a page that is served.

They show whatever builds it has; the chosen one is the first that waits for review, or was touched last.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page

from tests.browser import browsing

QUESTION = "which driver for pci 8086:10d3?"


def main() -> None:
    """Show one tab after the other."""
    url, out = sys.argv[1], Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile, browsing(Path(profile), 1100, 760) as page:
        page.goto(url)
        page.get_by_role("img", name="Validation").wait_for()
        _take(page, out / "progress.png")
        _open(page, "Review")
        page.get_by_role("heading", name="Samples").wait_for()
        _take(page, out / "review.png")
        _open(page, "Ask a model")
        page.get_by_label("Hardware question").fill(QUESTION)
        page.keyboard.press("Enter")
        page.get_by_role("rowheader", name="Confidence").wait_for()
        _take(page, out / "ask.png")


def _open(page: Page, tab: str) -> None:
    page.get_by_role("tab", name=tab).click()


def _take(page: Page, file: Path) -> None:
    page.screenshot(path=file, full_page=True)
    print(file, f"{file.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
