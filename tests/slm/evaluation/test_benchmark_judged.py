"""The released nano on a file of somebody's own: a checkpoint, a GGUF file, and with the device tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slm.evaluation.__main__ import main
from slm.evaluation.benchmark.items import Device, DriverSelect, IntentPhrase, Item, write_items

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


@pytest.mark.parametrize("model", [NANO, NANO / "model-q8_0.gguf"], ids=["checkpoint", "gguf"])
def test_a_released_model_is_scored_on_a_file_alone(
    model: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(model), "--benchmark", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {task: score["n"] for task, score in found["tasks"].items()} == {"driver_select": 2, "intent": 1}
    assert found["baselines"] == {}
    assert any("devices.sqlite list" in note for note in found["notes"])


def test_what_the_tables_know_is_right_and_the_rest_is_the_models(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = [str(NANO), "--benchmark", str(file), "--json"]
    assert main([*shown, "--knowledge", "on"]) == 0
    on = json.loads(capsys.readouterr().out)["tasks"]["driver_select"]
    assert main(shown) == 0
    off = json.loads(capsys.readouterr().out)["tasks"]["driver_select"]
    assert on["top1"] >= max(0.5, off["top1"])


def test_tables_that_are_none_are_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = [str(NANO), "--benchmark", str(file), "--knowledge", "on", "--tables"]
    assert main([*shown, "README.md"]) == 1
    assert "README.md does not hold device tables" in capsys.readouterr().err
    assert main([*shown, "nowhere.sqlite"]) == 2
    assert "There are no device tables at nowhere.sqlite" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(NANO), "--benchmark", str(file), "--split", "test"])
