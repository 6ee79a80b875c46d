"""``python -m tests.campaign.kills``: kill -9 at seeded points of miniature builds, and a table of how they ended."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from slm.files import append_line
from tests.campaign.kills.kill import VICTIMS, Ended, Kill
from tests.campaign.kills.undisturbed import Undisturbed


def main(argv: Sequence[str] | None = None) -> int:
    """Run seeded kills, each once, and print a table by victim; exit 1 when any ended wrongly.

    Interrupted, the same command goes on after the last seed that ended; another folder begins anew.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.campaign.kills", description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many kills")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--folder", type=Path, default=Path("runs/campaign-of-kills"), help="results, and wrong builds")
    arguments = parser.parse_args(argv)
    console = Console(width=200, highlight=False)
    folder = arguments.folder.resolve()
    results = folder / "results.jsonl"
    known = {ended.seed: ended for ended in _read(results)}
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    began = time.monotonic()
    try:
        undisturbed = Undisturbed(folder)
        console.print(f"the undisturbed build is there, {time.monotonic() - began:.0f} s; results go to {results}")
        for seed in seeds:
            if seed not in known:
                known[seed] = Kill(seed, undisturbed).run(folder / f"seed-{seed:03d}")
                append_line(results, json.dumps(asdict(known[seed])))
                done, ended = sum(each in known for each in seeds), known[seed]
                line = f"{done} of {len(seeds)}: seed {seed}, {ended.point}: {ended.how}, {ended.seconds:.0f} s: "
                console.print(line + (ended.wrong or "right"), markup=False)
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on with the seed that was being run")
        return 130
    ended_now = [known[seed] for seed in seeds]
    console.print(_table(ended_now))
    wrong = [ended for ended in ended_now if ended.wrong]
    for ended in wrong:
        console.print(f"seed {ended.seed} ended wrongly; its files are in {folder}/seed-{ended.seed:03d}")
    return 1 if wrong else 0


def _read(results: Path) -> list[Ended]:
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    return [Ended(**json.loads(line)) for line in lines]


def _table(results: Sequence[Ended]) -> Table:
    table = Table("victim", "kills", "survived", "continued by the same command", "over before the kill", "wrong")
    for victim in [*VICTIMS, "all"]:
        mine = [ended for ended in results if victim in (ended.victim, "all")]
        right = [ended.how for ended in mine if not ended.wrong]
        counts = (len(mine), right.count("survived"), sum(how.startswith("continued") for how in right))
        table.add_row(victim, *map(str, counts), str(right.count("too late")), str(len(mine) - len(right)))
    return table


if __name__ == "__main__":
    sys.exit(main())
