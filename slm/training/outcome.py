"""What a training is told and what it leaves: adjustments, paths, the reason of a failure, the result."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slm.errors import ArtefactError, TrainingError
from slm.files import read_json, sha256_file
from slm.lineage import check_files, manifest_path, read_manifest
from slm.training.guards import Diagnosis


class Adjustments(BaseModel):
    """What a repaired attempt changes against its spec."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    learning_rate_scale: float = Field(default=1.0, gt=0)
    warmup_scale: float = Field(default=1.0, gt=0)
    #: Splits each micro-batch into this many; accumulation grows as much, so that the batch stays.
    micro_batch_divisor: int = Field(default=1, ge=1)


class Failure(BaseModel):
    """Why an attempt ended early; written by the worker that met it, read by whoever launched it."""

    diagnosis: Diagnosis
    detail: str
    #: The name of the checkpoint that the attempt went on from.
    began_from: str | None = None


class TrainingResult(BaseModel):
    """What a finished training leaves: its best checkpoint and how it went."""

    checkpoint: Path
    step: int
    steps: int
    loss: float
    validation_perplexity: float
    precision: str


@dataclass(frozen=True)
class TrainingPaths:
    """The files of one training, below its folder."""

    folder: Path

    @property
    def checkpoints(self) -> Path:
        """Holds one folder a checkpoint."""
        return self.folder / "checkpoints"

    @property
    def result(self) -> Path:
        """There when the training has finished."""
        return self.folder / "result.json"

    @property
    def failure(self) -> Path:
        """There when the last attempt failed in a way that its worker could name; the launcher removes it."""
        return self.folder / "failure.json"

    def note(self, failure: Failure) -> None:
        """Leave the reason of a failure where the launcher, perhaps on another machine, can read it.

        The first worker's word counts: the others then fail of its absence. A full disk cannot take the note; the
        exception itself still travels.
        """
        with contextlib.suppress(FileExistsError, OSError), open(self.failure, "x", encoding="utf-8") as file:
            file.write(failure.model_dump_json())

    def noted(self) -> Failure | None:
        """Return the reason that a worker left, if it could; a full disk or a kill may have cut it short."""
        try:
            return Failure.model_validate_json(self.failure.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValidationError):
            return None

    @property
    def log(self) -> Path:
        """One JSON object a log step."""
        return self.folder / "log.jsonl"

    @property
    def samples(self) -> Path:
        """One JSON object for each text that the model wrote at an evaluation: step, prompt, text."""
        return self.folder / "samples.jsonl"


def check_build(checkpoint: Path, build: str) -> None:
    """Make sure that a checkpoint is of ``build``.

    :raises TrainingError: when it is of another.
    """
    other = read_manifest(checkpoint).name.partition("@")[0]
    if other != build:
        raise TrainingError(
            f"{checkpoint.parent.parent} holds a training of {other}, not of {build}.",
            "Give the output another folder.",
        )


def was_trained_on(checkpoint: Path, corpus: Path) -> bool:
    """Say whether a checkpoint names the corpus in the folder ``corpus``, as it is now, as what it was made from.

    :raises ArtefactError: when either has no readable manifest.
    """
    now = sha256_file(manifest_path(corpus))
    return any(entry.sha256 == now for entry in read_manifest(checkpoint).inputs)


def finished(folder: Path, corpus: Path) -> TrainingResult | None:
    """Return the result of a training on ``corpus`` that has finished and whose checkpoint is whole, else nothing."""
    paths = TrainingPaths(folder)
    if not paths.result.exists():
        return None
    result = TrainingResult.model_validate(read_json(paths.result))
    try:
        check_files(result.checkpoint)
        return result if was_trained_on(result.checkpoint, corpus) else None
    except ArtefactError:
        return None
