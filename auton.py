"""The console script ``auton``: each verb is the ``python -m`` program named beside it, with the same arguments."""

from __future__ import annotations

import difflib
import runpy
import sys

VERBS = {
    "build": "agents.manager",
    "status": "agents.status",
    "review": "agents.review",
    "ui": "agents.ui",
    "corpus": "slm.corpus",
    "train": "slm.training",
    "scale": "slm.training.scale",
    "evaluate": "slm.evaluation",
    "benchmark": "slm.evaluation.benchmark",
    "adapt": "slm.adapt",
    "export": "slm.export",
    "edition": "slm.edition",
    "serve": "kernel_interface.serve",
    "query": "kernel_interface.query",
    "discover": "kernel_interface.discover",
    "guest": "kernel_interface.guest",
    "knowledge": "kernel_interface.knowledge",
    "lineage": "slm.lineage",
}


def main() -> None:
    """Run the program that the first argument names."""
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb not in VERBS:
        listing = "\n".join(f"  auton {name:<9} python -m {module}" for name, module in VERBS.items())
        if verb and verb not in ("-h", "--help"):
            near = difflib.get_close_matches(verb, VERBS, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            print(f"error: auton has no verb {verb!r}.{hint}", file=sys.stderr)
        print(f"usage: auton VERB [ARGUMENTS]\n{listing}", file=sys.stdout if verb in ("-h", "--help") else sys.stderr)
        sys.exit(0 if verb in ("-h", "--help") else 2)
    sys.argv = [f"auton {verb}", *sys.argv[2:]]
    runpy.run_module(VERBS[verb], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
