"""llama.cpp's own functions on a GGUF file: its tokenizer, and the probabilities of every next token.

``xllamacpp``'s ``Server`` answers one completion at a time, and takes longer over a small model's token than the model
does; parity needs the whole distribution at thousands of positions. Its shared object exports llama.cpp's C functions
(``llama.h``), which ``ctypes`` calls here. Settings are passed as llama.cpp's own defaults, without knowledge of their
layout, which changes between releases: only ``llama_batch``, which has stayed the same for years, is spelt out, and
that the context's length comes first among its settings, which is looked at before it is believed.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
from collections.abc import Iterator, Sequence
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int8, c_int32, c_uint64, c_void_p
from pathlib import Path
from typing import Self

import numpy as np
import xllamacpp
from numpy.typing import NDArray

from slm.errors import ArtefactError
from slm.machine import processors


class _Settings(ctypes.Structure):
    """Room for llama.cpp's parameter structures, which are a few hundred bytes, by value both ways.

    The platform's calling convention passes structures of this size in memory; the callee writes and reads its own
    part and never the rest.
    """

    _fields_ = (("words", c_uint64 * 256),)


class _Batch(ctypes.Structure):
    """``llama_batch``: tokens with their positions, sequences and whether logits are wanted."""

    _fields_ = (
        ("n_tokens", c_int32),
        ("token", POINTER(c_int32)),
        ("embd", POINTER(c_float)),
        ("pos", POINTER(c_int32)),
        ("n_seq_id", POINTER(c_int32)),
        ("seq_id", POINTER(POINTER(c_int32))),
        ("logits", POINTER(c_int8)),
    )


#: The context's length among llama.cpp's defaults, and the value that stands for as long a one as the model was trained
#: for.
_DEFAULT_CONTEXT, _WHOLE_CONTEXT = 512, 0
#: So many tokens are decoded at once.
_AT_ONCE = 256

#: Drops llama.cpp's log lines; its functions' return values say what failed.
_SILENCE = ctypes.CFUNCTYPE(None, ctypes.c_int, c_char_p, c_void_p)(lambda _level, _text, _data: None)


@functools.cache
def _library() -> ctypes.CDLL:
    """Load the shared object that ``import xllamacpp`` has loaded already, and declare what is called."""
    library = ctypes.CDLL(str(Path(xllamacpp.__file__).with_name("xllamacpp.abi3.so")))
    for name, result, arguments in (
        ("llama_log_get", None, [c_void_p, c_void_p]),
        ("llama_log_set", None, [c_void_p, c_void_p]),
        ("llama_model_default_params", _Settings, []),
        ("llama_context_default_params", _Settings, []),
        ("llama_model_load_from_file", c_void_p, [c_char_p, _Settings]),
        ("llama_init_from_model", c_void_p, [c_void_p, _Settings]),
        ("llama_set_n_threads", None, [c_void_p, c_int32, c_int32]),
        ("llama_n_ctx", ctypes.c_uint32, [c_void_p]),
        ("llama_model_n_ctx_train", c_int32, [c_void_p]),
        ("llama_model_get_vocab", c_void_p, [c_void_p]),
        ("llama_vocab_n_tokens", c_int32, [c_void_p]),
        ("llama_tokenize", c_int32, [c_void_p, c_char_p, c_int32, POINTER(c_int32), c_int32, c_bool, c_bool]),
        ("llama_get_memory", c_void_p, [c_void_p]),
        ("llama_token_to_piece", c_int32, [c_void_p, c_int32, c_char_p, c_int32, c_int32, c_bool]),
        ("llama_vocab_is_eog", c_bool, [c_void_p, c_int32]),
        ("llama_memory_clear", None, [c_void_p, c_bool]),
        ("llama_memory_seq_rm", c_bool, [c_void_p, c_int32, c_int32, c_int32]),
        ("llama_decode", c_int32, [c_void_p, _Batch]),
        ("llama_get_logits", c_void_p, [c_void_p]),
        ("llama_free", None, [c_void_p]),
        ("llama_model_free", None, [c_void_p]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


@contextlib.contextmanager
def _quiet(library: ctypes.CDLL) -> Iterator[None]:
    """Keep llama.cpp's log from the terminal, and give the log back to whoever had it."""
    callback, data = c_void_p(), c_void_p()
    library.llama_log_get(ctypes.byref(callback), ctypes.byref(data))
    library.llama_log_set(_SILENCE, None)
    try:
        yield
    finally:
        library.llama_log_set(callback, data)


