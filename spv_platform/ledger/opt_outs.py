"""Identifiers of people who want no part in research; HMACs."""

from collections.abc import Sequence

from spv_platform.ledger.db import Cursor


def add(cur: Cursor, tenant: str, identifier: bytes) -> bool:
    """Enter an opt-out; the first one's date stays. Whether it is new."""
    cur.execute(
        "INSERT INTO ops.opt_out (tenant, identifier) VALUES (%s, %s) ON CONFLICT DO NOTHING", (tenant, identifier)
    )
    return cur.rowcount > 0


def remove(cur: Cursor, tenant: str, identifier: bytes) -> bool:
    """Take an opt-out back; whether there was one."""
    cur.execute("DELETE FROM ops.opt_out WHERE tenant = %s AND identifier = %s", (tenant, identifier))
    return cur.rowcount > 0


def among(cur: Cursor, tenant: str, identifiers: Sequence[bytes]) -> set[bytes]:
    """Those of the identifiers that opted out."""
    cur.execute(
        "SELECT identifier FROM ops.opt_out WHERE tenant = %s AND identifier = ANY(%s::bytea[])",
        (tenant, list(identifiers)),
    )
    return {identifier for (identifier,) in cur.fetchall()}
