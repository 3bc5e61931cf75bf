"""Processing again, from the Dagster UI: a dry run unless told, and what it did in the metadata."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from spv_platform.ledger import objects
from spv_platform.pipeline.drain import drain
from spv_platform.pipeline.landing.discover import discover
from spv_platform.pipeline.landing.send import BUNDLE, send
from spv_platform.pipeline.platform import Platform

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def landed(platform: Platform) -> Platform:
    """One object that cannot be read."""
    send(platform, "", b"no bundle", BUNDLE, tenant="north", feed="emr")
    discover(platform)
    drain(platform)
    return platform


def states(platform: Platform) -> list[str]:
    with platform.db.transaction() as cur:
        return [row["state"] for row in objects.ledger_rows(cur)]


@pytest.mark.parametrize(
    ("job", "config"),
    [("reprocess", {"tenant": "north"}), ("replay_quarantined", {}), ("replay_quarantined", {"item": "object-1"})],
)
def test_objects_wait_again_only_when_the_run_is_no_dry_run(
    landed: Platform, run_job: Run, job: str, config: dict[str, str]
) -> None:
    told = run_job(job, who="analyst", **config)
    assert (told["objects"], told["dry_run"]) == (1, True)
    assert states(landed) == ["quarantined"]
    told = run_job(job, who="analyst", dry_run=False, **config)
    assert (told["objects"], told["dry_run"]) == (1, False)
    assert states(landed) == ["landed"]


def test_a_time_that_is_none_fails_the_run_with_what_to_write(landed: Platform, run_job: Run) -> None:
    with pytest.raises(dg.Failure, match="is no time: write it as"):
        run_job("reprocess", who="analyst", tenant="north", since="yesterday")
