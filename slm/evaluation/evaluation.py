"""The evaluation of one checkpoint: every figure that the gates ask for, measured once and written down.

The test split is for the gate alone. An evaluation that is already there and names the same checkpoint and corpus
is returned as it is, so a build that is continued does not look at the test split a second time.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from slm.corpus.devices import DATABASE
from slm.errors import ArtefactError
from slm.evaluation.coherence import coherence
from slm.evaluation.figures import EditionScore, Evaluation, SplitScore
from slm.evaluation.perplexity import evaluate_split
from slm.files import atomic_write, read_json, sha256_file
from slm.lineage import check_files, manifest_path
from slm.model.files import WEIGHTS
from slm.model.llama import load_model
from slm.model.packed import LEARNED
from slm.progress import Reporter, silent
from slm.spec import BuildSpec, EditionSpec


def evaluate(
    checkpoint: Path,
    corpus: Path,
    spec: BuildSpec,
    out: Path,
    report: Reporter = silent,
    benchmark: Path | None = None,
) -> Evaluation:
    """Measure the model in ``checkpoint`` on the test split of ``corpus`` and write the result to ``out``, once.

    :param benchmark: the folder of the build's benchmark. What it found lies beside ``out`` in full, as
        ``benchmark.json`` and as a page with pictures, ``benchmark.html``.
    :raises ArtefactError: when a file of the checkpoint or the corpus does not match its manifest, or when ``out``
        holds the evaluation of something else: a build's test split is spent on one model.
    """
    checkpoint_sha256, corpus_sha256 = (sha256_file(manifest_path(path)) for path in (checkpoint, corpus))
    if out.exists():
        return _earlier(out, checkpoint_sha256, corpus_sha256)
    manifest = check_files(checkpoint)
    parameters, parameter_bytes, finite = _weigh(checkpoint / WEIGHTS)
    problem = "" if finite else "weights hold NaN or infinity, so nothing can be generated"
    written = score = answered = None
    if finite:
        try:
            if spec.corpus.edition is None:
                written = coherence(checkpoint, report=report)
            else:
                answered = _answered(checkpoint, corpus, spec.corpus.edition)
        except ArtefactError as error:
            problem = error.what
    figures: dict[str, float] = {}
    if not problem:
        score = score_split(checkpoint, corpus, "test", spec.model.context, report=report)
        if benchmark is not None and spec.benchmark is not None:
            figures = _asked(checkpoint, benchmark, spec.benchmark.most, out.parent, report)
    evaluation = Evaluation(
        checkpoint=manifest.name,
        checkpoint_sha256=checkpoint_sha256,
        corpus_sha256=corpus_sha256,
        parameters=parameters,
        parameter_bytes=parameter_bytes,
        weight_bytes=(checkpoint / WEIGHTS).stat().st_size,
        finite_weights=finite,
        training_loss=float(manifest.info.get("loss", math.nan)),
        load_problem=problem,
        test=score,
        coherence=written,
        benchmark=figures,
        edition=answered,
    )
    with atomic_write(out, "w") as file:
        file.write(evaluation.model_dump_json(indent=1) + "\n")
    return evaluation


def _asked(checkpoint: Path, benchmark: Path, most: int | None, folder: Path, report: Reporter) -> dict[str, float]:
    # Slow to import, and few evaluations need it.
    from slm.evaluation.benchmark.generate import BENCHMARK
    from slm.evaluation.benchmark.judged import judge
    from slm.evaluation.benchmark.report import write_report

    results = judge(checkpoint, benchmark / BENCHMARK, baselines=False, report=report, most=most)
    with atomic_write(folder / "benchmark.json", "w") as file:
        file.write(results.to_json())
    write_report(results, folder / "benchmark.html")
    return results.figures()


def _answered(checkpoint: Path, corpus: Path, edition: EditionSpec) -> EditionScore:
    from slm.edition.evaluation import load, score_edition  # it stands on the benchmark, which others need not load

    return score_edition(load(checkpoint, edition.spellings), corpus / "devices" / DATABASE)


def score_split(
    checkpoint: Path, corpus: Path, split: str, context: int | None = None, report: Reporter = silent
) -> SplitScore:
    """Score the model in ``checkpoint`` on a whole split of ``corpus``.

    :param context: the length of a window; the model's own when not given.
    :raises ArtefactError: when the model does not load or the corpus does not match its manifest.
    """
    model = load_model(checkpoint)
    manifest = check_files(corpus)
    if manifest.kind != "corpus":
        raise ArtefactError(f"{corpus} is a {manifest.kind}, not a corpus.", "Name a folder of datasets/processed.")
    info = manifest.info
    length = context or model.config.max_position_embeddings
    text_bytes = int(info["splits"][split]["bytes"])
    bin_path = corpus / f"{split}.bin"
    lines_apart = bin_path.with_suffix(LEARNED).name in manifest.files
    return evaluate_split(model, bin_path, info["dtype"], length, text_bytes, lines_apart=lines_apart, report=report)


def _earlier(out: Path, checkpoint_sha256: str, corpus_sha256: str) -> Evaluation:
    try:
        earlier = Evaluation.model_validate(read_json(out))
    except ValidationError as error:
        raise ArtefactError(f"{out} is no evaluation: {error.errors()[0]['msg']}.") from error
    if (earlier.checkpoint_sha256, earlier.corpus_sha256) != (checkpoint_sha256, corpus_sha256):
        raise ArtefactError(
            f"{out} is the evaluation of {earlier.checkpoint}, another checkpoint or on another corpus.",
            "A build's test split is for one model. To spend it again all the same, delete the file.",
        )
    return earlier


def _weigh(path: Path) -> tuple[int, int, bool]:
    """Return the number of weights in a safetensors file, the bytes of one, and whether all are finite."""
    parameters, width, finite = 0, 0, True
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a mapping
                weight = file.get_tensor(name)
                parameters += weight.numel()
                width = max(width, weight.dtype.itemsize)
                finite = finite and bool(torch.isfinite(weight).all())
    except (OSError, SafetensorError) as error:
        raise ArtefactError(f"{path} does not read as safetensors: {error}", "Build it again.") from error
    return parameters, width, finite
