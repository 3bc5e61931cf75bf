"""Retention and compaction from the Dagster UI."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from spv_platform.errors import TransientError, UsageError
from spv_platform.lake import compact
from spv_platform.lake.store import Lake, LakeFile
from spv_platform.ledger import batches, objects
from spv_platform.pipeline.claims import hold
from spv_platform.pipeline.drain import drain
from spv_platform.pipeline.landing.discover import discover
from spv_platform.pipeline.landing.send import BUNDLE, send
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.reading import reader
from spv_platform.pipeline.upkeep.compact import compact_batch

PERSON = b'{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Patient","id":"a"}}]}'


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every published row is reason enough for a new base."""
    monkeypatch.setattr(compact, "_LEAST_TAIL_ROWS", 1)


def land(platform: Platform, plain: bytes = PERSON) -> None:
    send(platform, "", plain, BUNDLE, tenant="north", feed="emr")


def test_retention_only_says_what_it_would_do_unless_it_is_told(
    platform: Platform, run_job: Callable[..., dict[str, Any]]
) -> None:
    for number in range(2):
        platform.s3.put_object(Bucket=platform.settings.logs_bucket, Key=f"dagster/{number}.err", Body=b"x")
    told = run_job("retain")
    assert (told["dry_run"], told["runs"], told["outputs"], told["failed_tenants"]) == (True, 0, 0, "")
    assert run_job("retain", dry_run=False, whole=True)["dry_run"] is False


def test_retention_that_left_a_tenant_out_fails_and_says_which(
    platform: Platform, run_job: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> Iterator[LakeFile]:
        raise TransientError("store_unavailable", "lake")

    monkeypatch.setattr(Lake, "files", away)
    with pytest.raises(dg.Failure, match="north: store_unavailable, south: store_unavailable"):
        run_job("retain", dry_run=False)


@pytest.mark.usefixtures("often")
def test_a_compaction_by_hand_says_which_tables_and_then_makes_their_bases(
    platform: Platform, run_job: Callable[..., dict[str, Any]]
) -> None:
    land(platform)
    drain(platform)
    land(platform, PERSON.replace(b'"a"', b'"b"'))
    told = run_job("compact", tenant="north")
    assert told["dry_run"]
    assert "patient" in told["names"]
    seq = reader(platform, "north").seq
    told = run_job("compact", tenant="north", dry_run=False)
    assert (told["patient"], told["dry_run"]) == (1, False)
    assert reader(platform, "north").seq == seq + 1


@pytest.mark.usefixtures("often")
def test_a_compaction_by_hand_leaves_the_objects_that_wait_alone(
    platform: Platform, run_job: Callable[..., dict[str, Any]]
) -> None:
    land(platform)
    drain(platform)
    land(platform, PERSON.replace(b'"a"', b'"b"'))
    discover(platform)
    run_job("compact", tenant="north", dry_run=False)
    with platform.db.transaction() as cur:
        assert [row["state"] for row in objects.ledger_rows(cur)] == ["published", "landed"]
    drain(platform)
    assert reader(platform, "north").count("patient") == 2


def test_a_batch_of_objects_is_never_taken_for_a_compaction(platform: Platform) -> None:
    land(platform)
    discover(platform)
    with platform.db.transaction() as cur:
        batch_id = batches.form(cur, "north", max_objects=1, max_bytes=2**20)

    def carry() -> None:
        with hold(platform, "run", "north", batch_id) as holding:
            assert holding
            compact_batch(platform, holding)

    with pytest.raises(UsageError, match="is no compaction"):
        carry()
    with platform.db.transaction() as cur:
        assert [row["state"] for row in objects.ledger_rows(cur)] == ["landed"]
