"""One engine that runs a GGUF model: llama.cpp inside this process, through ``xllamacpp``.

llama.cpp opens an HTTP listener of its own on the loopback. It is locked with a key that nobody is told, and shows
nothing but that it lives.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import xllamacpp

from slm.errors import ServingError
from slm.machine import processors
from slm.prompts import BOS

#: The size of a model file that is worth one more thread.
THREAD_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Completion:
    """What the model wrote, and how sure it was.

    ``logprobs`` are the natural logarithms of each generated token's probability, its end token's included, before
    any grammar or temperature bent them: a model that is only sure because it had no choice does not look sure.
    """

    text: str
    logprobs: tuple[float, ...]
    finished: bool
    prompt_tokens: int

    @property
    def probability(self) -> float:
        """The probability of exactly this text: the product over its tokens."""
        return math.exp(sum(self.logprobs)) if self.logprobs else 0.0

    @property
    def mean_probability(self) -> float:
        """The geometric mean of the tokens' probabilities."""
        return math.exp(sum(self.logprobs) / len(self.logprobs)) if self.logprobs else 0.0


class AbandonedError(ServingError):
    """A completion that took longer than it was given."""


class Engine:
    """A loaded model.

    Calls may come from any thread; they are served one after the other, with greedy decoding.

    :param gguf: the model file.
    :param threads: how many threads compute; :func:`usual_threads` when not given.
    :raises ServingError: when the file is missing, is no GGUF model, or its tokenizer does not know our special tokens.
    """

    def __init__(self, gguf: Path, threads: int | None = None) -> None:
        gguf = Path(gguf)
        _check_header(gguf)
        threads = threads or usual_threads(gguf)
        params = xllamacpp.CommonParams()
        params.model.path = str(gguf)
        params.n_ctx = 0  # as many as the model was trained for
        params.n_parallel = 1
        params.cpuparams.n_threads = threads
        params.cpuparams_batch.n_threads = threads
        params.warmup = False
        params.verbosity = -1
        params.api_keys = [secrets.token_urlsafe(32)]
        params.endpoint_slots = False
        params.ui = False
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise ServingError(
                f"llama.cpp cannot load {gguf}: the file is broken, or of a kind it does not know.",
                "Export the model again.",
            ) from error
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="llama.cpp")
        if (tokens := self.complete(BOS, 1).prompt_tokens) != 1:
            self.close()
            raise ServingError(
                f"{gguf} reads {BOS} as {tokens} tokens, not as one: its tokenizer has other special tokens than ours, "
                "or adds a second start token.",
                "Use a model that this system exported.",
            )

    def complete(
        self,
        prompt: str,
        max_tokens: int,
        choices: Sequence[str] | None = None,
        seconds: float | None = None,
    ) -> Completion:
        """Continue ``prompt`` greedily until the end token, or for ``max_tokens``.

        :param prompt: text in which special tokens stand as they are written (see :mod:`slm.prompts`).
        :param choices: when given, the text can only be one of these.
        :param seconds: how long to wait, earlier calls included; the work then stops at its next token.
        :raises AbandonedError: when ``seconds`` have passed.
        :raises ServingError: when the prompt does not fit the model's context, or llama.cpp refuses the request.
        """
        request: dict[str, Any] = {
            "prompt": prompt.encode(errors="replace").decode(),
            "n_predict": max_tokens,
            "temperature": 0.0,
            "n_probs": 1,
            "stream": True,
            "cache_prompt": True,
        }
        if choices is not None:
            request["grammar"] = choice_grammar(choices)
        stop = Event()
        future: Future[Completion] = self._thread.submit(self._run, request, stop)
        try:
            return future.result(timeout=seconds)
        except FutureTimeoutError as error:
            stop.set()
            future.cancel()
            raise AbandonedError(f"The model did not answer within {seconds:g} s.") from error

    def close(self) -> None:
        """Stop computing and free the model."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._server = None

    def _run(self, request: Mapping[str, Any], stop: Event) -> Completion:
        chunks: list[Mapping[str, Any]] = []

        def take(chunk: Mapping[str, Any]) -> bool:  # True ends the completion
            chunks.append(chunk)
            return stop.is_set()

        handle: Callable[..., Any] = self._server.handle_completions
        handle(dict(request), take)
        if stop.is_set():
            raise AbandonedError("The completion was stopped.")
        if not chunks or "error" in chunks[-1]:
            message = chunks[-1]["error"].get("message") if chunks else "no answer"
            raise ServingError(f"llama.cpp refused the request: {message}.")
        parts = [chunk["choices"][0] for chunk in chunks]
        tokens = [token for part in parts if part["logprobs"] for token in part["logprobs"]["content"]]
        return Completion(
            text="".join(part["text"] for part in parts),
            logprobs=tuple(float(token["logprob"]) for token in tokens),
            finished=parts[-1]["finish_reason"] == "stop",
            prompt_tokens=int(chunks[-1]["usage"]["prompt_tokens"]),
        )


def usual_threads(gguf: Path) -> int:
    """Return how many threads suit a model: one for each 32 MiB, at most 4 and no more than there are processors.

    llama.cpp's threads spin while they wait for each other after every layer. For a small model that costs more than
    it brings: on a busy machine two threads took 5 times as long as one at the median, and 70 times at worst.
    """
    return min(4, processors(), 1 + gguf.stat().st_size // THREAD_BYTES)


def choice_grammar(choices: Sequence[str]) -> str:
    """Write a GBNF grammar that allows exactly ``choices``.

    Shared beginnings are factored out, which keeps llama.cpp's parser from following thousands of alternatives.

    :raises ValueError: when there is no choice.
    """
    if not choices:
        raise ValueError("a grammar needs at least one choice")
    return f"root ::= {_alternatives(sorted(set(choices)))}"


def _alternatives(texts: Sequence[str]) -> str:
    """Write the sorted ``texts`` as one expression; the depth of its brackets is bounded by the longest text."""
    first, last = texts[0], texts[-1]
    shared = next((first[:i] for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), first)
    if len(texts) == 1:
        return _literal(shared)
    groups: dict[str, list[str]] = {}
    for text in texts:
        rest = text[len(shared) :]
        groups.setdefault(rest[:1], []).append(rest)
    body = " | ".join(_alternatives(group) for group in groups.values())
    return f"{_literal(shared)} ({body})" if shared else f"({body})"


def _literal(text: str) -> str:
    """Quote ``text`` for GBNF; whatever is not a plain letter is written by its code point."""
    return '"' + "".join(c if c.isascii() and (c.isalnum() or c in "_-") else f"\\U{ord(c):08X}" for c in text) + '"'


def _check_header(gguf: Path) -> None:
    try:
        with open(gguf, "rb") as file:
            start = file.read(4)
    except OSError as error:
        raise ServingError(f"There is no model at {gguf} ({error.strerror}).", "Name an exported GGUF file.") from error
    if start != b"GGUF":
        raise ServingError(f"{gguf} is no GGUF file: it begins with {start!r}.", "Name an exported GGUF file.")
