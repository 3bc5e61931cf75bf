"""A rebuild of the view, from the Dagster UI: a dry run unless told, then a batch that any run can carry."""

import json
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from spv_platform.ledger import batches
from spv_platform.pipeline.drain import drain
from spv_platform.pipeline.landing.discover import discover
from spv_platform.pipeline.landing.send import BUNDLE, send
from spv_platform.pipeline.platform import Platform

Run = Callable[..., dict[str, Any]]


def test_a_rebuild_is_formed_only_when_the_run_is_no_dry_run(platform: Platform, run_job: Run) -> None:
    entry = {"resource": {"resourceType": "Patient", "id": "ann", "birthDate": "1961-04-17"}}
    plain = json.dumps({"resourceType": "Bundle", "type": "collection", "entry": [entry]}).encode()
    send(platform, "", plain, BUNDLE, tenant="north", feed="emr")
    discover(platform)
    drain(platform)
    told = run_job("rebuild_view", tenant="north", who="analyst")
    assert told == {"records": 1, "persons": 1, "versions": 1, "dry_run": True}
    assert kinds(platform) == [("load", "published")]
    told = run_job("rebuild_view", tenant="north", who="analyst", dry_run=False)
    assert kinds(platform) == [("load", "published"), ("rebuild", "formed")]
    assert run_job("rebuild_view", tenant="north", who="analyst", dry_run=False)["batch"] == told["batch"]
    drain(platform)
    assert kinds(platform) == [("load", "published"), ("rebuild", "published")]


def test_a_tenant_that_does_not_exist_fails_the_run_with_those_that_do(platform: Platform, run_job: Run) -> None:
    with pytest.raises(dg.Failure, match="there is no tenant west: choose one of"):
        run_job("rebuild_view", tenant="west", who="analyst")


def kinds(platform: Platform) -> list[tuple[str, str]]:
    with platform.db.transaction() as cur:
        return [(row["kind"], row["state"]) for row in batches.batch_rows(cur)]
