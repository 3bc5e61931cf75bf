"""Which records hold which resources: sealed documents, one or more of each publication; opaque here."""

from collections.abc import Sequence
from typing import NamedTuple

from spv_platform.ledger.db import Cursor


class Pairs(NamedTuple):
    """What one publication was the first to bring, or a part of it."""

    seq: int
    part: int
    pairs: bytes


def put(cur: Cursor, tenant: str, seq: int, parts: Sequence[bytes]) -> None:
    """Keep what a publication brought; part of the commit."""
    for part, pairs in enumerate(parts):
        cur.execute("INSERT INTO ops.resource_home VALUES (%s, %s, %s, %s)", (tenant, seq, part, pairs))


def forget(cur: Cursor, tenant: str) -> None:
    """Forget all of a tenant; part of the commit of a rebuild, which brings everything."""
    cur.execute("DELETE FROM ops.resource_home WHERE tenant = %s", (tenant,))


def first(cur: Cursor, tenant: str) -> int:
    """The first publication of which something is kept; 0: there is none. After a rebuild it is another one."""
    cur.execute("SELECT coalesce(min(seq), 0) FROM ops.resource_home WHERE tenant = %s", (tenant,))
    ((seq,),) = cur.fetchall()
    return int(seq)


def after(cur: Cursor, tenant: str, seq: int) -> list[Pairs]:
    """What publications after one brought."""
    cur.execute(
        "SELECT seq, part, pairs FROM ops.resource_home WHERE tenant = %s AND seq > %s ORDER BY seq, part",
        (tenant, seq),
    )
    return [Pairs(*row) for row in cur.fetchall()]
