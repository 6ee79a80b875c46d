"""The loop on a real DeepSpeed engine, on one CPU process, in fp32 unless said otherwise."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from slm.errors import ArtefactError, CorpusError, DiskFullError, TrainingError
from slm.evaluation.coherence import BEGINNINGS, continued, load_tokenizer
from slm.files import exclusive_lock, read_json
from slm.lineage import verify
from slm.model.llama import build_model, load_model
from slm.progress import Progress
from slm.spec import BuildSpec, ModelSpec
from slm.training.checkpoint import TrainingState
from slm.training.data import PackedTokens
from slm.training.guards import GuardTripped
from slm.training.loop import train
from slm.training.outcome import Adjustments, Failure, TrainingPaths
from tests import workers
from tests.campaign.scene import rewrite_manifest

torch.set_num_threads(1)


def spec(model: ModelSpec, **train_settings: Any) -> BuildSpec:
    defaults = {
        "tokens": 64 * 4 * 12,
        "micro_batch": 4,
        "learning_rate": 3e-3,
        "warmup_steps": 2,
        "precision": "fp32",
        "log_every": 1,
        "evaluate_every": 6,
        "checkpoint_every": 3,
        "evaluate_tokens": 2000,
    }
    return BuildSpec.model_validate(
        {
            "name": "mini",
            "model": model.model_dump(),
            "corpus": {
                "name": "mini",
                "tokens": 10_000,
                "shares": {"os_code": 1.0},
                "sources": [{"bucket": "os_code", "origin": {"folder": "a"}, "extract": "text"}],
                "devices": {"kernel": {"folder": "b"}, "exchanges": 0},
            },
            "train": {**defaults, **train_settings},
            "gates": {"perplexity": 1e9},
        }
    )


def log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in log(folder) if "loss" in line]


def test_the_first_loss_and_gradient_are_transformers_own(
    small_spec: ModelSpec, small_corpus: Path, tmp_path: Path
) -> None:
    build = spec(small_spec, tokens=64 * 4)
    train(build, small_corpus, tmp_path)
    model = build_model(small_spec, build.train.seed)
    inputs, targets = PackedTokens(small_corpus, "train", 64, small_spec.vocab_size, build.train.seed).rows(0, 4)
    logits = model(input_ids=inputs).logits
    loss = model.loss_function(logits, None, small_spec.vocab_size, shift_labels=targets, num_items_in_batch=None)
    loss.backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    first = log(tmp_path)[0]
    assert first["loss"] == pytest.approx(float(loss.detach()), abs=1e-5)
    assert first["gradient_norm"] == pytest.approx(float(norm), rel=1e-4)


def test_the_first_steps_see_half_the_context_and_as_many_tokens(
    small_spec: ModelSpec, small_corpus: Path, tmp_path: Path
) -> None:
    # So little is learned that both steps' losses are those of the first weights.
    settings = {"tokens": 64 * 4 * 2, "learning_rate": 1e-12, "matrix_learning_rate": 1e-12, "micro_batch": 2}
    train(spec(small_spec, accumulation=2, context_warmup=0.5, **settings), small_corpus, tmp_path)
    model = build_model(small_spec, 0)
    data = PackedTokens(small_corpus, "train", 64, small_spec.vocab_size, 0)

    def expected(first: int, context: int) -> float:
        inputs, targets = (block.reshape(-1, context) for block in data.rows(first, 4))
        logits = model(input_ids=inputs).logits
        loss = model.loss_function(logits, None, small_spec.vocab_size, shift_labels=targets, num_items_in_batch=None)
        return float(loss.detach())

    assert losses(tmp_path) == pytest.approx([expected(0, 32), expected(4, 64)], abs=1e-5)
    assert abs(expected(0, 32) - expected(0, 64)) > 1e-4, "the test would not see a difference"


def test_accumulation_does_not_change_the_losses(small_spec: ModelSpec, small_corpus: Path, tmp_path: Path) -> None:
    whole = spec(small_spec, recipe="adamw", micro_batch=8, tokens=64 * 8 * 20)
    parts = spec(small_spec, recipe="adamw", micro_batch=2, accumulation=4, tokens=64 * 8 * 20)
    train(whole, small_corpus, tmp_path / "whole")
    train(parts, small_corpus, tmp_path / "parts")
    # The divisor of a retry after running out of memory is the same thing by another way.
    train(whole, small_corpus, tmp_path / "halved", Adjustments(micro_batch_divisor=2))
    for other in ("parts", "halved"):
        assert losses(tmp_path / other) == pytest.approx(losses(tmp_path / "whole"), abs=1e-5)


@pytest.mark.parametrize(
    "settings", [{"recipe": "adamw"}, {"recipe": "fast"}, {"context_warmup": 0.75}, {"context_warmup": 0.9}], ids=str
)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    small_spec: ModelSpec, small_corpus: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    build = spec(small_spec, **settings)
    straight = train(build, small_corpus, tmp_path / "straight")
    train(build, small_corpus, tmp_path / "resumed")
    # As if killed after step 9: what came later is gone, and the training starts again.
    shutil.rmtree(tmp_path / "resumed/checkpoints/step-00000012")
    (tmp_path / "resumed/result.json").unlink()
    words: list[str] = []
    resumed = train(build, small_corpus, tmp_path / "resumed", report=lambda p: words.append(p.text))
    assert any("going on from checkpoint step-00000009" in text for text in words)
    assert straight.step == resumed.step
    for name in ("model.safetensors", "optimizer.pt", "random.safetensors", "state.json"):
        ours = (tmp_path / "straight/checkpoints/step-00000012" / name).read_bytes()
        assert ours == (tmp_path / "resumed/checkpoints/step-00000012" / name).read_bytes(), name


def test_checkpoints_are_whole_artefacts_and_the_last_and_best_are_kept(
    small_spec: ModelSpec, small_corpus: Path, tmp_path: Path
) -> None:
    build = spec(small_spec, checkpoint_every=1, evaluate_every=4, keep_checkpoints=3, tokens=64 * 4 * 10)
    result = train(build, small_corpus, tmp_path)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept[-3:] == ["step-00000008", "step-00000009", "step-00000010"]
    assert result.checkpoint.name in kept
    assert len(kept) <= 4
    assert [link.kind for link in verify(result.checkpoint)] == ["corpus", "checkpoint"]
    ids = torch.arange(32)[None]
    weights = load_file(result.checkpoint / "model.safetensors")
    model = build_model(small_spec, 0)
    model.load_state_dict(weights, strict=False)
    with torch.no_grad():
        assert torch.equal(model.eval()(ids).logits, load_model(result.checkpoint)(ids).logits)


def test_a_corrupt_checkpoint_is_passed_over_with_a_word(
    small_spec: ModelSpec, small_corpus: Path, tmp_path: Path
) -> None:
    build = spec(small_spec)
    straight = train(build, small_corpus, tmp_path / "straight")
    train(build, small_corpus, tmp_path / "hurt")
    (tmp_path / "hurt/result.json").unlink()
    victim = tmp_path / "hurt/checkpoints/step-00000012/model.safetensors"
    content = bytearray(victim.read_bytes())
    content[-5] ^= 1
    victim.write_bytes(content)
    words: list[str] = []
    result = train(build, small_corpus, tmp_path / "hurt", report=lambda p: words.append(p.text))
    assert any("step-00000012 is damaged and is passed over" in text for text in words)
    assert any("going on from checkpoint step-00000009" in text for text in words)
    assert (result.checkpoint / "model.safetensors").read_bytes() == (
        straight.checkpoint / "model.safetensors"
    ).read_bytes()


def test_without_optimizer_state_the_training_starts_over_and_ends_with_the_same_bits(
    small_spec: ModelSpec, small_corpus: Path, tmp_path: Path
) -> None:
    build = spec(small_spec)
    straight = train(build, small_corpus, tmp_path / "straight")
    train(build, small_corpus, tmp_path / "hurt")
    (tmp_path / "hurt/result.json").unlink()
    for late in ("step-00000009", "step-00000012"):
        (tmp_path / "hurt/checkpoints" / late / "optimizer.pt").unlink()
    words: list[str] = []
    result = train(build, small_corpus, tmp_path / "hurt", report=lambda p: words.append(p.text))
    said = " ".join(words)
    for damaged in ("step-00000009", "step-00000012"):
        assert f"{damaged} is damaged and is passed over" in said
    for slim in ("step-00000003", "step-00000006"):
        assert f"{slim} has no optimizer state any more and is passed over" in said
    assert "starting from the first step" in said
    for name in ("model.safetensors", "optimizer.pt", "random.safetensors", "state.json"):
        ours = (tmp_path / "hurt/checkpoints/step-00000012" / name).read_bytes()
        assert ours == (tmp_path / "straight/checkpoints/step-00000012" / name).read_bytes(), name
    assert result.step == straight.step


def test_an_absurd_learning_rate_stops_before_the_weights_are_spoilt(
    small_spec: ModelSpec, small_corpus: Path, tmp_path: Path
) -> None:
    build = spec(small_spec, recipe="adamw", learning_rate=1e30, checkpoint_every=1)
    with pytest.raises(GuardTripped) as found:
        train(build, small_corpus, tmp_path)
    assert found.value.diagnosis in ("diverged", "exploded")
    failure = read_json(TrainingPaths(tmp_path).failure)
    assert failure["diagnosis"] == found.value.diagnosis
    assert not TrainingPaths(tmp_path).result.exists()


def test_weights_that_give_no_perplexity_are_neither_saved_nor_a_result(
    small_spec: ModelSpec, small_corpus: Path, tmp_path: Path
) -> None:
    # The first step's own loss is fine, and what it leaves is finite, but too large for the products of attention.
    build = spec(small_spec, recipe="adamw", learning_rate=1e12, warmup_steps=0, evaluate_every=1, checkpoint_every=1)
    with pytest.raises(GuardTripped, match="perplexity is not a number") as found:
        train(build, small_corpus, tmp_path)
    assert found.value.diagnosis == "diverged"
    assert not TrainingPaths(tmp_path).result.exists()
    assert list((tmp_path / "checkpoints").glob("step-*")) == []


def test_no_result_names_what_is_no_checkpoint(small_spec: ModelSpec, small_corpus: Path, tmp_path: Path) -> None:
    build = spec(small_spec)
    result = train(build, small_corpus, tmp_path)
    TrainingPaths(tmp_path).result.unlink()
    for state in (tmp_path / "checkpoints").glob("step-*/state.json"):
        state.write_text(
            TrainingState(step=build.steps, sequences=0, loss=1.0, validation_perplexity=None).model_dump_json()
        )
        rewrite_manifest(state.parent)
    with pytest.raises(ArtefactError, match="no whole checkpoint"):
        train(build, small_corpus, tmp_path)
    assert not TrainingPaths(tmp_path).result.exists()
    assert result.checkpoint.exists()


def test_a_full_disk_ends_the_attempt_and_keeps_the_last_checkpoint(
    small_spec: ModelSpec, small_corpus: Path, full_disk: Path
) -> None:
    # The disk has room for one checkpoint of this model and not for a second.
    model = small_spec.model_copy(update={"layers": 1, "dim": 32, "hidden": 64})
    build = spec(model, keep_checkpoints=5, checkpoint_every=1)
    with pytest.raises(DiskFullError):
        train(build, small_corpus, full_disk)
    kept = [folder for folder in (full_disk / "checkpoints").iterdir() if folder.name.startswith("step-")]
    assert [folder.name for folder in kept] == ["step-00000001"]
    assert verify(kept[0])


def test_nothing_is_learned_from_a_damaged_corpus(small_spec: ModelSpec, small_corpus: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(small_corpus, corpus)
    tokens = np.memmap(corpus / "train.bin", dtype="<u2", mode="r+")
    tokens[100:200] = 7
    tokens.flush()
    with pytest.raises(CorpusError, match=r"train\.bin"):
        train(spec(small_spec), corpus, tmp_path / "run")
    note = TrainingPaths(tmp_path / "run").noted()
    assert note is not None
    assert note.diagnosis == "bad_data"
    assert not (tmp_path / "run/checkpoints").exists()


@pytest.mark.parametrize("ends_at", [99, 8], ids=["undisturbed", "ended after the next checkpoint was due"])
def test_nothing_learned_from_a_damaged_corpus_becomes_a_checkpoint(
    small_spec: ModelSpec, small_corpus: Path, tmp_path: Path, ends_at: int
) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(small_corpus, corpus)
    whole = (corpus / "train.bin").read_bytes()
    build = spec(small_spec)

    def damage(progress: Progress) -> None:
        if progress.done == 4:
            while not (tmp_path / "run/checkpoints/step-00000003").exists():
                time.sleep(0.01)
            np.memmap(corpus / "train.bin", dtype="<u2", mode="r+")[:5000] = 7
        if progress.done == ends_at:
            raise KeyboardInterrupt

    # The writer may be heard first, or the end come first; either way its word is the last.
    with pytest.raises(CorpusError, match=r"train\.bin"):
        train(build, corpus, tmp_path / "run", report=damage)
    assert not TrainingPaths(tmp_path / "run").result.exists()
    # What was saved before the damage still counts.
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["step-00000003"]
    with pytest.raises(CorpusError, match=r"train\.bin"):
        train(build, corpus, tmp_path / "run")
    (corpus / "train.bin").write_bytes(whole)
    words: list[str] = []
    mended = train(build, corpus, tmp_path / "run", report=lambda progress: words.append(progress.text))
    assert any("going on from checkpoint step-00000003" in text for text in words)
    straight = train(build, small_corpus, tmp_path / "straight")
    assert (mended.checkpoint / "model.safetensors").read_bytes() == (
        straight.checkpoint / "model.safetensors"
    ).read_bytes()


def test_a_note_that_a_full_disk_cut_short_is_none(tmp_path: Path) -> None:
    paths = TrainingPaths(tmp_path)
    assert paths.noted() is None
    paths.note(Failure(diagnosis="stalled", detail="flat"))
    paths.note(Failure(diagnosis="lost_worker", detail="the others fail of its absence"))
    assert paths.noted() == Failure(diagnosis="stalled", detail="flat")
    paths.failure.write_bytes(paths.failure.read_bytes()[:10])
    assert paths.noted() is None


def test_checkpoints_of_another_corpus_do_not_count(small_spec: ModelSpec, small_corpus: Path, tmp_path: Path) -> None:
    build = spec(small_spec)
    train(build, small_corpus, tmp_path / "run")
    before = sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir())
    other = tmp_path / "corpus"
    shutil.copytree(small_corpus, other)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["info"]["made"] = "of newer packages"
    (other / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "run/log.jsonl").unlink()
    words: list[str] = []
    with pytest.raises(TrainingError, match=build.build_id):
        train(spec(small_spec, seed=1), other, tmp_path / "run")
    TrainingPaths(tmp_path / "run").failure.unlink()
    again = train(build, other, tmp_path / "run", report=lambda progress: words.append(progress.text))
    aside = [path.name for path in (tmp_path / "run/checkpoints").glob("aside-*")]
    assert sorted(name.split("-", 2)[2] for name in aside) == before
    assert "step-00000012 was trained on another corpus and is set aside" in words[0]
    assert "starting from the first step" in words[0]
    assert len(losses(tmp_path / "run")) == 12
    assert verify(again.checkpoint)
    assert train(build, other, tmp_path / "run") == again


def test_a_folder_with_the_finished_training_of_another_build_is_refused(
    small_spec: ModelSpec, small_corpus: Path, tmp_path: Path
) -> None:
    first, second = (spec(small_spec, tokens=64 * 4 * 3, seed=seed) for seed in (0, 1))
    train(first, small_corpus, tmp_path)
    with pytest.raises(TrainingError, match=first.build_id):
        train(second, small_corpus, tmp_path)


def test_checkpointed_gradients_are_the_same(small_spec: ModelSpec, small_corpus: Path, tmp_path: Path) -> None:
    for recompute in (False, True):
        build = spec(small_spec, gradient_checkpointing=recompute)
        train(build, small_corpus, tmp_path / str(recompute))
    assert losses(tmp_path / "True") == losses(tmp_path / "False")


def test_the_model_writes_a_little_at_every_evaluation_and_the_same_each_time(
    small_spec: ModelSpec, small_corpus: Path, tmp_path: Path
) -> None:
    build = spec(small_spec)
    for name in ("once", "twice"):
        train(build, small_corpus, tmp_path / name)
    texts = (tmp_path / "once/samples.jsonl").read_text()
    assert texts == (tmp_path / "twice/samples.jsonl").read_text()
    samples = [json.loads(line) for line in texts.splitlines()]
    assert {sample["step"] for sample in samples} == {6, 12}
    assert {sample["prompt"] for sample in samples} <= set(BEGINNINGS)
    model = load_model(tmp_path / "once/checkpoints/step-00000012")
    for sample in samples:
        if sample["step"] == 12:
            number = BEGINNINGS.index(sample["prompt"])
            assert sample["text"] == continued(model, load_tokenizer(small_corpus), sample["prompt"], number, 24)


def test_a_finished_training_is_not_repeated(small_spec: ModelSpec, small_corpus: Path, tmp_path: Path) -> None:
    build = spec(small_spec, tokens=64 * 4 * 3)
    train(build, small_corpus, tmp_path)
    before = log(tmp_path)
    seen: list[Progress] = []
    train(build, small_corpus, tmp_path, report=seen.append)
    assert log(tmp_path) == before
    assert not seen


def test_a_gpu_asked_for_where_there_is_none(small_spec: ModelSpec, small_corpus: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        assert train(spec(small_spec, device="gpu"), small_corpus, tmp_path).step > 0
        return
    with pytest.raises(TrainingError, match=r"train\.device=cpu"):
        train(spec(small_spec, device="gpu"), small_corpus, tmp_path)


def test_bf16_stays_near_fp32(small_spec: ModelSpec, small_corpus: Path, tmp_path: Path) -> None:
    for precision in ("fp32", "bf16"):
        train(spec(small_spec, precision=precision), small_corpus, tmp_path / precision)
    assert losses(tmp_path / "bf16") == pytest.approx(losses(tmp_path / "fp32"), rel=0.02)
    assert losses(tmp_path / "bf16") != losses(tmp_path / "fp32")


def test_a_checkpoint_that_leads_straight_to_ruin_is_set_aside(
    small_spec: ModelSpec, small_corpus: Path, tmp_path: Path
) -> None:
    # The first step's own loss is fine; what it leaves is not, and has been saved.
    build = spec(small_spec, recipe="adamw", learning_rate=1e12, warmup_steps=0, checkpoint_every=1)
    seen = []
    for _ in range(3):
        with pytest.raises(GuardTripped):
            train(build, small_corpus, tmp_path)
        seen.append(read_json(TrainingPaths(tmp_path).failure)["detail"])
        TrainingPaths(tmp_path).failure.unlink()
    assert "step-00000001 led straight here and is set aside" in seen[1]
    # With that checkpoint out of the way a gentler attempt begins where nothing was spoilt, and ends well.
    for manifest in (tmp_path / "checkpoints").glob("step-*/manifest.json"):
        manifest.unlink()
    assert train(build, small_corpus, tmp_path, Adjustments(learning_rate_scale=1e-15)).step == build.steps


def test_a_panic_is_noted_like_any_failure(
    small_corpus: Path, small_spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panic(BaseException):
        """As pyo3's, for a thread that could not be started, say."""

    def panic(*_: object) -> None:
        raise Panic("The global thread pool has not been initialized.")

    monkeypatch.setattr("slm.training.loop._Run._sample", panic)
    with pytest.raises(Panic):
        train(spec(small_spec), small_corpus, tmp_path)
    assert read_json(TrainingPaths(tmp_path).failure)["detail"] == "The global thread pool has not been initialized."


