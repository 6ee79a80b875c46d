"""One engine that runs a GGUF model: llama.cpp inside this process."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slm.errors import ArtefactError, ServingError
from slm.evaluation.benchmark.device import Device
from slm.export.llama_cpp import LlamaCpp
from slm.machine import processors
from slm.prompts import BOS, EOS
from slm.serving.choices import Choices, log_probabilities
from slm.serving.completion import (
    LEAST_SUGGESTION,
    SUGGESTIONS,
    AbandonedError,
    Completion,
    Memory,
    Ranked,
    Ranking,
    TooLongError,
)

#: The size of a model file that is worth one more thread.
THREAD_BYTES = 32 * 2**20
#: So many lists of choices are kept ready: one for each bus, and some.
_LISTS = 8


class Engine:
    """A loaded model.

    Calls may come from any thread; they are served one after the other, with greedy decoding.

    :param gguf: the model file.
    :param threads: how many threads compute; :func:`usual_threads` when not given.
    :raises ServingError: when the file is missing, is no GGUF model, or its tokenizer does not know our special tokens.
    """

    def __init__(self, gguf: Path, threads: int | None = None) -> None:
        gguf = Path(gguf)
        #: Devices that are remembered beside the model, once they are read.
        self.memory: Memory | None = None
        _check_header(gguf)
        try:
            self._llama = LlamaCpp(gguf, threads or usual_threads(gguf), whole_context=True)
        except ArtefactError as error:
            raise ServingError(
                f"llama.cpp cannot load {gguf}: the file is broken, or of a kind it does not know.",
                "Export the model again.",
            ) from error
        self._one_at_a_time = threading.Lock()
        self._choices = functools.lru_cache(_LISTS)(self._made_choices)
        for token in (BOS, EOS):
            if (count := len(self._llama.tokenize(token))) != 1:
                self.close()
                raise ServingError(
                    f"{gguf} reads {token} as {count} tokens, not as one: its tokenizer has other special tokens than "
                    "ours.",
                    "Use a model that this system exported.",
                )

    def complete(self, prompt: str, max_tokens: int, seconds: float | None = None) -> Completion:
        """Continue ``prompt`` greedily until the end token, or for ``max_tokens``.

        :param prompt: text in which special tokens stand as they are written (see :mod:`slm.prompts`).
        :param seconds: how long it may take, earlier calls included; the work then stops at its next token.
        :raises AbandonedError: when ``seconds`` have passed.
        :raises ServingError: when the prompt does not fit the model's context.
        """
        with self._turn(seconds) as turn:
            ids = self._read(prompt, 1)
            asked, finished = len(ids), False
            most = min(max_tokens, self._llama.window + 1 - asked)
            logits = np.empty((most, self._llama.vocab_size), np.float32)
            for row in logits:
                row[:] = turn.after(ids)
                ids.append(int(row.argmax()))
                if finished := self._llama.ends(ids[-1]):
                    break
            # How probable they are can wait: between two runs of the model, which takes the processor's caches for
            # itself, the same sums take ten times as long.
            logprobs = tuple(log_probabilities(logits[: len(ids) - asked], ids[asked:]))
            return Completion(self._llama.text(ids[asked : len(ids) - finished]), logprobs, finished, asked)

    def ranked(
        self, prompt: str, choices: Sequence[str], count: int, seconds: float | None = None, least: float = 0.0
    ) -> Sequence[Ranked]:
        """Return the ``count`` of ``choices`` that are the most probable answers to ``prompt``, best first; exactly.

        Parameters and errors as in :meth:`complete`.

        :param least: how probable an answer must be to be worth a place; the best one always has its.
        :raises ValueError: when there is no choice.
        """
        if not choices:
            raise ValueError("a ranking needs at least one choice")
        with self._turn(seconds) as turn:
            listed = self._choices(tuple(choices))
            return listed.ranked(turn.following, self._read(prompt, listed.longest), count, least)

    def drivers(
        self, prompt: str, choices: Sequence[str], about: Device | None = None, seconds: float | None = None
    ) -> Ranking:
        """Return the drivers among ``choices`` that ``prompt`` asks for, best first.

        They are the likely ones of the model's ranking, at most :data:`~slm.serving.completion.SUGGESTIONS`; or, with
        a memory and a device, as many as the memory ranks by both, with their probabilities among all that it knows.
        If the best by both is none of the choices, the model's own ranking stands. Errors as in :meth:`ranked`.

        :param about: the device; without it, what is remembered has no part.
        """
        said = self.ranked(prompt, choices, SUGGESTIONS, seconds, LEAST_SUGGESTION)
        both = self.memory.weighed(about, said) if about is not None and self.memory is not None else None
        if not both or both[0][0] not in choices:
            return Ranking(said, weighed=False)
        return Ranking([Ranked(*one) for one in both], weighed=True)

    def close(self) -> None:
        """Free the model."""
        self._llama.close()

    def _turn(self, seconds: float | None) -> _Turn:
        return _Turn(self._llama, self._one_at_a_time, seconds)

    def _read(self, prompt: str, room: int) -> list[int]:
        """Return a prompt's tokens, after which ``room`` more must fit."""
        ids = self._llama.tokenize(prompt.encode(errors="replace").decode())
        if len(ids) + room > self._llama.window + 1:  # the last one is not read
            raise TooLongError(
                f"The prompt has {len(ids)} tokens, and {room} may follow; the model's context has "
                f"{self._llama.window}.",
                "Ask a shorter question.",
            )
        return ids

    def _made_choices(self, choices: tuple[str, ...]) -> Choices:
        (end,) = self._llama.tokenize(EOS)
        return Choices((text, [*self._llama.tokenize(text, special=False), end]) for text in sorted(set(choices)))


