"""Which checkpoint a training goes on from, and which no longer count: files alone, for workers and launchers alike."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from slm.errors import ArtefactError
from slm.lineage import MANIFEST, check_files, read_manifest
from slm.training.outcome import Failure, TrainingPaths, check_build, was_trained_on

OPTIMIZER = "optimizer.pt"
#: How many checkpoints that were set aside are kept.
_KEPT_ASIDE = 2


def complete(folder: Path) -> list[Path]:
    """Return the checkpoints in ``folder`` that have a manifest, oldest first."""
    return sorted(path.parent for path in folder.glob(f"step-*/{MANIFEST}"))


def latest(folder: Path, say: Callable[[str], None]) -> Path | None:
    """Return the newest checkpoint that a training can go on from: its files all match, optimizer state included.

    :param say: is told of each one passed over.
    """
    for checkpoint in reversed(complete(folder)):
        try:
            if OPTIMIZER in check_files(checkpoint).files:
                return checkpoint
            say(f"checkpoint {checkpoint.name} has no optimizer state any more and is passed over")
        except ArtefactError as error:
            say(f"checkpoint {checkpoint.name} is damaged and is passed over: {error.what}")
    return None


def resumable(checkpoint: Path) -> bool:
    """Say whether a training can go on from a checkpoint: whole, with its optimizer's state."""
    try:
        return OPTIMIZER in read_manifest(checkpoint).files and bool(check_files(checkpoint))
    except ArtefactError:
        return False


def set_aside(checkpoint: Path, clear: bool = True) -> None:
    """Rename a checkpoint so that it counts no longer.

    :param clear: delete what was set aside before, but for the newest two: enough to see what went wrong.
    """
    before = sorted(checkpoint.parent.glob("aside-*-step-*"))
    number = 1 + max((int(path.name.split("-")[1]) for path in before), default=0)
    # Beside the others, so that its manifest still leads to its corpus.
    checkpoint.rename(checkpoint.with_name(f"aside-{number:06d}-{checkpoint.name}"))
    for old in before[: len(before) + 1 - _KEPT_ASIDE] if clear else []:
        shutil.rmtree(old)


def set_strangers_aside(folder: Path, corpus: Path, build: str, say: Callable[[str], None]) -> None:
    """Set aside the checkpoints that were trained on another corpus than the one that is there now; delete none.

    Their place in the data means nothing in this one, and their score is of another validation split.

    :param say: is told of each.
    :raises TrainingError: when such a checkpoint is not even of ``build``: the folder is somebody else's.
    """
    for checkpoint in complete(folder):
        try:
            if was_trained_on(checkpoint, corpus):
                continue
        except ArtefactError:  # whoever looks for a checkpoint is told of it
            continue
        check_build(checkpoint, build)
        say(f"checkpoint {checkpoint.name} was trained on another corpus and is set aside")
        set_aside(checkpoint, clear=False)


def set_beginning_aside(paths: TrainingPaths, failure: Failure) -> Failure:
    """Set the checkpoint aside that a ruined attempt began from, where it reached no other; the failure says so.

    A step may spoil the weights without its own loss showing it; what was saved then would fail every attempt. But a
    training that has come further than its oldest saves keeps the last checkpoint that it can go on from: better a
    report than all of it anew. To be called when nobody writes there: by the only worker, or by the launcher when all
    workers are gone. A second call finds the checkpoint gone and does nothing.
    """
    if failure.diagnosis not in ("diverged", "exploded") or failure.began_from is None:
        return failure
    newest = latest(paths.checkpoints, lambda _: None)
    if newest is None or newest.name != failure.began_from:
        return failure
    others = [checkpoint for checkpoint in complete(paths.checkpoints) if checkpoint != newest]
    if others and not any(resumable(checkpoint) for checkpoint in reversed(others)):
        words = f" Checkpoint {newest.name} led straight here; it stays, since no other can be gone on from."
    else:
        set_aside(newest)
        words = f" Checkpoint {newest.name} led straight here and is set aside."
    return failure.model_copy(update={"detail": failure.detail + words})
