"""Opening the sealed objects of a batch and staging their rows.

Nothing here is visible to a reader: files lie beside the tables until the publish adds them. A bad object is set
aside with its reason and the batch goes on without it.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from spv_platform import faults
from spv_platform.errors import PermanentError
from spv_platform.ledger import batches, objects, publications, quarantine, references
from spv_platform.ledger.batches import Claim
from spv_platform.ledger.contracts import FeedContract, contract_of
from spv_platform.ledger.objects import LedgerObject
from spv_platform.ledger.references import Waiting
from spv_platform.memory import give_back, no_collections
from spv_platform.pipeline import healing
from spv_platform.pipeline.claims import Holding
from spv_platform.pipeline.opening import open_item, opened_ahead
from spv_platform.pipeline.platform import Platform

if TYPE_CHECKING:
    import polars as pl

    from spv_platform.envelope.container import Opened
    from spv_platform.fhir.frames import TableRows
    from spv_platform.fhir.parse import QuarantinedEntry
    from spv_platform.lake.stage import StagedFile
    from spv_platform.ledger.db import Cursor
    from spv_platform.ledger.objects import Twin
    from spv_platform.pipeline.healing import Asked

#: Rows of one table, and bytes that they take in memory, that are gathered before a file is written: keeps files large
#: and memory bounded.
ROWS_PER_FILE = 250_000
BYTES_PER_FILE = 256 * 2**20


@dataclass(frozen=True)
class Outcome:
    """What became of one object: its counts, or the reason why it was set aside.

    Attributes:
        same_as: the object that has the same content and counts as its first; then every entry is a duplicate.
        paths: the elements that its resources have, see `fhir.elements_seen`.
        rows: those of its accepted entries and tombstones, by table.
    """

    item: LedgerObject
    reason: str | None = None
    plain_digest: str = ""
    plain_bytes: int = 0
    same_as: int | None = None
    entries: int = 0
    accepted: int = 0
    tombstones: int = 0
    duplicates: int = 0
    superseded: int = 0
    contained: int = 0
    quarantined: "Sequence[QuarantinedEntry]" = ()
    waiting: Sequence[Waiting] = ()
    paths: Set[tuple[str, str]] = frozenset()
    rows: "dict[str, TableRows]" = field(default_factory=dict)

    @property
    def quarantined_entries(self) -> int:
        """How many entries were set aside; one may have several problems."""
        return len({problem.entry for problem in self.quarantined})


@dataclass(frozen=True)
class StageReport:
    """What a batch came to, in counts; `new_content` is what its feeds never brought, by feed and kind."""

    objects: int
    quarantined_objects: int
    sealed_bytes: int
    plain_bytes: int
    entries: int
    accepted: int
    tombstones: int
    duplicates: int
    superseded: int
    quarantined: int
    rows: dict[str, int] = field(default_factory=dict)
    new_content: dict[str, dict[str, int]] = field(default_factory=dict)


def stage_batch(platform: Platform, holding: Holding) -> StageReport:
    """Open, check, project and stage every object of the batch.

    Raises:
        LeaseLostError: the batch is no longer ours.
        TransientError: a store did not answer.
    """
    claim = holding.claim
    with platform.db.transaction() as cur:
        batches.check(cur, claim)
        # what somebody took for settled meanwhile is nobody's any more
        items = [item for item in objects.of_batch(cur, claim.batch_id) if item.state != "rejected"]
        feeds = {feed: contract_of(cur, claim.tenant, feed) for feed in {item.feed for item in items}}
    staging = Staging(platform, claim)
    outcomes: dict[tuple[str, str, str], Outcome] = {}
    done: list[Outcome] = []
    with no_collections():
        for item, opened in opened_ahead(lambda item: _open(platform, item, feeds[item.feed]), items):
            holding.check()
            outcome = _process(platform, claim, item, opened, feeds[item.feed], outcomes)
            staging.add_rows(outcome.rows)
            done.append(replace(outcome, rows={}))
            del opened, outcome  # they hold the content and the rows
        staging.flush()
    new_content = _stage_content(platform, claim, staging, done)
    with platform.db.transaction() as cur:
        batches.check(cur, claim)
        dropped = publications.drop_attempts(cur, claim.batch_id)
        for file in staging.files:
            publications.add_staged_file(cur, claim.batch_id, claim.attempt, file)
        for outcome in done:
            _record(cur, outcome)
        batches.mark_staged(cur, claim)
    kept = {(file.table, file.path) for file in staging.files}
    for lost in dropped:
        # No table refers to what an earlier attempt left, and none will.
        if (lost.table, lost.path) not in kept:
            platform.lake.delete(claim.tenant, platform.lake.url(claim.tenant, "log", lost.table, lost.path))
            faults.point("file_deleted")
    faults.point("after_staging")
    return _report(done, staging.files, new_content)


@dataclass(frozen=True)
class _Open:
    """One object, opened, and what the ledger knows that bears on it.

    Attributes:
        twin: the object that has the same content and was published before.
        asked: what its references ask for, as far as its text tells.
        meant: the resources that these may mean.
    """

    opened: "Opened"
    digest: str
    twin: "Twin | None"
    asked: "Set[Asked]"
    meant: "dict[Asked, list[str]]"


def _open(platform: Platform, item: LedgerObject, contract: FeedContract) -> _Open | str:
    """Open one object and ask the ledger; called ahead of its turn, while another is parsed.

    Returns:
        It, or the reason why it is to be set aside.

    Raises:
        PermanentError: the ledger refused, which is no fault of the object.
    """
    try:
        opened = open_item(platform, item, contract)
    except PermanentError as error:
        return error.reason
    if not contract.takes(opened.content_type):
        return "content_type_refused"
    digest = hashlib.sha256(opened.plain).hexdigest()
    with platform.db.transaction() as cur:
        twin = objects.find_published_digest(cur, item.tenant, item.feed, digest, item.seq)
    asked = set() if twin else healing.searches_in(opened.plain)
    meant = healing.look_up(platform, item.tenant, item.feed, asked)
    return _Open(opened, digest, twin, asked, meant)


def _process(
    platform: Platform,
    claim: Claim,
    item: LedgerObject,
    open_: Callable[[], _Open | str],
    contract: FeedContract,
    seen: dict[tuple[str, str, str], Outcome],
) -> Outcome:
    """Open and parse one object; `seen` holds the batch's outcomes by feed, content and what that is said to be."""
    content = open_()
    if isinstance(content, str):
        return Outcome(item, reason=content)
    known = Outcome(item, plain_digest=content.digest, plain_bytes=len(content.opened.plain))
    if twin := content.twin:
        return replace(known, same_as=twin.seq, entries=twin.entries, duplicates=twin.entries)
    alike = item.feed, content.digest, content.opened.content_type
    first = seen.get(alike)
    if first and first.reason:
        return replace(known, reason=first.reason)
    if first:
        return replace(known, same_as=first.item.seq, entries=first.entries, duplicates=first.entries)
    outcome = _parse(platform, claim, known, content, contract)
    seen[alike] = replace(outcome, rows={})
    return outcome


