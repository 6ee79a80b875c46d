"""A model as it takes part in a benchmark: it ranks what exists, and writes freely only where no list of answers is."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from slm.corpus.instructions.exchange import INTENT_OF, SUB_COMMANDS
from slm.errors import ArtefactError
from slm.evaluation.benchmark.asked import identify_question, question_about, understood
from slm.evaluation.benchmark.items import CommandCompletion, Device, DeviceTree, DriverSelect, Item, Task
from slm.evaluation.benchmark.predictor import Abstaining, Identified, Ranked
from slm.evaluation.benchmark.ranking import Answers
from slm.evaluation.coherence import load_tokenizer
from slm.files import read_json
from slm.model.llama import load_model
from slm.prompts import (
    EOS,
    SPECIAL_TOKENS,
    compatible_question,
    completion_question,
    intent_question,
    prompt,
    sub_command_question,
)
from slm.serving.engine import Engine

#: Beside a model's weights: the answers that exist, by :func:`known_answers`.
ANSWERS = "answers.json"

_EOS_ID = SPECIAL_TOKENS.index(EOS)
#: Answers that are ranked, and tokens of one that is written freely.
_DEPTH, _GREEDY_DEPTH, _WRITTEN = 10, 3, 48


def known_answers(items: Iterable[Item]) -> dict[str, list[str]]:
    """Collect what there is to choose from: drivers by bus and for device trees, and words of commands."""
    found: dict[str, set[str]] = {}
    for item in items:
        match item:
            case DriverSelect():
                found.setdefault(item.device.bus, set()).update(item.answer)
            case DeviceTree() | CommandCompletion():
                found.setdefault(item.task, set()).update(item.answer)
    return {name: sorted(answers) for name, answers in sorted(found.items())}


def answers_for(model: Path, training: Sequence[Item]) -> Mapping[str, Sequence[str]]:
    """Return what a model has to choose from: what lies beside it, or else what the training items say.

    :raises ArtefactError: when neither says anything.
    """
    beside = (model if model.is_dir() else model.parent) / ANSWERS
    if beside.is_file():
        listed: dict[str, list[str]] = read_json(beside)
        return listed
    if found := known_answers(training):
        return found
    raise ArtefactError(
        f"Nothing says which answers there are: {beside} is missing, and there are no training items.",
        "Train the model on questions (python -m slm.adapt), or put a training.jsonl beside the benchmark.",
    )


class Model(Abstaining):
    """A model, asked in the form that :mod:`slm.adapt.sft` trains; it never sees the device tables."""

    def __init__(self, name: str, answers: Mapping[str, Sequence[str]]) -> None:
        self.name = name
        self._listed = {**answers, "intent": list(SUB_COMMANDS), "sub_command": list(INTENT_OF)}
        tasks: set[Task] = {"identify", "intent", "sub_command"}
        if "pci" in answers or "usb" in answers:
            tasks.add("driver_select")
        named: set[Task] = {"device_tree", "command_completion"}
        self.tasks: Collection[Task] = tasks | {task for task in named if task in answers}

    def ranked(self, which: str, question: str) -> Ranked:
        """Rank the answers of one list after a question."""
        raise NotImplementedError

    def written(self, question: str) -> tuple[str, float]:
        """Return what the model writes after a question, and its probability."""
        raise NotImplementedError

    def drivers(self, device: Device) -> Ranked:
        """Rank the drivers of the device's bus."""
        return self.ranked(device.bus, question_about(device)) if device.bus in self._listed else ()

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

    def identify(self, device: Device) -> Identified | None:
        """Write what the device is; None where that is no identity."""
        text, confidence = self.written(identify_question(device))
        identity = understood(text)
        return Identified(identity, confidence) if identity else None


class CheckpointModel(Model):
    """A checkpoint's folder, computed by torch; rankings are exact."""

    def __init__(self, checkpoint: Path, answers: Mapping[str, Sequence[str]]) -> None:
        """Load it.

        :param answers: what there is to choose from (:func:`answers_for`).
        :raises ArtefactError: when it does not load.
        """
        super().__init__(checkpoint.resolve().name, answers)
        self._model: LlamaForCausalLM = load_model(checkpoint).eval()
        self._tokenizer: PreTrainedTokenizerFast = load_tokenizer(checkpoint)
        self._tries = {name: Answers(self._tokenizer, listed) for name, listed in self._listed.items()}

    def ranked(self, which: str, question: str) -> Ranked:
        """Rank the answers of one list after a question."""
        answers = self._tries[which]
        return answers.ranked(self._model, self._encoded(question, answers.longest), _DEPTH)

    def written(self, question: str) -> tuple[str, float]:
        """Return what the model writes, greedily, and its probability."""
        ids = self._encoded(question, _WRITTEN)
        tokens: list[int] = []
        log = 0.0
        with torch.inference_mode():
            while len(tokens) < _WRITTEN:
                logs = self._model(torch.tensor([ids + tokens])).logits[0, -1].float().log_softmax(-1)
                token = int(logs.argmax())
                log += float(logs[token])
                if token == _EOS_ID:
                    break
                tokens.append(token)
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True)), math.exp(log)

    def _encoded(self, question: str, room: int) -> list[int]:
        """Return a question's tokens; one that leaves no room for an answer loses its middle."""
        ids: list[int] = self._tokenizer.encode(prompt(question), add_special_tokens=False)
        most = self._model.config.max_position_embeddings - room
        return ids if len(ids) <= most else [*ids[: most // 2], *ids[len(ids) - (most - most // 2) :]]


class GgufModel(Model):
    """A GGUF file, computed by llama.cpp; each next place of a ranking is the greedy choice among what is left."""

    def __init__(self, gguf: Path, answers: Mapping[str, Sequence[str]]) -> None:
        """Load it.

        :raises ServingError: when it does not load.
        """
        super().__init__(gguf.resolve().name, answers)
        self._engine = Engine(gguf)

    def ranked(self, which: str, question: str) -> Ranked:
        """Rank the first few answers of one list after a question."""
        left, found = list(self._listed[which]), list[tuple[str, float]]()
        while left and len(found) < _GREEDY_DEPTH:
            said = self._engine.complete(prompt(question), _WRITTEN, left)
            if said.text not in left:  # it was cut off
                break
            found.append((said.text, said.probability))
            left.remove(said.text)
        return sorted(found, key=lambda pair: -pair[1])

    def written(self, question: str) -> tuple[str, float]:
        """Return what the model writes, greedily, and its probability."""
        said = self._engine.complete(prompt(question), _WRITTEN)
        return said.text, said.probability
