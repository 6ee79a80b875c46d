"""The layers compiled by torch: norms, rotations and activations fused into few passes around the same products.

All layers are alike, so one compilation serves them; another context takes another. The compiled code is kept in the
user's cache folder, so that a second training begins at once.
"""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

import torch
from torch._inductor.runtime.cache_dir_utils import default_cache_dir
from transformers import LlamaForCausalLM

_CACHE = "TORCHINDUCTOR_CACHE_DIR"


def lacking(device: torch.device) -> str | None:
    """Return what compiling lacks on this machine, in a line; None when it lacks nothing.

    It takes a C++ compiler (``CXX``, or ``g++``) and Python's headers, besides torch's own parts. Whether all of them
    fit is seen by compiling something small. The first two are looked for by themselves: small things may have been
    compiled before, and be in the cache.
    """
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        return f"there is no C++ compiler {compiler}; install g++"
    if not (headers := Path(sysconfig.get_path("include"), "Python.h")).is_file():
        return f"Python's header {headers} is not there; install python3-dev"
    _keep_among_the_user_s_files()
    try:
        torch.compile(torch.sin, dynamic=False)(torch.zeros(64, device=device))
    except Exception as error:  # a compiler fails in as many ways as there are machines
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return next((line.strip() for line in lines if "error: " in line), lines[0])
    return None


def _keep_among_the_user_s_files() -> None:
    """Let compiled code be kept in this machine's user's cache folder, unless the user has named another.

    Torch would have it in ``/tmp``, where another user could have been first, and writes that into the environment when
    it looks for it.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if os.environ.get(_CACHE, default_cache_dir()) == default_cache_dir() and os.path.isabs(cache):
        os.environ[_CACHE] = os.path.join(cache, "auton-slm", "compiled")


def compile_layers(model: LlamaForCausalLM) -> None:
    """Let ``model``'s layers be compiled when they are first used, anew for each shape of input."""
    for layer in model.model.layers:
        layer.compile(dynamic=False)
