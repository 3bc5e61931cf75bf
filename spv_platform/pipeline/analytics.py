"""Building a tenant's analyst tables from its newest publication."""

from dataclasses import dataclass

import polars as pl

from spv_platform.analytics.build import VIEW_COLUMNS, analyst_tables
from spv_platform.analytics.pseudonyms import AnalystKeys, analyst_keys, disguises
from spv_platform.analytics.store import replace
from spv_platform.envelope.keys import TenantKeys
from spv_platform.errors import UsageError
from spv_platform.lake.store import Lake
from spv_platform.ledger import audit, tenants
from spv_platform.ledger.db import today
from spv_platform.pipeline.opting_out import opted_out
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.reading import TenantReader, reader


@dataclass(frozen=True)
class AnalyticsReport:
    """What a build came to.

    Attributes:
        publication: what the tables were made from; 0: nothing is published, and nothing was built.
        rows: by table.
        left_out: persons who opted out.
    """

    publication: int
    rows: dict[str, int]
    left_out: int


def build_analytics(platform: Platform, tenant: str) -> AnalyticsReport:
    """Make the analyst tables of a tenant anew; the same publication gives the same rows in the same year.

    Raises:
        UsageError: no such tenant.
        TransientError: a store did not answer.
    """
    with platform.db.transaction() as cur:
        if not tenants.tenant_exists(cur, tenant):
            raise UsageError(f"tenant {tenant!r} does not exist: see `spv tenant list`")
        day = today(cur)
    published = reader(platform, tenant)
    if "patient_view" not in published.tables():
        return AnalyticsReport(0, {}, 0)
    keys = analyst_keys(platform.tenant_keys(tenant).analytics)
    willing = _willing(platform, published)
    views = published.current("patient_view").select(VIEW_COLUMNS).collect()
    frames = analyst_tables(
        views,
        published.current("patient").select("source", "resource_id", "version_time", "address").collect(),
        _verdicts(published),
        disguises(keys, willing),
        day,
    )
    lake = analyst_lake(platform)
    for name, frame in frames.items():
        replace(lake, tenant, name, frame, publication=published.seq)
    return AnalyticsReport(
        published.seq, {name: frame.height for name, frame in frames.items()}, views.height - len(willing)
    )


def analyst_lake(platform: Platform) -> Lake:
    """The lake as analysts open it: their own part under their own key."""
    return Lake(platform.settings, lambda tenant: _keys(platform.tenant_keys(tenant)).store)


def store_key(platform: Platform, tenant: str, *, who: str) -> bytes:
    """The key that analysts of a tenant open their tables with; handing it out is audited."""
    key = _keys(platform.tenant_keys(tenant)).store
    with platform.db.transaction() as cur:
        audit.write(cur, who, "analytics key", tenant, "key of the analyst tables")
    return key


def _keys(keys: TenantKeys) -> AnalystKeys:
    return analyst_keys(keys.analytics)


def _verdicts(published: TenantReader) -> pl.DataFrame:
    columns = ["person_id", "trial", "cohort", "verdict"]
    if "cohort_verdict" not in published.tables():
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    return published.current("cohort_verdict").select(columns).collect()


def _willing(platform: Platform, published: TenantReader) -> list[str]:
    """Persons who take part in research: neither a Consent nor the practice's list says otherwise."""
    persons = published.current("patient_view").select("person_id", "opted_out", "identifiers").collect()
    system, value = (pl.col("identifiers").struct.field(name) for name in ("system", "value"))
    identifiers = persons.explode("identifiers").select(
        "person_id",
        kind=pl.lit("identifier"),
        value_text=pl.concat_str(system.fill_null(""), pl.lit("|"), value),
        usable=pl.lit(value=True),
        polarity=pl.lit(None, pl.String),
    )
    listed = opted_out(platform, published.tenant, identifiers).filter("opted_out").select("person_id")
    willing = persons.filter(~pl.col("opted_out")).join(listed, on="person_id", how="anti")
    return willing["person_id"].sort().to_list()
