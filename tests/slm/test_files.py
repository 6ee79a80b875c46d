from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from slm.errors import ArtefactError, DiskFullError
from slm.files import append_line, atomic_folder, atomic_write, read_json, write_json


def test_a_failed_write_leaves_the_old_content_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with atomic_write(path, "w") as file:
        file.write("old")
    with pytest.raises(ValueError, match="midway"), atomic_write(path, "w") as file:
        file.write("new")
        raise ValueError("midway")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    with atomic_folder(folder) as part:
        (part / "x").write_text("old")
    with pytest.raises(ValueError, match="midway"), atomic_folder(folder) as part:
        (part / "y").write_text("new")
        raise ValueError("midway")
    assert [p.name for p in folder.iterdir()] == ["x"]
    assert list(tmp_path.iterdir()) == [folder]


def test_kill_9_in_mid_write_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": True})
    program = (
        "import sys, pathlib, slm.files as f\n"
        "with f.atomic_write(pathlib.Path(sys.argv[1]), 'w') as file:\n"
        "    file.write('half'); file.flush(); print('there', flush=True); sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None and child.stdout.readline() == "there\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert read_json(path) == {"old": True}


def test_a_full_disk_is_named_and_costs_nothing(full_disk: Path) -> None:
    path = full_disk / "a"
    path.write_bytes(b"old")
    with pytest.raises(DiskFullError, match=r"full.*\n.*same command"), atomic_write(path) as file:
        file.write(os.urandom(2_000_000))
    assert path.read_bytes() == b"old"
    with pytest.raises(DiskFullError), atomic_folder(full_disk / "f") as part, open(part / "x", "wb") as file:
        file.write(os.urandom(2_000_000))
    assert not (full_disk / "f").exists()


def test_lines_of_concurrent_writers_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "journal"

    def write(number: int) -> None:
        for count in range(200):
            append_line(path, json.dumps({"writer": number, "count": count, "filler": "x" * 300}))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for number in range(4):
        assert [line["count"] for line in lines if line["writer"] == number] == list(range(200))


def test_a_torn_line_spoils_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_text('{"whole": 1}\n{"to')
    append_line(path, '{"whole": 2}')
    assert path.read_text().splitlines() == ['{"whole": 1}', '{"to', '{"whole": 2}']


def test_broken_json_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ArtefactError, match="not valid JSON"):
        read_json(tmp_path / "x.json")
    with pytest.raises(ArtefactError, match="is not there"):
        read_json(tmp_path / "y.json")
