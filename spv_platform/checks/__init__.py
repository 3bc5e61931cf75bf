"""Asset checks: Great Expectations gates, which block and are partitioned by tenant, and standing checks.

The gate on the approvals is in the step of `approved_patients`: it has to stand before the commit.
"""

from spv_platform.checks.candidate_view import every_person_has_one_view_with_a_source
from spv_platform.checks.ledger_balances import the_ledger_balances
from spv_platform.checks.set_aside import no_batch_is_set_aside
from spv_platform.checks.staged_batch import staged_rows_are_plausible

CHECKS = [
    no_batch_is_set_aside,
    staged_rows_are_plausible,
    every_person_has_one_view_with_a_source,
    the_ledger_balances,
]
