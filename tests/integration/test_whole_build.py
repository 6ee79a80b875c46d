"""Whole builds through real Ray, DeepSpeed, LangGraph, git and llama.cpp, as a person runs them: by command."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import torch

from agents.builds import read_state, write_state
from agents.journal import Journal
from agents.state import BuildState
from slm.files import write_json
from slm.lineage import verify
from slm.model.llama import load_model
from slm.spec import BuildSpec
from tests.agents.vendors import serving, tells_the_key
from tests.builds import miniature
from tests.data.corpus.make import write_corpus
from tests.home import LIMIT, Home, kill_role, wait
from tests.postgres import Server
from tests.processes import has_ended

pytestmark = pytest.mark.slow

#: Long enough for several kills in mid-training.
STEPS = 800
AGENTS = ("manager", "data", "training", "reviewer")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    write_corpus(folder)
    return folder


@pytest.fixture(scope="module")
def spec(sources: Path) -> BuildSpec:
    train = {"tokens": 64 * 8 * STEPS, "checkpoint_every": 40, "evaluate_every": 400, "log_every": 1}
    return miniature(sources, train=train, questions=["What is pci 8000:1000?"])


@pytest.fixture(scope="module")
def accepted(spec: BuildSpec, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A build that waited for a person, was approved, committed and exported; nothing interrupted it."""
    home = Home(tmp_path_factory.mktemp("accepted"), spec)
    code, out = home.build("--review", "manual")
    assert code == 4, out
    assert home.status()["state"] == "waiting"
    assert home.commits() == []
    code, listing = home.command("agents.review", "list")
    assert (code, listing.strip()) == (0, spec.build_id)
    code, shown = home.command("agents.review", "show", spec.build_id)
    assert code == 0
    assert "perplexity" in shown
    code, refused = home.command("agents.review", "reject", spec.build_id)
    assert code == 2
    assert "needs a reason" in refused
    code, out = home.command("agents.review", "approve", spec.build_id, "--by", "Ann", "--reason", "reads\nwell")
    assert code == 0, out
    assert "accepted" in out
    assert "What is pci 8000:1000?" in out
    yield home


def test_it_is_committed_tagged_exported_and_its_lineage_holds(accepted: Home) -> None:
    state = accepted.status()
    assert state["state"] == "accepted"
    assert state["tag"] == accepted.spec.build_id
    assert [state["commit"]] == accepted.commits()
    assert all(gate["passed"] for gate in state["gates"])
    assert sorted(Path(path).name for path in state["exports"]) == ["model-f16.gguf", "model-q8_0.gguf"]
    kinds = [link.kind for link in verify(accepted.run / "export")]
    assert kinds == ["devices", "documents", "tokenizer", "corpus", "checkpoint", "export"]
    code, out = accepted.command("slm.lineage", "verify", str(accepted.folder / "checkpoints/registry/mini"))
    assert code == 0, out
    load_model(accepted.folder / "checkpoints/registry/mini")
    decisions = (accepted.run / "journal.jsonl").read_text()
    assert "approved: reads well" in decisions
    registry = ["git", "-C", str(accepted.folder / "checkpoints/registry")]
    log = subprocess.run([*registry, "log"], capture_output=True, text=True, check=True).stdout
    assert "Accepted-by: Ann\n    Reason: reads well\n" in log


def test_a_release_is_small_whole_and_the_same_model(accepted: Home, tmp_path: Path) -> None:
    model, export, out = accepted.folder / "checkpoints/registry/mini", accepted.run / "export", tmp_path / "released"
    code, said = accepted.command("slm.export", "release", str(model), str(export), str(out))
    assert code == 0, said
    before, after = load_model(model).state_dict(), load_model(out).state_dict()
    assert all(torch.equal(after[name], before[name].bfloat16().float()) for name in before)
    assert (out / "model-q8_0.gguf").read_bytes() == (export / "model-q8_0.gguf").read_bytes()
    assert {"README.md", "lineage.json", "devices.sqlite", "tokenizer.json"} <= {path.name for path in out.iterdir()}
    code, said = accepted.command("slm.lineage", "verify", str(out))
    assert code == 0, said
    code, said = accepted.command("slm.export", "release", str(model), str(model), str(tmp_path / "again"))
    assert code != 0
    assert "has no model-q8_0.gguf" in said


