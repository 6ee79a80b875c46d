"""Real git, real files."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from safetensors.torch import load_file

from agents import registry as registry_module
from agents.iterate import first
from agents.plan import Changes
from agents.registry import Accepted, Registry
from agents.state import Attempt, Decision, Iteration
from slm.errors import RegistryError
from slm.evaluation.evaluation import evaluate
from slm.evaluation.figures import Evaluation
from slm.evaluation.gates import judge
from slm.lineage import read_manifest, verify
from slm.model.llama import load_model
from slm.spec import BuildSpec
from slm.training.loop import train
from slm.training.outcome import Adjustments
from tests.builds import miniature
from tests.needs import need_program

ATTEMPTS = [Attempt(number=1, adjustments=Adjustments())]


@pytest.fixture(scope="module")
def trained(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[BuildSpec, Path, Evaluation]:
    folder = tmp_path_factory.mktemp("trained")
    spec = miniature(folder / "unused", vocab_size=1024)
    checkpoint = train(spec, small_corpus, folder / "training").checkpoint
    return spec, checkpoint, evaluate(checkpoint, small_corpus, spec, folder / "evaluation.json")


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True).stdout


def commit(folder: Path, trained: tuple[BuildSpec, Path, Evaluation], decision: Decision | None = None) -> str:
    spec, checkpoint, evaluation = trained
    gates = judge(evaluation, spec, finished=True).gates
    return Registry(folder).commit(
        Accepted(spec.build_id, spec, checkpoint, evaluation, gates, ATTEMPTS, decision, first(spec))
    )


def test_one_build_is_one_commit_and_one_annotated_tag(
    tmp_path: Path, trained: tuple[BuildSpec, Path, Evaluation]
) -> None:
    spec, checkpoint, _ = trained
    first = commit(tmp_path / "r", trained)
    assert commit(tmp_path / "r", trained) == first
    assert git(tmp_path / "r", "rev-list", "--count", "HEAD") == "1\n"
    assert git(tmp_path / "r", "cat-file", "-t", spec.build_id) == "tag\n"
    assert git(tmp_path / "r", "status", "--porcelain") == ""
    home = tmp_path / "r" / spec.name
    assert read_manifest(home).kind == "model"
    assert [link.kind for link in verify(home)][-2:] == ["checkpoint", "model"]
    ours, theirs = load_file(home / "model.safetensors"), load_file(checkpoint / "model.safetensors")
    assert all(ours[name].equal(theirs[name]) for name in theirs)
    assert load_model(home).config.vocab_size == spec.model.vocab_size
    assert spec.build_id in (home / "README.md").read_text()


def test_a_commit_that_was_killed_half_way_is_finished_once(
    tmp_path: Path, trained: tuple[BuildSpec, Path, Evaluation]
) -> None:
    spec = trained[0]
    first = commit(tmp_path / "r", trained)
    # Killed between commit and tag.
    git(tmp_path / "r", "tag", "-d", spec.build_id)
    assert commit(tmp_path / "r", trained) == first
    # Killed inside git, with its lock left and the tree half written.
    git(tmp_path / "r", "tag", "-d", spec.build_id)
    git(tmp_path / "r", "reset", "--quiet", "--soft", "HEAD")
    (tmp_path / "r/.git/index.lock").touch()
    (tmp_path / "r" / spec.name / "model.safetensors").write_bytes(b"half")
    assert commit(tmp_path / "r", trained) == first
    assert git(tmp_path / "r", "status", "--porcelain") == ""
    assert git(tmp_path / "r", "rev-list", "--count", "HEAD") == "1\n"


def test_who_approved_and_why_is_in_the_commit(tmp_path: Path, trained: tuple[BuildSpec, Path, Evaluation]) -> None:
    commit(tmp_path / "r", trained, Decision(approved=True, by="ada", reason="good enough for the demo"))
    message = git(tmp_path / "r", "log", "-1", "--format=%B")
    assert "Accepted-by: ada" in message
    assert "Reason: good enough for the demo" in message


def test_the_card_and_the_lineage_name_the_plan_that_made_it(
    tmp_path: Path, trained: tuple[BuildSpec, Path, Evaluation]
) -> None:
    spec, checkpoint, evaluation = trained
    changes = Changes(tokens=spec.train.tokens)
    made = Iteration(number=3, changes=changes, plan=spec.build_id, by="rule", why="it <b>fell")
    gates = judge(evaluation, spec, finished=True).gates
    Registry(tmp_path / "r").commit(Accepted("mini-build", spec, checkpoint, evaluation, gates, ATTEMPTS, None, made))
    home = tmp_path / "r" / spec.name
    manifest = read_manifest(home)
    assert (manifest.name, manifest.info["plan"], manifest.info["iteration"]) == ("mini-build", spec.build_id, 3)
    card = (home / "README.md").read_text()
    assert f"iteration 3 of the build, `{spec.build_id}`: {changes.words()}" in card
    assert "(it &lt;b&gt;fell; by rule)" in card
    assert f'"name": "{spec.build_id}@' in (home / "lineage.json").read_text()
    assert git(tmp_path / "r", "tag").strip() == "mini-build"


def test_large_files_go_through_git_lfs(
    tmp_path: Path, trained: tuple[BuildSpec, Path, Evaluation], monkeypatch: pytest.MonkeyPatch
) -> None:
    need_program("git-lfs", "git-lfs")
    monkeypatch.setattr(registry_module, "LFS_BYTES", 100_000)
    commit(tmp_path / "r", trained)
    stored = git(tmp_path / "r", "show", f"HEAD:{trained[0].name}/model.safetensors")
    assert stored.startswith("version https://git-lfs.github.com/spec/v1")
    assert load_file(tmp_path / "r" / trained[0].name / "model.safetensors")


def test_an_older_build_killed_before_its_tag_is_not_committed_again(
    tmp_path: Path, trained: tuple[BuildSpec, Path, Evaluation]
) -> None:
    spec, checkpoint, evaluation = trained
    first = commit(tmp_path / "r", trained)
    git(tmp_path / "r", "tag", "-d", spec.build_id)
    other = spec.model_copy(update={"train": spec.train.model_copy(update={"seed": 5})})
    second = commit(tmp_path / "r", (other, checkpoint, evaluation))
    assert commit(tmp_path / "r", trained) == first != second
    assert git(tmp_path / "r", "rev-list", "--count", "HEAD") == "2\n"
    assert git(tmp_path / "r", "rev-list", "-1", spec.build_id).strip() == first


def test_litter_of_a_killed_first_commit_never_gets_in(
    tmp_path: Path, trained: tuple[BuildSpec, Path, Evaluation]
) -> None:
    litter = tmp_path / "r" / ".mini.999.part"
    litter.mkdir(parents=True)
    (litter / "model.safetensors").write_bytes(b"half")
    commit(tmp_path / "r", trained)
    assert "part" not in git(tmp_path / "r", "ls-files")
    assert not litter.exists()


def test_what_a_person_left_in_the_repository_is_neither_committed_nor_lost(
    tmp_path: Path, trained: tuple[BuildSpec, Path, Evaluation]
) -> None:
    spec, checkpoint, evaluation = trained
    folder = tmp_path / "r"
    other = spec.model_copy(update={"name": "other"})
    commit(folder, (other, checkpoint, evaluation))
    card, staged, notes = folder / "other" / "README.md", folder / "staged.txt", folder / "notes" / "mine.txt"
    notes.parent.mkdir()
    for file in (card, staged, notes):
        file.write_text("by hand\n")
    git(folder, "add", "staged.txt", "other/README.md")
    for _ in range(2):
        commit(folder, trained)
        assert [file.read_text() for file in (card, staged, notes)] == ["by hand\n"] * 3
        assert {name.partition("/")[0] for name in git(folder, "diff", "--name-only", "HEAD~", "HEAD").split()} == {
            spec.name
        }
        git(folder, "tag", "-d", spec.build_id)  # as if killed before the tag
    assert git(folder, "rev-list", "--count", "HEAD") == "2\n"


def test_a_repository_that_git_cannot_use_is_said(tmp_path: Path, trained: tuple[BuildSpec, Path, Evaluation]) -> None:
    commit(tmp_path / "r", trained)
    git(tmp_path / "r", "tag", "-d", trained[0].build_id)
    (tmp_path / "r/.git/HEAD").write_text("junk\n")
    with pytest.raises(RegistryError, match="git"):
        commit(tmp_path / "r", trained)


def test_a_damaged_model_is_noticed_and_restored(tmp_path: Path, trained: tuple[BuildSpec, Path, Evaluation]) -> None:
    spec = trained[0]
    commit(tmp_path / "r", trained)
    registry = Registry(tmp_path / "r")
    assert registry.damage(spec.build_id, spec.name) == ""
    weights = tmp_path / "r" / spec.name / "model.safetensors"
    whole, times = weights.read_bytes(), weights.stat()
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    weights.write_bytes(flipped)
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))  # what git itself would not notice
    assert "sha256" in registry.damage(spec.build_id, spec.name)
    registry.restore(spec.name)
    assert weights.read_bytes() == whole
    shutil.rmtree(weights.parent)
    assert "not there" in registry.damage(spec.build_id, spec.name)
    registry.restore(spec.name)
    assert registry.damage(spec.build_id, spec.name) == ""
