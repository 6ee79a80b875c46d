"""llama.cpp's own functions on a GGUF file: its tokenizer, and the probabilities of every next token.

``xllamacpp``'s ``Server`` answers one completion at a time; parity needs the whole distribution at thousands of
positions. Its shared object exports llama.cpp's C functions (``llama.h``), which ``ctypes`` calls here. Settings are
passed as llama.cpp's own defaults, untouched and without knowledge of their layout, which changes between releases;
only ``llama_batch``, which has stayed the same for years, is spelt out.
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
        ("llama_memory_clear", None, [c_void_p, c_bool]),
        ("llama_decode", c_int32, [c_void_p, _Batch]),
        ("llama_get_logits", POINTER(c_float), [c_void_p]),
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

    def __init__(self, path: Path) -> None:
        """Load the file at ``path``.

        :raises ArtefactError: when llama.cpp refuses it.
        """
        self._library = library = _library()
        with _quiet(library):
            self._model = library.llama_model_load_from_file(os.fsencode(path), library.llama_model_default_params())
            if not self._model:
                raise ArtefactError(f"llama.cpp cannot load {path}.", "Export it again.")
            self._context = library.llama_init_from_model(self._model, library.llama_context_default_params())
            if not self._context:
                library.llama_model_free(self._model)
                raise ArtefactError(f"llama.cpp cannot run {path}: there may be too little memory.")
            # Threads of llama.cpp spin while they wait for each other: on a machine that is busy with something else,
            # as many as there are processors would mostly wait.
            threads = max(1, processors() // 2)
            library.llama_set_n_threads(self._context, threads, threads)
        self._vocab = library.llama_model_get_vocab(self._model)
        self.path = path
        self.vocab_size = int(library.llama_vocab_n_tokens(self._vocab))
        #: The longest sequence that :meth:`logits` takes.
        self.window = min(int(library.llama_n_ctx(self._context)), int(library.llama_model_n_ctx_train(self._model)))

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

    def tokenize(self, text: str) -> list[int]:
        """Return the ids of ``text``; special tokens written out in it count as such, and none is added."""
        data = text.encode()
        room = len(data) + 8
        ids = (c_int32 * room)()
        count = self._library.llama_tokenize(self._vocab, data, len(data), ids, room, False, True)
        if count < 0:
            raise ArtefactError(f"llama.cpp cannot split a text of {len(data)} bytes with {self.path}.")
        return list(ids[:count])

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the next-token logits ``[len(ids), vocab_size]`` of one sequence of at most ``window`` ids."""
        count = len(ids)
        if not 0 < count <= self.window:
            raise ValueError(f"a sequence of {count} ids does not fit a window of {self.window}")
        sequence = c_int32(0)
        batch = _Batch(
            n_tokens=count,
            token=(c_int32 * count)(*ids),
            pos=(c_int32 * count)(*range(count)),
            n_seq_id=(c_int32 * count)(*[1] * count),
            seq_id=(POINTER(c_int32) * count)(*[ctypes.pointer(sequence)] * count),
            logits=(c_int8 * count)(*[1] * count),
        )
        self._library.llama_memory_clear(self._library.llama_get_memory(self._context), True)
        if status := self._library.llama_decode(self._context, batch):
            raise ArtefactError(f"llama.cpp cannot decode {count} tokens with {self.path} (status {status}).")
        found = self._library.llama_get_logits(self._context)
        return np.ctypeslib.as_array(found, shape=(count, self.vocab_size)).copy()