def test_the_same_command_again_finds_everything_done(accepted: Home) -> None:
    started = time.time()
    code, out = accepted.build()
    assert code == 0
    assert "accepted" in out
    assert "connected to" not in out
    assert len(accepted.commits()) == 1
    written = [path for path in accepted.run.rglob("*") if path.is_file() and path.stat().st_mtime > started]
    assert {path.name for path in written} <= {"lock", "spec.json", "serve.log"}


def test_a_damaged_export_is_published_again(accepted: Home) -> None:
    victim = accepted.run / "export" / "model-q8_0.gguf"
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    code, out = accepted.build()
    assert code == 0, out
    assert "published again" in out
    assert victim.read_bytes() == whole
    assert len(accepted.commits()) == 1


def test_it_is_served_and_answers(accepted: Home, tmp_path: Path) -> None:
    socket = tmp_path / "k.sock"
    server = accepted.start("kernel_interface.serve", "--socket", str(socket))
    try:
        assert wait(lambda: socket.exists() or server.poll() is not None, 60)
        aliases = (Path(str(accepted.spec.corpus.devices.kernel.folder)) / "modules.alias").read_text()  # type: ignore[union-attr]
        pattern, driver = next(
            line.split()[1:] for line in aliases.splitlines() if line.startswith("alias pci:v00008000d")
        )
        device = pattern[len("pci:v00008000d0000") :][:4].lower()
        code, out = accepted.command(
            "kernel_interface.query", "--socket", str(socket), "--json", f"which driver for pci 8000:{device}?"
        )
        assert code == 0, out
        answer = json.loads(out)
        assert (answer["action_data"], answer["source"]) == (driver, "knowledge")
        unknown = accepted.command("kernel_interface.query", "--socket", str(socket), "--json", "driver for pci ffff:1")
        assert json.loads(unknown[1])["source"] in ("model", "rules")
    finally:
        server.terminate()
        server.wait(timeout=20)
    assert not socket.exists()


def test_kill_9_of_every_process_in_turn_ends_with_the_same_weights(accepted: Home, tmp_path: Path) -> None:
    home = Home(tmp_path / "home", accepted.spec)
    driver = home.start("agents.manager", str(home.path))
    for at, role in ((60, "RayTrainWorker"), (200, "TrainingAgent"), (340, "Manager")):
        assert wait(lambda at=at: home.step() >= at or driver.poll() is not None, LIMIT), f"no step {at}"  # type: ignore[misc]
        assert driver.poll() is None, driver.communicate()[0]
        before = home.step()
        kill_role(driver.pid, role)
        assert before < STEPS
    assert wait(lambda: home.step() >= 480, LIMIT)
    family = psutil.Process(driver.pid).children(recursive=True)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    assert home.status()["state"] == "interrupted"
    # A killed driver takes its private Ray along.
    psutil.wait_procs(family, timeout=60)
    assert [process for process in family if not has_ended(process)] == []
    code, out = home.build()
    assert code == 0, out
    assert len(home.commits()) == 1
    ours = (home.folder / "checkpoints/registry/mini/model.safetensors").read_bytes()
    assert ours == (accepted.folder / "checkpoints/registry/mini/model.safetensors").read_bytes()


