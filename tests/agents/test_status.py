"""How builds stand, for people, shells, programs and browsers: all read from real files."""

from __future__ import annotations

import json
import threading
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest

from agents import manager, review, status
from agents.builds import exclusive, write_state
from agents.dossier import read_dossier, spark
from agents.journal import Journal
from agents.page import page
from agents.standing import EXIT, clock, standing
from agents.state import BuildState, Status
from slm.evaluation.figures import Evaluation
from slm.layout import Layout
from slm.lineage import write_manifest
from slm.progress import Progress
from tests.agents.written import ATTACK, BUILD, gate, written


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTON_HOME", str(tmp_path))
    monkeypatch.setattr(status, "_EVERY", 0.02)
    return tmp_path


@pytest.mark.parametrize("state", get_args(Status))
def test_the_exit_status_says_how_a_build_stands(state: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(home, state=state)
    with exclusive(Layout(home).build(BUILD)):
        assert status.main([BUILD]) == EXIT[state]
        assert status.main([BUILD, "--json"]) == EXIT[state]
    assert status.main([]) == 0
    assert "\x1b[2J" not in capsys.readouterr().out
    assert len(set(EXIT.values()) | {2}) == len(EXIT) + 1


def test_no_such_build_is_told_apart_from_a_failed_one(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(home, state="waiting")
    for main, *arguments in (
        (status.main,),
        (review.main, "show"),
        (review.main, "approve", "--by", "me"),
        (manager.main, "--resume"),
        (manager.main, "--cancel"),
    ):
        assert main([*arguments, "mini-00000000"]) == 2
        assert f"Builds here: {BUILD}" in capsys.readouterr().err
    assert review.main(["reject", BUILD, "--by", "me"]) == 2
    assert "A rejection needs a reason" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        status.main(["--journal"])
    assert ended.value.code == 2


def test_a_running_build_says_what_it_does_how_long_yet_and_its_loss(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = written(home, state="running", stage="train", gates=[gate(False)])
    now = time.time()
    said_at = [now - 30]
    journal = Journal(Layout(home).build(BUILD), "training", lambda: said_at[0])
    journal.say("training attempt 2 of 3", attempt=2)
    for done in (10, 20, 30):
        said_at[0] += 10
        journal.progress(Progress("train", done, 100, "steps", "loss 5.5"))
    with exclusive(Layout(home).build(BUILD)):
        status.main([BUILD, "--json"])
        [told] = json.loads(capsys.readouterr().out)
        status.main([BUILD])
        shown = capsys.readouterr().out
    assert (told["iteration"], told["attempt"], told["loss"]) == (2, 2, 5.5)
    assert told["seconds_left"] == pytest.approx(70, abs=1)
    assert told["validation_bits_per_byte"] == 2.0
    assert told["gates"][0]["value"] is None
    assert "iteration 2 (45,000 training tokens), stage train, attempt 2" in shown
    assert "train: 30 of 100 steps, 1:10 left  loss 5.5" in shown
    assert "silent for 5:00" in standing(state, Layout(home), now + 300).work
    # A clock that was set back since: no silence, and no time left that is below nothing.
    assert standing(state, Layout(home), now - 7200).work == "train: 30 of 100 steps, 1:10 left  loss 5.5"
    assert standing(state.model_copy(update={"state": "failed"}), Layout(home)).work == ""


def test_watching_ends_with_the_build(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = written(home, state="running", stage="train")
    folder = Layout(home).build(BUILD)
    Journal(folder, "training").progress(Progress("train", 1, 10, "steps"))

    def end() -> None:
        time.sleep(0.3)
        write_state(folder, state.model_copy(update={"state": "rejected", "reasons": ["perplexity"]}))

    with exclusive(folder):
        thread = threading.Thread(target=end)
        thread.start()
        assert status.main([BUILD, "--watch"]) == EXIT["rejected"]
        thread.join()
    out = capsys.readouterr().out
    assert out.count("train: 1 of 10 steps") == 1
    assert "rejected" in out


def test_the_journal_says_what_came_of_each_decision(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(home, state="rejected")
    assert status.main([BUILD, "--journal"]) == EXIT["rejected"]
    out = capsys.readouterr().out
    assert "manager, by openai x" in out
    assert "came of it  validation 2.1 → 2.0 bits per byte" in out


class Checked(HTMLParser):
    """A page taken apart."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.names: set[str] = set()
        self.said = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        # A picture's parts name each other.
        self.names |= {name for name, value in attrs if not (name.endswith("href") and (value or "").startswith("#"))}

    def handle_data(self, data: str) -> None:
        self.said += data


def test_the_page_runs_and_loads_nothing_and_shows_all_as_text(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(home, state="rejected", reasons=[ATTACK], error=ATTACK)
    out = home / "page.html"
    assert status.main([BUILD, "--html", str(out)]) == EXIT["rejected"]
    content = out.read_text()
    found = Checked(content)
    assert not found.tags & {"script", "img", "link", "iframe", "object", "embed", "form", "a", "base"}
    assert not [name for name in found.names if name.startswith("on") or name in ("src", "href", "xlink:href")]
    assert content.count("<svg") == 2
    assert "\x1b" not in content
    assert found.said.count("<script>alert(1)</script>") >= 5
    for words in ("35.18", "validation 2.1 → 2.0", "45,000 training tokens", "The kernel", "no other accepted model"):
        assert words in found.said
    assert status.main([BUILD, "--html", str(home / "page.html" / "below")]) == 1
    assert "cannot be written" in capsys.readouterr().err
    empty = BuildState(build="mini-1", spec="mini", review="auto")
    bare = page(standing(empty, Layout(home)), read_dossier(empty, Layout(home)))
    assert "Nothing was trained yet." in bare and "Nothing was measured yet." in bare


def test_a_reviewer_is_shown_all_that_there_is(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(home, state="waiting")
    model = Layout(home).registry / "mini"
    model.mkdir(parents=True)
    last = Evaluation.model_validate_json((Layout(home).iteration(BUILD, 2) / "evaluation.json").read_text())
    assert last.test is not None
    before = last.model_copy(update={"test": last.test.model_copy(update={"perplexity": 41.5})})
    (model / "evaluation.json").write_text(before.model_dump_json())
    write_manifest(model / "manifest.json", "model", "mini-00000001", ["evaluation.json"])
    assert review.main(["show", BUILD]) == 0
    out = capsys.readouterr().out
    for words in (
        "training loss",
        "validation bits",
        "mini-00000001",
        "35.18",
        "41.50",
        "no checkpoint yet",
        "alert(1)",
    ):
        assert words in out
    assert "\x1b[2J" not in out


def test_a_decision_has_a_name(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(home, state="waiting")
    assert review.main(["approve", BUILD, "--by", " \n"]) == 2
    assert "needs the name of who gives it" in capsys.readouterr().err


def test_sparks_and_clocks() -> None:
    assert spark([1, 2, 3]) == "▁▅█" or spark([1, 2, 3]) == "▁▄█"
    assert spark([]) == "" and spark([2, 2]) == "▁▁"
    assert len(spark(list(range(1000)))) == 40
    assert (clock(5), clock(65), clock(3661)) == ("0:05", "1:05", "1:01:01")
