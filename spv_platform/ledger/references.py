"""References that lead out of their object: the queue of what was looked up, and what can be found; targets are HMACs.

A reference means the one resource that is known by its target. The queue keeps every such reference with the number of
resources that were known when its object was staged: once that number is another, the object is staged again.
"""

from collections.abc import Iterable, Sequence
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
        candidates: how many resources were known by the target.
    """

    target_type: str
    target: bytes
    how: str
    waiting: int
    candidates: int = 0


class Target(NamedTuple):
    """One resource and something that it is known by.

    Attributes:
        source: the feed.
        target: HMAC.
        resource_type: FHIR type of the resource.
        key_mac: HMAC of `Type/id`.
        key: the same, sealed.
    """

    source: str
    target: bytes
    resource_type: str
    key_mac: bytes
    key: bytes


def put_queue(cur: Cursor, tenant: str, source: str, object_seq: int, rows: Iterable[Waiting]) -> None:
    """Queue the references of an object; doing it twice changes nothing.

    A run calls this after `batches.check` in the same transaction.
    """
    summed: dict[tuple[str, bytes, str, int], int] = {}
    for row in rows:
        key = (row.target_type, row.target, row.how, row.candidates)
        summed[key] = summed.get(key, 0) + row.waiting
    execute_values(
        cur,
        "INSERT INTO ops.reference_queue"
        " (tenant, source, object_seq, target_type, target, how, candidates, waiting) VALUES %s"
        " ON CONFLICT (tenant, source, object_seq, target_type, target, how)"
        " DO UPDATE SET waiting = excluded.waiting, candidates = excluded.candidates",
        [(tenant, source, object_seq, *key, waiting) for key, waiting in sorted(summed.items())],
        page_size=1000,
    )


def find_targets(cur: Cursor, tenant: str, source: str, targets: Iterable[bytes]) -> list[Target]:
    """The resources of a feed that are known by any of the targets."""
    cur.execute(
        "SELECT source, target, resource_type, key_mac, key FROM ops.known_target"
        " WHERE tenant = %s AND source = %s AND target = ANY(%s::bytea[]) ORDER BY target, key_mac",
        (tenant, source, sorted(targets)),
    )
    return [Target(*row) for row in cur.fetchall()]


def put_targets(cur: Cursor, tenant: str, rows: Iterable[Target]) -> list[bytes]:
    """Make resources known by their targets; part of the commit, under the publish lease.

    Returns:
        Targets by which a resource was not known before.
    """
    distinct = {(row.source, row.target, row.key_mac): row for row in rows}
    new = execute_values(
        cur,
        "INSERT INTO ops.known_target (tenant, source, target, resource_type, key_mac, key) VALUES %s"
        " ON CONFLICT (tenant, source, target, key_mac) DO NOTHING RETURNING target",
        [(tenant, *distinct[key]) for key in sorted(distinct)],
        page_size=1000,
        fetch=True,
    )
    return sorted({target for (target,) in new})


def stage_again(cur: Cursor, tenant: str, batch_id: str, new: Sequence[bytes]) -> int:
    """Let published objects wait again whose references have come to mean something else; they keep their sequence.

    Those are objects that asked for one of the new targets, and objects of this very batch that were staged before
    others published what they ask for. Part of the commit, after the batch is marked as published.

    Returns:
        How many objects wait again.
    """
    cur.execute(
        "UPDATE ops.object SET state = 'landed', batch_id = NULL WHERE state = 'published' AND seq IN ("
        "  SELECT object_seq FROM ops.reference_queue AS queue WHERE tenant = %(tenant)s"
        "    AND (target = ANY(%(new)s::bytea[])"
        "      OR object_seq IN (SELECT seq FROM ops.object WHERE batch_id = %(batch)s)) AND candidates <> ("
        "    SELECT count(*) FROM ops.known_target AS known WHERE known.tenant = queue.tenant"
        "      AND known.source = queue.source AND known.target = queue.target"
        "      AND queue.target_type IN ('', known.resource_type)))",
        {"tenant": tenant, "batch": batch_id, "new": list(new)},
    )
    return cur.rowcount


def waiting_by_source(cur: Cursor, batch_id: str) -> dict[str, int]:
    """How many references of a batch's objects wait for their target, by feed."""
    cur.execute(
        "SELECT source, sum(waiting)::bigint FROM ops.reference_queue"
        " WHERE candidates <> 1 AND object_seq IN (SELECT seq FROM ops.object WHERE batch_id = %s) GROUP BY source",
        (batch_id,),
    )
    return dict(cur.fetchall())


def queue_of(cur: Cursor, tenant: str, object_seq: int) -> list[Waiting]:
    """What the object's references ask for."""
    cur.execute(
        "SELECT target_type, target, how, waiting, candidates FROM ops.reference_queue"
        " WHERE tenant = %s AND object_seq = %s ORDER BY target_type, target, how",
        (tenant, object_seq),
    )
    return [Waiting(*row) for row in cur.fetchall()]
