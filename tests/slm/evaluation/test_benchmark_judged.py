"""The released nano on a file of somebody's own: a checkpoint, a GGUF file, and with the device tables."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from slm.corpus.instructions.exchange import INTENT_OF, SUB_COMMANDS
from slm.evaluation.__main__ import main
from slm.evaluation.benchmark.device import Device
from slm.evaluation.benchmark.gguf import GgufModel
from slm.evaluation.benchmark.items import DriverSelect, IntentPhrase, Item, write_items
from slm.evaluation.benchmark.judged import judge, some_of_each
from slm.evaluation.benchmark.model import CheckpointModel, Model
from slm.evaluation.benchmark.neighbours import WithNeighbours
from slm.evaluation.benchmark.predictor import Abstaining, Ranked
from slm.model.files import NEIGHBOURS, TAUGHT

NANO = Path("checkpoints/released/nano")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    known = Device(bus="pci", vendor="8086", device="100e")
    new = Device(bus="pci", vendor="8086", device="fffe")
    items: list[Item] = [
        DriverSelect(device=known, answer=("e1000",)),
        DriverSelect(device=new, answer=("e1000e",)),
        IntentPhrase(text="which driver fits this card?", answer="DRIVER_SELECT"),
    ]
    write_items(tmp_path / "own.jsonl", items)
    return tmp_path / "own.jsonl"


@pytest.fixture(scope="module")
def untaught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model without what it was taught, which takes a while to load."""
    folder = tmp_path_factory.mktemp("models") / "nano"
    shutil.copytree(NANO, folder, ignore=shutil.ignore_patterns("*.gguf", *TAUGHT))
    return folder


