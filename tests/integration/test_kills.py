"""A short seeded sample of the campaign of kills; ``make campaign`` runs all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaign.kills.kill import VICTIMS, Kill
from tests.campaign.kills.undisturbed import Undisturbed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(tmp_path_factory.mktemp("kills"))


@pytest.mark.parametrize("seed", [0, 1, 2], ids=list(VICTIMS)[:3])
def test_a_kill_ends_in_the_same_accepted_commit_once(seed: int, undisturbed: Undisturbed, tmp_path: Path) -> None:
    ended = Kill(seed, undisturbed).run(tmp_path / "home")
    assert not ended.wrong, f"{ended.point}: {ended.how}: {ended.wrong}"
