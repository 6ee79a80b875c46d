from __future__ import annotations

import io
import json
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from slm.evaluation.benchmark.__main__ import main
from slm.evaluation.benchmark.baselines import Commonest, NearestNeighbour, Regression, fitted
from slm.evaluation.benchmark.device import Device
from slm.evaluation.benchmark.generate import build_benchmark
from slm.evaluation.benchmark.items import Identity, Item, read_items
from slm.evaluation.benchmark.predictor import Abstaining, Identified, Predictor, Ranked
from slm.evaluation.benchmark.report import page, show
from slm.evaluation.benchmark.results import Results, TaskScore, os_average
from slm.evaluation.benchmark.run import run, without
from slm.progress import silent
from slm.spec import TASKS, Task
from tests.slm.evaluation.test_benchmark_items import SHOWN


class Stubborn(Abstaining):
    """A predictor that always says the same, and does not know steps."""

    name = "stubborn"
    tasks: Collection[Task] = TASKS

    def drivers(self, device: Device) -> Ranked:
        return [("nwe", 0.9), ("e1000", 0.05)] if device.bus == "pci" else []

    def identify(self, device: Device) -> Identified | None:
        return Identified(Identity(vendor="Intel Corporation", name="82540EM Controller"), 0.8)

    def intents(self, text: str) -> Ranked:
        return [("DRIVER_SELECT", 1.0)]


def strangers(tmp_path: Path) -> Path:
    path = tmp_path / "theirs.jsonl"
    path.write_text("\n".join(SHOWN))
    return path


def test_scores_are_those_counted_by_hand(tmp_path: Path) -> None:
    taker: Predictor = Stubborn()
    results = run(read_items(strangers(tmp_path)), taker, benchmark="theirs.jsonl")
    select = results.tasks["driver_select"]
    assert (select.n, select.top1, select.top3) == (2, 0.0, 0.5)
    assert (select.unknown, select.honest) == (0.5, 0.5)
    assert select.sets["pci"].top3 == 1.0 and select.sets["usb"].unknown == 1.0
    assert select.ece == pytest.approx(0.9)
    identify = results.tasks["identify"]
    assert (identify.n, identify.vendor, identify.type) == (2, 1.0, 0.0)
    assert identify.name_f1 == pytest.approx(2 * 2 / (2 + 4))
    assert set(identify.sets) == {"pci", "pci newer"}
    assert results.tasks["intent"].top1 == 1.0
    assert results.tasks["intent"].answers["DRIVER_SELECT"].n == 1
    steps = results.tasks["install_steps"]
    assert (steps.n, steps.tau, steps.exact, steps.unknown) == (1, 0.0, 0.0, 1.0)
    assert Results.model_validate_json(results.to_json()) == results
    shape = json.loads(results.to_json())["tasks"]
    assert shape["driver_select"]["n"] == 2 and {"top1", "top3"} <= shape["driver_select"].keys()


def test_the_operating_system_average_is_of_four_tasks(tmp_path: Path) -> None:
    results = run(read_items(strangers(tmp_path)), Stubborn())
    named = (1.0 + 0.0 + 2 * 2 / (2 + 4)) / 3
    in_order = 0.5  # no order was given, which is neither right nor the other way round
    assert os_average(results.tasks) == pytest.approx((named + 0.5 + 0.0 + in_order) / 4)
    assert results.figures()["os_average"] == os_average(results.tasks)
    three: dict[Task, TaskScore] = {
        task: score for task, score in results.tasks.items() if task != "command_completion"
    }
    assert os_average(three) is None
    assert "os_average" not in results.model_copy(update={"tasks": three}).figures()


def test_without_a_predictor_the_items_are_counted(tmp_path: Path) -> None:
    results = run(read_items(strangers(tmp_path)), None, [Stubborn()])
    assert results.predictor is None and results.tasks["driver_select"].n == 2
    assert results.tasks["driver_select"].top1 is None
    assert results.baselines["stubborn"]["driver_select"].top3 == 0.5


