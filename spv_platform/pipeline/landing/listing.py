"""Looking at the landing bucket where new objects are to be expected, at a cost that does not grow with what is there.

A bucket of one page is listed as a whole. In a larger one each feed is looked at on its own: the names from shortly
before the last complete look on, and of a feed whose names say nothing (`any`) also the whole, page by page, look by
look. A look ends after a time and the next goes on from there. Times are the store's own, never this machine's, and
they never come from names: a name of tomorrow hides nothing. What is missed all the same is for the sweep to find.

What is kept between looks is only this process's; one that starts anew begins at the marks in the ledger.
"""

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from spv_platform import faults
from spv_platform.ledger import marks, objects
from spv_platform.ledger.db import Database
from spv_platform.ledger.layouts import ANY, beginning
from spv_platform.ledger.marks import FeedMark
from spv_platform.ledger.objects import FoundObject
from spv_platform.pipeline.landing.pages import found_objects, next_marker, page_of, store_time

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: No page is asked for when a look has taken so long.
LOOK_S = 0.7
#: A look begins so long before the last complete one: for clocks of senders that are behind the store's, and for
#: objects that were named when their upload began.
OVERLAP = timedelta(minutes=10)
#: Pages of one feed in one look: each feed has its turn.
PAGES_OF_FEED = 5
#: The listing of the whole of a feed goes on so often.
ROUND_EVERY_S = 1.0
#: A mark that moves less is not written.
_MARK_STEP = timedelta(seconds=10)
#: So many object versions that are surely in the ledger are remembered, to spare it the question.
_MOST_KNOWN = 20_000


@dataclass
class _Pass:
    """A listing that goes on from look to look. It began at a time of the store; no `marker`: it is not under way."""

    marker: dict[str, str] = field(default_factory=dict)
    began: datetime | None = None


@dataclass
class _Feed:
    """The two listings of a feed: of the names to be expected, and of all."""

    tail: _Pass = field(default_factory=_Pass)
    whole: _Pass = field(default_factory=_Pass)
    whole_after_s: float = 0.0


class Listing:
    """The looks of one process at one landing bucket; not to be shared between threads.

    Attributes:
        listed_s: when the last look ended, by the monotonic clock.

    Args:
        s3: the object store.
        db: the ledger.
        bucket: the landing bucket.
    """

    def __init__(self, s3: "S3Client", db: Database, bucket: str) -> None:
        self._s3, self._db, self._bucket = s3, db, bucket
        self.listed_s = float("-inf")
        self._small = True
        self._turn = 0
        self._feeds: dict[FeedMark, _Feed] = {}
        self._known: set[tuple[str, str]] = set()

    def look(self) -> int:
        """Enter what is found into the ledger; how many object versions were new.

        Raises:
            TransientError: the store or the ledger did not answer; the next look begins at the marks.
        """
        try:
            new = self._look()
        except BaseException:
            # A listing that goes on would leave out what this look has seen and not entered.
            self._feeds.clear()
            raise
        self.listed_s = time.monotonic()
        return new

    def _look(self) -> int:
        found: list[FoundObject] = []
        if self._small:
            page = page_of(self._s3, self._bucket, "")
            found += self._unknown(page)
            self._small = not page["IsTruncated"]
        if self._small:
            return self._enter(found, [])
        with self._db.transaction() as cur:
            feeds = marks.marks(cur)
        until, done = time.monotonic() + LOOK_S, []
        for _ in feeds:
            mark = feeds[self._turn % len(feeds)]
            self._turn += 1
            seen_until = self._look_at(mark, found, until)
            if seen_until:
                done.append((mark, seen_until))
            if time.monotonic() > until:
                break
        return self._enter(found, done)

    def _look_at(self, mark: FeedMark, found: list[FoundObject], until: float) -> datetime | None:
        """Go on with the listings of a feed; up to which time it has been seen, if one came to its end."""
        # Without the time, which is where a listing begins: one that is under way goes on.
        state = self._feeds.setdefault(mark._replace(seen_until=None), _Feed())
        prefix = f"{mark.tenant}/{mark.feed}/"
        if mark.seen_until is None:
            return self._go_on(state.whole, prefix, "", found, PAGES_OF_FEED, until)
        start = prefix + beginning(mark.layout, mark.seen_until - OVERLAP)
        seen_until = self._go_on(state.tail, prefix, start, found, PAGES_OF_FEED, until)
        if mark.layout == ANY and time.monotonic() >= state.whole_after_s:
            self._go_on(state.whole, prefix, "", found, 1, until)
            state.whole_after_s = time.monotonic() + ROUND_EVERY_S
        return seen_until

    def _go_on(
        self, under_way: _Pass, prefix: str, start: str, found: list[FoundObject], pages: int, until: float
    ) -> datetime | None:
        """Take the next pages of a listing, after `start` if it is not under way; when it began, if it has ended."""
        for _ in range(pages):
            marker = under_way.marker or ({"KeyMarker": start} if start else {})
            page = page_of(self._s3, self._bucket, prefix, marker)
            if not under_way.marker:
                under_way.began = store_time(page)
            under_way.marker = next_marker(page)
            found += self._unknown(page)
            if not under_way.marker:
                return under_way.began
            if time.monotonic() > until:
                break
        return None

    def _unknown(self, page: dict[str, Any]) -> list[FoundObject]:
        found = found_objects(self._bucket, page)
        return [each for each in found if (each.key, each.version) not in self._known]

    def _enter(self, found: list[FoundObject], done: list[tuple[FeedMark, datetime]]) -> int:
        moved = [(mark, at) for mark, at in done if mark.seen_until is None or abs(at - mark.seen_until) >= _MARK_STEP]
        if not found and not moved:
            return 0
        faults.point("listed")
        with self._db.transaction() as cur:
            new = objects.discover(cur, found)
            for mark, seen_until in moved:
                marks.move(cur, mark, seen_until)
        faults.point("entered")
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        self._known.update((each.key, each.version) for each in found)
        return new
