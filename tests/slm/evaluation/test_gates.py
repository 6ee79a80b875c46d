from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from slm.errors import ArtefactError
from slm.evaluation.__main__ import main
from slm.evaluation.evaluation import evaluate
from slm.evaluation.figures import Evaluation
from slm.evaluation.gates import Verdict, judge
from slm.files import read_json
from slm.lineage import MANIFEST, input_from, write_manifest
from slm.model.files import MODEL_FILES
from slm.spec import BuildSpec, GateSpec, ModelSpec
from slm.spec_file import load_spec


@pytest.fixture
def spec(small_spec: ModelSpec) -> BuildSpec:
    """The tiny tier's build, with the small model and gates that it passes."""
    build = load_spec(Path("specs/builds/tiny.yaml"))
    return build.model_copy(update={"model": small_spec, "gates": GateSpec(perplexity=900, distinct_trigrams=0.3)})


def remake(
    checkpoint: Path, out: Path, corpus: Path, loss: float, weights: dict[str, torch.Tensor] | None = None
) -> Path:
    """Copy a checkpoint with another recorded loss, and other weights if given, under a manifest of its own."""
    shutil.copytree(checkpoint, out)
    if weights is not None:
        save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    inputs = [input_from(corpus / MANIFEST)]
    write_manifest(out / MANIFEST, "checkpoint", "remade", MODEL_FILES, inputs, info={"step": 60, "loss": loss})
    return out


@pytest.fixture
def checkpoint(small_checkpoint: Path, small_corpus: Path, tmp_path: Path) -> Path:
    return remake(small_checkpoint, tmp_path / "checkpoint", small_corpus, 5.5)


@pytest.fixture
def evaluation(checkpoint: Path, small_corpus: Path, spec: BuildSpec, tmp_path: Path) -> Evaluation:
    return evaluate(checkpoint, small_corpus, spec, tmp_path / "evaluation.json")


def failed(verdict: Verdict) -> list[str]:
    return [gate.name for gate in verdict.gates if not gate.passed]


def test_a_model_that_passes_every_gate_is_accepted(evaluation: Evaluation, spec: BuildSpec) -> None:
    verdict = judge(evaluation, spec, finished=True)
    assert verdict.accepted, verdict.reasons
    assert [gate.name for gate in verdict.gates] == ["completed", "loads", "size", "perplexity", "coherence"]
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


def test_each_gate_alone_rejects(evaluation: Evaluation, spec: BuildSpec) -> None:
    measured, written = evaluation.test, evaluation.coherence
    assert measured is not None and written is not None

    def score(value: float) -> Evaluation:
        return evaluation.model_copy(update={"test": measured.model_copy(update={"perplexity": value})})

    def text(**update: object) -> Evaluation:
        return evaluation.model_copy(update={"coherence": written.model_copy(update=update)})

    assert spec.gates.perplexity is not None
    cases: list[tuple[str, Evaluation, bool]] = [
        ("completed", evaluation, False),
        ("completed", evaluation.model_copy(update={"training_loss": math.nan}), True),
        ("completed", evaluation.model_copy(update={"finite_weights": False}), True),
        ("loads", evaluation.model_copy(update={"load_problem": "no"}), True),
        ("size", evaluation.model_copy(update={"weight_bytes": int(evaluation.weight_bytes * 1.2)}), True),
        ("size", evaluation.model_copy(update={"weight_bytes": int(evaluation.weight_bytes * 0.8)}), True),
        ("perplexity", score(spec.gates.perplexity), True),
        ("perplexity", score(math.nan), True),
        ("perplexity", score(math.inf), True),
        ("coherence", text(empty=1), True),
        ("coherence", text(invalid=1), True),
        ("coherence", text(distinct_trigrams=0.1), True),
        ("coherence", text(distinct_trigrams=math.nan), True),
    ]
    for name, changed, finished in cases:
        verdict = judge(changed, spec, finished)
        assert failed(verdict) == [name]
        assert not verdict.accepted
        assert len(verdict.reasons) == 1 and verdict.reasons[0].startswith(name)
        json.loads(verdict.model_dump_json())


