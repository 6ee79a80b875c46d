"""The server's benchmark tells of a server that has gone or says nothing, and does not wait for it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import kernel_interface as benchmark
from slm.errors import ServingError


@pytest.mark.parametrize(("leaves", "told"), [(True, "closed"), (False, "No answer came")])
@pytest.mark.parametrize(
    "load",
    [
        lambda path: benchmark.at_a_rate(path, [b"x"], 10, 0.1, 1),
        lambda path: benchmark.in_turns(path, [b"x"], 1, 5.0, 1),
    ],
)
def test_a_server_that_answers_nothing_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Callable[[Path], object], leaves: bool, told: str
) -> None:
    monkeypatch.setattr(benchmark, "SILENCE", 0.2)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        taken = list[socket.socket]()

        def take() -> None:
            peer, _ = listener.accept()
            taken.append(peer)
            peer.recv(1)
            if leaves:
                peer.shutdown(socket.SHUT_RDWR)

        thread = threading.Thread(target=take)
        thread.start()
        with pytest.raises(ServingError, match=told):
            load(tmp_path / "s")
        thread.join()
        for peer in taken:
            peer.close()
