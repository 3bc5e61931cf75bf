"""What schedules ask for."""

from datetime import UTC, datetime

import dagster as dg

from spv_platform.definitions import build_defs
from spv_platform.schedules import analytics_nightly


def test_each_night_every_tenant_has_a_run_of_its_own() -> None:
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions("tenant", ["south", "north"])
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=datetime(2026, 11, 25, 3, 30, tzinfo=UTC),
            repository_def=build_defs().get_repository_def(),
        )
        requests = analytics_nightly.evaluate_tick(context).run_requests or []
    assert [(request.partition_key, request.run_key) for request in requests] == [
        ("north", "north:2026-11-25"),
        ("south", "south:2026-11-25"),
    ]


def test_without_tenants_nothing_is_asked_for() -> None:
    with dg.instance_for_test() as instance:
        context = dg.build_schedule_context(
            instance=instance, scheduled_execution_time=datetime(2026, 11, 25, 3, 30, tzinfo=UTC)
        )
        tick = analytics_nightly.evaluate_tick(context)
    assert "no tenant" in (tick.skip_message or "")
