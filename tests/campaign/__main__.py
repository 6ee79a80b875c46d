"""``python -m tests.campaign``: seeded faults in real trainings, one campaign each, and a table of how they ended."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from slm.machine import restart_with, training_environment
from tests.campaign.campaigns import Campaigns, Ended
from tests.campaign.faults import FAULTS


def main(argv: Sequence[str] | None = None) -> int:
    """Run seeded campaigns and print a table by fault; exit 1 when any ended wrongly."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many campaigns")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--fault", action="append", choices=[kind.name for kind in FAULTS], help="only these faults")
    arguments = parser.parse_args(argv)
    console = Console(width=160)
    kinds = [kind for kind in FAULTS if not arguments.fault or kind.name in arguments.fault]
    for kind in kinds:
        if lacks := kind.lacks():
            console.print(f"{kind.name} is not run: this machine lacks {lacks}")
    kinds = [kind for kind in kinds if not kind.lacks()]
    folder = Path(tempfile.mkdtemp(prefix="auton-campaign-"))
    campaigns = Campaigns(folder)
    began = time.monotonic()
    results = []
    try:
        for seed in range(arguments.first, arguments.first + arguments.seeds):
            result = campaigns.run(seed, kinds[seed % len(kinds)])
            results.append(result)
            state = result.wrong or "right"
            console.print(
                f"{seed:3d}  {result.fault} ({result.drew}): {result.how}, {result.seconds:.1f} s: {state}",
                highlight=False,
                markup=False,
            )
            if result.how == "hung":
                break
    finally:
        campaigns.close()
    console.print(_table(results, [kind.name for kind in kinds]))
    console.print(f"{len(results)} campaigns in {(time.monotonic() - began) / 60:.1f} minutes")
    wrong = [result for result in results if result.wrong]
    if wrong:
        console.print(f"{len(wrong)} of {len(results)} ended wrongly; their files are in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def _table(results: Sequence[Ended], faults: Sequence[str]) -> Table:
    table = Table("fault", "runs", "accepted", "reported", "reported, accepted once mended", "wrong")
    for fault in [*faults, "all"]:
        mine = [result for result in results if fault in (result.fault, "all")]
        right = [result.how for result in mine if not result.wrong]
        reports = [how for how in right if how.startswith("reported")]
        mended = sum("then accepted" in how for how in reports)
        counts = (len(mine), len(right) - len(reports), len(reports) - mended, mended, len(mine) - len(right))
        table.add_row(fault, *map(str, counts))
    return table


if __name__ == "__main__":
    restart_with(training_environment())  # most of the trainings are forks of this process
    sys.exit(main())
