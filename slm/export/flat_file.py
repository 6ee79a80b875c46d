"""The bytes of a flat model file (version 1, fp32): written whole or not at all, and read without trust.

Ten little-endian u32 (:data:`MAGIC`, version, the fields of :class:`~slm.export.flat_limits.Shape`, quant), the tensors
of :meth:`Shape.tensors` as f32, then the tokens: a u32 with the longest one's length, and for each id an f32 score, a
u32 length and that many bytes. Nothing is padded, and nothing follows. ``kernel_interface/c/auton_flat.c`` reads the
same bytes and accepts the same files.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from slm.errors import ArtefactError
from slm.export.flat_limits import MAX_TOKEN_BYTES, Shape, facts, shape_breaches, token_breaches
from slm.files import atomic_write

#: The bytes ``UTON`` in the file.
MAGIC = 0x4E4F5455
VERSION = 1
#: The header's ``quant``; the format knows no other.
FP32 = 0

_HEADER = struct.Struct("<10I")
_LENGTH = struct.Struct("<I")
#: Bytes before a token's own: its score and its length.
_TOKEN_HEAD = 4 + _LENGTH.size
#: How many breaches an error lists; a vocabulary can have thousands of a kind.
_LISTED = 24

Weight = NDArray[np.float32]


@dataclass(frozen=True)
class FlatModel:
    """What a flat file holds: weights by transformers' names, and for each id its token's bytes and its score."""

    shape: Shape
    weights: Mapping[str, Weight]
    tokens: Sequence[bytes]
    scores: Weight

    @property
    def size(self) -> int:
        """The file's length in bytes."""
        tokens = sum(_TOKEN_HEAD + len(token) for token in self.tokens)
        return _HEADER.size + 4 * self.shape.parameters + _LENGTH.size + tokens

    def facts(self) -> list[str]:
        """Describe a sound model for a person (:func:`slm.export.flat_limits.facts`)."""
        return facts(self.shape, max(map(len, self.tokens)), self.size)


def write_flat(model: FlatModel, out: Path) -> Path:
    """Write ``model`` as the file ``out``, which appears whole or not at all.

    :returns: ``out``.
    :raises ArtefactError: before anything is written, with every limit of the kernel that ``model`` breaks.
    """
    if breaches := [*shape_breaches(model.shape), *token_breaches(model.shape, model.tokens)]:
        raise breach_error("The model", breaches)
    if breaches := list(_weight_breaches(model)):
        raise breach_error("The model", breaches)
    shape = model.shape
    with atomic_write(out) as file:
        file.write(
            _HEADER.pack(
                MAGIC,
                VERSION,
                shape.dim,
                shape.hidden,
                shape.layers,
                shape.heads,
                shape.kv_heads,
                shape.vocab,
                shape.seq_len,
                FP32,
            )
        )
        for name, _ in shape.tensors():
            file.write(np.ascontiguousarray(model.weights[name], dtype="<f4").data)
        file.write(_LENGTH.pack(max(map(len, model.tokens))))
        scores = model.scores.astype("<f4").tobytes()
        for index, token in enumerate(model.tokens):
            file.write(scores[4 * index : 4 * index + 4] + _LENGTH.pack(len(token)) + token)
    return out


def read_flat(path: Path) -> FlatModel:
    """Read a flat file from anywhere; its weights are read-only views of the bytes read.

    No length in the file is believed before it is held against the file's own size, and nothing is read of a file that
    is larger than the largest of its shape.

    :raises ArtefactError: when it cannot be read, is damaged (what, and at which byte), or breaks a limit.
    """
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ArtefactError(f"{path} is no file.", "Name a flat model file.")
            shape = _read_shape(path, file.read(_HEADER.size), status.st_size)
            file.seek(0)
            content = file.read(_largest(shape))
    except OSError as error:
        raise ArtefactError(f"{path} cannot be read: {error.strerror}.") from error
    return _parse(path, content, shape)


