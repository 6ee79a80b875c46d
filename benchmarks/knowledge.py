"""How fast the device tables open and answer, and what they weigh:

    python -m benchmarks.knowledge TABLES [--lookups 20000]

TABLES are compiled (``python -m kernel_interface.knowledge build``) or a ``devices.sqlite``. Half of the devices
asked for have a name in the tables, the others are any; the choice is the same each time. Each is asked for three times
and the quickest counts, so that other work on the machine does not. Memory is what the process grew by, interpreter and
imports apart.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from kernel_interface.devices import Device
from kernel_interface.knowledge import Knowledge
from slm.errors import AutonError

#: Makers with many devices, and classes that devices have; ids are drawn from all there are, known or not.
_VENDORS = (0x8086, 0x10DE, 0x1022, 0x10EC, 0x14E4, 0x1AF4, 0x15B3)
_USB_VENDORS = (0x046D, 0x0BDA, 0x12D1, 0x0CF3, 0x05AC, 0x0781)
_CLASSES = (0x0106, 0x0108, 0x0200, 0x0300, 0x0403, 0x0C03)


def memory() -> float:
    """Return the process's resident memory in MB."""
    pages = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert pages
    return int(pages[1]) / 1000


def devices(knowledge: Knowledge, count: int) -> list[Device]:
    """Draw devices, half of each bus with a name: on PCI with their class, on USB with an interface's."""
    chance = random.Random(1)
    drawn: list[Device] = []
    while len(drawn) < count:
        code = chance.randrange(1 << 16)
        if len(drawn) % 2:
            device = Device("pci", chance.choice(_VENDORS), code, chance.choice(_CLASSES), 1)
        else:
            device = Device("usb", chance.choice(_USB_VENDORS), code, chance.choice((0xFFFF, 0x0806, 0x0301)), 0x50)
        if len(drawn) % 4 < 2 or knowledge.device_name(device):
            drawn.append(device)
    return drawn


def report(what: str, look: Callable[[Device], object], asked: Sequence[Device]) -> None:
    """Time a look-up of every device, and print the half-way and the hundredth slowest one."""
    times = []
    for device in asked:
        tries = []
        for _ in range(3):
            begin = time.perf_counter_ns()
            look(device)
            tries.append((time.perf_counter_ns() - begin) / 1000)
        times.append(min(tries))
    cuts = statistics.quantiles(times, n=100)
    print(f"{what:<28} p50 {cuts[49]:7.1f} µs   p99 {cuts[98]:7.1f} µs   ({len(times)} look-ups)")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.knowledge", description=__doc__.splitlines()[0])
    parser.add_argument("tables", type=Path)
    parser.add_argument("--lookups", type=int, default=20_000)
    arguments = parser.parse_args(argv)
    before, begin = memory(), time.perf_counter()
    try:
        knowledge = Knowledge(arguments.tables)
    except AutonError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    opened = time.perf_counter() - begin
    print(f"{knowledge.devices} devices, {knowledge.aliases} aliases")
    held = memory() - before
    print(f"{'open':<28} {1000 * opened:.1f} ms")
    asked = devices(knowledge, arguments.lookups)
    report("which drivers claim it", knowledge.candidates, asked)
    report("what it is called", knowledge.device_name, asked)
    claimed = sum(bool(knowledge.candidates(device)) for device in asked)
    print(f"{'claimed by some driver':<28} {claimed / len(asked):.0%}")
    print(f"{'memory':<28} {held:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
