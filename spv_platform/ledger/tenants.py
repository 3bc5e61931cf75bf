"""Who sends: tenants and their feeds."""

import re
from typing import NamedTuple

from spv_platform.errors import UsageError
from spv_platform.ledger.db import Cursor

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
    _check_name("tenant", tenant)
    cur.execute(
        "INSERT INTO ops.tenant (tenant) VALUES (%s) ON CONFLICT (tenant) DO UPDATE SET removed_at = NULL", (tenant,)
    )


def add_feed(cur: Cursor, tenant: str, feed: str, payload_format: str) -> None:
    """Add a feed to a tenant, or change its format.

    Raises:
        UsageError: no such tenant, or the name cannot be part of a path.
    """
    _check_name("feed", feed)
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


def _check_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{what} {name!r}: use 1 to 63 of a-z, 0-9 and -, not starting with -")