def test_a_kill_in_a_second_iteration_goes_on_in_it_and_the_advisers_key_is_nowhere(
    sources: Path, tmp_path: Path
) -> None:
    train = {"tokens": 64 * 8 * 400, "checkpoint_every": 10, "log_every": 1}
    key = f"sk-{secrets.token_hex(16)}"
    with serving(tells_the_key) as server:
        adviser = {"by": "openai", "model": "liar", "base_url": server.url("openai")}
        settings: dict[str, Any] = {"iterate": {"max_iterations": 2, "adviser": adviser}}
        home = Home(tmp_path / "home", miniature(sources, train=train, gates={"perplexity": 1.5}, **settings))
        home.environment["AUTON_ADVISER_KEY"] = key
        driver = home.start("agents.manager", str(home.path))
        log = home.run / "iterations" / "2" / "training" / "log.jsonl"
        assert wait(
            lambda: (log.exists() and len(log.read_text().splitlines()) > 12) or driver.poll() is not None, LIMIT
        )
        assert driver.poll() is None, driver.communicate()[0]
        first = (home.run / "training" / "result.json").read_bytes()
        driver.kill()
        before, _ = driver.communicate()
        code, out = home.command("agents.manager", "--resume", home.spec.build_id)
        assert code == 3, out
        assert [headers["authorization"] for headers, _ in server.asked] == [f"Bearer {key}"]
    assert "going on from checkpoint" in out
    assert "iteration 2 was the last of iterate.max_iterations=2" in out
    assert (home.run / "training" / "result.json").read_bytes() == first
    plan = json.loads((home.run / "iterations" / "2" / "plan.json").read_text())["plan"]
    result = json.loads((home.run / "iterations" / "2" / "training" / "result.json").read_text())
    assert [link.name for link in verify(Path(result["checkpoint"]))][-1] == f"{plan}@{result['step']}"
    entries = Journal(home.run, "test").entries()
    assert ["which is no tool" in entry.decided for entry in entries].count(True) == 1
    came = [entry.came for entry in entries if entry.decided.startswith("iteration 2")]
    assert len(came) == 1
    assert "→" in came[0]
    assert home.commits() == []
    # Ray's own logs, of arguments and failures.
    sessions = home.sessions(driver)
    assert len(sessions) == 1
    files = [path for folder in (home.folder, *sessions) for path in folder.rglob("*") if path.is_file()]
    assert [path for path in files if key.encode() in path.read_bytes()] == []
    assert key not in before + out


def test_ctrl_c_leaves_a_build_that_continues(spec: BuildSpec, tmp_path: Path) -> None:
    home = Home(tmp_path / "home", spec)
    driver = home.start("agents.manager", str(home.path))
    assert wait(lambda: home.step() >= 40 or driver.poll() is not None, LIMIT)
    driver.send_signal(signal.SIGINT)
    out, _ = driver.communicate(timeout=60)
    assert driver.returncode == 130, out
    assert "The same command continues" in out
    code, out = home.command("agents.manager", "--resume", spec.build_id)
    assert code == 0, out
    assert "going on from checkpoint" in out


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def test_a_build_with_its_state_in_postgresql_survives_kill_9_and_tells_the_password_nowhere(
    sources: Path, server: Server, tmp_path: Path
) -> None:
    train = {"tokens": 64 * 8 * 90, "checkpoint_every": 10, "log_every": 1}
    home = Home(tmp_path / "home", miniature(sources, train=train))
    home.environment["AUTON_STATE_URL"] = url = server.database()
    driver = home.start("agents.manager", str(home.path))
    assert wait(lambda: home.step() >= 30 or driver.poll() is not None, LIMIT)
    assert driver.poll() is None, driver.communicate()[0]
    driver.kill()
    before, _ = driver.communicate()
    # Without the database nothing is begun anew; the words come through Ray, from the agent that met it.
    del home.environment["AUTON_STATE_URL"]
    code, refused = home.build()
    assert code == 1, refused
    assert "keeps its graphs' state in a PostgreSQL database, and AUTON_STATE_URL is not set" in refused
    assert "Traceback" not in refused
    home.environment["AUTON_STATE_URL"] = url
    again = home.start("agents.manager", "--resume", home.spec.build_id)
    after, _ = again.communicate(timeout=LIMIT)
    assert again.returncode == 0, after
    assert "going on from checkpoint" in after
    assert len(home.commits()) == 1
    assert list(home.run.glob("**/graphs/*.sqlite")) == []
    with psycopg.connect(url) as database:
        rows = database.execute("SELECT thread_id, COUNT(*) FROM checkpoints GROUP BY thread_id").fetchall()
    assert {thread.partition("/")[2]: kept for thread, kept in rows} == {f"1/{name}": 1 for name in AGENTS}
    sessions = home.sessions(driver, again)
    assert len(sessions) == 2
    files = [path for folder in (home.folder, *sessions) for path in folder.rglob("*") if path.is_file()]
    assert [path for path in files if server.password.encode() in path.read_bytes()] == []
    assert server.password not in before + refused + after


