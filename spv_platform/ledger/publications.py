"""Publications, which say what every reader reads, and the files that they are made of."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from psycopg2.extras import Json

from spv_platform.errors import LeaseLostError
from spv_platform.ledger import claims
from spv_platform.ledger.claims import Claim
from spv_platform.ledger.db import Cursor


class Publication(NamedTuple):
    """One state of a tenant's tables. `tables` pins their versions; `seq` counts from 1 without gaps."""

    tenant: str
    seq: int
    batch_id: str
    kind: str
    tables: dict[str, Any]
    criteria_version: int | None
    counts: dict[str, Any]
    published_at: datetime


class StagedFile(NamedTuple):
    """A file of a table; `path` is relative to the table's root."""

    table: str
    path: str
    rows: int
    bytes: int


class FileLike(Protocol):
    """What `add_staged_file` needs to know of a file."""

    @property
    def table(self) -> str: ...  # noqa: D102
    @property
    def path(self) -> str: ...  # noqa: D102
    @property
    def rows(self) -> int: ...  # noqa: D102
    @property
    def bytes(self) -> int: ...  # noqa: D102


_SELECT = (
    "SELECT tenant, seq, batch_id, kind, tables, criteria_version, counts, published_at FROM ops.publication"
    " WHERE tenant = %s"
)


def newest(cur: Cursor, tenant: str) -> Publication | None:
    """What readers read now; None before the first publication."""
    cur.execute(_SELECT + " ORDER BY seq DESC LIMIT 1", (tenant,))
    row = cur.fetchone()
    return Publication(*row) if row else None


def at(cur: Cursor, tenant: str, seq: int) -> Publication | None:
    """One publication of the past; where its compacted tables are gone it pins none, so all comes from the log."""
    cur.execute(_SELECT + " AND seq = %s", (tenant, seq))
    row = cur.fetchone()
    if row is None:
        return None
    found = Publication(*row)
    cur.execute("SELECT bases_from > %s FROM ops.tenant WHERE tenant = %s", (seq, tenant))
    if cur.fetchone() == (True,):
        return found._replace(tables={table: {"log": pins["log"]} for table, pins in found.tables.items()})
    return found


def newest_before(cur: Cursor, tenant: str, moment: datetime) -> int:
    """Number of the last publication before a moment; 0 when there was none."""
    cur.execute(
        "SELECT coalesce(max(seq), 0) FROM ops.publication WHERE tenant = %s AND published_at < %s", (tenant, moment)
    )
    ((seq,),) = cur.fetchall()
    return int(seq)


def insert(
    cur: Cursor,
    held: Claim,
    seq: int,
    *,
    tables: Mapping[str, Any],
    criteria_version: int | None,
    counts: Mapping[str, Any],
) -> Publication:
    """Publish; part of the commit, after `leases.check_for_update` and before `batches.mark_published`.

    Args:
        cur: the commit's transaction.
        held: the batch that is published.
        seq: the number that the publication was prepared for: the newest one's plus 1.
        tables: versions by table.
        criteria_version: what the persons were matched with.
        counts: facts for display.

    Raises:
        LeaseLostError: the batch is not this try's any more, or another publication came in between.
    """
    claims.check(cur, held)
    before = newest(cur, held.tenant)
    if seq != (before.seq + 1 if before else 1):
        raise LeaseLostError(f"publication {seq}")
    cur.execute(
        "INSERT INTO ops.publication (tenant, seq, batch_id, kind, tables, criteria_version, counts)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)"
        " RETURNING tenant, seq, batch_id, kind, tables, criteria_version, counts, published_at",
        (held.tenant, seq, held.batch_id, held.kind, Json(dict(tables)), criteria_version, Json(dict(counts))),
    )
    (row,) = cur.fetchall()
    return Publication(*row)


def add_staged_file(cur: Cursor, batch_id: str, attempt: int, file: FileLike) -> None:
    """Note a file that the current attempt of a claimed batch has written.

    Raises:
        LeaseLostError: another attempt has begun, or the batch is finished.
    """
    cur.execute(
        "INSERT INTO ops.staged_file (tenant, batch_id, attempt, table_name, path, rows, bytes)"
        " SELECT tenant, batch_id, attempt, %s, %s, %s, %s FROM ops.batch"
        " WHERE batch_id = %s AND attempt = %s AND state IN ('claimed', 'staged')"
        " ON CONFLICT (batch_id, attempt, table_name, path) DO UPDATE SET rows = excluded.rows, bytes = excluded.bytes",
        (file.table, file.path, file.rows, file.bytes, batch_id, attempt),
    )
    if not cur.rowcount:
        raise LeaseLostError(f"batch {batch_id}")


def staged_files(cur: Cursor, batch_id: str, attempt: int) -> list[StagedFile]:
    """The files of one attempt, by table and path."""
    cur.execute(
        "SELECT table_name, path, rows, bytes FROM ops.staged_file WHERE batch_id = %s AND attempt = %s"
        " ORDER BY table_name, path",
        (batch_id, attempt),
    )
    return [StagedFile(*row) for row in cur.fetchall()]


def mark_files_published(cur: Cursor, batch_id: str, attempt: int, seq: int) -> int:
    """Make the files of the attempt part of a publication; how many they are."""
    cur.execute(
        "UPDATE ops.staged_file SET seq = %s WHERE batch_id = %s AND attempt = %s AND seq IS NULL",
        (seq, batch_id, attempt),
    )
    return cur.rowcount


def files_between(cur: Cursor, tenant: str, table: str, after_seq: int, upto_seq: int) -> list[str]:
    """Paths of the table's files of publications after one and up to another, in order of publication."""
    cur.execute(
        "SELECT path FROM ops.staged_file WHERE tenant = %s AND table_name = %s AND seq > %s AND seq <= %s"
        " ORDER BY seq, path",
        (tenant, table, after_seq, upto_seq),
    )
    return [path for (path,) in cur.fetchall()]


def size_between(cur: Cursor, tenant: str, table: str, after_seq: int, upto_seq: int) -> tuple[int, int]:
    """Number of files and of rows that publications after one and up to another added to the table."""
    cur.execute(
        "SELECT count(*), coalesce(sum(rows), 0)::bigint FROM ops.staged_file"
        " WHERE tenant = %s AND table_name = %s AND seq > %s AND seq <= %s",
        (tenant, table, after_seq, upto_seq),
    )
    ((files, rows),) = cur.fetchall()
    return files, rows


def published_at(cur: Cursor) -> dict[str, datetime]:
    """When each published object became visible, by its name `bucket/key@version`."""
    cur.execute(
        "SELECT bucket || '/' || key || '@' || version, published_at"
        " FROM ops.object JOIN ops.publication USING (batch_id)"
    )
    return dict(cur.fetchall())


def drop_attempts(cur: Cursor, batch_id: str) -> list[StagedFile]:
    """Forget what all attempts of a batch have written and not published: files and candidate records.

    Returns:
        The files, which may be deleted once this is committed, except those that are written again.
    """
    cur.execute("DELETE FROM ops.candidate_record WHERE batch_id = %s", (batch_id,))
    cur.execute(
        "DELETE FROM ops.staged_file WHERE batch_id = %s AND seq IS NULL RETURNING table_name, path, rows, bytes",
        (batch_id,),
    )
    return [StagedFile(*row) for row in cur.fetchall()]
