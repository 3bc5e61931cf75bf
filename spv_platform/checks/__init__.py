"""Asset checks: Great Expectations gates, which block and are partitioned by tenant, and standing checks.

The gate on the approvals is in the step of `approved_patients`: it has to stand before the commit.
"""

from spv_platform.checks.candidate_view import every_person_has_one_view_with_a_source
from spv_platform.checks.ledger_balances import the_ledger_balances
from spv_platform.checks.set_aside import no_batch_is_set_aside
from spv_platform.checks.staged_batch import staged_rows_are_plausible

GATES = [staged_rows_are_plausible, every_person_has_one_view_with_a_source]
#: About more than one batch, and not part of its run: a sensor or a schedule sees to them.
STANDING = [no_batch_is_set_aside, the_ledger_balances]
CHECKS = [*GATES, *STANDING]
