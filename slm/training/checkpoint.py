"""Checkpoints of a training: folders that count only when their manifest is there and their files match it.

``step-00000500/`` loads by itself in transformers (``model.safetensors``, ``config.json``, tokenizer files) and holds
what the training needs to go on: ``optimizer.pt``, ``random.safetensors`` (each worker's random state) and
``state.json``. Only the newest two keep ``optimizer.pt``; older ones are models, from which nothing goes on.

A save takes two steps: :func:`take_snapshot` copies the state to the host while the training waits, and
:meth:`CheckpointStore.save` writes, hashes and renames in a thread of its own while the training goes on.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from slm.errors import ArtefactError
from slm.files import atomic_folder, read_json, write_json
from slm.lineage import MANIFEST, check_files, input_from, remove_file, write_manifest
from slm.model.llama import copy_weights, write_model
from slm.training.aside import OPTIMIZER, complete
from slm.training.data import check_corpus
from slm.training.engine import Placement
from slm.training.optimizer import MuonAdamW

#: How many of the newest checkpoints keep their optimizer state: the newest, and one more should that be damaged.
_RESUMABLE = 2


class TrainingState(BaseModel):
    """Where a training stands after ``step`` optimizer steps."""

    model_config = ConfigDict(extra="forbid")
    step: int
    #: Sequences consumed: the data cursor.
    sequences: int
    #: Mean training loss (nats a token) of the last step.
    loss: float
    #: Validation perplexity at this very step, when it was measured.
    validation_perplexity: float | None


@dataclass(frozen=True)
class Snapshot:
    """What a checkpoint is written from: CPU tensors that share no memory with the training."""

    config: LlamaConfig
    weights: dict[str, Tensor]
    #: The optimizer's ``state_dict``.
    optimizer: dict[str, Any]
    #: Random state (uint8) by worker, ``rank0`` and so on; that of its GPU as ``cuda0``.
    random: dict[str, Tensor]
    state: TrainingState


def take_snapshot(
    model: LlamaForCausalLM, optimizer: dict[str, Any], random: dict[str, Tensor], state: TrainingState
) -> Snapshot:
    """Copy weights and optimizer state to the host.

    :param optimizer: the optimizer's ``state_dict``, whole.
    :param random: random state (uint8) by worker.
    """
    return Snapshot(model.config, copy_weights(model), _copy(optimizer), random, state)


def _copy(value: Any) -> Any:
    match value:
        case Tensor():
            return value.detach().to("cpu", copy=True)
        case dict():
            return {key: _copy(item) for key, item in value.items()}
        case list():
            return [_copy(item) for item in value]
        case _:
            return value


class CheckpointStore:
    """The checkpoints of one training, in ``folder``. One save at most is under way."""

    def __init__(self, folder: Path, corpus: Path, keep: int) -> None:
        """Keep the last ``keep`` checkpoints and the best by validation perplexity."""
        self.folder = folder
        self._corpus = corpus
        self._keep = keep
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._saving: Future[None] | None = None

    def save(self, snapshot: Snapshot, build: str) -> None:
        """Begin to write one checkpoint, atomically, and to drop those no longer kept; first wait for the one before.

        :raises DiskFullError: when there was no room for the one before; earlier checkpoints are untouched. Any error
            of this save comes from the next call of ``save``, ``check`` or ``wait``.
        :raises CorpusError: in the same way, when the corpus no longer matches its manifest: nothing was saved then.
        """
        self.wait()
        self._saving = self._thread.submit(self._write, snapshot, build)

    def check(self) -> None:
        """Raise the error of a save that has failed; never wait."""
        if self._saving is not None and self._saving.done():
            self.wait()

    def wait(self) -> None:
        """Wait for the save under way, if any, and raise its error."""
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.result()

    def close(self) -> None:
        """Wait for the save under way, raise its error, and end the thread."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def at(self, step: int) -> Path:
        """Return where the checkpoint of ``step`` lies, or would."""
        return self.folder / f"step-{step:08d}"

    def best(self, say: Callable[[str], None]) -> Path | None:
        """Return the checkpoint of lowest validation perplexity whose files all match.

        :param say: is told of each one passed over.
        """
        for folder in self._by_perplexity():
            try:
                check_files(folder)
                return folder
            except ArtefactError as error:
                say(f"checkpoint {folder.name} is damaged and is passed over: {error.what}")
        return None

    def restore(
        self, folder: Path, model: LlamaForCausalLM, optimizer: MuonAdamW, placement: Placement
    ) -> TrainingState:
        """Load a checkpoint into ``model`` and ``optimizer`` and set this worker's random state."""
        weights = load_file(folder / "model.safetensors")
        missing, unexpected = model.load_state_dict(weights, strict=False)
        if unexpected or set(missing) - {"lm_head.weight"}:
            raise ArtefactError(f"{folder} is of another model: missing {missing}, unexpected {unexpected}.")
        groups = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
        optimizer.load_state_dict(torch.load(folder / OPTIMIZER, weights_only=True, map_location="cpu"))
        # The settings are the spec's and this attempt's, not the checkpoint's: a retry may have lowered them.
        for group, settings in zip(optimizer.param_groups, groups, strict=True):
            group.update(settings)
        random = load_file(folder / "random.safetensors")
        if (state := random.get(f"rank{placement.rank}")) is not None:
            torch.set_rng_state(state)
        if placement.device.type == "cuda" and (state := random.get(f"cuda{placement.rank}")) is not None:
            torch.cuda.set_rng_state(state, placement.device)
        return TrainingState.model_validate(read_json(folder / "state.json"))

    def _write(self, snapshot: Snapshot, build: str) -> None:
        state = snapshot.state
        final = self.at(state.step)
        with atomic_folder(final) as part:
            write_model(snapshot.config, snapshot.weights, self._corpus, part)
            # No timestamps, no pickled classes: tensors, numbers, lists and dicts, which weights_only reads back.
            torch.save(snapshot.optimizer, part / OPTIMIZER)
            save_file(snapshot.random, part / "random.safetensors")
            write_json(part / "state.json", state.model_dump())
            # The corpus is mapped, not held. Only what was learned from a whole one may count.
            check_corpus(self._corpus)
            files = sorted(str(file.relative_to(part)) for file in part.rglob("*") if file.is_file())
            write_manifest(
                part / MANIFEST,
                kind="checkpoint",
                name=f"{build}@{state.step}",
                files=files,
                inputs=[input_from(self._corpus / MANIFEST)],
                info=state.model_dump(),
                final=final,
            )
        self._prune(final)

    def _by_perplexity(self) -> list[Path]:
        measured = [
            (perplexity, folder)
            for folder in complete(self.folder)
            if (perplexity := self._perplexity(folder)) is not None and perplexity == perplexity
        ]
        return [folder for _, folder in sorted(measured)]

    @staticmethod
    def _perplexity(folder: Path) -> float | None:
        try:
            # Not the manifest's copy, which no hash covers.
            return TrainingState.model_validate(read_json(folder / "state.json")).validation_perplexity
        except (ArtefactError, ValidationError):
            return None

    def _prune(self, newest: Path) -> None:
        # Later steps are of an attempt whose checkpoints could not be gone on from; this one will write them anew.
        past = [folder for folder in complete(self.folder) if folder <= newest]
        best = next(iter(self._by_perplexity()), None)
        for folder in past[: -self._keep]:
            if folder != best:
                # The manifest goes first: a half-deleted folder must not count.
                (folder / MANIFEST).unlink()
                shutil.rmtree(folder)
        for folder in past[:-_RESUMABLE]:
            # A manifest that cannot be read counts for nothing; whoever looks for a checkpoint is told of it.
            with contextlib.suppress(ArtefactError):
                remove_file(folder, OPTIMIZER)
        # What a kill above left. A folder that is being written bears another name.
        for folder in self.folder.glob("step-*"):
            if not (folder / MANIFEST).exists():
                shutil.rmtree(folder)