def breach_error(what: str, breaches: Sequence[str]) -> ArtefactError:
    """Make the error that names every limit which ``what`` breaks."""
    listing = "".join(f"\n  - {breach}" for breach in breaches[:_LISTED])
    if len(breaches) > _LISTED:
        listing += f"\n  - and {len(breaches) - _LISTED} more"
    return ArtefactError(
        f"{what} is none that the kernel's flat format holds:{listing}", "Change the model; the kernel would refuse it."
    )


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a pipe too without waiting for somebody to write to it; it is refused next."""
    return os.open(path, flags | os.O_NONBLOCK)


def _weight_breaches(model: FlatModel) -> Iterator[str]:
    expected = dict(model.shape.tensors())
    for name in sorted(set(model.weights) - set(expected)):
        yield f"{name} has no place in the format"
    for name, shape in expected.items():
        if name not in model.weights:
            yield f"{name} is not there"
        elif model.weights[name].shape != shape:
            yield f"{name} has the shape {model.weights[name].shape}; {shape} is needed"
        elif model.weights[name].dtype != np.float32:
            yield f"{name} is {model.weights[name].dtype}; float32 is needed"
        elif not np.isfinite(model.weights[name]).all():
            yield f"{name} holds a value that is not finite"
    if model.scores.shape != (model.shape.vocab,):
        yield f"the scores have the shape {model.scores.shape}; {(model.shape.vocab,)} is needed"


def _largest(shape: Shape) -> int:
    """The most bytes that a file of ``shape`` can have."""
    return _HEADER.size + 4 * shape.parameters + _LENGTH.size + shape.vocab * (_TOKEN_HEAD + MAX_TOKEN_BYTES)


def _read_shape(path: Path, head: bytes, size: int) -> Shape:
    """Read the header of a file of ``size`` bytes, and hold its shape against the limits and the size."""
    if len(head) < _HEADER.size:
        _damaged(path, 0, f"the header needs {_HEADER.size} bytes, and the file ends after {len(head)}")
    magic, version, *values, quant = _HEADER.unpack(head)
    if magic != MAGIC:
        _damaged(path, 0, f"the file begins with 0x{magic:08x}, not 0x{MAGIC:08x}")
    if version != VERSION:
        _damaged(path, 4, f"the version is {version}; only {VERSION} is known")
    if quant != FP32:
        _damaged(path, 36, f"quant is {quant}; only {FP32} (fp32) is known")
    shape = Shape(*values)
    if breaches := shape_breaches(shape):
        raise breach_error(str(path), breaches)
    least = _HEADER.size + 4 * shape.parameters + _LENGTH.size + shape.vocab * _TOKEN_HEAD
    if size < least:
        _damaged(path, size, f"the file ends here; its shape needs {least} bytes at least")
    if size > _largest(shape):
        _damaged(path, _largest(shape), f"the file goes on to byte {size}; no file of its shape is so long")
    return shape


def _parse(path: Path, content: bytes, shape: Shape) -> FlatModel:
    """Read what follows the header; ``content`` is the whole file, or has grown or shrunk since it was measured."""
    weights: dict[str, Weight] = {}
    at = _HEADER.size
    for name, dimensions in shape.tensors():
        count = int(np.prod(dimensions, dtype=np.int64))
        if at + 4 * count > len(content):
            _damaged(path, len(content), f"the file ends here, inside {name}")
        weight = np.frombuffer(content, dtype="<f4", count=count, offset=at)
        if not np.isfinite(weight).all():
            _damaged(path, at + 4 * int(np.flatnonzero(~np.isfinite(weight))[0]), f"{name} is not finite here")
        weights[name] = weight.reshape(dimensions)
        at += 4 * count
    if at + _LENGTH.size > len(content):
        _damaged(path, len(content), "the file ends here, before its tokens")
    start, (longest,) = at, _LENGTH.unpack_from(content, at)
    at += _LENGTH.size
    tokens, scores = [], []
    for index in range(shape.vocab):
        if at + _TOKEN_HEAD > len(content):
            _damaged(path, len(content), f"the file ends here, before token {index} of {shape.vocab}")
        (length,) = _LENGTH.unpack_from(content, at + 4)
        if length > MAX_TOKEN_BYTES:
            _damaged(path, at + 4, f"token {index} has {length} bytes; at most {MAX_TOKEN_BYTES} are allowed")
        scores.append(content[at : at + 4])
        at += _TOKEN_HEAD
        if at + length > len(content):
            _damaged(path, len(content), f"the file ends here, inside token {index} of {shape.vocab}")
        tokens.append(content[at : at + length])
        at += length
    if at != len(content):
        _damaged(path, at, f"{len(content) - at} bytes follow the last token; nothing may")
    if longest != max(map(len, tokens)):
        _damaged(path, start, f"the longest token is said to have {longest} bytes; it has {max(map(len, tokens))}")
    if breaches := token_breaches(shape, tokens):
        raise breach_error(str(path), breaches)
    return FlatModel(shape, weights, tokens, np.frombuffer(b"".join(scores), dtype="<f4"))


def _damaged(path: Path, at: int, what: str) -> NoReturn:
    raise ArtefactError(
        f"{path} is no flat model file: at byte {at}, {what}.", "Export the model again, or name another file."
    )
