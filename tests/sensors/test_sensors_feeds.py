"""The sensor of the feeds bucket asks for new criteria until they are in force."""

import dagster as dg
from installations import Opened

from spv_platform.pipeline.criteria import refresh_criteria
from spv_platform.pipeline.platform import Platform
from spv_platform.sensors import feeds


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
