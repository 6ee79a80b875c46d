"""A model as it takes part in a benchmark: it ranks what exists, and writes freely only where no list of answers is."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from transformers import DynamicCache, LlamaForCausalLM, PreTrainedTokenizerFast

from slm.corpus.instructions.exchange import INTENT_OF, SUB_COMMANDS
from slm.errors import ArtefactError
from slm.evaluation.benchmark.answers import Lists
from slm.evaluation.benchmark.asked import identify_question, question_about, understood
from slm.evaluation.benchmark.device import Device
from slm.evaluation.benchmark.predictor import Abstaining, Identified, Ranked
from slm.evaluation.benchmark.ranking import Answers
from slm.evaluation.coherence import load_tokenizer
from slm.model.llama import load_model
from slm.prompts import (
    EOS,
    SPECIAL_TOKENS,
    compatible_question,
    completion_question,
    intent_question,
    prompt,
    step_question,
    sub_command_question,
)
from slm.serving.completion import SUGGESTIONS
from slm.spec import Task

_EOS_ID = SPECIAL_TOKENS.index(EOS)
#: Tokens of an answer that is written freely.
WRITTEN = 48
#: So many answers are ranked, as many as are scored and a server asks for, or all of a list that has no more than
#: this: what is fitted on rankings (:mod:`slm.evaluation.benchmark.neighbours`,
#: :mod:`slm.evaluation.benchmark.calibration`) holds for these depths. To find ten takes many times as long.
DEPTH, WHOLE = SUGGESTIONS, 24
#: The fewest tokens that must be left for a question.
_FEWEST = 16


class Model(Abstaining, ABC):
    """A model, asked in the form that :mod:`slm.adapt.sft` trains; it never sees the device tables."""

    def __init__(self, name: str, answers: Lists) -> None:
        self.name = name
        #: Every list by its name.
        self.listed = {**answers, "intent": list(SUB_COMMANDS), "sub_command": list(INTENT_OF)}
        tasks: set[Task] = {"identify", "intent", "sub_command", "install_steps"}
        if "pci" in answers or "usb" in answers:
            tasks.add("driver_select")
        named: set[Task] = {"device_tree", "command_completion"}
        self.tasks: Collection[Task] = tasks | {task for task in named if task in answers}

    @abstractmethod
    def ranked(self, which: str, question: str) -> Ranked:
        """Rank the answers of one list after a question, to its :meth:`depth`."""

    def depth(self, which: str) -> int:
        """Return how many answers of a list are ranked: the same for a checkpoint and for a GGUF file made of it."""
        count = len(self.listed[which])
        return count if count <= WHOLE else DEPTH

    @abstractmethod
    def among(self, question: str, answers: Sequence[str]) -> Ranked:
        """Rank all of a few answers that stand in no list; nothing where the context does not hold the longest."""

    @abstractmethod
    def written(self, question: str) -> tuple[str, float]:
        """Return what the model writes after a question, and its probability."""

    def close(self) -> None:  # most hold nothing
        """Free what it holds."""

    def drivers(self, device: Device) -> Ranked:
        """Rank the drivers of the device's bus."""
        return self.ranked(device.bus, question_about(device)) if device.bus in self.listed else ()

    def compatible(self, compatible: Sequence[str]) -> Ranked:
        """Rank the drivers that device trees name."""
        return self.ranked("device_tree", compatible_question(compatible))

    def intents(self, text: str) -> Ranked:
        """Rank the intents."""
        return self.ranked("intent", intent_question(text))

    def sub_commands(self, text: str) -> Ranked:
        """Rank the sub-commands."""
        return self.ranked("sub_command", sub_command_question(text))

    def complete(self, command: str, text: str) -> Ranked:
        """Rank the words that commands are made of."""
        return self.ranked("command_completion", completion_question(command, text))

    def order(self, steps: Sequence[str], text: str) -> Sequence[int]:
        """Put those first after which the others are likelier than without them, by more than the other way round."""
        ranked = [self.among(step_question(text, done), steps) for done in ((), *((step,) for step in steps))]
        if not all(ranked):
            return ()
        alone, *each = (_logs(found, steps) for found in ranked)
        after = np.stack(each) - alone
        np.fill_diagonal(after, 0)
        lead = (after - after.T).sum(axis=1)
        return [int(place) for place in np.argsort(-lead, kind="stable")]

    def identify(self, device: Device) -> Identified | None:
        """Write what the device is; None where that is no identity."""
        text, confidence = self.written(identify_question(device))
        identity = understood(text)
        return Identified(identity, confidence) if identity else None


class CheckpointModel(Model):
    """A checkpoint's folder, computed by torch; rankings are exact."""

    def __init__(self, checkpoint: Path, answers: Lists) -> None:
        """Load it.

        :param answers: what there is to choose from (:func:`~slm.evaluation.benchmark.answers.answers_for`).
        :raises ArtefactError: when it does not load.
        """
        super().__init__(checkpoint.resolve().name, answers)
        self._model: LlamaForCausalLM = load_model(checkpoint).eval()
        self._tokenizer: PreTrainedTokenizerFast = load_tokenizer(checkpoint)
        self._tries = {name: Answers(self._tokenizer, listed) for name, listed in self.listed.items()}
        self._said: dict[tuple[str, str], Ranked] = {}

    def ranked(self, which: str, question: str) -> Ranked:
        """Rank the answers of one list after a question; asked again, say the same again."""
        if (which, question) not in self._said:
            answers = self._tries[which]
            ranked = answers.ranked(self._model, self._encoded(question, answers.longest), self.depth(which))
            self._said[which, question] = ranked
        return self._said[which, question]

    def among(self, question: str, answers: Sequence[str]) -> Ranked:
        """Rank a few answers after a question."""
        few = Answers(self._tokenizer, answers)
        if self._model.config.max_position_embeddings - few.longest < _FEWEST:
            return ()
        return few.ranked(self._model, self._encoded(question, few.longest), len(answers))

    def written(self, question: str) -> tuple[str, float]:
        """Return what the model writes, greedily, and its probability."""
        ids = self._encoded(question, WRITTEN)
        tokens: list[int] = []
        log = 0.0
        with torch.inference_mode():
            past, said = DynamicCache(config=self._model.config), ids
            while len(tokens) < WRITTEN:
                out = self._model(torch.tensor([said]), past_key_values=past, use_cache=True, logits_to_keep=1)
                logs = out.logits[0, -1].float().log_softmax(-1)
                token = int(logs.argmax())
                said = [token]
                log += float(logs[token])
                if token == _EOS_ID:
                    break
                tokens.append(token)
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True)), math.exp(log)

    def _encoded(self, question: str, room: int) -> list[int]:
        """Return a question's tokens; one that leaves no room for an answer loses its middle."""
        ids: list[int] = self._tokenizer.encode(prompt(question), add_special_tokens=False)
        most = self._model.config.max_position_embeddings - room
        if most < _FEWEST:
            raise ArtefactError(
                f"{self.name}: an answer of {room} tokens leaves no room for a question in a context of {most + room}.",
                "Use a model with a larger context.",
            )
        return ids if len(ids) <= most else [*ids[: most // 2], *ids[len(ids) - (most - most // 2) :]]


def _logs(ranked: Ranked, answers: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the logarithm of each answer's probability ``[answers]``."""
    chances = dict(ranked)
    return np.array([math.log(max(chances.get(answer, 0.0), 1e-300)) for answer in answers])
