"""What each ingredient of the recipe ``fast`` brings: the same short training with one thing changed at a time.

    python -m benchmarks.ablations specs/builds/nano.yaml --tokens 1200000

Prints the validation score of every variant after the same number of tokens, each in a process of its own. Some are
settings of the spec; what ``change`` names is not in the product and stands here alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from slm.corpus import folder_for
from slm.layout import here
from slm.machine import training_environment
from slm.spec import BuildSpec
from slm.spec_file import load_spec

#: What differs from the spec: settings, factors on the spec's own, or a change of the code by name.
VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "another seed": {"seed": 1},
    "AdamW throughout": {"recipe": "adamw"},
    "AdamW throughout, twice the rate": {"recipe": "adamw", "times": {"learning_rate": 2}},
    "cosine schedule": {"schedule": "cosine"},
    "no warm-up": {"warmup_steps": 0},
    "no weight decay": {"weight_decay": 0.0},
    "twice the batch": {"times": {"accumulation": 2}},
    "half the batch": {"times": {"micro_batch": 0.5}},
    "half the matrix rate": {"times": {"matrix_learning_rate": 0.5}},
    "half the rate": {"times": {"learning_rate": 0.5}},
    "half again the rate": {"times": {"learning_rate": 1.5}},
    "second beta 0.95": {"betas": (0.9, 0.95)},
    "second beta 0.98": {"betas": (0.9, 0.98)},
    "decay over all steps": {"decay_fraction": 1.0},
    "half the context for longer": {"context_warmup": 0.75},
    "zero outputs": {"change": "zero"},
    "scored with documents apart": {"scored": "apart"},
    "documents apart, so scored": {"change": "apart"},
    "whole context throughout": {"context_warmup": 0.0},
}


def main() -> None:
    """Run every variant, or, in a process of its own, one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", type=Path)
    parser.add_argument("--corpus", type=Path, help="without it, the spec's")
    parser.add_argument("--tokens", type=int, default=1_200_000)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    spec = load_spec(arguments.spec, [])
    corpus = arguments.corpus or folder_for(spec.corpus, spec.model.vocab_size, here().processed)
    if arguments.variant:
        print(
            json.dumps(score(changed(spec, arguments.tokens, VARIANTS[arguments.variant]), corpus, arguments.variant))
        )
        return
    print(f"{'variant':<34} {'bits per byte':>13} {'perplexity':>10} {'seconds':>8}")
    for name in arguments.only:
        command = [sys.executable, "-m", "benchmarks.ablations", str(arguments.spec), "--corpus", str(corpus)]
        command += ["--tokens", str(arguments.tokens), "--variant", name]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **training_environment()})
        if done.returncode:
            raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
        found = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{name:<34} {found['bits_per_byte']:>13.4f} {found['perplexity']:>10.2f} {found['seconds']:>8.0f}",
            flush=True,
        )


def changed(spec: BuildSpec, tokens: int, variant: dict[str, Any]) -> BuildSpec:
    """Return the spec with a variant's settings, evaluated and saved at its end alone."""
    settings = {key: value for key, value in variant.items() if key not in ("change", "times", "scored")}
    for name, factor in variant.get("times", {}).items():
        own = getattr(spec.train, name)
        settings[name] = type(own)(own * factor)
    settings |= {"tokens": tokens, "evaluate_every": 10**9, "checkpoint_every": 10**9}
    return spec.model_copy(update={"train": spec.train.model_copy(update=settings)})


def score(spec: BuildSpec, corpus: Path, name: str) -> dict[str, float]:
    """Train and return the score on a million validation tokens."""
    import time

    from benchmarks.training import validation_score
    from slm.model.llama import load_model
    from slm.training.loop import train

    match VARIANTS[name].get("change"):
        case "zero":
            zero_outputs()
        case "apart":
            keep_documents_apart()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        result = train(spec, corpus, Path(folder))
        seconds = time.perf_counter() - began
        if VARIANTS[name].get("scored") == "apart":
            keep_documents_apart()
        found = validation_score(load_model(result.checkpoint), spec, corpus)
    return {"bits_per_byte": found.bits_per_byte, "perplexity": found.perplexity, "seconds": seconds}


def zero_outputs() -> None:
    """Let the matrices that write into the residual stream begin at zero."""
    import torch
    from transformers import LlamaForCausalLM

    from slm.training import loop

    build = vars(loop)["build_model"]

    def build_model(*arguments: Any) -> LlamaForCausalLM:
        model: LlamaForCausalLM = build(*arguments)
        with torch.no_grad():
            for parameter_name, parameter in model.named_parameters():
                if parameter_name.endswith(("o_proj.weight", "down_proj.weight")):
                    parameter.zero_()
        return model

    vars(loop)["build_model"] = build_model


def keep_documents_apart() -> None:
    """Let no token attend to another document's, though they stand in one sequence: in training and in scoring."""
    import torch
    from transformers import LlamaModel

    from slm.prompts import BOS, SPECIAL_TOKENS
    from slm.training import loop

    whole = LlamaModel.forward

    def forward(self: LlamaModel, input_ids: torch.Tensor, **others: Any) -> Any:
        document = (input_ids == SPECIAL_TOKENS.index(BOS)).cumsum(1)
        mask = (document[:, :, None] == document[:, None, :]).tril()[:, None]
        return whole(self, input_ids=input_ids, **{**others, "attention_mask": mask})

    LlamaModel.forward = forward
    vars(loop)["use_causal_blocks"] = lambda model: None


if __name__ == "__main__":
    main()
