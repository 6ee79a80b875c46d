"""Decisions through the real command; what it decides on and how is tested where it is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agents.builds import exclusive
from agents.ui.decisions import LONGEST_NAME, LONGEST_REASON, Decisions
from slm.errors import BuildError
from slm.layout import Layout
from tests.agents.written import BUILD, gate, written


def ended(decisions: Decisions) -> int:
    deadline = time.monotonic() + 120
    while (code := decisions.ended(BUILD)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return code


def test_what_the_command_refuses_it_says_and_the_page_can_show(tmp_path: Path) -> None:
    written(tmp_path, state="waiting", gates=[gate(False)])
    decisions = Decisions(Layout(tmp_path))
    assert (decisions.ended(BUILD), decisions.words(BUILD), decisions.is_running(BUILD)) == (None, "", False)
    decisions.begin("approve", BUILD, 2, "ann", "")
    with pytest.raises(BuildError, match="is being carried out"):
        decisions.begin("reject", BUILD, 2, "ann", "no")
    assert ended(decisions) == 2
    assert "Gates failed (perplexity)" in decisions.words(BUILD)
    decisions.begin("reject", BUILD, 2, "ann", " \n ")
    assert ended(decisions) == 2
    assert "A rejection needs a reason." in decisions.words(BUILD)


def test_a_decision_is_about_the_model_that_was_looked_at(tmp_path: Path) -> None:
    written(tmp_path, state="waiting", gates=[gate(True)])
    decisions = Decisions(Layout(tmp_path))
    decisions.begin("approve", BUILD, 1, "ann", "looks good")  # a page that was left open shows the one before
    assert ended(decisions) == 1
    assert f"Iteration 2 of {BUILD} waits for review, not iteration 1." in decisions.words(BUILD)


def test_no_decision_is_begun_on_a_build_that_a_process_holds(tmp_path: Path) -> None:
    written(tmp_path, state="waiting")
    decisions, log = Decisions(Layout(tmp_path)), Layout(tmp_path).build(BUILD) / "decision.log"
    log.write_text("what another page began")
    with exclusive(log.parent), pytest.raises(BuildError, match="is being carried out"):
        decisions.begin("approve", BUILD, 2, "ann", "")
    assert log.read_text() == "what another page began"


def test_a_reason_is_a_text_and_no_option(tmp_path: Path) -> None:
    written(tmp_path, state="rejected")
    decisions = Decisions(Layout(tmp_path))
    decisions.begin("approve", BUILD, 2, "--address=evil", "--help; $(touch x)")
    assert ended(decisions) == 1
    assert "it does not wait for review" in decisions.words(BUILD)


@pytest.mark.parametrize(
    ("build", "by", "reason", "words"),
    [
        ("", "ann", "", "No build is chosen"),
        ("../elsewhere", "ann", "", "No build is chosen"),
        (BUILD, "ann", "x" * (LONGEST_REASON + 1), "1,001 characters"),
        (BUILD, "x" * (LONGEST_NAME + 1), "", "81 characters"),
        (BUILD, "ann", "a\0b", "character that no command"),
    ],
)
def test_what_cannot_be_given_to_a_command_is_refused(
    tmp_path: Path, build: str, by: str, reason: str, words: str
) -> None:
    written(tmp_path, state="waiting")
    decisions = Decisions(Layout(tmp_path))
    with pytest.raises(BuildError, match=words):
        decisions.begin("approve", build, 1, by, reason)
    assert decisions.words(BUILD) == ""
