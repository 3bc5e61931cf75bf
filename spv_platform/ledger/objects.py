"""The object ledger: every object version that landed, in which state it is, and what came out of it.

States: `landed` waits (for a batch, or for the batch's run), `claimed` and `staged` follow the batch, `published`,
`set_aside` and `rejected` with its batch, `quarantined` for a reason of its own. What moves a batch and its objects
together is in `batches`.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from psycopg2.extras import execute_values

from spv_platform.errors import UsageError
from spv_platform.ledger.db import Cursor, rows_as_dicts
from spv_platform.reasons import REASONS


class FoundObject(NamedTuple):
    """One object version in the landing bucket, as a listing shows it; `landed_at` with a time zone."""

    bucket: str
    key: str
    version: str
    size_bytes: int
    etag: str
    landed_at: datetime


class LedgerObject(NamedTuple):
    """One object as the ledger knows it.

    `seq` is its landing sequence, `format` what its feed says it holds (None for an unknown feed); counts are None
    until the object was opened.
    """

    seq: int
    bucket: str
    key: str
    version: str
    tenant: str
    feed: str
    format: str | None
    size_bytes: int
    etag: str
    landed_at: datetime
    state: str
    reason: str | None
    attempt: int
    batch_id: str | None
    plain_digest: str | None
    plain_bytes: int | None
    entries: int | None
    accepted: int | None
    tombstones: int | None
    duplicates: int | None
    superseded: int | None
    quarantined: int | None
    same_as: int | None

    @property
    def balances(self) -> bool | None:
        """Whether every entry is accounted for; None until the object was counted. In SQL: `BALANCES`."""
        if self.entries is None:
            return None
        parts = (self.accepted, self.tombstones, self.duplicates, self.superseded, self.quarantined)
        return self.entries == sum(part or 0 for part in parts)


class Twin(NamedTuple):
    """A published object with equal content, and how many entries were counted in it."""

    seq: int
    entries: int


#: Whether an object can wait: it has bytes, and its tenant and feed are there.
OF_ACTIVE_FEED = (
    " size_bytes > 0 AND (tenant, feed) IN"
    " (SELECT tenant, feed FROM ops.feed JOIN ops.tenant USING (tenant) WHERE removed_at IS NULL)"
)
#: Whether every entry of an object is accounted for; null until the object was counted.
BALANCES = "entries = accepted + tombstones + duplicates + superseded + quarantined"

_SELECT = (
    "SELECT seq, bucket, key, version, tenant, feed, format, size_bytes, etag, landed_at, state, reason, attempt,"
    " batch_id, plain_digest, plain_bytes, entries, accepted, tombstones, duplicates, superseded, quarantined, same_as"
    " FROM ops.object LEFT JOIN ops.feed USING (tenant, feed)"
)


def discover(cur: Cursor, found: Iterable[FoundObject]) -> int:
    """Enter what was found; what is known already stays as it is.

    The landing sequence follows (landed_at, key) within one call; versions of a key that landed in one second come in
    the order in which they are given. The key `<tenant>/<feed>/…` says whose it is; objects of nobody, and empty ones,
    are quarantined at once.

    Returns:
        How many were new.
    """
    ordered = sorted(_new(cur, found), key=lambda each: (each.landed_at, each.key))
    if not ordered:
        return 0
    feeds = active_feeds(cur)
    rows = []
    for each in ordered:
        tenant, feed = owner(each.key)
        reason = refusal(tenant, feed, each.size_bytes, feeds)
        rows.append((*each, tenant, feed, "quarantined" if reason else "landed", reason))
    new = execute_values(
        cur,
        "INSERT INTO ops.object (bucket, key, version, size_bytes, etag, landed_at, tenant, feed, state, reason)"
        " VALUES %s ON CONFLICT (bucket, key, version) DO NOTHING RETURNING 1",
        rows,
        page_size=1000,
        fetch=True,
    )
    return len(new)


def get(cur: Cursor, seq: int) -> LedgerObject:
    """One object.

    Raises:
        UsageError: no such object.
    """
    cur.execute(_SELECT + " WHERE seq = %s", (seq,))
    row = cur.fetchone()
    if row is None:
        raise UsageError(f"object {seq} does not exist: look at `spv ledger` for what there is")
    return LedgerObject(*row)


def of_batch(cur: Cursor, batch_id: str) -> list[LedgerObject]:
    """The objects of a batch in landing order, with those that its current attempt has quarantined."""
    cur.execute(_SELECT + " WHERE batch_id = %s ORDER BY seq", (batch_id,))
    return [LedgerObject(*row) for row in cur.fetchall()]


def quarantine_object(cur: Cursor, seq: int, reason: str, *, contract: str | None = None) -> None:
    """Set an object aside for a reason of its own. One that is published or set aside stays what it is.

    A run calls this after `batches.check` in the same transaction. The next attempt of the batch, if there is one,
    looks at the object again.
    """
    if REASONS[reason].level != "object":
        raise ValueError(f"{reason} is no reason for an object")
    cur.execute(
        "UPDATE ops.object SET state = 'quarantined', reason = %s, contract = %s"
        " WHERE seq = %s AND state IN ('landed', 'claimed', 'staged')",
        (reason, contract, seq),
    )


def admit_refused(cur: Cursor, tenant: str) -> int:
    """Let the objects wait that landed before their tenant or feed was there; how many. They keep their sequence."""
    cur.execute(
        "UPDATE ops.object SET state = 'landed', reason = NULL WHERE tenant = %s AND state = 'quarantined'"  # noqa: S608
        f" AND reason IN ('unknown_tenant', 'unknown_feed') AND batch_id IS NULL AND {OF_ACTIVE_FEED}",
        (tenant,),
    )
    return cur.rowcount


def record_counts(
    cur: Cursor,
    seq: int,
    *,
    plain_digest: str,
    plain_bytes: int,
    entries: int,
    accepted: int,
    tombstones: int,
    duplicates: int,
    superseded: int,
    quarantined: int,
    contained: int = 0,
    same_as: int | None = None,
) -> None:
    """Enter what was in an object. A run calls this after `batches.check` in the same transaction.

    Args:
        cur: the transaction.
        seq: the object.
        plain_digest: SHA-256 of the opened content, hex.
        plain_bytes: its size.
        entries: what came in; balances when it equals the sum of the following five.
        accepted: entries that became resource versions.
        tombstones: deletions.
        duplicates: entries that were there already.
        superseded: entries with a newer version in the same object.
        quarantined: entries set aside.
        contained: rows of resources inside of accepted ones, beyond the entries.
        same_as: the published object with equal content.
    """
    cur.execute(
        "UPDATE ops.object SET plain_digest = %s, plain_bytes = %s, entries = %s, accepted = %s, tombstones = %s,"
        " duplicates = %s, superseded = %s, quarantined = %s, contained = %s, same_as = %s WHERE seq = %s",
        (
            plain_digest,
            plain_bytes,
            entries,
            accepted,
            tombstones,
            duplicates,
            superseded,
            quarantined,
            contained,
            same_as,
            seq,
        ),
    )


def find_published_digest(cur: Cursor, tenant: str, feed: str, digest: str, before_seq: int) -> Twin | None:
    """The first published object of the feed with this content that landed before `before_seq`."""
    cur.execute(
        "SELECT seq, entries FROM ops.object WHERE tenant = %s AND feed = %s AND plain_digest = %s AND seq < %s"
        " AND state = 'published' ORDER BY seq LIMIT 1",
        (tenant, feed, digest, before_seq),
    )
    row = cur.fetchone()
    return Twin(*row) if row else None


def by_digest(cur: Cursor, tenant: str, feed: str, digest: str) -> list[LedgerObject]:
    """Every object with this content, in landing order: each is a master of the rows that point to the digest."""
    cur.execute(_SELECT + " WHERE tenant = %s AND feed = %s AND plain_digest = %s ORDER BY seq", (tenant, feed, digest))
    return [LedgerObject(*row) for row in cur.fetchall()]


def ledger_rows(cur: Cursor, tenant: str | None = None, *, state: str | None = None) -> list[dict[str, Any]]:
    """What `spv ledger` shows, in landing order; counts and `balances` are None until the object was counted."""
    cur.execute(
        "SELECT bucket || '/' || key || '@' || version AS object, tenant, state, reason, attempt, size_bytes AS bytes,"  # noqa: S608
        " entries, accepted, tombstones, duplicates, superseded, quarantined,"
        f" {BALANCES} AS balances"
        " FROM ops.object"
        " WHERE (%(tenant)s IS NULL OR tenant = %(tenant)s) AND (%(state)s IS NULL OR state = %(state)s)"
        " ORDER BY seq",
        {"tenant": tenant, "state": state},
    )
    return rows_as_dicts(cur)


def _new(cur: Cursor, found: Iterable[FoundObject]) -> list[FoundObject]:
    """Those that the ledger has not. An insert that meets a conflict takes a sequence number all the same."""
    asked = {each[:3]: each for each in found}
    cur.execute(
        "SELECT bucket, key, version FROM unnest(%s::text[], %s::text[], %s::text[]) AS asked (bucket, key, version)"
        " JOIN ops.object USING (bucket, key, version)",
        [[place[part] for place in asked] for part in range(3)],
    )
    for place in cur.fetchall():
        asked.pop(place)
    return list(asked.values())


def active_feeds(cur: Cursor) -> dict[str, set[str]]:
    """Feeds by tenant that is not removed."""
    cur.execute(
        "SELECT tenant, array_agg(feed) FROM ops.tenant LEFT JOIN ops.feed USING (tenant)"
        " WHERE removed_at IS NULL GROUP BY tenant"
    )
    return {tenant: set(feeds) for tenant, feeds in cur.fetchall()}


def owner(key: str) -> tuple[str, str]:
    """Tenant and feed that a key names; the feed is empty where it names none."""
    tenant, _, rest = key.partition("/")
    feed, slash, _ = rest.partition("/")
    return tenant, feed if slash else ""


def refusal(tenant: str, feed: str, size_bytes: int, feeds: dict[str, set[str]]) -> str | None:
    """Why an object is not taken, before it is opened; None: it is."""
    if tenant not in feeds:
        return "unknown_tenant"
    if feed not in feeds[tenant]:
        return "unknown_feed"
    return None if size_bytes else "empty_object"