def test_a_failure_is_noted_while_the_folder_is_still_held(
    small_spec: ModelSpec, small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A successor that waits for the folder must find everything said and set aside.
    held: list[bool] = []
    note = TrainingPaths.note

    def look(paths: TrainingPaths, failure: Failure) -> None:
        try:
            with exclusive_lock(paths.folder / "lock", patience=0.0):
                held.append(False)
        except TimeoutError:
            held.append(True)
        note(paths, failure)

    monkeypatch.setattr(TrainingPaths, "note", look)
    with pytest.raises(GuardTripped):
        train(spec(small_spec, recipe="adamw", learning_rate=1e30), small_corpus, tmp_path)
    assert held == [True]
    assert TrainingPaths(tmp_path).noted() is not None


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["adamw", "fast"])
def test_two_workers_are_one_with_the_same_batch(
    small_spec: ModelSpec, small_corpus: Path, tmp_path: Path, recipe: str
) -> None:
    tokens = 64 * 8 * 30
    one = spec(small_spec, recipe=recipe, micro_batch=8, tokens=tokens)
    two = spec(small_spec, recipe=recipe, micro_batch=4, workers=2, tokens=tokens)
    train(one, small_corpus, tmp_path / "one")
    workers.run(two, small_corpus, tmp_path / "two")
    # Muon's bf16 iterations turn a difference in the last bit of fp32 into one in the last bit of bf16.
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=5e-3 if recipe == "fast" else 1e-5)


@pytest.mark.slow
def test_kill_9_of_a_training_process_changes_nothing(
    small_spec: ModelSpec, small_corpus: Path, tmp_path: Path
) -> None:
    build = spec(small_spec, tokens=64 * 4 * 60, checkpoint_every=10, evaluate_every=30)
    straight = train(build, small_corpus, tmp_path / "straight")
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(build.model_dump(mode="json")))
    command = [sys.executable, "-m", "slm.training", str(path), "--corpus", str(small_corpus), "--out"]
    command.append(str(tmp_path / "killed"))
    # How sums are split between threads is part of what they come to; this process has one, too.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert child.stdout is not None
    for line in child.stdout:
        if line.strip().startswith("25/"):
            child.kill()
            break
    child.wait()
    assert not (tmp_path / "killed/result.json").exists()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    killed = tmp_path / "killed/checkpoints" / straight.checkpoint.name / "model.safetensors"
    assert killed.read_bytes() == (straight.checkpoint / "model.safetensors").read_bytes()
