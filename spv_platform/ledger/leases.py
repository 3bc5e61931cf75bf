"""The publish lease: one publisher a tenant at a time, fenced by a token that grows at every take-over.

A lease that ran out is still its holder's until somebody takes over.
"""

from typing import NamedTuple

from spv_platform.errors import LeaseLostError
from spv_platform.ledger.db import Cursor


class Token(NamedTuple):
    """The right to publish for a tenant."""

    tenant: str
    holder: str
    token: int


def acquire(cur: Cursor, tenant: str, holder: str, lease_s: float) -> Token | None:
    """Take the tenant's lease if it is free or ran out; the holder itself gets its own token again.

    Returns:
        None when another holder has it, or is committing right now.
    """
    cur.execute("INSERT INTO ops.publish_lease (tenant) VALUES (%s) ON CONFLICT DO NOTHING", (tenant,))
    cur.execute(
        "SELECT holder, until > clock_timestamp() FROM ops.publish_lease WHERE tenant = %s FOR UPDATE SKIP LOCKED",
        (tenant,),
    )
    row = cur.fetchone()
    if row is None:
        return None
    current, live = row
    if live and current != holder:
        return None
    cur.execute(
        "UPDATE ops.publish_lease SET holder = %s, token = token + %s,"
        " until = clock_timestamp() + make_interval(secs => %s) WHERE tenant = %s RETURNING token",
        (holder, int(current != holder), lease_s, tenant),
    )
    ((token,),) = cur.fetchall()
    return Token(tenant, holder, token)


def renew(cur: Cursor, token: Token, lease_s: float) -> None:
    """Lengthen the lease.

    Raises:
        LeaseLostError: somebody has taken over, or the lease was released.
    """
    cur.execute(
        "UPDATE ops.publish_lease SET until = clock_timestamp() + make_interval(secs => %s)"
        " WHERE tenant = %s AND holder = %s AND token = %s",
        (lease_s, *token),
    )
    if not cur.rowcount:
        raise LeaseLostError("publish lease")


def check_for_update(cur: Cursor, token: Token) -> None:
    """Make sure that the lease stands, and that nobody can take it before this transaction ends.

    Raises:
        LeaseLostError: somebody has taken over, or the lease was released.
    """
    cur.execute(
        "SELECT 1 FROM ops.publish_lease WHERE tenant = %s AND holder = %s AND token = %s FOR UPDATE", tuple(token)
    )
    if cur.fetchone() is None:
        raise LeaseLostError("publish lease")


def release(cur: Cursor, token: Token) -> None:
    """Free the lease; nothing to do if it is not ours any more."""
    cur.execute(
        "UPDATE ops.publish_lease SET holder = NULL, until = '-infinity'"
        " WHERE tenant = %s AND holder = %s AND token = %s",
        tuple(token),
    )
