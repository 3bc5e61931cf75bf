"""Small pieces that the ledger's tests share."""

from datetime import UTC, datetime, timedelta

from spv_platform.ledger import batches, objects
from spv_platform.ledger.batches import Claim
from spv_platform.ledger.db import Cursor, Database
from spv_platform.ledger.objects import FoundObject

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def found(
    key: str, version: str = "v1", *, second: int = 0, size_bytes: int = 10, bucket: str = "landing"
) -> FoundObject:
    return FoundObject(bucket, key, version, size_bytes, "etag", NOON + timedelta(seconds=second))


def land(db: Database, count: int, *, tenant: str = "north", size_bytes: int = 10, prefix: str = "o") -> None:
    with db.transaction() as cur:
        objects.discover(
            cur, [found(f"{tenant}/emr/{prefix}{n:04}", second=n, size_bytes=size_bytes) for n in range(count)]
        )


def formed(db: Database, count: int = 1, *, tenant: str = "north", prefix: str = "o") -> str:
    land(db, count, tenant=tenant, prefix=prefix)
    with db.transaction() as cur:
        batch_id = batches.form(cur, tenant, max_objects=count, max_bytes=1000 * count)
    assert batch_id
    return batch_id


def claimed(db: Database, batch_id: str, run_id: str = "run-1", lease_s: float = 60) -> Claim:
    with db.transaction() as cur:
        claim = batches.claim(cur, batch_id, run_id, lease_s)
    assert claim
    return claim


def age(cur: Cursor, seconds: float) -> None:
    """Let time pass for every lease and request, without waiting."""
    cur.execute(
        "UPDATE ops.batch SET lease_until = lease_until - make_interval(secs => %(s)s),"
        " requested_at = requested_at - make_interval(secs => %(s)s),"
        " not_before = not_before - make_interval(secs => %(s)s)",
        {"s": seconds},
    )
    cur.execute("UPDATE ops.publish_lease SET until = until - make_interval(secs => %s)", (seconds,))


def states(db: Database) -> list[str]:
    with db.transaction() as cur:
        return [row["state"] for row in objects.ledger_rows(cur)]


def batch_state(db: Database, batch_id: str) -> str:
    with db.transaction() as cur:
        (state,) = [row["state"] for row in batches.batch_rows(cur) if row["batch_id"] == batch_id]
    return state