class _Turn:
    """One call's time with the model."""

    def __init__(self, llama: LlamaCpp, one_at_a_time: threading.Lock, seconds: float | None) -> None:
        self._llama = llama
        self._lock = one_at_a_time
        self._seconds = seconds
        self._until = None if seconds is None else time.monotonic() + seconds

    def __enter__(self) -> _Turn:
        if not self._lock.acquire(timeout=-1 if self._seconds is None else max(0.0, self._seconds)):
            self._give_up()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self._lock.release()
        if isinstance(error, ArtefactError):  # of llama.cpp
            raise ServingError(error.what, error.to_do) from error

    def following(self, ids: Sequence[int], wanted: int) -> NDArray[np.float32]:
        """As :meth:`LlamaCpp.following`, while there is time."""
        self._check_time()
        return self._llama.following(ids, wanted)

    def after(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """As :meth:`LlamaCpp.after`, while there is time."""
        self._check_time()
        return self._llama.after(ids)

    def _check_time(self) -> None:
        if self._until is not None and time.monotonic() >= self._until:
            self._give_up()

    def _give_up(self) -> None:
        raise AbandonedError(f"The model did not answer within {self._seconds:g} s.")


def usual_threads(gguf: Path) -> int:
    """Return how many threads suit a model: one for each 32 MiB, at most 4 and no more than there are processors.

    llama.cpp's threads spin while they wait for each other after every layer. For a small model that costs more than
    it brings: on a busy machine two threads took 5 times as long as one at the median, and 70 times at worst.
    """
    return min(4, processors(), 1 + gguf.stat().st_size // THREAD_BYTES)


def _check_header(gguf: Path) -> None:
    try:
        with open(gguf, "rb") as file:
            start = file.read(4)
    except OSError as error:
        raise ServingError(f"There is no model at {gguf} ({error.strerror}).", "Name an exported GGUF file.") from error
    if start != b"GGUF":
        raise ServingError(f"{gguf} is no GGUF file: it begins with {start!r}.", "Name an exported GGUF file.")
