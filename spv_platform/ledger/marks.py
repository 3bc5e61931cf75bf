"""Up to which time of the store each feed's new objects are surely in the ledger: where a look begins."""

from datetime import datetime
from typing import NamedTuple

from spv_platform.ledger.db import Cursor
from spv_platform.ledger.layouts import ANY


class FeedMark(NamedTuple):
    """A feed, how its objects are named, and up to which time of the store it was looked at; None: not at all."""

    tenant: str
    feed: str
    layout: str
    seen_until: datetime | None


def marks(cur: Cursor) -> list[FeedMark]:
    """Of every feed whose tenant is not removed."""
    cur.execute(
        "SELECT tenant, feed, coalesce(contract->>'layout', %s), seen_until"
        " FROM ops.feed JOIN ops.tenant USING (tenant) WHERE removed_at IS NULL ORDER BY tenant, feed",
        (ANY,),
    )
    return [FeedMark(*row) for row in cur.fetchall()]


def move(cur: Cursor, mark: FeedMark, seen_until: datetime) -> None:
    """Set a feed's mark, in either direction: the store's clock may have been set back.

    Not if another contract came into force meanwhile: where it says another layout, the mark has another meaning.
    """
    cur.execute(
        "UPDATE ops.feed SET seen_until = %s"
        " WHERE tenant = %s AND feed = %s AND coalesce(contract->>'layout', %s) = %s",
        (seen_until, mark.tenant, mark.feed, ANY, mark.layout),
    )
