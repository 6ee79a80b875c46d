"""A release: an accepted model small enough to hand out, with its card, its lineage and its device tables."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from slm.errors import ArtefactError
from slm.export.publish import DEVICES, PARITY
from slm.files import atomic_folder
from slm.lineage import MANIFEST, check_files, input_from, manifest_path, write_manifest
from slm.model.files import ANSWERS, CALIBRATION, FLAT, NEIGHBOURS, TAUGHT, TOKENIZER_FILES
from slm.model.llama import load_model, save_model

#: What the registry writes beside a model's own files.
_ABOUT = ("README.md", "evaluation.json", "lineage.json", "spec.json")
_GGUF = "model-q8_0.gguf"

_REMARK = """
## These files

`model.safetensors` holds the weights in bf16, `{gguf}` in Q8_0; the figures above are those of the fp32 weights.
`{parity}` compares each published GGUF file with them. `{devices}` are the device tables that the kernel interface
answers from: `python -m kernel_interface.serve --socket /tmp/auton.sock --model` with this folder.
"""

_TAUGHT_REMARK = """
It has been taught questions about hardware. `{neighbours}` holds what it remembers of them, `{answers}` which answers
there are; figures of devices and intents above are those of the model with what it remembers. `{calibration}` says what
its confidence means.
"""

_FLAT_REMARK = """
## These files

`{flat}` is the model with a row for every spelling of its words: load it as a Multiboot2 module of the kernel, or ask
it here: `python -m slm.edition` with this file. `tokenizer.json` has the words that it was trained over. `{parity}`
says how often the file answers as the checkpoint did. `{devices}` are the device tables whose ids it knows.
"""


def release(model: Path, export: Path, out: Path) -> Path:
    """Make the folder ``out`` of an accepted model (a folder of the registry) and what was published of it.

    :returns: ``out``.
    :raises ArtefactError: when either is broken, they are not of one checkpoint, or ``out`` is there already.
    """
    if out.exists():
        raise ArtefactError(f"{out} is there already.", "Delete it, or name another folder.")
    accepted, published = check_files(model), check_files(export)
    if missing := [name for name in _ABOUT if name not in accepted.files]:
        raise ArtefactError(
            f"{model} is no accepted model: it has no {', '.join(missing)}.", "Name one of the registry's."
        )
    edition = FLAT in published.files
    if not edition and _GGUF not in published.files:
        raise ArtefactError(f"{export} has no {_GGUF}.", "Publish the model as q8_0 too (export.gguf).")
    if accepted.inputs[0].sha256 != published.inputs[0].sha256:
        raise ArtefactError(f"{model} and {export} are not of one checkpoint.", "Name the export of the same build.")
    with atomic_folder(out) as folder:
        if edition:  # the flat file is all of the model, in the precision that the kernel computes in
            for name in TOKENIZER_FILES:
                shutil.copyfile(model / name, folder / name)
        else:
            save_model(load_model(model), model, folder, torch.bfloat16)
        for name in _ABOUT:
            shutil.copyfile(model / name, folder / name)
        with open(folder / "README.md", "a", encoding="utf-8") as card:
            remark = _FLAT_REMARK if edition else _REMARK
            card.write(remark.format(gguf=_GGUF, flat=FLAT, parity=PARITY, devices=DEVICES))
            if NEIGHBOURS in published.files:
                names = {"neighbours": NEIGHBOURS, "answers": ANSWERS, "calibration": CALIBRATION}
                card.write(_TAUGHT_REMARK.format(**names))
        taught = [name for name in TAUGHT if name in published.files]
        for name in (FLAT if edition else _GGUF, PARITY, DEVICES, *taught):
            shutil.copyfile(export / name, folder / name)
        files = sorted(path.name for path in folder.iterdir())
        inputs = [input_from(manifest_path(model)), input_from(manifest_path(export))]
        write_manifest(folder / MANIFEST, "release", accepted.name, files, inputs, accepted.info, final=out)
    return out
