"""Whether the ledger's numbers agree with each other, and with what a batch is about to publish.

What belongs here: sums over the ledger. What does not: what is really in the lake (`pipeline.upkeep.reconcile`).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from spv_platform.errors import PermanentError
from spv_platform.ledger.claims import Claim
from spv_platform.ledger.db import Cursor
from spv_platform.ledger.objects import BALANCES
from spv_platform.ledger.publications import StagedFile
from spv_platform.reasons import OF_OBJECTS


class Rows(NamedTuple):
    """Rows of one publication: what its objects came to when it was made, and what its files hold."""

    seq: int
    counted: int
    filed: int


def check_batch(cur: Cursor, held: Claim, files: Iterable[StagedFile], resource_tables: Sequence[str]) -> int:
    """Whether every entry of a batch is accounted for, and every accepted one is in its files; part of the commit.

    Args:
        cur: the commit's transaction.
        held: the batch.
        files: all that it publishes.
        resource_tables: the tables whose rows are entries.

    Returns:
        Rows of resources that the batch publishes.

    Raises:
        PermanentError: `does_not_balance`, with the numbers in its details.
    """
    cur.execute(
        f"SELECT count(*) FILTER (WHERE ({BALANCES}) IS NOT TRUE),"  # noqa: S608  (text of ours)
        " coalesce(sum(accepted + tombstones + coalesce(contained, 0)) FILTER (WHERE same_as IS NULL), 0)::bigint"
        " FROM ops.object WHERE batch_id = %s AND state = 'staged'",
        (held.batch_id,),
    )
    ((unbalanced, counted),) = cur.fetchall()
    filed = sum(file.rows for file in files if file.table in resource_tables)
    if unbalanced or counted != filed:
        error = PermanentError("does_not_balance")
        error.details = {"objects_out_of_balance": unbalanced, "rows_counted": counted, "rows_in_files": filed}
        raise error
    return filed


def unbalanced_objects(cur: Cursor, tenant: str) -> list[int]:
    """Published objects whose entries are not all accounted for, by landing sequence."""
    cur.execute(
        f"SELECT seq FROM ops.object WHERE tenant = %s AND state = 'published' AND ({BALANCES}) IS NOT TRUE"  # noqa: S608
        " ORDER BY seq",
        (tenant,),
    )
    return [seq for (seq,) in cur.fetchall()]


def stray_objects(cur: Cursor, tenant: str) -> list[int]:
    """Objects that are not in the state of their batch."""
    cur.execute(
        "SELECT seq FROM ops.object JOIN ops.batch USING (batch_id) WHERE object.tenant = %s AND object.state <>"
        " CASE batch.state WHEN 'formed' THEN 'landed' ELSE batch.state END"
        " AND object.state <> 'quarantined' AND NOT (object.state = 'rejected' AND object.reason = ANY(%s))"
        " ORDER BY seq",
        (tenant, list(OF_OBJECTS)),
    )
    return [seq for (seq,) in cur.fetchall()]


def publication_rows(cur: Cursor, tenant: str, resource_tables: Sequence[str]) -> list[Rows]:
    """Of each publication of a load, the rows that its objects came to and the rows of its files."""
    cur.execute(
        "SELECT seq, (counts->>'rows')::bigint, coalesce((SELECT sum(rows) FROM ops.staged_file AS file"
        "  WHERE file.tenant = publication.tenant AND file.seq = publication.seq AND table_name = ANY(%s)), 0)::bigint"
        " FROM ops.publication WHERE tenant = %s AND counts ? 'rows' ORDER BY seq",
        (list(resource_tables), tenant),
    )
    return [Rows(*row) for row in cur.fetchall()]


def filed_rows(cur: Cursor, tenant: str, upto_seq: int) -> dict[str, int]:
    """Rows that publications up to one have added to each table."""
    cur.execute(
        "SELECT table_name, sum(rows)::bigint FROM ops.staged_file WHERE tenant = %s AND seq <= %s GROUP BY table_name",
        (tenant, upto_seq),
    )
    return dict(cur.fetchall())


def accepted_rows(cur: Cursor, tenant: str) -> int:
    """Rows that the tenant's published objects came to, contents that landed more than once counted once.

    As each object was last processed: what waits to be processed again does not count, nor what was refused then.
    """
    cur.execute(
        "SELECT coalesce(sum(rows), 0)::bigint FROM"
        " (SELECT max(accepted + tombstones + coalesce(contained, 0)) AS rows FROM ops.object"
        " WHERE tenant = %s AND state = 'published' AND same_as IS NULL GROUP BY feed, plain_digest) AS contents",
        (tenant,),
    )
    ((rows,),) = cur.fetchall()
    return int(rows)


def masters(cur: Cursor, tenant: str) -> list[tuple[str, str, str]]:
    """Feed, content digest and batch of the objects that `accepted_rows` counts."""
    cur.execute(
        "SELECT DISTINCT feed, plain_digest, batch_id FROM ops.object"
        " WHERE tenant = %s AND state = 'published' AND same_as IS NULL",
        (tenant,),
    )
    return cur.fetchall()


def approved(cur: Cursor, tenant: str) -> int:
    """Approvals in force."""
    cur.execute("SELECT count(*) FROM ops.approval WHERE tenant = %s AND status = 'approved'", (tenant,))
    ((count,),) = cur.fetchall()
    return int(count)
