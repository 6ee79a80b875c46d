"""Where things lie below the home folder (by default the working directory)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The folders that builds share."""

    home: Path

    @property
    def raw(self) -> Path:
        """Downloads and unpacked packages, kept between builds."""
        return self.home / "datasets" / "raw"

    @property
    def processed(self) -> Path:
        """One folder a corpus."""
        return self.home / "datasets" / "processed"

    @property
    def benchmarks(self) -> Path:
        """One folder a benchmark."""
        return self.home / "datasets" / "benchmarks"

    @property
    def runs(self) -> Path:
        """One folder a build."""
        return self.home / "runs"

    @property
    def registry(self) -> Path:
        """The git repository of accepted models."""
        return self.home / "checkpoints" / "registry"

    def build(self, build: str) -> Path:
        """The folder of one build."""
        return self.runs / build

    def iteration(self, build: str, number: int) -> Path:
        """The folder of an iteration, with its spec, training and evaluation; the first's is the build's own."""
        return self.build(build) if number == 1 else self.build(build) / "iterations" / str(number)

    def training(self, build: str, iteration: int = 1) -> Path:
        """Checkpoints and logs of an iteration's training."""
        return self.iteration(build, iteration) / "training"

    def taught(self, build: str, iteration: int = 1) -> Path:
        """The checkpoint that was taught questions and answers after an iteration's training."""
        return self.iteration(build, iteration) / "taught"

    def export(self, build: str) -> Path:
        """The files that an accepted model is published as."""
        return self.build(build) / "export"


def here() -> Layout:
    """Return the layout of this process: ``AUTON_HOME`` when set, else the working directory.

    Inside a Ray job the working directory is a throw-away copy of the source, so ``~/auton`` serves there.
    """
    if home := os.environ.get("AUTON_HOME"):
        return Layout(Path(home).expanduser().resolve())
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        return Layout(Path.home() / "auton")
    return Layout(Path.cwd())
