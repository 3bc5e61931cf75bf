"""Where the seconds went: read from the ledger and the event log, and adding up."""

from datetime import UTC, datetime, timedelta

import pytest

from benchmarks.parts import parts
from spv_platform.local import orchestrator
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.setup import FIRST_TENANTS, prepare_home
from spv_platform.settings import Settings

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TENANT = FIRST_TENANTS[0]


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_the_parts_of_a_batch_add_up_to_its_seconds(settings: Settings) -> None:
    prepare_home(settings)
    orchestrator.make_tables(settings)
    platform = Platform(settings)
    events = [
        ("PIPELINE_START", None, 0.5),
        ("STEP_START", "first", 1.0),
        ("STEP_SUCCESS", "first", 2.0),
        ("STEP_START", "publishing", 2.25),
        ("STEP_SUCCESS", "publishing", 9.0),
        ("STEP_START", "afterwards", 9.5),
    ]
    with platform.db.transaction() as cur:
        cur.execute(
            "INSERT INTO ops.batch (batch_id, tenant, kind, state, run_id) VALUES ('b', %s, 'load', 'published', 'r')",
            (TENANT,),
        )
        cur.execute(
            "INSERT INTO ops.object (bucket, key, version, tenant, feed, size_bytes, etag, landed_at, found_at, state,"
            " batch_id) VALUES ('b', 'k', 'v', %s, 'f', 1, 'e', %s, %s, 'published', 'b')",
            (TENANT, NOON, NOON),
        )
        cur.execute(
            "INSERT INTO ops.publication (tenant, seq, batch_id, kind, tables, counts, published_at)"
            " VALUES (%s, 1, 'b', 'load', '{}', '{}', %s)",
            (TENANT, after(4.0)),
        )
        for kind, step, at in events:
            cur.execute(
                "INSERT INTO event_logs (run_id, event, dagster_event_type, step_key, timestamp)"
                " VALUES ('r', '{}', %s, %s, %s)",
                (kind, step, after(at).replace(tzinfo=None)),
            )
    spent = parts(platform, [5.0])
    assert spent == {
        "until it is found": [1.0],
        "until the run starts": [0.5],
        "first": [1.0],
        "publishing": [1.75],
        "between the steps": [0.75],
    }
    assert sum(value for (value,) in spent.values()) == pytest.approx(5.0)
