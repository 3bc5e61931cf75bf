"""Reading what is published: a tenant's tables as one publication shows them."""

from dataclasses import dataclass

import polars as pl

from spv_platform.errors import UsageError
from spv_platform.lake.read import Reader
from spv_platform.ledger import publications
from spv_platform.ledger.publications import Publication
from spv_platform.pipeline.platform import Platform


@dataclass(frozen=True)
class TenantReader:
    """The tables of one tenant at one publication; without a publication there are none."""

    platform: Platform
    tenant: str
    publication: Publication | None

    @property
    def seq(self) -> int:
        """Number of the publication, 0 when there is none."""
        return self.publication.seq if self.publication else 0

    @property
    def lake_reader(self) -> Reader:
        """The lake's reader with this publication's pins."""
        pins = self.publication.tables if self.publication else {}
        return Reader(self.platform.lake, self.tenant, self.seq, pins, self._files)

    def tables(self) -> list[str]:
        """Names of the tables that have been published."""
        return sorted(self.publication.tables) if self.publication else []

    def current(self, table: str, keys: pl.Expr | None = None) -> pl.LazyFrame:
        """The exact current rows of a table, of all keys or of those that meet a condition on the key's columns."""
        return self.lake_reader.current(table, keys)

    def stored(self, table: str) -> pl.LazyFrame:
        """All rows that were ever published of a table, as they are."""
        return self.lake_reader.stored(table)

    def added(self, table: str, after_seq: int) -> pl.LazyFrame:
        """The rows that publications after one and up to this one wrote, tombstones too."""
        return self.lake_reader.added(table, after_seq)

    def count(self, table: str) -> int:
        """Number of current rows."""
        return int(self.current(table).select(pl.len()).collect().item())

    def stored_rows(self, table: str) -> int:
        """Rows of everything that was ever published of a table, as its Delta log counts them."""
        return self.lake_reader.stored_rows(table)

    def tail(self, table: str) -> tuple[int, int]:
        """Files and rows that were published after the table's base was made."""
        after = (self.publication.tables[table].get("base_seq") or 0) if self.publication else 0
        with self.platform.db.transaction() as cur:
            return publications.size_between(cur, self.tenant, table, after, self.seq)

    def _files(self, table: str, after_seq: int, upto_seq: int) -> list[str]:
        with self.platform.db.transaction() as cur:
            return publications.files_between(cur, self.tenant, table, after_seq, upto_seq)


def reader(platform: Platform, tenant: str, seq: int | None = None) -> TenantReader:
    """A tenant's tables as the newest publication shows them, or the one of that number.

    Raises:
        UsageError: there is no publication of that number.
    """
    with platform.db.transaction() as cur:
        if seq is None:
            return TenantReader(platform, tenant, publications.newest(cur, tenant))
        publication = publications.at(cur, tenant, seq)
    if publication is None:
        raise UsageError(f"tenant {tenant} has no publication {seq}")
    return TenantReader(platform, tenant, publication)
