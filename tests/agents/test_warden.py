"""A warden ends the family of a killed process, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from agents.warden import GRACE, descendants, started

# A driver with a child that has a child of its own; both would sleep on when the driver is killed.
DRIVER = """
import subprocess, sys, time
from agents import warden
sleeper = "import time; time.sleep(99)"
child = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', '{sleeper}']); time.sleep(99)"
subprocess.Popen([sys.executable, "-c", child])
while len(warden.descendants(__import__("os").getpid())) < 2:
    time.sleep(0.05)
posted = warden.post()
print("posted", flush=True)
time.sleep(99)
"""


def test_what_a_killed_driver_leaves_is_ended() -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(99)"])
    driver = subprocess.Popen([sys.executable, "-c", DRIVER], stdout=subprocess.PIPE, text=True)
    try:
        assert driver.stdout is not None and driver.stdout.readline() == "posted\n"
        family = psutil.Process(driver.pid).children(recursive=True)
        assert len(family) == 3  # the warden too
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        _, alive = psutil.wait_procs(family, timeout=GRACE + 30)
        assert alive == []
        assert bystander.poll() is None
    finally:
        driver.kill()
        bystander.kill()
        bystander.wait()


def test_a_process_is_known_by_its_start() -> None:
    assert started(os.getpid()) == started(os.getpid()) is not None
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(99)"])
    time.sleep(0.05)
    assert started(child.pid) != started(os.getpid())
    assert child.pid in descendants(os.getpid())
    child.kill()
    child.wait()
    assert started(child.pid) is None
    assert not Path(f"/proc/{child.pid}").exists()
