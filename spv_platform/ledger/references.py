"""The queue of references whose target is not known; targets are HMACs."""

from collections.abc import Iterable
from typing import NamedTuple

from psycopg2.extras import execute_values

from spv_platform.ledger.db import Cursor


class Waiting(NamedTuple):
    """References of one object to one target.

    Attributes:
        target_type: FHIR type of the target, empty when it is not said.
        target: HMAC of the reference.
        how: kind of the reference, for example `conditional`.
        waiting: how many there are.
    """

    target_type: str
    target: bytes
    how: str
    waiting: int


def put_queue(
    cur: Cursor, tenant: str, source: str, object_seq: int, rows: Iterable[tuple[str, bytes, str, int]]
) -> None:
    """Queue the references of an object, given as `Waiting`; doing it twice changes nothing.

    A run calls this after `batches.check` in the same transaction.
    """
    summed: dict[tuple[str, bytes, str], int] = {}
    for target_type, target, how, waiting in rows:
        summed[target_type, target, how] = summed.get((target_type, target, how), 0) + waiting
    execute_values(
        cur,
        "INSERT INTO ops.reference_queue (tenant, source, object_seq, target_type, target, how, waiting) VALUES %s"
        " ON CONFLICT (tenant, source, object_seq, target_type, target, how) DO UPDATE SET waiting = excluded.waiting",
        [(tenant, source, object_seq, *key, waiting) for key, waiting in sorted(summed.items())],
        page_size=1000,
    )


def waiting_by_source(cur: Cursor, batch_id: str) -> dict[str, int]:
    """How many references of a batch's objects wait for their target, by feed."""
    cur.execute(
        "SELECT source, sum(waiting)::bigint FROM ops.reference_queue"
        " WHERE object_seq IN (SELECT seq FROM ops.object WHERE batch_id = %s) GROUP BY source",
        (batch_id,),
    )
    return dict(cur.fetchall())


def queue_of(cur: Cursor, tenant: str, object_seq: int) -> list[Waiting]:
    """What the object's references wait for."""
    cur.execute(
        "SELECT target_type, target, how, waiting FROM ops.reference_queue WHERE tenant = %s AND object_seq = %s"
        " ORDER BY target_type, target, how",
        (tenant, object_seq),
    )
    return [Waiting(*row) for row in cur.fetchall()]
