"""``python -m agents.manager [SPEC]``: start or continue a build.

The same command goes on wherever the last one was cut off.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from agents import cluster, console, stores
from agents.advice.hosted import check_ready
from agents.builds import exclusive, finished, load_build, read_state, record_failure, reopen, write_state
from agents.cancel import cancel
from agents.cluster import Remote
from agents.journal import EventTail
from agents.questions import ask_all, ask_flat
from agents.standing import EXIT
from agents.state import BuildState, Decision
from slm.errors import AutonError, Interrupted, UsageError
from slm.files import write_json
from slm.layout import Layout, here
from slm.model.files import FLAT
from slm.spec import BuildSpec
from slm.spec_file import load_spec

DEFAULT_SPEC = Path("specs/builds/nano.yaml")


def run_build(spec: BuildSpec, layout: Layout, address: str | None, decision: Decision | None = None) -> BuildState:
    """Start or continue a build on Ray, showing its progress; return how it stands then.

    :raises BuildError: when another process runs this build.
    """
    folder = layout.build(spec.build_id)
    with exclusive(folder):
        write_json(folder / "spec.json", spec.model_dump(mode="json"))
        if decision is None and (done := finished(spec, layout)) is not None:
            print(f"build {spec.build_id} was finished before: everything is done", flush=True)
            return done
        check_ready(spec.iterate.adviser)
        store = stores.described()
        # From here on others find the build. One that waits goes on waiting until its graph has taken the answer,
        # whatever comes between.
        if not (folder / "build.json").exists():
            write_state(folder, BuildState(build=spec.build_id, spec=spec.name, review=spec.review))
        elif (before := read_state(folder)).state != "waiting":
            write_state(folder, before.model_copy(update={"state": "running", "error": ""}))
        interrupts = cluster.Interrupts()
        tail = EventTail(folder)
        with console.Follower() as follower:
            follower.say(f"build {spec.build_id} in {layout.build(spec.build_id)}")
            from agents.manager_agent import Manager  # brings torch and LangGraph, as slow to import

            if interrupts.came:
                raise Interrupted("Interrupted.", "The same command continues where it was.")
            try:
                follower.say(f"connected to {cluster.connect(address, layout)}")
                interrupts.watch()
                manager = Remote(
                    Manager,
                    f"{spec.build_id}/Manager",
                    str(layout.home),
                    spec.model_dump(mode="json"),
                    spec.review,
                )
                pending = manager.start("run", decision.model_dump() if decision else None, store)
                while True:
                    with contextlib.suppress(TimeoutError):
                        state: BuildState = manager.result(pending, timeout=0.5)
                        follower.show(tail)
                        return state
                    follower.show(tail)
                    if interrupts.came:
                        raise Interrupted("Interrupted.", "The same command continues where it was.")
            except Interrupted:
                raise
            except AutonError as error:
                follower.show(tail)
                record_failure(folder, error)
                raise
            finally:
                cluster.disconnect()


def main(argv: Sequence[str] | None = None) -> int:
    """Build, or continue a build.

    Exit 0 accepted, 3 rejected, 4 waiting for review, 1 failed, 2 a wrong spec, 7 cancelled.
    """
    parser = argparse.ArgumentParser(prog="python -m agents.manager", description=main.__doc__)
    parser.add_argument("spec", nargs="?", type=Path, help=f"the build spec; without one, {DEFAULT_SPEC}")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="a.b=c", help="override a key")
    parser.add_argument("--address", metavar="auto|local|HOST", help="the Ray cluster; local starts one here")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    parser.add_argument("--review", choices=["auto", "manual"], help="who decides; overrides the spec")
    parser.add_argument("--resume", metavar="BUILD", help="continue this build instead of reading a spec")
    parser.add_argument("--cancel", metavar="BUILD", help="stop this build and end it; --resume takes it up again")
    arguments = parser.parse_args(argv)
    return console.guarded(lambda: _main(arguments))


def _main(arguments: argparse.Namespace) -> int:
    layout = here()
    if arguments.cancel:
        if arguments.spec or arguments.overrides or arguments.resume:
            raise UsageError("--cancel names a build that there is.", "Leave out the spec, --set and --resume.")
        console.show_build(cancel(layout, arguments.cancel), layout, [])
        return 0
    if arguments.resume:
        if arguments.spec or arguments.overrides:
            raise UsageError("--resume continues a build as it was specified.", "Leave out the spec and --set.")
        spec = load_build(layout, arguments.resume)
    else:
        spec = load_spec(arguments.spec or DEFAULT_SPEC, arguments.overrides)
    if arguments.review:
        spec = spec.model_copy(update={"review": arguments.review})
    if arguments.dry_run:
        from slm.training.plan import plan  # torch is slow to import; what is wrong with a spec is said before

        console.show_plan(spec, plan(spec))
        return 0
    if arguments.resume:
        reopen(layout.build(arguments.resume))
    return finish(spec, layout, arguments.address)


def finish(spec: BuildSpec, layout: Layout, address: str | None, decision: Decision | None = None) -> int:
    """Run a build and show where it ended; an accepted one is served and asked the spec's questions."""
    state = run_build(spec, layout, address, decision)
    answers = []
    if state.state == "accepted" and spec.questions:
        export = layout.export(spec.build_id)
        if spec.corpus.edition:
            answers = ask_flat(export / FLAT, spec.questions)
        else:
            answers = ask_all(export, layout.build(spec.build_id), spec.questions)
    console.show_build(state, layout, answers)
    return EXIT[state.state]


if __name__ == "__main__":
    sys.exit(main())
