"""What a sweep asks the ledger: which objects it has, and how long things have waited."""

from collections.abc import Sequence
from dataclasses import dataclass

from spv_platform.ledger.db import Cursor


@dataclass(frozen=True)
class Ages:
    """How much waits, and since when, in seconds by the database's clock; None: nothing does."""

    waiting_objects: int = 0
    oldest_waiting_s: float | None = None
    open_batches: int = 0
    oldest_open_batch_s: float | None = None


def highest(cur: Cursor) -> int:
    """The highest landing sequence so far, 0 if none."""
    cur.execute("SELECT coalesce(max(seq), 0) FROM ops.object")
    ((seq,),) = cur.fetchall()
    return int(seq)


def known(cur: Cursor, bucket: str, versions: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Those of the object versions (key, version) that the ledger has, with their sequences."""
    cur.execute(
        "SELECT key, version, seq FROM unnest(%s::text[], %s::text[]) AS asked (key, version)"
        " JOIN ops.object USING (key, version) WHERE bucket = %s",
        ([key for key, _ in versions], [version for _, version in versions], bucket),
    )
    return {(key, version): seq for key, version, seq in cur.fetchall()}


def page(cur: Cursor, bucket: str, tenant: str | None, after_seq: int, upto_seq: int) -> list[tuple[int, str]]:
    """(sequence, state) of the bucket's next objects after one sequence and up to another, of a tenant or of all."""
    cur.execute(
        "SELECT seq, state FROM ops.object WHERE bucket = %s AND seq > %s AND seq <= %s"
        " AND (%s IS NULL OR tenant = %s) ORDER BY seq LIMIT 10000",
        (bucket, after_seq, upto_seq, tenant, tenant),
    )
    return [(int(seq), str(state)) for seq, state in cur.fetchall()]


def ages(cur: Cursor, tenant: str | None = None) -> Ages:
    """How much waits for a batch or for its end, of one tenant or of all."""
    cur.execute(
        "SELECT waiting.count, waiting.age, open.count, open.age FROM"
        " (SELECT count(*), extract(epoch FROM clock_timestamp() - min(found_at))::float8 AS age FROM ops.object"
        "   WHERE state = 'landed' AND batch_id IS NULL AND (%(tenant)s IS NULL OR tenant = %(tenant)s)) AS waiting,"
        " (SELECT count(*), extract(epoch FROM clock_timestamp() - min(created_at))::float8 AS age FROM ops.batch"
        "   WHERE state IN ('formed', 'claimed', 'staged') AND (%(tenant)s IS NULL OR tenant = %(tenant)s)) AS open",
        {"tenant": tenant},
    )
    (row,) = cur.fetchall()
    return Ages(*row)
