"""What the sensors' tests share."""

from collections.abc import Iterator

import pytest
from installations import given_to_dagster

from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.setup import prepare_home
from spv_platform.sensors import landing
from spv_platform.settings import Settings


@pytest.fixture
def platform(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A prepared installation, whose sensors look once."""
    prepare_home(settings)
    monkeypatch.setattr(landing, "LOOK_FOR_S", 0.0)
    with given_to_dagster(Platform(settings)) as platform:
        yield platform
