"""How far the planned memory of a training is from what a real one holds.

    python -m benchmarks.memory                 # a table of configurations on this machine's processor
    python -m benchmarks.memory --set model.layers=4 --set train.micro_batch=8

Each configuration trains three steps in a process of its own, after a training of next to nothing in the same process,
whose memory is the process's own. Measured is the most anonymous memory: Linux's high-water mark of the resident set
(``VmHWM``, reset through ``clear_refs``) less the growth of mapped files.

It is done twice. First the C library is told to give every block above 256 KB back at once
(``MALLOC_MMAP_THRESHOLD_``), so that what is measured is what torch asks for: the sums of the plan, the process left
out. Then as a training really runs, the process included: the C library keeps freed blocks, which the plan for a CPU
allows for.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from slm.files import atomic_folder
from slm.lineage import write_manifest
from slm.machine import training_environment
from slm.prompts import EOS, SPECIAL_TOKENS, UNK
from slm.spec import BuildSpec
from slm.training.engine import place
from slm.training.loop import train
from slm.training.memory import moments, peak

#: Shapes of tests' size and of the small tiers; every key that matters is in one of them off its default.
CONFIGURATIONS: list[list[str]] = [
    ["train.micro_batch=8", "train.precision=fp32"],
    ["train.micro_batch=32", "train.precision=fp32", "train.recipe=adamw"],
    ["train.micro_batch=16", "train.precision=bf16"],
    ["train.micro_batch=16", "train.precision=bf16", "train.compile=true"],
    ["train.micro_batch=32", "train.precision=bf16", "train.gradient_checkpointing=true"],
    ["train.micro_batch=8", "train.accumulation=2", "train.precision=fp32", "train.gradient_checkpointing=true"],
    ["model.layers=6", "model.dim=256", "model.heads=4", "model.kv_heads=2", "model.hidden=1024", "model.context=512",
     "model.vocab_size=16000", "train.micro_batch=4", "train.precision=bf16"],
    ["model.layers=6", "model.dim=256", "model.heads=4", "model.kv_heads=2", "model.hidden=1024", "model.context=512",
     "model.vocab_size=16000", "train.micro_batch=4", "train.precision=fp32", "train.recipe=adamw"],
    ["model.layers=8", "model.dim=768", "model.heads=12", "model.kv_heads=4", "model.hidden=3072", "model.context=64",
     "model.vocab_size=8000", "train.micro_batch=1", "train.precision=bf16", "train.checkpoint_every=1"],
    ["model.layers=8", "model.dim=768", "model.heads=12", "model.kv_heads=4", "model.hidden=3072", "model.context=64",
     "model.vocab_size=8000", "train.micro_batch=1", "train.precision=fp32", "train.recipe=adamw",
     "train.checkpoint_every=1"],
    *(["model.layers=8", "model.dim=768", "model.heads=12", "model.kv_heads=4", "model.hidden=3072", "model.context=64",
       "model.vocab_size=8000", "train.micro_batch=1", "train.precision=fp32", "train.recipe=adamw", "train.workers=2",
       f"train.zero={zero}"] for zero in (0, 1, 2)),
]  # fmt: skip


class Held(NamedTuple):
    """Bytes: predicted by the sums and by the plan for a CPU, measured beyond the process's own, the process's own."""

    sums: int
    plan: int
    measured: int
    process: int


def build(overrides: Sequence[str]) -> BuildSpec:
    """Return nano's model in three steps of training, with ``a.b=c`` overrides of ``model`` and ``train``."""
    content: dict[str, Any] = {
        "name": "memory",
        "model": {
            "layers": 3, "heads": 3, "kv_heads": 1, "dim": 192, "hidden": 512, "vocab_size": 4096, "context": 256,
        },
        "corpus": {
            "name": "memory",
            "tokens": 1_000_000,
            "shares": {"os_code": 1.0},
            "sources": [{"bucket": "os_code", "origin": {"folder": "."}, "extract": "text"}],
            "devices": {"kernel": {"folder": "."}, "exchanges": 0},
        },
        "train": {
            "tokens": 1, "micro_batch": 8, "device": "cpu", "warmup_steps": 1, "evaluate_tokens": 512,
        },
        "gates": {"perplexity": 1e9},
    }  # fmt: skip
    for override in overrides:
        (section, key), value = override.partition("=")[0].split("."), override.partition("=")[2]
        with contextlib.suppress(json.JSONDecodeError):
            value = json.loads(value)
        content[section][key] = value
    spec = BuildSpec.model_validate(content)
    return spec.model_copy(update={"train": spec.train.model_copy(update={"tokens": 3 * spec.batch_tokens})})


