"""Publishing a model: its files in every wished format, each proven equal to the checkpoint, and the device tables."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from slm.errors import ArtefactError
from slm.export.flat import read_checkpoint
from slm.export.flat_file import read_flat
from slm.export.gguf import export_gguf
from slm.export.parity import compare
from slm.files import atomic_folder, write_json
from slm.lineage import (
    MANIFEST,
    InputEntry,
    check_files,
    input_from,
    manifest_path,
    read_manifest,
    write_manifest,
)
from slm.model.files import FLAT, TAUGHT
from slm.progress import Progress, Reporter, silent
from slm.spec import EditionSpec, Quant

PARITY = "parity.json"
#: The least share of lines that an edition's flat file answers as its checkpoint does.
MIN_SAME = 0.99
DEVICES = "devices.sqlite"
#: The same tables compiled for look-up, in the format of the kernel's side.
COMPILED = "devices.tables"

#: Compiles a ``devices.sqlite`` into a file. Only the kernel's side knows how, which this library does not know.
Compiler = Callable[[Path, Path], None]


def publish(
    checkpoint: Path,
    corpus: Path,
    formats: Sequence[str],
    out: Path,
    report: Reporter = silent,
    compiler: Compiler | None = None,
    edition: EditionSpec | None = None,
) -> Path:
    """Make the folder ``out``: ``model-FORMAT.gguf`` for every format, ``devices.sqlite``, ``parity.json``, a manifest.

    An edition is published as ``model.flat`` instead. What :mod:`slm.adapt` has put beside the checkpoint comes along.

    The folder appears whole or not at all. One that is whole already, and was made from the same checkpoint and device
    tables in the same formats, is returned at once.

    :param compiler: makes ``devices.tables`` of the device tables; without one there is none, and a server compiles
        them at each start.
    :param edition: what the checkpoint is an edition of; ``formats`` are none then.
    :returns: ``out``.
    :raises ArtefactError: when an input is broken, a format is unknown, or a file does not pass parity.
    """
    quants = [] if edition else _quants(formats)
    inputs = [input_from(manifest_path(checkpoint)), input_from(manifest_path(corpus / "devices"))]
    taught = [name for name in TAUGHT if name in read_manifest(checkpoint).files]
    compiled = [COMPILED] if compiler else []
    names = [
        *([FLAT] if edition else ()),
        *(f"model-{quant}.gguf" for quant in quants),
        DEVICES,
        *compiled,
        PARITY,
        *taught,
    ]
    if _is_published(out, names, inputs):
        return out
    checked = check_files(checkpoint)
    check_files(corpus / "devices")
    with atomic_folder(out) as folder:
        results: dict[str, dict[str, Any]] = {}
        if edition:
            results[FLAT] = _flat(checkpoint, corpus, edition, folder / FLAT)
        for number, quant in enumerate(quants):
            report(Progress("export", number, len(quants), "files", quant))
            file = export_gguf(checkpoint, folder / f"model-{quant}.gguf", quant)
            parity = compare(file, quant, checkpoint, corpus, report)
            results[file.name] = {**parity.model_dump(), "ratio": parity.ratio}
        shutil.copyfile(corpus / "devices" / DEVICES, folder / DEVICES)
        if compiler:
            compiler(folder / DEVICES, folder / COMPILED)
        for name in taught:
            shutil.copyfile(checkpoint / name, folder / name)
        write_json(folder / PARITY, results)
        write_manifest(
            folder / MANIFEST,
            kind="export",
            name=checked.name,
            files=names,
            inputs=inputs,
            info={"formats": ["flat"] if edition else quants},
            final=out,
        )
    report(Progress("export", len(quants), len(quants), "files"))
    return out


def _flat(checkpoint: Path, corpus: Path, edition: EditionSpec, out: Path) -> dict[str, Any]:
    """Write an edition's flat file and ask it what its checkpoint is asked: the answers must be the same.

    :raises ArtefactError: when more than one in a hundred, which near ties may be, is another.
    """
    from slm.edition.flat import export_edition, same_answers  # the edition stands on this package
    from slm.edition.questions import some_lines

    export_edition(checkpoint, out, edition.spellings)
    lines = some_lines(corpus / "devices" / DEVICES)
    same = same_answers(read_checkpoint(checkpoint), read_flat(out), lines)
    if not same >= MIN_SAME:
        raise ArtefactError(
            f"{out.name} answers {same:.1%} of {len(lines)} lines as its checkpoint does; {MIN_SAME:.0%} are needed.",
            "Nothing was published; the checkpoint is untouched.",
        )
    return {"quant": "fp32", "lines": len(lines), "same_answers": same}


def _quants(formats: Sequence[str]) -> list[Quant]:
    if not formats or (unknown := [name for name in formats if name not in get_args(Quant)]):
        asked = ", ".join(unknown) if formats else "nothing"
        raise ArtefactError(f"Asked to publish as {asked}; known formats: {', '.join(get_args(Quant))}.")
    return cast(list[Quant], list(dict.fromkeys(formats)))


def _is_published(out: Path, names: Sequence[str], inputs: Sequence[InputEntry]) -> bool:
    """Whether ``out`` is whole and was made from just these inputs."""
    if not out.exists():
        return False
    try:
        manifest = check_files(out)
    except ArtefactError:
        return False
    same_inputs = [item.sha256 for item in manifest.inputs] == [item.sha256 for item in inputs]
    return same_inputs and set(manifest.files) == set(names)
