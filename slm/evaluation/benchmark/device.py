"""A device as a benchmark asks about it; apart from the items, so that who only names one loads little."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _hexadecimal(digits: tuple[int, ...], what: str) -> BeforeValidator:
    def check(value: object) -> object:
        if isinstance(value, str):
            text = value.strip().lower().removeprefix("0x").replace(":", "")
            if len(text) in digits and re.fullmatch("[0-9a-f]+", text):
                return text
        raise ValueError(f"must be a text of {what}")

    return BeforeValidator(check)


#: Four hexadecimal digits, lower-case; ``0x`` is taken off.
Id = Annotated[str, _hexadecimal((4,), 'four hexadecimal digits, such as "8086"')]
#: Class, or class and subclass, or these with the programming interface: two digits each.
ClassCode = Annotated[str, _hexadecimal((2, 4, 6), 'two, four or six hexadecimal digits, such as "0200"')]


class Strict(BaseModel):
    """What is in a benchmark is what was written, and nothing else."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Device(Strict):
    """A device as it is asked about; maker, name and class only where they are known."""

    bus: Annotated[Literal["pci", "usb"], BeforeValidator(lambda bus: bus.lower() if isinstance(bus, str) else bus)]
    vendor: Id
    device: Id
    class_code: ClassCode | None = Field(None, alias="class")
    vendor_name: str | None = None
    name: str | None = None

    @property
    def key(self) -> tuple[str, int, int]:
        """Bus and numbers, as the device tables have them."""
        return self.bus, int(self.vendor, 16), int(self.device, 16)

    @property
    def subclass(self) -> int | None:
        """Class and subclass as one 16-bit number, None where not both are known."""
        return int(self.class_code[:4], 16) if self.class_code and len(self.class_code) >= 4 else None

    @property
    def full_name(self) -> str:
        """Maker and name, as far as they are known."""
        return " ".join(part for part in (self.vendor_name, self.name) if part)

    @property
    def line(self) -> str:
        """All that is known in a line with room at its ends: the numbers apart and together, class, maker, name."""
        parts = (self.vendor, f"{self.vendor}:{self.device}", (self.class_code or "")[:4], self.full_name)
        return f" {' '.join(part for part in parts if part)} "