def write_corpus(out: Path, vocab_size: int, tokens: int) -> Path:
    """Write a corpus folder of random tokens, which holds what a training reads."""
    with atomic_folder(out) as folder:
        generator = np.random.default_rng(0)
        for split, count in (("train", tokens), ("val", 2048)):
            generator.integers(4, vocab_size, count).astype("<u2").tofile(folder / f"{split}.bin")
        words = [*SPECIAL_TOKENS, *(f"w{number}" for number in range(len(SPECIAL_TOKENS), vocab_size))]
        tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token=UNK))
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=UNK, eos_token=EOS).save_pretrained(folder)
        write_manifest(
            folder / "manifest.json",
            kind="corpus",
            name="random",
            files=[path.name for path in folder.iterdir()],
            info={"vocab_size": vocab_size, "dtype": "uint16", "splits": {"val": {"bytes": 8192}}},
            final=out,
        )
    return out


def measure(overrides: Sequence[str], give_back: bool) -> Held:
    """Train in processes of their own, whose C library may give freed blocks back at once; return the first's."""
    command = [sys.executable, "-m", "benchmarks.memory", "--child", *overrides]
    world = {"WORLD_SIZE": str(build(overrides).train.workers), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _free_port()}
    world |= {"MALLOC_MMAP_THRESHOLD_": str(2**18)} if give_back else training_environment()
    workers = [
        subprocess.Popen(
            command,
            env={**os.environ, **world, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(int(world["WORLD_SIZE"]))
    ]
    said = [worker.communicate() for worker in workers]
    if any(worker.returncode for worker in workers):
        raise SystemExit(f"the training failed:\n{said[0][1][-4000:]}")
    return Held(*json.loads(said[0][0].splitlines()[-1]))


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def child(overrides: Sequence[str]) -> Held:
    """Train next to nothing, then the configuration, and look at this process in between and after."""
    spec = build(overrides)
    placement = place(spec.train)
    shape = (spec.model, spec.train, spec.train.micro_batch, spec.train.accumulation)
    sums = max(moment.total for moment in moments(*shape, "cpu", placement.precision))
    plan = peak(*shape, "cpu", placement.precision).total
    smallest = [
        "model.layers=1", "model.dim=16", "model.heads=1", "model.kv_heads=1", "model.hidden=16", "model.context=16",
        "model.vocab_size=512", "train.micro_batch=1", f"train.precision={placement.precision}",
        f"train.recipe={spec.train.recipe}", f"train.workers={spec.train.workers}", f"train.zero={spec.train.zero}",
        f"train.gradient_checkpointing={json.dumps(spec.train.gradient_checkpointing)}",
        f"train.compile={json.dumps(spec.train.compile)}",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as home:
        corpus = write_corpus(Path(home, "small"), 512, 4096)
        train(build(smallest), corpus, Path(home, "warm"))
        corpus = write_corpus(Path(home, "corpus"), spec.model.vocab_size, 4 * spec.batch_tokens + 1)
        Path("/proc/self/clear_refs").write_text("5")
        before = _status()
        train(spec, corpus, Path(home, "run"))
        after = _status()
    files = after["RssFile"] + after["RssShmem"] - before["RssFile"] - before["RssShmem"]
    return Held(sums, plan, after["VmHWM"] - before["VmRSS"] - files, before["RssAnon"])


def _status() -> dict[str, int]:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return {
        key: 1024 * int(rest.split()[0]) for key, _, rest in (line.partition(":") for line in lines) if "kB" in rest
    }


def main() -> None:
    """Print predicted and measured MB of each configuration, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="a.b=c", help="one of your own")
    parser.add_argument("--child", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        print(json.dumps(child(arguments.child)))
        return
    heads = ("sums MB", "measured", "ratio", "process MB", "measured", "ratio")
    print(" ".join(f"{head:>10}" for head in heads), " configuration")
    for overrides in [arguments.overrides] if arguments.overrides else CONFIGURATIONS:
        asked, real = measure(overrides, give_back=True), measure(overrides, give_back=False)
        sums, whole, held = asked.sums / asked.measured, real.plan + real.process, real.measured + real.process
        figures = (asked.sums / 1e6, asked.measured / 1e6, whole / 1e6, held / 1e6)
        print(
            f"{figures[0]:>10.0f} {figures[1]:>10.0f} {sums:>10.2f} {figures[2]:>10.0f} {figures[3]:>10.0f} "
            f"{whole / held:>10.2f}  {' '.join(overrides)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
