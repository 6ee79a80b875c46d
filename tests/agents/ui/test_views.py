"""What the page shows, from real folders, damaged ones among them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agents.builds import exclusive
from agents.questions import Answer
from agents.ui import views
from agents.ui.asking import Answered
from slm.evaluation.figures import Evaluation
from slm.layout import Layout
from tests.agents.test_status import Checked
from tests.agents.written import ATTACK, BUILD, written


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def shown(layout: Layout, build: str = BUILD) -> str:
    view = views.views(layout, build)
    return "".join((view.summary, view.curves, view.gates, view.journal, view.review))


def test_all_that_is_foreign_is_text(layout: Layout) -> None:
    written(layout.home, state="rejected", reasons=[ATTACK], error=ATTACK)
    path = layout.iteration(BUILD, 2) / "evaluation.json"
    both = ("one", path), ("another", path)
    answer = Answer(question=ATTACK, response=ATTACK, action=ATTACK, source=ATTACK, confidence=None)
    content = (
        shown(layout)
        + views.builds(views.listed(layout))
        + views.side_by_side(*both)
        + views.answer(Answered(ATTACK, answer))
    )
    found = Checked(content)
    assert not found.tags & {"script", "img", "link", "iframe", "object", "a", "form", "input", "style"}
    assert not [name for name in found.names if name.startswith("on") or name in ("src", "href")]
    assert found.said.count("<script>alert(1)</script>") >= 12
    assert "\x1b" not in content
    assert content.count("<svg") == 2


def test_a_running_build_says_how_it_stands(layout: Layout) -> None:
    written(layout.home, state="running", stage="train")
    with exclusive(layout.build(BUILD)):
        [each] = views.listed(layout)
        assert each.state == "running"
        said = Checked(views.views(layout, BUILD).summary).said
    assert "5.500 nats a token at step 10" in said
    assert "2.0000 bits per byte at step 10" in said


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("build.json", b"{"),
        ("build.json", b"[]"),
        ("build.json", b'{"build": 7}'),
        ("build.json", b"\xff\xfe"),
        ("journal.jsonl", b"\xff\xfe\n"),
        ("events.jsonl", b'{"kind": "progress"}\n{"kind": "progress", "stage": 1, "done": "x"}\n'),
        ("training/log.jsonl", b"\xff\n"),
        ("iterations/2/evaluation.json", b"{"),
    ],
)
def test_a_damaged_build_is_a_row_and_hides_no_other(layout: Layout, file: str, content: bytes) -> None:
    written(layout.home, state="running")
    shutil.copytree(layout.build(BUILD), layout.build("mini-whole"))
    (layout.build(BUILD) / file).write_bytes(content)
    with exclusive(layout.build(BUILD)):
        found = views.listed(layout)
        assert {each.build for each in found} == {BUILD, "mini-whole"}
        said = Checked(views.builds(found)).said
        assert BUILD in said and "mini-whole" in said
        assert shown(layout)  # in words, whatever they are
        views.side_by_side(*list(views.evaluated(layout, found).items())[:2])
    if file == "build.json":
        assert "damaged" in said and "cannot be read" in said


def test_a_name_leads_nowhere_but_to_a_build(layout: Layout) -> None:
    written(layout.home)
    shutil.copytree(layout.build(BUILD), layout.home / "elsewhere")
    assert "No build is chosen." in shown(layout, "../elsewhere")
    assert "No build is chosen." in shown(layout, "")


def test_samples_of_two_checkpoints_stand_beside_each_other(layout: Layout) -> None:
    written(layout.home)
    later = layout.iteration(BUILD, 2) / "evaluation.json"
    evaluation = Evaluation.model_validate_json(later.read_text())
    assert evaluation.coherence is not None
    other = [sample.model_copy(update={"text": " is small."}) for sample in evaluation.coherence.samples]
    before = evaluation.model_copy(update={"coherence": evaluation.coherence.model_copy(update={"samples": other})})
    (layout.build(BUILD) / "evaluation.json").write_text(before.model_dump_json())
    there = views.evaluated(layout, views.listed(layout))
    assert list(there) == [f"{BUILD}, iteration 1", f"{BUILD}, iteration 2"]
    first, second = there.items()
    content = views.side_by_side(first, second)
    assert content.index("The kernel") < content.index("is small.") < content.index("alert(1)")
    assert "Choose two" in views.side_by_side(first, None)


def test_no_build_is_no_error(layout: Layout) -> None:
    assert "None yet" in views.builds(views.listed(layout))
