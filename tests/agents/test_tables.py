from __future__ import annotations

from pathlib import Path

import pytest

from agents.tables import compile_tables
from kernel_interface.devices import Device
from kernel_interface.knowledge import COMPILED, Knowledge
from slm.errors import BuildError
from slm.export import publish

DATABASE = Path(__file__).parents[2] / "checkpoints/released/nano/devices.sqlite"


def test_compiled_tables_are_the_databases(tmp_path: Path) -> None:
    compile_tables(DATABASE, tmp_path / publish.COMPILED)
    assert [path.name for path in tmp_path.iterdir()] == [COMPILED]
    compiled, database = Knowledge(tmp_path / COMPILED), Knowledge(DATABASE)
    for device in (Device("pci", 0x8086, 0x10D3, 0x0200), Device("usb", 0x0BDA, 0x8153, 0xFFFF)):
        assert compiled.candidates(device) == database.candidates(device)
        assert compiled.device_name(device) == database.device_name(device)
    assert compiled.drivers("pci") == database.drivers("pci")


def test_what_cannot_be_compiled_is_said(tmp_path: Path) -> None:
    (tmp_path / "devices.sqlite").write_bytes(b"SQLite format 3\0 and no more")
    with pytest.raises(BuildError, match="cannot be compiled"):
        compile_tables(tmp_path / "devices.sqlite", tmp_path / "devices.tables")
    assert [path.name for path in tmp_path.iterdir()] == ["devices.sqlite"]
