"""A GGUF file as it takes part in a benchmark, computed by llama.cpp."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slm.evaluation.benchmark.answers import Lists
from slm.evaluation.benchmark.model import WRITTEN, Model
from slm.evaluation.benchmark.predictor import Ranked
from slm.prompts import prompt
from slm.serving.completion import TooLongError
from slm.serving.engine import Engine


class GgufModel(Model):
    """A GGUF file, computed by llama.cpp; rankings are exact."""

    def __init__(self, gguf: Path, answers: Lists) -> None:
        """Load it.

        :raises ServingError: when it does not load.
        """
        super().__init__(gguf.resolve().name, answers)
        self._engine = Engine(gguf)

    def ranked(self, which: str, question: str) -> Ranked:
        """Rank the first few answers of one list after a question."""
        listed = self.listed[which]
        return list(self._engine.ranked(prompt(question), listed, self.depth(which))) if listed else []

    def among(self, question: str, answers: Sequence[str]) -> Ranked:
        """Rank a few answers after a question."""
        try:
            return list(self._engine.ranked(prompt(question), answers, len(answers)))
        except TooLongError:
            return ()

    def written(self, question: str) -> tuple[str, float]:
        """Return what the model writes, greedily, and its probability."""
        said = self._engine.complete(prompt(question), WRITTEN)
        return said.text, said.probability

    def close(self) -> None:
        """Stop llama.cpp."""
        self._engine.close()
