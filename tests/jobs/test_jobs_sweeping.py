"""The sweep from the Dagster UI."""

from collections.abc import Callable
from typing import Any

from spv_platform.ledger import objects
from spv_platform.pipeline.landing.send import BUNDLE, send
from spv_platform.pipeline.platform import Platform


def test_a_sweep_enters_what_was_missed_only_when_it_is_no_dry_run(
    platform: Platform, run_job: Callable[..., dict[str, Any]]
) -> None:
    send(platform, "", b"{}", BUNDLE, tenant="north", feed="emr")
    told = run_job("sweep")
    assert (told["missing"], told["entered"], told["dry_run"]) == (1, 0, True)
    told = run_job("sweep", dry_run=False, tenant="north")
    assert (told["entered"], told["waiting_objects"]) == (1, 1)
    with platform.db.transaction() as cur:
        assert [row["state"] for row in objects.ledger_rows(cur)] == ["landed"]
