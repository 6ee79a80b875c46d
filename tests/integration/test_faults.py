"""A short seeded sample of the campaign; ``make campaign`` runs all of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.campaign.campaigns import Campaigns
from tests.campaign.fault import Fault
from tests.campaign.faults import FAULTS
from tests.needs import need

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def campaigns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaigns]:
    campaigns = Campaigns(tmp_path_factory.mktemp("campaigns"))
    yield campaigns
    campaigns.close()


#: Those of a kill through Ray Train and of a limit that no micro-batch meets: the slowest there is, and the quickest.
SEEDS = {"worker kill -9": 3, "out of memory": 3}


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.name)
def test_it_ends_accepted_after_the_right_repair_or_reported_with_the_right_diagnosis(
    campaigns: Campaigns, kind: type[Fault]
) -> None:
    need(not kind.lacks(), kind.lacks())
    ended = campaigns.run(SEEDS.get(kind.name, 0), kind)
    assert not ended.wrong, f"{ended.drew}: {ended.how}: {ended.wrong}"