def test_a_ray_that_does_not_start_is_told_and_a_build_that_waits_still_waits(sources: Path, tmp_path: Path) -> None:
    home = Home(tmp_path / "home", miniature(sources))
    home.run.mkdir(parents=True)
    waiting = BuildState(build=home.spec.build_id, spec="mini", review="manual", stage="review", state="waiting")
    write_state(home.run, waiting)
    write_json(home.run / "spec.json", home.spec.model_dump(mode="json"))
    # A Unix socket's path must be short.
    home.environment["RAY_TMPDIR"] = str(tmp_path / ("long" * 30))
    code, out = home.command("agents.review", "approve", home.spec.build_id)
    assert code == 1, out
    assert "A local Ray did not start" in out
    assert "Traceback" not in out
    assert read_state(home.run) == waiting
    write_state(home.run, waiting.model_copy(update={"stage": "train", "state": "interrupted"}))
    code, out = home.command("agents.manager", "--resume", home.spec.build_id)
    assert code == 1, out
    assert "A local Ray did not start" in read_state(home.run).error
    # One that had only just begun is known, too.
    shutil.rmtree(home.run)
    code, out = home.build()
    assert code == 1 and f"build {home.spec.build_id} in " in out, out
    assert "A local Ray did not start" in home.status()["error"]


def test_a_second_manager_is_refused(spec: BuildSpec, tmp_path: Path) -> None:
    home = Home(tmp_path / "home", spec)
    first = home.start("agents.manager", str(home.path))
    assert wait(lambda: (home.run / "lock").exists() and (home.run / "lock").read_text() != "", 60)
    code, out = home.build()
    assert code == 1
    assert f"already being run by process {first.pid}" in out
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)


def test_a_build_is_taught_and_asked_before_it_is_judged(sources: Path, tmp_path: Path) -> None:
    teach = {"tokens": 6000, "batch": 8, "forgetting": 100.0}
    gates = {"perplexity": 600, "distinct_trigrams": 0.0, "benchmark": {"intent/top1": 0.0, "sub_command/top3": 0.0}}
    home = Home(tmp_path / "home", miniature(sources, benchmark={"most": 6}, teach=teach, gates=gates))
    code, out = home.build()
    state = home.status()
    assert code in (0, 3), out  # so small a model may loop
    assert [gate["name"] for gate in state["gates"]][-2:] == ["intent/top1", "sub_command/top3"]
    verify(home.run / "taught")
    found = json.loads((home.run / "evaluation.json").read_text())
    assert found["checkpoint"].endswith("+sft")
    assert {"intent/top1", "sub_command/top3"} <= found["benchmark"].keys()
    assert (home.run / "benchmark.html").exists()
    assert list((home.run / "tensorboard").iterdir())
    if code == 0:
        assert (home.folder / "checkpoints" / "registry" / "mini" / "calibration.json").exists()
        assert (home.run / "export" / "answers.json").exists()
    # Everything is there; nothing is taught again.
    taught = (home.run / "taught" / "manifest.json").stat().st_mtime_ns
    home.build()
    assert (home.run / "taught" / "manifest.json").stat().st_mtime_ns == taught


def test_a_rejected_build_commits_nothing(sources: Path, tmp_path: Path) -> None:
    home = Home(tmp_path / "home", miniature(sources, gates={"perplexity": 1.5}, train={"tokens": 64 * 8 * 10}))
    for _ in range(2):
        code, out = home.build()
        assert code == 3, out
        assert "perplexity" in out
        assert home.commits() == []
    state = home.status()
    assert state["state"] == "rejected"
    assert "perplexity" in [gate["name"] for gate in state["gates"] if not gate["passed"]]
    assert state["exports"] == []


def test_an_absurd_learning_rate_is_repaired_or_reported(sources: Path, tmp_path: Path) -> None:
    train = {"tokens": 64 * 8 * 30, "learning_rate": 1e30, "recipe": "adamw"}
    home = Home(tmp_path / "home", miniature(sources, train=train))
    code, out = home.build()
    assert code == 1, out
    assert "1. diverged" in out or "1. exploded" in out
    assert "learning rate × 0.3" in out
    assert "giving up after 3 attempts" in out
    assert home.status()["state"] == "failed"
    assert home.commits() == []


def test_a_missing_package_is_named(sources: Path, tmp_path: Path) -> None:
    home = Home(tmp_path / "home", miniature(sources))
    code, out = home.build("--set", "corpus.sources.0.origin={package: no-such-package-anywhere}")
    assert code == 1, out
    assert "no-such-package-anywhere" in out
    assert "os_code" in out
    assert "Traceback" not in out
