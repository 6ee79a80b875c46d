from __future__ import annotations

from pathlib import Path

import pytest

from kernel_interface.serve import choose
from slm.errors import ServingError


def test_a_flat_file_is_refused_at_once() -> None:
    with pytest.raises(ServingError, match="flat file, which the kernel runs inside itself"):
        choose(Path("checkpoints/released/kernel/model.flat"), None)
