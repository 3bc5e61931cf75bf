"""The standing check of the accounts; not part of a batch's run, since it looks at all that was published."""

import dagster as dg

from spv_platform.assets.approved_patients import approved_patients
from spv_platform.assets.common import shown_failures
from spv_platform.ledger import tenants
from spv_platform.resources.platform import PlatformResource


@dg.asset_check(asset=approved_patients)
def the_ledger_balances(platform: PlatformResource) -> dg.AssetCheckResult:
    """Every entry that came in is accounted for, and the tables hold what the ledger says, for every tenant.

    Objects, publications, the rows of each table by its log, and approvals; `spv ledger check --deep` looks at every
    row.
    """
    from spv_platform.pipeline.upkeep.reconcile import reconcile

    opened = platform.open()
    with shown_failures():
        with opened.db.transaction() as cur:
            names = tenants.tenants(cur)
        found = [account for tenant in names for account in reconcile(opened, tenant)]
    wrong = {
        f"{each.tenant}: {each.account}": f"{each.found}, not {each.expected}" for each in found if not each.balances
    }
    return dg.AssetCheckResult(
        passed=not wrong,
        description="See `spv ledger check`; report it with its numbers." if wrong else None,
        metadata={"accounts": len(found), **wrong},
    )
