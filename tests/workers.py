"""Trainings in processes of their own, as a launcher would start them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from slm.spec import BuildSpec

_PROGRAM = """
import pathlib, sys, torch
torch.set_num_threads(1)
from slm.spec import BuildSpec
from slm.training.loop import train
spec, corpus, folder = map(pathlib.Path, sys.argv[1:])
train(BuildSpec.model_validate_json(spec.read_text()), corpus, folder)
"""


def start(spec: BuildSpec, corpus: Path, folder: Path) -> list[subprocess.Popen[str]]:
    """Start the spec's workers on one machine, on gloo; standard error is kept for whoever asks."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.parent / f"{folder.name}.json"
    path.write_text(spec.model_dump_json())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    world = {"WORLD_SIZE": str(spec.train.workers), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, "-c", _PROGRAM, str(path), str(corpus), str(folder)]
    return [
        subprocess.Popen(
            command,
            env={**os.environ, **world, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(spec.train.workers)
    ]


def run(spec: BuildSpec, corpus: Path, folder: Path) -> None:
    """Train with the spec's workers until the end; all of them must end well."""
    workers = start(spec, corpus, folder)
    errors = [worker.communicate(timeout=300)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * len(workers), errors[0][-2000:]
