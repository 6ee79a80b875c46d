"""Runs campaigns: one seeded fault each, one after the other, with a deadline."""

from __future__ import annotations

import random
import shutil
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import torch

from agents import cluster
from slm.layout import Layout
from tests.campaign.fault import Fault, small_build
from tests.campaign.scene import Reference, Scene
from tests.small import write_small_corpus

#: Seconds after which a campaign counts as hung; the longest takes about a tenth.
DEADLINE = 400.0


@dataclass(frozen=True)
class Ended:
    """How one campaign ended; ``wrong`` says what was not as it should be."""

    seed: int
    fault: str
    drew: str
    how: str
    wrong: str
    seconds: float


class Campaigns:
    """Runs campaigns one after the other in one process, with one Ray."""

    def __init__(self, folder: Path) -> None:
        """Write everything below ``folder``."""
        torch.set_num_threads(1)
        self._folder = folder
        self._corpus = folder / "corpus"
        write_small_corpus(self._corpus)
        self._reference = Reference(folder / "reference", self._corpus)
        # Before anything imports Ray, which reads its settings then.
        cluster.connect("local", Layout(folder))

    def close(self) -> None:
        """End Ray."""
        cluster.disconnect()

    def run(self, seed: int, kind: type[Fault]) -> Ended:
        """Run one campaign; it is wrong when it is not over by the deadline."""
        fault = kind(random.Random(f"{kind.name} {seed}"))
        home = self._folder / f"{seed:03d}"
        outer = self._folder / f"{seed:03d}-corpus"
        began = time.monotonic()
        ended: list[tuple[str, str]] = []
        with fault.around(home):
            scene = Scene(home, small_build(**fault.settings), fault.corpus(self._corpus, outer), fault.on_ray)

            def judge() -> None:
                try:
                    wrong = fault.judge(scene, self._reference) or scene.broken
                except Exception:
                    wrong = traceback.format_exc()
                ended.append((", then ".join(map(str, scene.outcomes)), wrong))

            work = threading.Thread(target=judge, daemon=True)
            work.start()
            work.join(DEADLINE)
            if not ended:
                assert work.ident is not None
                stack = "".join(traceback.format_stack(sys._current_frames()[work.ident]))
                ended.append(("hung", f"not over after {DEADLINE:.0f} s, {scene.doing}, step {scene.step()}:\n{stack}"))
        how, wrong = ended[0]
        if not wrong:
            for done in (home, outer):
                shutil.rmtree(done, ignore_errors=True)
        drew = fault.drew + (", on Ray" if fault.on_ray else "")
        return Ended(seed, kind.name, drew, how, wrong, time.monotonic() - began)
