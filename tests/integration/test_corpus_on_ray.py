"""A corpus made by Ray tasks is the one that processes make, byte for byte."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from pathlib import Path
from agents import cluster
from slm.corpus import build
from slm.corpus.executor import Processes
from slm.errors import CorpusError
from slm.layout import Layout
from slm.progress import silent
from slm.spec import CorpusSpec
from tests.data.corpus.make import corpus_section, write_corpus

home = Path(sys.argv[1])
write_corpus(home / "sources")
spec = CorpusSpec.model_validate(corpus_section(home / "sources"))
cluster.connect("local", Layout(home))
try:
    assert cluster.spread() is None  # one machine
    build(spec, 600, home / "raw", home / "tasks", silent, cluster.Tasks())
    with Processes(1) as executor:
        build(spec, 600, home / "raw", home / "processes", silent, executor)

    def refuse(item):
        raise CorpusError(f"no {item}")

    try:
        list(cluster.Tasks().map(refuse, [1, 2]))
    except CorpusError as error:
        assert str(error) == "no 1"
    else:
        raise AssertionError("a task's error was lost")
finally:
    cluster.disconnect()
"""


@pytest.mark.slow
def test_ray_tasks_make_the_same_bytes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], check=True, timeout=300)
    files = [path.relative_to(tmp_path / "tasks") for path in (tmp_path / "tasks").rglob("*") if path.is_file()]
    assert len(files) > 15
    for name in files:
        assert (tmp_path / "tasks" / name).read_bytes() == (tmp_path / "processes" / name).read_bytes(), name
