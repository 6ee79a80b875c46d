"""The console script ``auton``: each verb is the ``python -m`` program named beside it, with the same arguments."""

from __future__ import annotations

import difflib
import runpy
import sys

#: Verb: the program, and what it does.
VERBS = {
    "build": ("agents.manager", "build what a spec says, or continue; --dry-run shows the plan"),
    "status": ("agents.status", "how builds stand: curves, gates, every decision"),
    "review": ("agents.review", "judge the builds that wait for a person"),
    "ui": ("agents.ui", "a page in the browser: builds, decisions, questions"),
    "corpus": ("slm.corpus", "prepare a spec's text, look at it, report on it"),
    "train": ("slm.training", "train a spec's model in this process, without agents"),
    "scale": ("slm.training.scale", "what 8, 64 and 512 GPUs would bring"),
    "evaluate": ("slm.evaluation", "score a checkpoint on text, or a model on a benchmark"),
    "benchmark": ("slm.evaluation.benchmark", "make and check the hardware benchmark, fit its baselines"),
    "adapt": ("slm.adapt", "teach a trained model questions with their answers"),
    "export": ("slm.export", "write GGUF or flat files, put a release together"),
    "edition": ("slm.edition", "ask a model made for the kernel what it knows"),
    "serve": ("kernel_interface.serve", "answer the kernel on a socket, TCP or a serial line"),
    "query": ("kernel_interface.query", "ask a server"),
    "discover": ("kernel_interface.discover", "put this machine's devices to a server, beside their drivers"),
    "guest": ("kernel_interface.guest", "boot an image in QEMU with a model, and ask it"),
    "knowledge": ("kernel_interface.knowledge", "compile device tables, look drivers up in them"),
    "lineage": ("slm.lineage", "verify what an artefact was made from"),
}


def main() -> None:
    """Run the program that the first argument names."""
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb not in VERBS:
        listing = "\n".join(
            f"  auton {name:<9}  {what}  (python -m {module})" for name, (module, what) in VERBS.items()
        )
        if verb and verb not in ("-h", "--help"):
            near = difflib.get_close_matches(verb, VERBS, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            print(f"error: auton has no verb {verb!r}.{hint}", file=sys.stderr)
        print(f"usage: auton VERB [ARGUMENTS]\n{listing}", file=sys.stdout if verb in ("-h", "--help") else sys.stderr)
        sys.exit(0 if verb in ("-h", "--help") else 2)
    sys.argv = [f"auton {verb}", *sys.argv[2:]]
    runpy.run_module(VERBS[verb][0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
