"""Entries that were set aside: where and why, never what."""

from collections.abc import Iterable
from typing import Any, Protocol

from psycopg2.extras import execute_values

from spv_platform.ledger.db import Cursor, rows_as_dicts


class EntryLike(Protocol):
    """What `put_entries` needs to know of an entry: its number, a JSON pointer into it, a reason code."""

    @property
    def entry(self) -> int: ...  # noqa: D102
    @property
    def pointer(self) -> str: ...  # noqa: D102
    @property
    def reason(self) -> str: ...  # noqa: D102


def put_entries(cur: Cursor, tenant: str, object_seq: int, rows: Iterable[EntryLike], *, contract: str) -> None:
    """Set entries of an object aside; doing it twice changes nothing. A run calls this after `batches.check`.

    Args:
        cur: the transaction.
        tenant: whose object it is.
        object_seq: the object.
        rows: the entries; several places of one entry are several rows.
        contract: version of the contract that refused them.
    """
    distinct = sorted({(row.entry, row.pointer, row.reason) for row in rows})
    execute_values(
        cur,
        "INSERT INTO ops.entry_quarantine (tenant, object_seq, contract, entry, pointer, reason) VALUES %s"
        " ON CONFLICT (object_seq, entry, pointer, reason) DO UPDATE"
        " SET state = 'open', contract = excluded.contract, at = clock_timestamp()"
        " WHERE entry_quarantine.state <> 'open'",
        [(tenant, object_seq, contract, *row) for row in distinct],
        page_size=1000,
    )


def list_entries(
    cur: Cursor, tenant: str | None = None, *, object_seq: int | None = None, state: str | None = None
) -> list[dict[str, Any]]:
    """Entries that were set aside, oldest first; `state` is `open` or `replayed`."""
    cur.execute(
        "SELECT entry_quarantine.id, entry_quarantine.tenant, object_seq,"
        " bucket || '/' || key || '@' || version AS object, entry, pointer, entry_quarantine.reason, contract, at,"
        " entry_quarantine.state"
        " FROM ops.entry_quarantine JOIN ops.object ON object.seq = object_seq"
        " WHERE (%(tenant)s IS NULL OR entry_quarantine.tenant = %(tenant)s)"
        " AND (%(object_seq)s IS NULL OR object_seq = %(object_seq)s)"
        " AND (%(state)s IS NULL OR entry_quarantine.state = %(state)s)"
        " ORDER BY id",
        {"tenant": tenant, "object_seq": object_seq, "state": state},
    )
    return rows_as_dicts(cur)
