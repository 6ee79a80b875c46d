"""Checkpoints of a training: folders that count only when their manifest is there and their files match it.

``step-00000500/`` loads by itself in transformers (``model.safetensors``, ``config.json``, tokenizer files) and holds
what the training needs to go on: ``optimizer.pt``, ``random.safetensors`` (each worker's random state) and
``state.json``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LlamaForCausalLM

from slm.errors import ArtefactError
from slm.files import atomic_folder, read_json, write_json
from slm.lineage import MANIFEST, check_files, input_from, read_manifest, write_manifest
from slm.model.llama import save_model
from slm.training.optimizer import MuonAdamW


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


class CheckpointStore:
    """The checkpoints of one training, in ``folder``."""

    def __init__(self, folder: Path, corpus: Path, keep: int) -> None:
        """Keep the last ``keep`` checkpoints and the best by validation perplexity."""
        self.folder = folder
        self._corpus = corpus
        self._keep = keep

    def save(
        self, model: LlamaForCausalLM, optimizer: MuonAdamW, random: dict[str, Tensor], state: TrainingState, build: str
    ) -> Path:
        """Write one checkpoint atomically, then drop those no longer kept.

        :param random: random state (uint8) by worker.
        :raises DiskFullError: when there is no room; earlier checkpoints are untouched.
        """
        final = self.folder / f"step-{state.step:08d}"
        with atomic_folder(final) as part:
            save_model(model, self._corpus, part, dtype=torch.float32)
            # No timestamps, no pickled classes: tensors, numbers, lists and dicts, which weights_only reads back.
            torch.save(optimizer.state_dict(), part / "optimizer.pt")
            save_file(random, part / "random.safetensors")
            write_json(part / "state.json", state.model_dump())
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
        self._prune()
        return final

    def latest(self, say: Callable[[str], None]) -> Path | None:
        """Return the newest checkpoint whose files all match; ``say`` is told of each one passed over."""
        for folder in reversed(self._complete()):
            try:
                check_files(folder)
                return folder
            except ArtefactError as error:
                say(f"checkpoint {folder.name} is damaged and is passed over: {error.what}")
        return None

    def set_aside(self, folder: Path) -> None:
        """Make a checkpoint count no longer; its files stay, for whoever wants to see what went wrong."""
        (folder / MANIFEST).rename(folder / "manifest.set-aside.json")

    def best(self) -> Path | None:
        """Return the checkpoint of lowest validation perplexity among those kept."""
        measured = [
            (perplexity, folder)
            for folder in self._complete()
            if (perplexity := self._perplexity(folder)) is not None and perplexity == perplexity
        ]
        return min(measured)[1] if measured else None

    def restore(self, folder: Path, model: LlamaForCausalLM, optimizer: MuonAdamW, worker: str) -> TrainingState:
        """Load a checkpoint into ``model`` and ``optimizer`` and set this worker's random state."""
        weights = load_file(folder / "model.safetensors")
        missing, unexpected = model.load_state_dict(weights, strict=False)
        if unexpected or set(missing) - {"lm_head.weight"}:
            raise ArtefactError(f"{folder} is of another model: missing {missing}, unexpected {unexpected}.")
        groups = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
        optimizer.load_state_dict(torch.load(folder / "optimizer.pt", weights_only=True, map_location="cpu"))
        # The settings are the spec's and this attempt's, not the checkpoint's: a retry may have lowered them.
        for group, settings in zip(optimizer.param_groups, groups, strict=True):
            group.update(settings)
        random = load_file(folder / "random.safetensors")
        if worker in random:
            torch.set_rng_state(random[worker])
        return TrainingState.model_validate(read_json(folder / "state.json"))

    def _complete(self) -> list[Path]:
        return sorted(path.parent for path in self.folder.glob(f"step-*/{MANIFEST}"))

    def _perplexity(self, folder: Path) -> float | None:
        try:
            value = read_manifest(folder).info.get("validation_perplexity")
        except ArtefactError:
            return None
        return None if value is None else float(value)

    def _prune(self) -> None:
        best = self.best()
        for folder in self._complete()[: -self._keep]:
            if folder != best:
                # The manifest goes first: a half-deleted folder must not count.
                (folder / MANIFEST).unlink()
                shutil.rmtree(folder)
