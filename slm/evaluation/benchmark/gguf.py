"""A GGUF file as it takes part in a benchmark, computed by llama.cpp."""

from __future__ import annotations

from pathlib import Path

from slm.evaluation.benchmark.answers import Lists
from slm.evaluation.benchmark.model import WRITTEN, Model
from slm.evaluation.benchmark.predictor import Ranked
from slm.prompts import prompt
from slm.serving.engine import Engine

#: So many places of a ranking are filled: each costs a run.
_DEPTH = 3


class GgufModel(Model):
    """A GGUF file, computed by llama.cpp; each next place of a ranking is the greedy choice among what is left."""

    def __init__(self, gguf: Path, answers: Lists) -> None:
        """Load it.

        :raises ServingError: when it does not load.
        """
        super().__init__(gguf.resolve().name, answers)
        self._engine = Engine(gguf)

    def ranked(self, which: str, question: str) -> Ranked:
        """Rank the first few answers of one list after a question."""
        left, found = list(self.listed[which]), list[tuple[str, float]]()
        while left and len(found) < _DEPTH:
            said = self._engine.complete(prompt(question), WRITTEN, left)
            if said.text not in left:  # it was cut off
                break
            found.append((said.text, said.probability))
            left.remove(said.text)
        return sorted(found, key=lambda pair: -pair[1])

    def written(self, question: str) -> tuple[str, float]:
        """Return what the model writes, greedily, and its probability."""
        said = self._engine.complete(prompt(question), WRITTEN)
        return said.text, said.probability

    def close(self) -> None:
        """Stop llama.cpp."""
        self._engine.close()
