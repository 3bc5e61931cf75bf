"""The standing check: whether any batch waits for a person's decision.

It is about all tenants at once, so that none overwrites another, and its sensor keeps it true between runs: Dagster
stores what a sensor reports of a partitioned check only once per partition.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from spv_platform.assets.raw_bundles import raw_bundles
from spv_platform.ledger import decisions
from spv_platform.resources.platform import PlatformResource

#: So many batches of a tenant are named at most.
_NAMED = 10


def outcome(found: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """The check's outcome, given the reason of each batch that is set aside, by tenant."""
    waiting = {tenant: reasons for tenant, reasons in found.items() if reasons}
    named = {
        tenant: ", ".join(f"{batch} ({reason})" for batch, reason in list(reasons.items())[:_NAMED])
        for tenant, reasons in waiting.items()
    }
    return {
        "passed": not waiting,
        "description": "Decide about each: `spv batch show`, then `spv batch release` or `reject`."
        if waiting
        else None,
        "metadata": {"batches": sum(map(len, waiting.values())), **named},
    }


@dg.asset_check(asset=raw_bundles)
def no_batch_is_set_aside(platform: PlatformResource) -> dg.AssetCheckResult:
    """No batch of any tenant waits for a decision: neither a gate nor a defect has set one aside."""
    with platform.open().db.transaction() as cur:
        return dg.AssetCheckResult(**outcome(decisions.set_aside_by_tenant(cur)))
