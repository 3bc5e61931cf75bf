"""The public face of the package: the opened bytes of one object to typed frames, with an account of every entry.

Entries balance: entries = accepted + tombstones + duplicates + superseded + quarantined entries. A bad entry never
costs a neighbour.
"""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import MappingProxyType

import polars as pl

from spv_platform.errors import PermanentError
from spv_platform.fhir import contract
from spv_platform.fhir.alike import tell_apart, winners_of
from spv_platform.fhir.digest import compact
from spv_platform.fhir.frames import TableRows
from spv_platform.fhir.identify import identifiers_of, identify
from spv_platform.fhir.problems import EntryRefusedError
from spv_platform.fhir.references import SOUGHT_TYPES, Identified, Known, OpenEnd, Resolver
from spv_platform.fhir.rows import Broken, Check, ObjectRows
from spv_platform.fhir.scalars import instant
from spv_platform.fhir.split import Split, is_one_bundle, says_lines, split
from spv_platform.fhir.version import Origin, Version
from spv_platform.memory import no_collections

#: So far it is looked whether a document has blanks.
_HEAD_BYTES = 1_000
#: Entries that are read together, and bytes of their resources.
_MOST_ENTRIES = 2_000
_MOST_BYTES = 16 * 2**20


@dataclass(frozen=True)
class QuarantinedEntry:
    """One problem of one entry. An entry may have several.

    Attributes:
        entry: 0-based number in the object.
        pointer: JSON pointer within the entry's resource; empty: the entry itself.
        reason: a code of `spv_platform.reasons`.
    """

    entry: int
    pointer: str
    reason: str


@dataclass(frozen=True)
class QueuedReference:
    """References of accepted rows that this object alone does not resolve. The text is data: it may name a person.

    Attributes:
        target_type: the type pointed to, where the reference says so.
        reference_text: what it asks for (`fhir.references.target_of`); as sent where that is nothing to look up.
        how: see `fhir.references`.
        count: how many rows' references.
    """

    target_type: str | None
    reference_text: str
    how: str
    count: int


@dataclass(frozen=True)
class ParsedObject:
    """All that one object holds.

    Attributes:
        rows: by table name; tables without rows are left out.
        entries: how many entries came in.
        accepted: rows that hold a resource.
        tombstones: rows that say a resource was deleted.
        duplicates: entries with the key and the content of an earlier one, or to be created only if that is not there.
        superseded: entries whose key has another version in this object, which wins.
        contained: rows of resources inside of the accepted ones; they are no entries.
        quarantined: every problem of every entry that was set aside.
        references: what to look up elsewhere, sorted.
        paths: (resource type, dotted path) of the elements that its resources have, as a sample tells.
    """

    rows: dict[str, TableRows]
    entries: int
    accepted: int
    tombstones: int
    duplicates: int
    superseded: int
    contained: int
    quarantined: list[QuarantinedEntry]
    references: list[QueuedReference]
    paths: set[tuple[str, str]]

    @cached_property
    def tables(self) -> dict[str, pl.DataFrame]:
        """The rows as frames, each with its table's schema."""
        return {name: rows.frame() for name, rows in self.rows.items()}

    @property
    def quarantined_entries(self) -> int:
        """How many entries were set aside."""
        return len({problem.entry for problem in self.quarantined})

    @property
    def balances(self) -> bool:
        """Whether every entry is accounted for once."""
        found = self.accepted + self.tombstones + self.duplicates + self.superseded + self.quarantined_entries
        return self.entries == found


def parse_object(
    data: bytes,
    *,
    content_type: str,
    source: str,
    landing_seq: int,
    source_object: str,
    batch_id: str,
    max_entries: int,
    arrays: bool = False,
    known: Known = MappingProxyType({}),
    check: Check = contract.second_opinion,
) -> ParsedObject:
    """Parse one opened object.

    Args:
        data: a FHIR Bundle or NDJSON.
        content_type: of the object; empty when not known.
        source: the feed that it came by.
        landing_seq: the ledger's sequence number of the object.
        source_object: SHA-256 of the data, hex.
        batch_id: the batch that carries it.
        max_entries: most entries that are taken.
        arrays: whether it may be a JSON array of resources.
        known: resources of other objects of the feed that open references may mean.
        check: says what is wrong with a resource that `contract.read` does not take.

    Raises:
        PermanentError: the object as a whole cannot be taken: see `split`, and not_a_bundle for a Bundle.timestamp that
            is no time.
    """
    with no_collections():
        parts = split(_without_blanks(data, content_type), content_type, max_entries, arrays=arrays)
        return _parsed(parts, Origin(source, source_object, landing_seq, batch_id), known, check)


def _without_blanks(data: bytes, content_type: str) -> bytes:
    """A Bundle without blanks between its tokens; anything else, and what is large, as it is.

    Each resource would have to lose them by itself. The entries have the same numbers as before.
    """
    head = data[:_HEAD_BYTES]
    blanks = b"\n" in head or b'": ' in head
    if not blanks or len(data) > _MOST_BYTES or says_lines(content_type) or not is_one_bundle(data):
        return data
    return compact(data)


