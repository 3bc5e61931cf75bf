"""The sensor of the feeds bucket asks for new criteria until they are in force."""

from collections.abc import Iterator

import dagster as dg
import pytest
from installations import Opened, given_to_dagster

from spv_platform.pipeline.criteria import refresh_criteria
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.setup import prepare_home
from spv_platform.sensors import feeds, landing
from spv_platform.settings import Settings


@pytest.fixture
def platform(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A prepared installation, whose sensor looks once."""
    prepare_home(settings)
    monkeypatch.setattr(landing, "LOOK_FOR_S", 0.0)
    with given_to_dagster(Platform(settings)) as platform:
        yield platform


def tick(cursor: str | None) -> tuple[bool, str | None]:
    """Whether a run is asked for, and the next cursor."""
    result = feeds.feeds_sensor(dg.build_sensor_context(cursor=cursor, resources={"platform": Opened()}))
    assert isinstance(result, dg.SensorResult)
    return bool(result.run_requests), result.cursor or cursor


def test_what_was_asked_for_is_asked_for_again_until_it_is_in_force(platform: Platform) -> None:
    asked, cursor = tick(None)
    assert asked
    assert tick(cursor) == (False, cursor)
    minutes_later = f"{(cursor or '').partition(' ')[0]} 0"
    assert tick(minutes_later) == (True, cursor)
    refresh_criteria(platform)
    assert tick(minutes_later) == (False, minutes_later)
    platform.s3.put_object(Bucket=platform.settings.feeds_bucket, Key="criteria/new.yaml", Body=b"trial: [")
    assert tick(cursor)[0]
