"""Building a tenant's analyst tables from its newest publication."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa

from spv_platform.analytics.build import VIEW_COLUMNS, analyst_tables, fact_rows
from spv_platform.analytics.pseudonyms import AnalystKeys, analyst_keys, disguises
from spv_platform.analytics.store import replace
from spv_platform.analytics.tables import PATIENT_FACT, schema_of
from spv_platform.envelope.keys import TenantKeys
from spv_platform.errors import UsageError
from spv_platform.lake.store import Lake
from spv_platform.ledger import audit, tenants
from spv_platform.ledger.db import today
from spv_platform.pipeline.opting_out import opted_out
from spv_platform.pipeline.patient_facts import facts_of_tenant
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.reading import TenantReader, reader
from spv_platform.trials.concepts import unmapped


@dataclass(frozen=True)
class AnalyticsReport:
    """What a build came to.

    Attributes:
        publication: what the tables were made from; 0: nothing is published, and nothing was built.
        rows: by table.
        left_out: persons who opted out.
        unmapped: facts of the tenant whose codes no table knows, by kind; see `trials.concepts.unmapped`.
    """

    publication: int
    rows: dict[str, int]
    left_out: int
    unmapped: dict[str, int] = field(default_factory=dict)


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
    disguised = disguises(keys, willing)
    frames = analyst_tables(
        views,
        published.current("patient").select("source", "resource_id", "version_time", "address").collect(),
        _verdicts(published),
        disguised,
        day,
    )
    lake = analyst_lake(platform)
    for name, frame in frames.items():
        replace(lake, tenant, name, frame, publication=published.seq)
    facts = _Facts(platform, tenant, disguised)
    replace(lake, tenant, PATIENT_FACT.name, facts.reader(), publication=published.seq)
    rows = {name: frame.height for name, frame in frames.items()} | {PATIENT_FACT.name: facts.rows}
    return AnalyticsReport(published.seq, rows, views.height - len(willing), facts.unmapped)


class _Facts:
    """The rows of `patient_fact`, some persons at a time, and what is counted on the way."""

    def __init__(self, platform: Platform, tenant: str, disguised: pl.DataFrame) -> None:
        self._platform, self._tenant, self._disguised = platform, tenant, disguised
        self.rows = 0
        self.unmapped: dict[str, int] = {}

    def reader(self) -> pa.RecordBatchReader:
        """What there is, read while it is written."""
        schema = pl.DataFrame(schema=schema_of(PATIENT_FACT)).to_arrow().schema
        return pa.RecordBatchReader.from_batches(schema, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for facts in facts_of_tenant(self._platform, self._tenant):
            for kind, count in unmapped(facts).group_by("kind").agg(pl.col("facts").sum()).iter_rows():
                self.unmapped[kind] = self.unmapped.get(kind, 0) + count
            frame = fact_rows(facts, self._disguised)
            self.rows += frame.height
            yield from frame.to_arrow().to_batches()


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
