"""The peer of the latency benchmark: what Dagster alone takes, with an asset that does nothing.

Two assets, each behind a sensor over the landing bucket: `usual` lists once a tick, as Dagster's own examples do;
`looking` goes on looking within a tick, as ours does. Not even the platform's package is imported, so that a run pays
for Dagster only. The bucket is named by `$BENCH_BUCKET`, the store by `$BENCH_ENDPOINT`.
"""

import os
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import dagster as dg

USUAL, LOOKING = "usual", "looking"
BUCKET, ENDPOINT = "BENCH_BUCKET", "BENCH_ENDPOINT"
#: As in `spv_platform.sensors.landing`.
_LOOK_FOR_S = 20.0
_LOOK_EVERY_S = 0.2


@dg.asset(name=USUAL)
def usual() -> None:
    """Nothing."""


@dg.asset(name=LOOKING)
def looking() -> None:
    """Nothing."""


def _new_keys(prefix: str, since: str | None) -> list[str]:
    from dagster_aws.s3.sensor import get_s3_keys

    return get_s3_keys(os.environ[BUCKET], prefix=f"{prefix}/", since_key=since, s3_session=_client())


@cache
def _client() -> Any:
    import boto3

    return boto3.client("s3", endpoint_url=os.environ[ENDPOINT] or None)


@dg.sensor(target=[usual], minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def usual_sensor(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest]:
    """Lists the bucket once a tick."""
    for key in _new_keys(USUAL, context.cursor):
        context.update_cursor(key)
        yield dg.RunRequest(run_key=key)


@dg.sensor(target=[looking], minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def looking_sensor(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest]:
    """Lists the bucket until there is something or the tick has looked long enough."""
    deadline = time.monotonic() + _LOOK_FOR_S
    while not (keys := _new_keys(LOOKING, context.cursor)) and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY_S)
    for key in keys:
        context.update_cursor(key)
        yield dg.RunRequest(run_key=key)


defs = dg.Definitions(assets=[usual, looking], sensors=[usual_sensor, looking_sensor], executor=dg.in_process_executor)