@pytest.mark.parametrize("model", [NANO, NANO / "model-q8_0.gguf"], ids=["checkpoint", "gguf"])
def test_a_released_model_is_scored_on_a_file_alone(
    model: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(model), "--benchmark", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {task: score["n"] for task, score in found["tasks"].items()} == {"driver_select": 2, "intent": 1}
    assert found["baselines"].keys() == {model.resolve().name, "neighbours alone", "rules"}
    assert any("answers.json list" in note for note in found["notes"])
    assert any("No baseline was fitted: training.jsonl beside" in note for note in found["notes"])
    assert main([f"{model}-not", "--benchmark", str(file)]) == 2
    assert f"There is no model at {model}-not" in capsys.readouterr().err


def test_what_the_tables_know_is_right_and_the_rest_is_the_models(
    untaught: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = [str(untaught), "--benchmark", str(file), "--json"]
    assert main([*shown, "--knowledge", "on"]) == 0
    on = json.loads(capsys.readouterr().out)["tasks"]["driver_select"]
    assert main(shown) == 0
    off = json.loads(capsys.readouterr().out)["tasks"]["driver_select"]
    assert on["top1"] >= max(0.5, off["top1"])


def test_an_untaught_model_chooses_from_the_tables_drivers(untaught: Path, file: Path) -> None:
    found = judge(untaught, file)
    assert found.baselines.keys() == {"rules"}
    assert any("devices.sqlite list" in note for note in found.notes)


def test_tables_that_are_none_are_refused(untaught: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = [str(untaught), "--benchmark", str(file), "--knowledge", "on", "--tables"]
    assert main([*shown, "README.md"]) == 1
    assert "README.md does not hold device tables" in capsys.readouterr().err
    assert main([*shown, "nowhere.sqlite"]) == 2
    assert "There are no device tables at nowhere.sqlite" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(NANO), "--benchmark", str(file), "--split", "test"])


def test_a_checkpoint_and_its_gguf_file_rank_as_deep() -> None:
    lists = {"pci": [f"driver{number}" for number in range(40)]}
    device = Device(bus="pci", vendor="8086", device="fffe")
    takers: list[Model] = [CheckpointModel(NANO, lists), GgufModel(NANO / "model-q8_0.gguf", lists)]
    for taker in takers:
        assert len(taker.drivers(device)) == 3
        # Of phrases all answers are ranked, so that nothing is left to guess.
        assert {answer for answer, _ in taker.sub_commands("stop nginx")} == set(INTENT_OF)
        assert {answer for answer, _ in taker.intents("stop nginx")} == set(SUB_COMMANDS)
        taker.close()


def test_steps_are_put_where_each_makes_the_next_likelier() -> None:
    class Follows(Model):
        """Finds a step ten times as likely after the one before it; long steps are unlikely everywhere."""

        def __init__(self, right: Sequence[str]) -> None:
            super().__init__("follows", {})
            self.right = list(right)

        def among(self, question: str, answers: Sequence[str]) -> Ranked:
            done = question.split("\n")[1:]
            after = self.right.index(done[-1]) + 1 if done else 0
            follows = self.right[after] if done and after < len(self.right) else ""
            return [(each, 0.1 ** len(each) * (10 if each == follows else 1)) for each in answers]

        def ranked(self, which: str, question: str) -> Ranked:
            raise AssertionError

        def written(self, question: str) -> tuple[str, float]:
            raise AssertionError

    right = ["a long first step", "second", "the third of them", "last"]
    for shown in itertools.permutations(right):
        assert [shown[place] for place in Follows(right).order(shown, "")] == right


def test_a_checkpoint_and_its_gguf_file_find_steps_as_likely() -> None:
    asked, steps = "Next step: Mount it.\nmkfs.ext4 /dev/sdb1", ["mount /dev/sdb1 /mnt", "umount /mnt", "ls"]
    takers: list[Model] = [CheckpointModel(NANO, {}), GgufModel(NANO / "model-q8_0.gguf", {})]
    one, other = (dict(taker.among(asked, steps)) for taker in takers)
    assert one.keys() == other.keys() == set(steps)
    for step in steps:
        assert math.log(one[step]) == pytest.approx(math.log(other[step]), abs=1)  # eight bits a weight
        assert sorted(takers[0].order(steps, "Mount it.")) == [0, 1, 2]
    long = [*steps, "x1 " * 3000]  # no context holds it, so that nothing is known of the order
    assert [list(taker.order(long, "Mount it.")) for taker in takers] == [[], []]


def test_questions_that_are_remembered_are_told(file: Path, tmp_path: Path) -> None:
    known = Device(bus="pci", vendor="8086", device="100e")
    model = tmp_path / "model"
    shutil.copytree(NANO, model, ignore=shutil.ignore_patterns("*.gguf"))
    phrase = IntentPhrase(text="which driver fits this card?", answer="DRIVER_SELECT")
    helped = WithNeighbours.learnt(Abstaining(), [DriverSelect(device=known, answer=("e1000",)), phrase], [], {})
    helped.write(model / NEIGHBOURS)
    notes = judge(model, file).notes
    assert any(note.startswith("2 of the 3 questions stand in") for note in notes)
    other = DriverSelect(device=known.model_copy(update={"device": "1000"}), answer=("e1000",))
    WithNeighbours.learnt(Abstaining(), [other], [], {}).write(model / NEIGHBOURS)
    assert not any("questions stand in" in note for note in judge(model, file).notes)


def test_of_each_set_as_many_are_asked_always_the_same() -> None:
    texts = [
        IntentPhrase(text=f"phrase {number}", answer="DRIVER_SELECT", label="ab"[number % 2]) for number in range(40)
    ]
    items: list[Item] = [*texts, IntentPhrase(text="alone", answer="DRIVER_SELECT")]
    some = some_of_each(items, 5)
    assert [len([item for item in some if item.groups == groups]) for groups in (("a",), ("b",), ())] == [5, 5, 1]
    assert some == some_of_each(items, 5) == sorted(some, key=items.index)
    assert some_of_each(items, 100) == items
