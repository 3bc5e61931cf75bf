"""Holding the ledger against what is really there: objects, publications, the tables in the lake, approvals."""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from spv_platform.ledger import reconciliation
from spv_platform.pipeline.catalog import RESOURCE_TABLE_NAMES
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.reading import TenantReader, reader

_POINTER = ("source", "source_object", "source_entry")


@dataclass(frozen=True)
class Balance:
    """One account of a tenant.

    Attributes:
        account: what is counted.
        expected: by the ledger.
        found: what is there.
    """

    tenant: str
    account: str
    expected: int
    found: int

    @property
    def balances(self) -> bool:
        """Whether both are equal."""
        return self.expected == self.found


def reconcile(platform: Platform, tenant: str, *, deep: bool = False) -> list[Balance]:
    """Every account of a tenant as of its newest publication.

    Args:
        platform: the installation.
        tenant: whose accounts.
        deep: read the pointer of every row that was ever published and count distinct entries too; else the tables
            are counted by their Delta logs, which does not grow with the size of rows.

    Raises:
        TransientError: a store did not answer.
    """
    return [Balance(tenant, *account) for account in _accounts(platform, tenant, deep)]


def _accounts(platform: Platform, tenant: str, deep: bool) -> Iterator[tuple[str, int, int]]:
    published = reader(platform, tenant)
    with platform.db.transaction() as cur:
        unbalanced = reconciliation.unbalanced_objects(cur, tenant)
        strays = reconciliation.stray_objects(cur, tenant)
        publications = reconciliation.publication_rows(cur, tenant, RESOURCE_TABLE_NAMES)
        filed = reconciliation.filed_rows(cur, tenant, published.seq)
        accepted = reconciliation.accepted_rows(cur, tenant) if deep else 0
        masters = reconciliation.masters(cur, tenant) if deep else []
        approved = reconciliation.approved(cur, tenant)
    yield "published objects out of balance", 0, len(unbalanced)
    yield "objects in another state than their batch", 0, len(strays)
    for publication in publications:
        if publication.counted != publication.filed:
            yield f"rows of publication {publication.seq}", publication.counted, publication.filed
    yield (
        "rows of all publications",
        sum(each.counted for each in publications),
        sum(each.filed for each in publications),
    )
    for table in published.tables():
        yield f"rows of table {table}", filed.get(table, 0), published.stored_rows(table)
    if "approved_patients" in published.tables():
        yield "approvals in force", approved, published.count("approved_patients")
    if deep:
        yield "distinct entries in the tables", accepted, _distinct_entries(published, masters)


def _distinct_entries(published: TenantReader, masters: list[tuple[str, str, str]]) -> int:
    """How many entries of the objects have rows that their last batch made; earlier batches may have made others."""
    made_by = [*_POINTER[:2], "_batch_id"]
    counted = pl.LazyFrame(masters, schema=dict.fromkeys(made_by, pl.String), orient="row")
    pointers = [
        published.added(table, 0).select(*_POINTER, "_batch_id").join(counted, on=made_by, how="semi").select(_POINTER)
        for table in published.tables()
        if table in RESOURCE_TABLE_NAMES
    ]
    if not pointers:
        return 0
    return int(pl.concat(pointers).unique().select(pl.len()).collect(engine="streaming").item())
