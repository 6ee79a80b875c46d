"""The layers compiled by torch: norms, rotations and activations fused into few passes around the same products.

All layers are alike, so one compilation serves them; another context takes another. The compiled code is kept in the
user's cache folder, so that a second training begins at once.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch
from transformers import LlamaForCausalLM


def compile_layers(model: LlamaForCausalLM, device: torch.device) -> str | None:
    """Let ``model``'s layers be compiled when they are first used, or say in a line why they cannot be here.

    Compiling takes a C++ compiler (``CXX``, or ``g++``) and Python's headers, besides torch's own parts. Whether all
    of them fit is seen by compiling something small.
    """
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:  # else seen too late: small things may be in the cache
        return f"there is no C++ compiler {compiler}; install g++ and python3-dev"
    # Not in /tmp, where torch would have them: another user could have been there first.
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "auton-slm" / "compiled"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))
    numbers = torch.zeros(64, device=device)
    try:
        torch.compile(torch.sin, dynamic=False)(numbers)
    except Exception as error:  # a compiler fails in as many ways as there are machines
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    for layer in model.model.layers:
        layer.compile(dynamic=False)
    return None
