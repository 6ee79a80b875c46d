"""The whole dialogue on machines of three shapes: sysfs or texts, socket, service, tables of a kernel's own aliases."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from kernel_interface.devices import Device
from kernel_interface.discover import AGREE, DIFFER, FAILED, NOTHING, judged, main
from kernel_interface.knowledge import Knowledge, build
from kernel_interface.machine import Found
from kernel_interface.serve import in_background
from kernel_interface.service import Service
from kernel_interface.transports.unix import UnixTransport
from slm.errors import ServingError
from tests.machines import FOLDER, MACHINES, Machine


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of what Linux 6.1 says of the machines."""
    out = tmp_path_factory.mktemp("tables") / "knowledge"
    return build(out, None, (FOLDER / "pci.ids", FOLDER / "usb.ids", FOLDER))


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_is_discovered(
    name: str, compiled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # no export lies here
    machine = Machine.load(name)
    arguments = ["--root", str(machine.sysfs(tmp_path / "root")), "--knowledge", str(compiled)]
    expected = DIFFER if "differs" in machine.verdicts.values() else AGREE
    assert main([*arguments, "--json"]) == expected
    rows = json.loads(capsys.readouterr().out)
    assert {row["place"]: row["verdict"] for row in rows if row["verdict"] != "agrees"} == machine.verdicts
    assert {row["source"] for row in rows if row["proposed"]} <= {"knowledge", "rules"}
    assert main(arguments) == expected
    *lines, total = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(machine.places)
    counts = Counter(row["verdict"] for row in rows)
    assert total == f"{len(rows)} devices: " + ", ".join(f"{counts[key]} {key}" for key in sorted(counts))
    (tmp_path / "lspci").write_text(machine.lspci())
    assert main(["--lspci", str(tmp_path / "lspci"), "--knowledge", str(compiled), "--json"]) == expected
    by_text = {row["place"]: row for row in json.loads(capsys.readouterr().out)}
    for row in rows:
        if row["device"].startswith("pci"):
            same = ("device", "identified", "proposed", "verdict")
            assert {key: by_text[row["place"]][key] for key in same} == {key: row[key] for key in same}


def test_a_running_server_is_asked(server: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lsusb").write_text("Bus 001 Device 002: ID 0bda:8153 Realtek Semiconductor Corp. RTL8153\n")
    assert main(["--socket", str(server), "--lsusb", str(tmp_path / "lsusb")]) == NOTHING
    assert "Realtek RTL8153 Gigabit Ethernet Adapter" in capsys.readouterr().out
    text = "00:0{}.0 Ethernet controller [0200]: Intel [8086:{}]\n\tKernel driver in use: {}\n\tKernel modules: {}\n"
    lines = text.format(3, "100e", "e1000", "e1000") + text.format(4, "10d3", "odd", "odd")
    (tmp_path / "lspci").write_text(lines)
    assert main(["--socket", str(server), "--lspci", str(tmp_path / "lspci"), "--json"]) == DIFFER
    assert [row["verdict"] for row in json.loads(capsys.readouterr().out)] == ["agrees", "differs"]


def test_what_cannot_be_asked_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(tmp_path)]) == FAILED
    assert "no PCI, USB or virtio devices" in capsys.readouterr().err
    root = Machine.load("vm").sysfs(tmp_path / "root")
    assert main(["--root", str(root), "--socket", str(tmp_path / "none.sock")]) == FAILED
    assert "No server answers" in capsys.readouterr().err
    for wrong in (["--root", "/", "--lspci", "x"], ["--socket", "x", "--model", "y"]):
        with pytest.raises(SystemExit):
            main(wrong)


def test_verdicts() -> None:
    device = Device("pci", 1, 2)
    assert judged("xhci_pci", Found("", device, "xhci_hcd", ("xhci_pci",))) == "agrees"
    assert judged("virtio_pci", Found("", device, "virtio-pci")) == "agrees"
    assert judged("nouveau", Found("", device, "nvidia", ("nvidia",))) == "differs"
    assert judged("", Found("", device, "nvidia", ("nvidia",))) == "differs"
    assert judged("", Found("", device, "pcieport")) == "built in"
    assert judged("ahci", Found("", device, "")) == "unbound"
    assert judged("ahci", Found("", device)) == "unknown"


def test_a_server_that_cannot_listen_says_why(knowledge: Knowledge, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with (
        pytest.raises(ServingError, match="no socket"),
        in_background(Service(knowledge, None), UnixTransport(tmp_path / "taken")),
    ):
        pass
