"""Facts read from the sealed states when somebody asks: a person's, a tenant's, and what of them no code table knows.

They are those of the newest publication: a publication puts its states in force in the commit that makes it.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import polars as pl

from spv_platform.envelope.keys import mac
from spv_platform.identity.link import record_id
from spv_platform.ledger import audit, records, tenants
from spv_platform.pipeline.persons import look_up
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.slices import cut, linked_of
from spv_platform.trials.concepts import add_up, fact_table, unmapped


def patient_facts(
    platform: Platform, tenant: str, *, who: str, patient: str | None = None, source: str = "emr"
) -> Iterator[pl.DataFrame]:
    """Rows of `patient_fact`, some persons at a time.

    Args:
        platform: of the installation.
        tenant: whose persons.
        who: for the audit trail.
        patient: one person only, named as for `persons.look_up`; None: all.
        source: of `Patient/ID`.

    Raises:
        UsageError: no such tenant or person.
    """
    if patient is not None:
        found = look_up(platform, tenant, patient, source=source, who=who)
        yield fact_table(facts_of_person(platform, tenant, found.view))
        return
    with platform.db.transaction() as cur:
        tenants.require_tenant(cur, tenant)
        audit.write(cur, who, "facts show", tenant, "patient_fact")
    for facts in facts_of_tenant(platform, tenant):
        yield fact_table(facts)


def facts_of_person(platform: Platform, tenant: str, view: Mapping[str, Any]) -> pl.DataFrame:
    """The facts of one person, with `person_id`.

    Args:
        platform: of the installation.
        tenant: whose person.
        view: row of `patient_view` of the person.
    """
    index = platform.tenant_keys(tenant).index
    places = [(record["source"], record["patient_id"]) for record in view["records"]]
    names = [record_id(partial(mac, index), *place).hex() for place in places]
    return linked_of(platform, tenant, records.in_force(tenant), names).facts.filter(person_id=view["person_id"])


def facts_of_tenant(platform: Platform, tenant: str) -> Iterator[pl.DataFrame]:
    """The facts of all persons, some whole persons at a time, with `person_id`."""
    for linked in cut(platform, tenant, records.in_force(tenant)):
        yield linked.facts.filter(pl.col("person_id").is_in(sorted(linked.present)))


def unmapped_codes(platform: Platform, tenant: str) -> pl.DataFrame:
    """How many facts and persons have codes that no table knows; see `trials.concepts.unmapped`.

    Raises:
        UsageError: no such tenant.
    """
    with platform.db.transaction() as cur:
        tenants.require_tenant(cur, tenant)
    return add_up([unmapped(facts) for facts in facts_of_tenant(platform, tenant)])