@pytest.fixture(scope="module")
def benchmark(finished_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("benchmark") / "test"
    build_benchmark(finished_corpus, out, out, silent)
    return out


def device_items(folder: Path, name: str) -> list[Item]:
    return [item for item in read_items(folder / name) if item.task in ("driver_select", "identify")]


def test_baselines_learn_from_training_items_alone(benchmark: Path) -> None:
    # In the small tables, a device's name says its driver, and its number says nothing.
    training, asked = device_items(benchmark, "training.jsonl"), device_items(benchmark, "benchmark.jsonl")
    takers = fitted(training, {"driver_select", "identify"})
    results = run(asked, None, takers, training[:300])
    scores = {name: score["driver_select"] for name, score in results.baselines.items()}
    regression = scores["logistic regression"]
    assert regression.top1 is not None and regression.top1 > 0.9
    assert regression.top1_interval is not None and regression.top1_interval[1] <= 1
    majority = scores["majority"]
    assert majority.top1 is not None and majority.top1 < 0.7
    assert majority.calibration is not None and majority.ece_calibrated is not None
    assert results.baselines["nearest neighbour"]["identify"].vendor == 1.0
    assert not next(taker for taker in takers if isinstance(taker, Regression)).remarks
    empty = Commonest([]), NearestNeighbour([]), Regression([])
    assert all(not taker.drivers(Device(bus="pci", vendor="8000", device="1000")) for taker in empty)


def test_a_regression_that_did_not_converge_says_so(benchmark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slm.evaluation.benchmark.baselines._STEPS", 2)
    taker = Regression(device_items(benchmark, "training.jsonl"))
    assert "stopped after 2 steps" in taker.remarks[0]


def test_questions_to_fit_on_are_none_of_those_asked(benchmark: Path) -> None:
    training = read_items(benchmark / "training.jsonl")
    kept, said = without(training, training[:3])
    assert len(kept) == len(training) - 3 and "3 questions" in said[0]
    assert without(training, read_items(benchmark / "benchmark.jsonl"))[1] == []


def test_the_page_and_the_tables_show_everyone(tmp_path: Path) -> None:
    results = run(read_items(strangers(tmp_path)), Stubborn(), benchmark="<b>theirs</b>", notes=["<i>note</i>"])
    html = page(results)
    assert html.count("<svg") >= 8 and "stubborn" in html
    assert "<b>theirs" not in html and "<i>note" not in html and "http://www.w3.org" not in html.split("<svg")[0]
    console = Console(width=40, record=True, file=io.StringIO())
    show(results, console)
    text = console.export_text()
    assert "stubborn" in text and "0.500" in text and "Which driver?" in text


def arguments(benchmark: Path, *more: str) -> Sequence[str]:
    return ["baselines", *more, "--training", str(benchmark / "training.jsonl")]


@pytest.mark.slow
def test_the_command_runs_a_strangers_file(benchmark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs, out, html = strangers(tmp_path), tmp_path / "results.json", tmp_path / "page.html"
    assert main(arguments(benchmark, str(theirs), "--json", str(out), "--html", str(html))) == 0
    results = Results.model_validate_json(out.read_text())
    assert results.tasks["driver_select"].n == 2
    assert set(results.baselines) == {"rules", "majority", "nearest neighbour", "logistic regression"}
    assert "<svg" in html.read_text() and "majority" in capsys.readouterr().out


def test_a_file_without_items_to_fit_on_is_told_where_they_are_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["baselines", str(strangers(tmp_path))]) == 2
    said = capsys.readouterr().err
    assert "training.jsonl" in said and "--training" in said and "Traceback" not in said
    (tmp_path / "wrong.jsonl").write_text("no")
    assert main(["baselines", str(tmp_path / "wrong.jsonl")]) == 2
    assert "line 1: is not JSON" in capsys.readouterr().err
