"""Trying criteria on the persons of a tenant: what would come of them, with nothing stored."""

from collections.abc import Iterator
from datetime import date
from typing import Any

from spv_platform.errors import UsageError
from spv_platform.ledger import criteria, records, tenants
from spv_platform.pipeline.criteria import load_criteria
from spv_platform.pipeline.opting_out import opted_out
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.slices import cut, slice_of
from spv_platform.trials.evaluate import Matcher
from spv_platform.trials.model import Trial


def try_criteria(platform: Platform, tenant: str, trials: list[Trial], as_of: date) -> Iterator[dict[str, Any]]:
    """The persons and cohorts that nothing speaks against, slice by slice.

    Args:
        platform: of the installation.
        tenant: whose persons.
        trials: the criteria; without any, those in force.
        as_of: the day of evaluation.

    Yields:
        Rows of `Evaluation.cohorts`, without those that are not eligible.

    Raises:
        UsageError: no such tenant, or no criteria.
    """
    with platform.db.transaction() as cur:
        if tenant not in tenants.tenants(cur):
            raise UsageError(f"there is no tenant {tenant}: `spv tenant list` shows them")
        version = criteria.newest(cur)
    in_force, studies = load_criteria(version.documents) if version else ([], {})
    if not (trials or in_force):
        raise UsageError("there are no criteria: name files with --ctml, or put some with `spv trials put`")
    matcher = Matcher(trials or in_force, studies)
    for linked in cut(platform, tenant, records.in_force(tenant)):
        facts = slice_of(linked, frozenset()).facts
        persons = opted_out(platform, tenant, facts)
        found = matcher.evaluate(persons, facts, as_of).cohorts
        yield from (
            found.filter(found["verdict"] != "not_eligible").sort("person_id", "trial", "cohort").iter_rows(named=True)
        )