def _parse(platform: Platform, claim: Claim, known: Outcome, content: _Open, contract: FeedContract) -> Outcome:
    from spv_platform.fhir.parse import parse_object

    item, meant = known.item, content.meant
    parse = partial(
        parse_object,
        content.opened.plain,
        content_type=content.opened.content_type,
        source=item.feed,
        landing_seq=item.seq,
        source_object=known.plain_digest,
        batch_id=claim.batch_id,
        max_entries=contract.limits(platform.settings).max_entries,
        arrays=contract.arrays,
    )
    try:
        parsed = parse(known=meant)
    except PermanentError as error:
        return replace(known, reason=error.reason)
    faults.point("parsed", item.seq)
    further = healing.look_up(platform, item.tenant, item.feed, healing.asked_by(parsed.references) - content.asked)
    if further:  # few objects refer to others in another way, so it takes a first pass to find out what to look up
        meant = meant | further
        parsed = parse(known=meant)
    return replace(
        known,
        entries=parsed.entries,
        accepted=parsed.accepted,
        tombstones=parsed.tombstones,
        duplicates=parsed.duplicates,
        superseded=parsed.superseded,
        contained=parsed.contained,
        quarantined=parsed.quarantined,
        waiting=healing.queued(platform.tenant_keys(item.tenant), parsed.references, meant),
        paths=parsed.paths,
        rows=parsed.rows,
    )


