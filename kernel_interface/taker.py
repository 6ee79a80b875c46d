"""The rules as they take part in a benchmark, beside a model (:mod:`slm.evaluation.benchmark.predictor`).

The library, which does not know the kernel's side, finds them by the entry point in ``pyproject.toml``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

from kernel_interface.intents import Intent, SubCommand, chances_of, chances_of_intents
from kernel_interface.rules import CLASS_DRIVERS
from slm.evaluation.benchmark.device import Device
from slm.evaluation.benchmark.predictor import Abstaining, Ranked
from slm.spec import Task

_Name = TypeVar("_Name", Intent, SubCommand)


class Rules(Abstaining):
    """What answers without tables and without a model."""

    name = "rules"
    tasks: Collection[Task] = ("driver_select", "intent", "sub_command")

    def drivers(self, device: Device) -> Ranked:
        """Name the driver that a standard class has; of any other device nothing is known."""
        driver = CLASS_DRIVERS.get(device.subclass if device.subclass is not None else -1)
        return [(driver, 1.0)] if driver and device.bus == "pci" else ()

    def intents(self, text: str) -> Ranked:
        """Rank the intents by their evidence."""
        return _ranked(chances_of_intents(chances_of(text)))

    def sub_commands(self, text: str) -> Ranked:
        """Rank the sub-commands by their evidence."""
        return _ranked(chances_of(text))


def _ranked(chances: Mapping[_Name, float]) -> Ranked:
    return [(each.name, chance) for each, chance in sorted(chances.items(), key=lambda pair: (-pair[1], pair[0]))]
