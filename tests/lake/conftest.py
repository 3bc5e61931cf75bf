"""A lake over the real store, with two small tables."""

import pytest
from lake_rows import THING, VIEW, lake_key

from spv_platform.lake.store import Lake
from spv_platform.settings import Settings


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake(settings, lake_key, (THING, VIEW))
