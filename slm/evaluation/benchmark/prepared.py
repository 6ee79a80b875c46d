"""A build's benchmark: made of its corpus once, found again afterwards."""

from __future__ import annotations

from pathlib import Path

from slm.errors import ArtefactError
from slm.evaluation.benchmark.generate import build_benchmark
from slm.files import exclusive_lock, sha256_file
from slm.layout import Layout
from slm.lineage import check_files, manifest_path
from slm.progress import Reporter
from slm.spec import BenchmarkSpec, digest


def prepare_benchmark(spec: BenchmarkSpec, corpus: Path, layout: Layout, report: Reporter) -> Path:
    """Make the benchmark that ``spec`` asks for of the finished corpus in a folder, and return its folder.

    One that is whole, and of just this corpus, is returned as it is, also where a newer kernel has come since: what a
    model was taught and what it is asked stay the same through a build.

    :raises ArtefactError: when the corpus is not complete.
    :raises SourceError: when a kernel cannot be had.
    """
    asked = spec.model_dump(mode="json", exclude={"most"})
    folder = layout.benchmarks / f"{corpus.name}-{digest(asked)[:8]}"
    with exclusive_lock(layout.raw / "lock"):  # other builds of the same corpus, and what they download
        try:
            manifest = check_files(folder)
            if any(entry.sha256 == sha256_file(manifest_path(corpus)) for entry in manifest.inputs):
                return folder
        except ArtefactError:
            pass  # there is none yet, or it is damaged: made (again)
        build_benchmark(
            corpus, folder, layout.raw, report, newer=spec.newer, device_tree=spec.device_tree, seed=spec.seed
        )
    return folder