def _parsed(parts: Split, origin: Origin, known: Known, check: Check) -> ParsedObject:
    stated = _bundle_time(parts)
    history = parts.kind == "history"
    names: list[Identified] = []
    versions: list[Version] = []
    bad: list[QuarantinedEntry] = []
    created: set[str | None] = set()
    for entry in parts.entries:
        try:
            version = identify(entry, parts.kind, None if history else stated)
            # a refused resource still gives its name to the references of its neighbours
            sought = identifiers_of(version, entry) if version.resource_type in SOUGHT_TYPES else ()
            called = None
            if version.if_absent:
                called = f"{version.resource_type}/{version.own_id}" if version.own_id else None
                # of several the first that was sent says what it is known by
                sought = () if version.condition in created else sought
                created.add(version.condition)
            name = Identified(
                version.full_url,
                version.resource_type,
                version.resource_id,
                sought,
                version.version_id,
                called,
                version.deleted,
            )
        except EntryRefusedError as error:
            bad += _set_aside(entry.index, error)
            continue
        names.append(name)
        versions.append(version)
    if history:
        _date_by_place(versions, stated)
    tell_apart(parts, versions, names)
    others = (
        Identified(
            None, version.resource_type, version.resource_id, identifiers_of(version, parts.entries[version.entry])
        )
        for version in versions
        if version.resource_type not in SOUGHT_TYPES
    )
    rows = ObjectRows(parts, Resolver(names, others), known, origin, check)
    projected: list[Version] = []
    repeated = 0
    # what a drug is has to be known before who got it
    for drugs in (True, False):
        some = [version for version in versions if (version.resource_type == "Medication") is drugs]
        if not drugs:
            rows.note_drugs(winners_of(projected, newest_first=history)[0])
        taken, refused, again = _take(rows, parts, some)
        projected += taken
        bad += [problem for entry, error in refused.items() for problem in _set_aside(entry, error)]
        repeated += again
    projected.sort(key=lambda each: each.entry)
    winners, duplicates = winners_of(projected, newest_first=history)
    superseded = len(projected) - len(winners) - duplicates
    return ParsedObject(
        rows=rows.kept(winners, redated=duplicates > 0),
        entries=len(parts.entries),
        accepted=sum(not version.deleted for version in winners),
        tombstones=sum(version.deleted for version in winners),
        duplicates=duplicates + repeated,
        superseded=superseded,
        contained=rows.contained(winners),
        quarantined=sorted(bad, key=lambda problem: (problem.entry, problem.pointer, problem.reason)),
        references=_queued(rows.open_ends(winners)),
        paths=rows.seen.paths,
    )


def _date_by_place(versions: list[Version], stated: datetime | None) -> None:
    """Give versions of a history that say no time the latest one of the changes listed as older; but for deletions.

    A deletion without a time has a rule of its own (`winners_of`). The history's own time is only when it was asked
    for, so it counts only if no version says any.
    """
    dated = any(version.version_time for version in versions)
    time = None if dated else stated
    for version in reversed(versions):
        if version.version_time is not None:
            time = max(version.version_time, time or version.version_time)
        elif not (dated and version.deleted):
            version.version_time = time


def body_of(data: bytes, content_type: str, entry: int) -> bytes:
    """The JSON text of one entry's resource, as sent.

    Args:
        data: the opened object.
        content_type: of the object.
        entry: 0-based number, as in the column `source_entry`.

    Raises:
        PermanentError: the content cannot be split, or the entry has no resource that can be read.
    """
    entries = split(data, content_type, max_entries=len(data), arrays=True).entries
    raw = entries[entry].raw if 0 <= entry < len(entries) else None
    if raw is None:
        raise PermanentError("no_resource", f"entry {entry}")
    return raw


def _take(rows: ObjectRows, parts: Split, versions: list[Version]) -> tuple[list[Version], Broken, int]:
    """Project versions: those that are taken, why others are not, and how many repeat what is there by then.

    Of those that are to be created only if there is no such resource the first that is taken counts.
    """
    taken: list[Version] = []
    broken: Broken = {}
    repeated = 0
    alternatives: defaultdict[str | None, deque[Version]] = defaultdict(deque)
    now: list[Version] = []
    for version in versions:
        (alternatives[version.condition] if version.if_absent else now).append(version)
    while now or alternatives:
        tried = {condition: waiting.popleft() for condition, waiting in alternatives.items()}
        now = sorted([*now, *tried.values()], key=lambda each: each.entry) if tried else now
        for portion in _portions(parts, now):
            broken |= rows.add(portion)
        taken += [version for version in now if version.entry not in broken]
        for condition, version in tried.items():
            if version.entry not in broken:
                repeated += len(alternatives.pop(condition))
            elif not alternatives[condition]:
                del alternatives[condition]
        now = []
    return taken, broken, repeated


def _portions(parts: Split, versions: list[Version]) -> Iterator[list[Version]]:
    """The versions in portions of bounded size, in their order."""
    portion: list[Version] = []
    left = _MOST_BYTES
    for version in versions:
        size = len(memoryview(parts.entries[version.entry].content or b""))
        if portion and (size > left or len(portion) == _MOST_ENTRIES):
            yield portion
            portion, left = [], _MOST_BYTES
        portion.append(version)
        left -= size
    if portion:
        yield portion


def _queued(ends: Mapping[OpenEnd, int]) -> list[QueuedReference]:
    ordered = sorted(ends.items(), key=lambda item: (item[0][0] or "", *item[0][1:]))
    return [QueuedReference(target, text, how, count) for (target, text, how), count in ordered]


def _bundle_time(parts: Split) -> datetime | None:
    if parts.timestamp is None:
        return None
    try:
        return instant(parts.timestamp)
    except ValueError:
        raise PermanentError("not_a_bundle", "/timestamp") from None


def _set_aside(entry: int, error: EntryRefusedError) -> list[QuarantinedEntry]:
    return [QuarantinedEntry(entry, problem.pointer, problem.reason) for problem in error.problems]
