"""What is known of the machine."""

from __future__ import annotations

import os
import subprocess
import sys

from slm.machine import processors


def test_a_process_held_to_one_processor_counts_one() -> None:
    assert processors() == len(os.sched_getaffinity(0))
    count = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    count += "from slm.machine import processors; print(processors())"
    assert subprocess.run([sys.executable, "-c", count], capture_output=True, check=True, text=True).stdout == "1\n"