def test_the_test_split_is_looked_at_once(
    evaluation: Evaluation, checkpoint: Path, small_corpus: Path, spec: BuildSpec, tmp_path: Path
) -> None:
    out = tmp_path / "evaluation.json"
    assert Evaluation.model_validate(read_json(out)) == evaluation
    before = out.stat().st_mtime_ns
    (checkpoint / "model.safetensors").rename(tmp_path / "away")  # it would fail, were it looked at
    assert evaluate(checkpoint, small_corpus, spec, out) == evaluation
    assert out.stat().st_mtime_ns == before


def test_another_checkpoint_does_not_get_the_test_split(
    evaluation: Evaluation, checkpoint: Path, small_corpus: Path, spec: BuildSpec, tmp_path: Path
) -> None:
    other = remake(checkpoint, tmp_path / "other", small_corpus, 5.4)
    with pytest.raises(ArtefactError, match="another checkpoint"):
        evaluate(other, small_corpus, spec, tmp_path / "evaluation.json")


def test_a_diverged_checkpoint_is_evaluated_and_rejected(
    small_checkpoint: Path, small_corpus: Path, spec: BuildSpec, tmp_path: Path
) -> None:
    weights = load_file(small_checkpoint / "model.safetensors")
    weights["model.norm.weight"][0] = math.nan
    diverged = remake(small_checkpoint, tmp_path / "nan", small_corpus, math.nan, weights)
    evaluation = evaluate(diverged, small_corpus, spec, tmp_path / "evaluation.json")
    assert Evaluation.model_validate(read_json(tmp_path / "evaluation.json")).load_problem == evaluation.load_problem
    assert failed(judge(evaluation, spec, finished=True)) == ["completed", "loads", "perplexity", "coherence"]


def test_a_checkpoint_that_does_not_load_is_evaluated_and_rejected(
    small_checkpoint: Path, small_corpus: Path, spec: BuildSpec, tmp_path: Path
) -> None:
    weights = load_file(small_checkpoint / "model.safetensors")
    del weights["model.norm.weight"]
    partial = remake(small_checkpoint, tmp_path / "partial", small_corpus, 5.5, weights)
    evaluation = evaluate(partial, small_corpus, spec, tmp_path / "evaluation.json")
    assert evaluation.test is None
    assert "does not fit" in evaluation.load_problem
    assert failed(judge(evaluation, spec, finished=True)) == ["loads", "perplexity", "coherence"]


def test_a_damaged_checkpoint_is_not_evaluated(
    checkpoint: Path, small_corpus: Path, spec: BuildSpec, tmp_path: Path
) -> None:
    with open(checkpoint / "model.safetensors", "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    with pytest.raises(ArtefactError, match="sha256"):
        evaluate(checkpoint, small_corpus, spec, tmp_path / "evaluation.json")
    assert not (tmp_path / "evaluation.json").exists()


def test_the_command_prints_figures_of_the_validation_split(
    checkpoint: Path, small_corpus: Path, evaluation: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluation.test is not None
    assert main([str(checkpoint), "--corpus", str(small_corpus)]) == 0
    assert "on val" in capsys.readouterr().out
    assert main([str(checkpoint), "--corpus", str(small_corpus), "--split", "test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["perplexity"] == pytest.approx(evaluation.test.perplexity)
    assert main([str(checkpoint), "--corpus", str(checkpoint)]) == 1


def test_figures_of_the_benchmark_are_gates(evaluation: Evaluation, spec: BuildSpec) -> None:
    wanted = {"intent/top1": 0.8, "driver_select/pci random/top3": 0.9, "identify/vendor": 0.7}
    asked = spec.model_copy(update={"gates": spec.gates.model_copy(update={"benchmark": wanted})})
    found = evaluation.model_copy(update={"benchmark": {"intent/top1": 0.8, "driver_select/pci random/top3": 0.89}})
    verdict = judge(found, asked, finished=True)
    # What was not measured fails, too.
    assert failed(verdict) == ["driver_select/pci random/top3", "identify/vendor"]