class Staging:
    """Gathers frames per table and writes each table's file when it has so many rows or bytes.

    Attributes:
        files: those written.
        content: what the written rows of resources are made of, see `quality.drift`.
    """

    def __init__(self, platform: Platform, claim: Claim, rows_per_file: int = ROWS_PER_FILE) -> None:
        self.files: list[StagedFile] = []
        self.content: list[pl.DataFrame] = []
        self._rows_per_file = rows_per_file
        self._platform, self._claim = platform, claim
        self._pending: dict[str, TableRows] = {}
        self._frames: dict[str, list[pl.DataFrame]] = defaultdict(list)
        self._bytes: dict[str, int] = defaultdict(int)
        self._parts: dict[str, int] = defaultdict(int)

    def add_rows(self, tables: "dict[str, TableRows]") -> None:
        """Take rows of resources by table. Objects are small: their rows become frames together."""
        from spv_platform.fhir.frames import CHUNK_ROWS

        for name, rows in tables.items():
            if name in self._pending:
                self._pending[name].extend(rows)
            else:
                self._pending[name] = rows
            if len(self._pending[name]) >= min(CHUNK_ROWS, self._rows_per_file):
                self.add({name: self._pending.pop(name).frame()})

    def add(self, tables: dict[str, "pl.DataFrame"]) -> None:
        """Take rows by table; they may be written now or later."""
        for name, frame in tables.items():
            if frame.is_empty():
                continue
            self._frames[name].append(frame)
            self._bytes[name] += int(frame.estimated_size())
            rows = sum(f.height for f in self._frames[name])
            if rows >= self._rows_per_file or self._bytes[name] >= BYTES_PER_FILE:
                self._write([name])

    def flush(self) -> None:
        """Write what has been gathered."""
        self.add({name: rows.frame() for name, rows in self._pending.items()})
        self._pending = {}
        self._write(list(self._frames))

    def _write(self, names: Iterable[str]) -> None:
        from concurrent.futures import ThreadPoolExecutor

        import polars as pl

        from spv_platform.lake.stage import stage
        from spv_platform.lake.tables import TABLES
        from spv_platform.quality.drift import vocabulary

        resource_tables = {table.name: table for table in TABLES}

        def write(name: str) -> "StagedFile":
            rows = pl.concat(self._frames.pop(name))
            if name in resource_tables:
                self.content.append(vocabulary(resource_tables[name], rows))
            return stage(
                self._platform.lake,
                self._claim.tenant,
                name,
                rows,
                batch_id=self._claim.batch_id,
                attempt=self._claim.attempt,
                part=self._parts[name],
            )

        with ThreadPoolExecutor(4) as pool:
            written = list(pool.map(write, names))
        for file in written:
            self.files.append(file)
            self._parts[file.table] += 1
            self._bytes[file.table] = 0
        give_back()


def _stage_content(
    platform: Platform, claim: Claim, staging: Staging, outcomes: list[Outcome]
) -> dict[str, dict[str, int]]:
    """Stage what the feeds are made of, as far as it is new; how much that is, by feed and kind."""
    import polars as pl

    from spv_platform.pipeline.drift import drift
    from spv_platform.quality.drift import FEED_CONTENT, elements

    paths: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for outcome in outcomes:
        paths[outcome.item.feed] |= outcome.paths
    found = [*staging.content, *(elements(feed, each) for feed, each in paths.items())]
    if not found:
        return {}
    told = drift(platform, claim, pl.concat(found))
    staging.add({FEED_CONTENT.name: told.rows})
    staging.flush()
    return told.new


def _record(cur: "Cursor", outcome: Outcome) -> None:
    from spv_platform.fhir.contract import CONTRACT_VERSION

    item = outcome.item
    if outcome.reason:
        objects.quarantine_object(cur, item.seq, outcome.reason, contract=CONTRACT_VERSION)
        quarantine.forget_replayed(cur, item.seq)
        return
    objects.record_counts(
        cur,
        item.seq,
        plain_digest=outcome.plain_digest,
        plain_bytes=outcome.plain_bytes,
        entries=outcome.entries,
        accepted=outcome.accepted,
        tombstones=outcome.tombstones,
        duplicates=outcome.duplicates,
        superseded=outcome.superseded,
        contained=outcome.contained,
        quarantined=outcome.quarantined_entries,
        same_as=outcome.same_as,
    )
    quarantine.put_entries(cur, item.tenant, item.seq, outcome.quarantined, contract=CONTRACT_VERSION)
    references.put_queue(cur, item.tenant, item.feed, item.seq, outcome.waiting)


def _report(outcomes: list[Outcome], files: list["StagedFile"], new_content: dict[str, dict[str, int]]) -> StageReport:
    rows: dict[str, int] = defaultdict(int)
    for file in files:
        rows[file.table] += file.rows
    return StageReport(
        objects=len(outcomes),
        quarantined_objects=sum(outcome.reason is not None for outcome in outcomes),
        sealed_bytes=sum(outcome.item.size_bytes for outcome in outcomes),
        plain_bytes=sum(outcome.plain_bytes for outcome in outcomes),
        entries=sum(outcome.entries for outcome in outcomes),
        accepted=sum(outcome.accepted for outcome in outcomes),
        tombstones=sum(outcome.tombstones for outcome in outcomes),
        duplicates=sum(outcome.duplicates for outcome in outcomes),
        superseded=sum(outcome.superseded for outcome in outcomes),
        quarantined=sum(outcome.quarantined_entries for outcome in outcomes),
        rows=dict(sorted(rows.items())),
        new_content=new_content,
    )
