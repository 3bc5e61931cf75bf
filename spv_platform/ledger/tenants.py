"""Who sends: tenants and their feeds. What a removal does to a tenant's batches is in `removal`."""

import re
from datetime import date
from typing import Any, NamedTuple

from spv_platform.errors import PermanentError, UsageError
from spv_platform.ledger.db import Cursor, rows_as_dicts

# The names are parts of object keys, lake paths and partition keys.
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class Feed(NamedTuple):
    """One kind of delivery of a tenant: the second part of its object keys, and what the objects hold."""

    feed: str
    format: str


def add_tenant(cur: Cursor, tenant: str) -> None:
    """Add a tenant; one that was removed comes back. Doing it twice changes nothing.

    Raises:
        UsageError: the name cannot be part of a path.
    """
    check_name("tenant", tenant)
    cur.execute(
        "INSERT INTO ops.tenant (tenant) VALUES (%s) ON CONFLICT (tenant) DO UPDATE SET removed_at = NULL", (tenant,)
    )


def add_feed(cur: Cursor, tenant: str, feed: str, payload_format: str) -> None:
    """Add a feed to a tenant, or change its format.

    Raises:
        UsageError: no such tenant, or the name cannot be part of a path.
    """
    check_name("feed", feed)
    if not tenant_exists(cur, tenant):
        raise UsageError(f"tenant {tenant!r} does not exist: add the tenant before its feeds")
    cur.execute(
        "INSERT INTO ops.feed (tenant, feed, format) VALUES (%s, %s, %s)"
        " ON CONFLICT (tenant, feed) DO UPDATE SET format = excluded.format",
        (tenant, feed, payload_format),
    )


def tenants(cur: Cursor) -> list[str]:
    """The tenants that are not removed, sorted."""
    cur.execute("SELECT tenant FROM ops.tenant WHERE removed_at IS NULL ORDER BY tenant")
    return [tenant for (tenant,) in cur.fetchall()]


def feeds(cur: Cursor, tenant: str) -> list[Feed]:
    """The feeds of a tenant, sorted by name."""
    cur.execute("SELECT feed, format FROM ops.feed WHERE tenant = %s ORDER BY feed", (tenant,))
    return [Feed(*row) for row in cur.fetchall()]


def tenant_exists(cur: Cursor, tenant: str) -> bool:
    """Whether the tenant is known and not removed."""
    cur.execute("SELECT 1 FROM ops.tenant WHERE tenant = %s AND removed_at IS NULL", (tenant,))
    return cur.fetchone() is not None


def require_tenant(cur: Cursor, tenant: str) -> None:
    """Refuse a name that somebody gave and no tenant has.

    Raises:
        UsageError: the tenant is unknown or removed; the message names those there are.
    """
    known = tenants(cur)
    if tenant not in known:
        raise UsageError(f"there is no tenant {tenant}: choose one of {', '.join(known) or 'none yet'}")


def keep_active(cur: Cursor, tenant: str) -> bool:
    """Whether the tenant is known and not removed; if so, it is not removed before this transaction ends."""
    cur.execute("SELECT 1 FROM ops.tenant WHERE tenant = %s AND removed_at IS NULL FOR KEY SHARE", (tenant,))
    return cur.fetchone() is not None


def check_active(cur: Cursor, tenant: str) -> None:
    """The same, for a commit. Call it before the transaction locks a batch, as a removal does.

    Raises:
        PermanentError: `tenant_removed`.
    """
    if not keep_active(cur, tenant):
        raise PermanentError("tenant_removed", f"tenant {tenant}")


def removed(cur: Cursor) -> list[str]:
    """The tenants that are removed, sorted."""
    cur.execute("SELECT tenant FROM ops.tenant WHERE removed_at IS NOT NULL ORDER BY tenant")
    return [tenant for (tenant,) in cur.fetchall()]


def check_time_zone(cur: Cursor, zone: str) -> None:
    """Refuse what is no zone that the database knows, written as Area/Place.

    Raises:
        UsageError: it is none.
    """
    cur.execute("SELECT 1 FROM pg_timezone_names WHERE name = %s AND name ~ '^(UTC|[A-Z].*/.*)$'", (zone,))
    if cur.fetchone() is None:
        raise UsageError(f"time zone {zone!r}: no IANA name such as Europe/Berlin, America/Chicago or UTC: correct it")


def set_time_zone(cur: Cursor, tenant: str, zone: str) -> None:
    """Say where a tenant is; if that is another zone than before, its next day begins at once (`begin_day`)."""
    cur.execute(
        "UPDATE ops.tenant SET time_zone = %s, matched_for = NULL WHERE tenant = %s AND time_zone <> %s",
        (zone, tenant, zone),
    )


def zone_and_day(cur: Cursor, tenant: str) -> tuple[str, date]:
    """The tenant's time zone, and the day that it is there by the database's clock.

    Raises:
        UsageError: no such tenant.
    """
    cur.execute("SELECT time_zone, (now() AT TIME ZONE time_zone)::date FROM ops.tenant WHERE tenant = %s", (tenant,))
    row = cur.fetchone()
    if row is None:
        raise UsageError(f"there is no tenant {tenant}: `spv tenant list` shows them")
    return row


def begin_day(cur: Cursor, tenant: str) -> bool:
    """Note the day that it is at a tenant; whether it is another one than when this was last asked."""
    cur.execute(
        "UPDATE ops.tenant SET matched_for = (now() AT TIME ZONE time_zone)::date WHERE tenant = %s"
        " AND matched_for IS DISTINCT FROM (now() AT TIME ZONE time_zone)::date",
        (tenant,),
    )
    return bool(cur.rowcount)


def tenant_rows(cur: Cursor) -> list[dict[str, Any]]:
    """Tenants for display: zone, age, whether removed, objects that wait, batches that are open and set aside."""
    cur.execute(
        "SELECT tenant, time_zone, created_at, removed_at,"
        " (SELECT count(*) FROM ops.object WHERE object.tenant = tenant.tenant AND object.state = 'landed') AS waiting,"
        " (SELECT count(*) FROM ops.batch WHERE batch.tenant = tenant.tenant"
        "   AND batch.state IN ('formed', 'claimed', 'staged')) AS open_batches,"
        " (SELECT count(*) FROM ops.batch WHERE batch.tenant = tenant.tenant AND batch.state = 'set_aside')"
        "   AS set_aside_batches"
        " FROM ops.tenant ORDER BY tenant"
    )
    return rows_as_dicts(cur)


def check_name(what: str, name: str) -> None:
    """Refuse a name that cannot be a part of object keys, paths and partition keys.

    Raises:
        UsageError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{what} {name!r}: use 1 to 63 of a-z, 0-9 and -, not starting with -")
