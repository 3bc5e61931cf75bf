"""What schedules ask for."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from spv_platform import schedules
from spv_platform.definitions import build_defs
from spv_platform.resources.platform import PlatformResource
from spv_platform.schedules import analytics_nightly, compaction_check, rematch_daily, retain_nightly


@contextmanager
def night(*tenants: str) -> Iterator[dg.ScheduleEvaluationContext]:
    """A tick at night. Dagster goes on to look at an instance whose context was left open."""
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions("tenant", tenants)
        with dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=datetime(2026, 11, 25, 3, 30, tzinfo=UTC),
            repository_def=build_defs().get_repository_def(),
        ) as context:
            yield context


def test_each_night_every_tenant_has_a_run_of_its_own() -> None:
    with night("south", "north") as context:
        requests = analytics_nightly.evaluate_tick(context).run_requests or []
    assert [(request.partition_key, request.run_key) for request in requests] == [
        ("north", "north:2026-11-25"),
        ("south", "south:2026-11-25"),
    ]


def test_without_tenants_nothing_is_asked_for() -> None:
    with night() as context:
        tick = analytics_nightly.evaluate_tick(context)
    assert "no tenant" in (tick.skip_message or "")


class Counting(PlatformResource):
    """No platform."""

    def open(self) -> Any:
        """What is passed on."""
        return "platform"


def test_a_schedule_that_forms_batches_leaves_their_runs_to_the_landing_sensor() -> None:
    formed: list[object] = []
    tick = schedules._forming("often", "* * * * *", "Forms.", lambda platform: formed.append(platform) or 3)
    answer = tick(platform=Counting())
    assert isinstance(answer, dg.SkipReason)
    assert formed == ["platform"]
    assert "3 batches" in str(answer.skip_message)


def test_compactions_are_looked_at_each_minute_and_days_each_quarter_of_an_hour() -> None:
    assert compaction_check.cron_schedule == "* * * * *"
    assert rematch_daily.cron_schedule == "5,20,35,50 * * * *"


def test_what_deletes_each_night_is_told_to() -> None:
    with night() as context:
        (request,) = retain_nightly.evaluate_tick(context).run_requests or []
    assert request.run_config["ops"] == {"retain_everywhere": {"config": {"dry_run": False}}}