class LlamaCpp:
    """A GGUF file loaded by llama.cpp on the CPU; close it, or use it in a ``with`` block."""

    def __init__(self, path: Path, threads: int | None = None, whole_context: bool = False) -> None:
        """Load the file at ``path``.

        :param threads: how many threads compute; half as many as there are processors when not given.
        :param whole_context: make room for sequences as long as the model was trained for, not only for 512 tokens.
        :raises ArtefactError: when llama.cpp refuses it.
        """
        self._library = library = _library()
        with _quiet(library):
            self._model = library.llama_model_load_from_file(os.fsencode(path), library.llama_model_default_params())
            if not self._model:
                raise ArtefactError(f"llama.cpp cannot load {path}.", "Export it again.")
            settings = library.llama_context_default_params()
            if whole_context and ctypes.cast(settings.words, POINTER(c_int32))[0] == _DEFAULT_CONTEXT:
                ctypes.cast(settings.words, POINTER(c_int32))[0] = _WHOLE_CONTEXT
            self._context = library.llama_init_from_model(self._model, settings)
            if not self._context:
                library.llama_model_free(self._model)
                raise ArtefactError(f"llama.cpp cannot run {path}: there may be too little memory.")
            # Threads of llama.cpp spin while they wait for each other: on a machine that is busy with something else,
            # as many as there are processors would mostly wait.
            threads = threads or max(1, processors() // 2)
            library.llama_set_n_threads(self._context, threads, threads)
        self._memory = library.llama_get_memory(self._context)
        self._vocab = library.llama_model_get_vocab(self._model)
        self.path = path
        self.vocab_size = int(library.llama_vocab_n_tokens(self._vocab))
        #: The longest sequence that can be read.
        self.window = min(int(library.llama_n_ctx(self._context)), int(library.llama_model_n_ctx_train(self._model)))
        #: The tokens that the context remembers.
        self._held: list[int] = []
        self._batch = _new_batch(_AT_ONCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the model; nothing else may be called after it."""
        if self._context:
            with _quiet(self._library):
                self._library.llama_free(self._context)
                self._library.llama_model_free(self._model)
            self._context = self._model = None

    def tokenize(self, text: str, special: bool = True) -> list[int]:
        """Return the ids of ``text``; no special token is added.

        :param special: whether special tokens that are written out in it count as such.
        """
        data = text.encode()
        room = len(data) + 8
        ids = (c_int32 * room)()
        count = self._library.llama_tokenize(self._vocab, data, len(data), ids, room, False, special)
        if count < 0:
            raise ArtefactError(f"llama.cpp cannot split a text of {len(data)} bytes with {self.path}.")
        return list(ids[:count])

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of ``ids``; special tokens have none, and what is no UTF-8 becomes a mark."""
        return b"".join(map(self._piece, ids)).decode(errors="replace")

    def ends(self, token: int) -> bool:
        """Whether a token ends a text."""
        return bool(self._library.llama_vocab_is_eog(self._vocab, token))

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the next-token logits ``[len(ids), vocab_size]`` of one sequence of at most ``window`` ids."""
        self._held = []
        return self.following(ids, len(ids))

    def following(self, ids: Sequence[int], wanted: int = 1) -> NDArray[np.float32]:
        """Return the logits ``[wanted, vocab_size]`` after each of the last ``wanted`` of ``ids``.

        What the last call's sequence began with too is not computed again.

        :param ids: at most ``window`` of them.
        """
        found = np.empty((wanted, self.vocab_size), np.float32)
        filled = 0
        for rows in self._read(ids, wanted):
            if rows:
                found[filled : filled + rows] = self._last_logits(rows).reshape(rows, -1)
                filled += rows
        return found

    def after(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the logits ``[vocab_size]`` after ``ids``, in llama.cpp's own memory: good until the next call.

        Otherwise as :meth:`following`. A copy for every token of a text costs more than it is worth.
        """
        for _ in self._read(ids, 1):
            pass
        return self._last_logits(1)

    def _read(self, ids: Sequence[int], wanted: int) -> Iterator[int]:
        """Let llama.cpp read what it does not hold; yield after each run how many rows of logits came of it."""
        count, held = len(ids), self._held
        if not 0 < wanted <= count <= self.window:
            raise ValueError(f"a sequence of {count} ids does not fit a window of {self.window}")
        most = min(len(held), count - wanted)
        same = held[:most] == list(ids[:most])  # nearly always, when a text is continued token by token
        done = most if same else next(at for at in range(most) if held[at] != ids[at])
        self._held = []  # whatever happens from here on
        # Not every model's memory can forget a part; and where there is none to forget, it is not asked to.
        if done == 0 or (done < len(held) and not self._library.llama_memory_seq_rm(self._memory, 0, done, -1)):
            self._library.llama_memory_clear(self._memory, True)
            done = 0
        while done < count:
            end = min(done + _AT_ONCE, count)
            rows = max(0, end - max(done, count - wanted))
            self._decode(ids, done, end, rows)
            yield rows
            done = end
        self._held = list(ids)

    def _last_logits(self, rows: int) -> NDArray[np.float32]:
        """Return the logits of the last run where they lie, ``rows`` times ``vocab_size`` of them."""
        address = self._library.llama_get_logits(self._context)
        memory = (ctypes.c_float * (rows * self.vocab_size)).from_address(address)
        return np.frombuffer(memoryview(memory), np.float32)

    def _decode(self, ids: Sequence[int], begin: int, end: int, rows: int) -> None:
        """Read ``ids[begin:end]``, wanting logits for the last ``rows``."""
        batch = self._batch
        batch.n_tokens = count = end - begin
        for at in range(count):
            batch.token[at], batch.pos[at] = ids[begin + at], begin + at
            batch.logits[at] = at >= count - rows
        if status := self._library.llama_decode(self._context, batch):
            raise ArtefactError(f"llama.cpp cannot decode {count} tokens with {self.path} (status {status}).")

    def _piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(512)
        size = self._library.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        if size < 0:
            raise ArtefactError(f"{self.path} has a token {token} of {-size} bytes.", "Use a model of this system.")
        return buffer.raw[:size]


def _new_batch(size: int) -> _Batch:
    """Make a batch of one sequence, with room for ``size`` tokens."""
    sequence = c_int32(0)
    return _Batch(
        n_tokens=0,
        token=(c_int32 * size)(),
        pos=(c_int32 * size)(),
        n_seq_id=(c_int32 * size)(*[1] * size),
        seq_id=(POINTER(c_int32) * size)(*[ctypes.pointer(sequence)] * size),
        logits=(c_int8 * size)(),
    )
