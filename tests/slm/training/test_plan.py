from __future__ import annotations

from pathlib import Path

import pytest

from slm.spec_file import load_spec
from slm.training.plan import plan


@pytest.mark.parametrize("path", sorted(Path("specs/builds").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_spec_has_a_plan_that_fits_its_machine(path: Path) -> None:
    spec = load_spec(path)
    found = plan(spec)
    assert found.seconds > 0
    assert found.fits
    assert found.chosen in found.choices
    assert found.chosen.micro_batch * found.chosen.accumulation == spec.train.micro_batch * spec.train.accumulation
    # The process itself lies in main memory; of a GPU's only the training counts.
    assert (found.memory_bytes > found.chosen.memory.total) == (found.device == "cpu")
    if spec.train.device == "gpu":
        assert found.device == "gpu"
        assert found.memory_bytes < 22e9


def test_what_fits_no_card_is_said() -> None:
    large = load_spec(Path("specs/builds/large.yaml"), ["train.precision=fp32", "model.context=65536"])
    assert not plan(large).fits
