"""The public face of the package: the opened bytes of one object to typed frames, with an account of every entry.

Entries balance: entries = accepted + tombstones + duplicates + superseded + quarantined entries. A bad entry never
costs a neighbour.
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import chain
from types import MappingProxyType

import msgspec
import polars as pl

from spv_platform.errors import PermanentError
from spv_platform.fhir import contract
from spv_platform.fhir.alike import tell_apart, winners_of
from spv_platform.fhir.contained import Part, names_of, parts_of, with_drug
from spv_platform.fhir.contract import Problem
from spv_platform.fhir.digest import compact, digest
from spv_platform.fhir.elements_seen import ElementsSeen
from spv_platform.fhir.frames import Row, TableRows
from spv_platform.fhir.identify import condition_of, identifiers_of, identify
from spv_platform.fhir.problems import EntryRefusedError
from spv_platform.fhir.project import Origin, Version, extensions_of, projector_of
from spv_platform.fhir.references import (
    SOUGHT_TYPES,
    EntryReferences,
    Identified,
    Known,
    ObjectReferences,
    OpenEnd,
    Resolver,
)
from spv_platform.fhir.scalars import instant
from spv_platform.fhir.split import Split, split
from spv_platform.fhir.structs import Resource
from spv_platform.lake.describe import SYSTEM_COLUMNS
from spv_platform.lake.tables import MEDICATION, OTHER_RESOURCE, TABLES, table_of

_BACKSLASH = ord("\\")
_PATIENT = list(SYSTEM_COLUMNS).index("patient_id")

Check = Callable[[str, bytes], list[Problem]]


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


@contextmanager
def no_collections() -> Iterator[None]:
    """Rows are many objects and hold no cycles: looking for some all the time takes a tenth of it and more."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


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
        parts = split(data, content_type, max_entries, arrays=arrays)
        return _parsed(parts, Origin(source, source_object, landing_seq, batch_id), known, check)


def _parsed(parts: Split, origin: Origin, known: Known, check: Check) -> ParsedObject:
    stated = _bundle_time(parts)
    names: list[Identified] = []
    versions: list[Version] = []
    bad: list[QuarantinedEntry] = []
    created: dict[str, Identified] = {}
    conditions: dict[int, str] = {}
    for entry in parts.entries:
        try:
            version = identify(entry, parts.kind, stated)
            # a refused resource still gives its name to the references of its neighbours
            sought = identifiers_of(version, entry) if version.resource_type in SOUGHT_TYPES else ()
            name = Identified(version.full_url, version.resource_type, version.resource_id, sought)
            condition = condition_of(entry, version.resource_type) if entry.if_none_exist else None
            if condition:
                conditions[entry.index] = condition
                first = created.setdefault(condition, name)
                if first is not name:
                    # to the server there is such a resource already, and this name means it
                    version.resource_id = first.resource_id
                    name = first._replace(full_url=version.full_url, identifiers=())
            names.append(name)
        except EntryRefusedError as error:
            bad += _set_aside(entry.index, error)
            continue
        versions.append(version)
    tell_apart(parts, versions, names, conditions.keys())
    others = (
        Identified(
            None, version.resource_type, version.resource_id, identifiers_of(version, parts.entries[version.entry])
        )
        for version in versions
        if version.resource_type not in SOUGHT_TYPES
    )
    rows = _Rows(parts, Resolver(names, others), known, origin, check)
    projected: list[Version] = []
    there: set[str] = set()
    repeated = 0
    newest_first = parts.kind == "history"
    # what a drug is has to be known before who got it
    for version in sorted(versions, key=lambda each: each.resource_type != "Medication"):
        if version.resource_type != "Medication" and rows.drugs is None:
            rows.note_drugs(winners_of(projected, newest_first=newest_first)[0])
        condition = conditions.get(version.entry)
        if condition in there:
            repeated += 1
            continue
        try:
            rows.add(version)
        except EntryRefusedError as error:
            bad += _set_aside(version.entry, error)
            continue
        projected.append(version)
        if condition:
            there.add(condition)
    projected.sort(key=lambda each: each.entry)
    winners, duplicates = winners_of(projected, newest_first=newest_first)
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
        references=rows.references(winners),
        paths=rows.seen.paths,
    )


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


class _Rows:
    """Collects the rows of one object, table by table, as frames of bounded chunks.

    Attributes:
        drugs: JSON text of the object's Medications, by key; None until `note_drugs`.
    """

    drugs: dict[str, bytes | msgspec.Raw] | None = None

    def __init__(self, parts: Split, resolver: Resolver, known: Known, origin: Origin, check: Check) -> None:
        self._entries = parts.entries
        self._references = ObjectReferences(resolver, known)
        self._origin = origin
        self._check = check
        self._rows: dict[str, TableRows] = {}
        self._of_type: dict[str, TableRows] = {}
        self.seen = ElementsSeen()
        self._open_ends: dict[int, list[OpenEnd]] = {}
        self._contained: dict[int, int] = {}

    def note_drugs(self, medications: list[Version]) -> None:
        """Remember the Medications that count, to which the rows of further entries may refer."""
        alive = [version for version in medications if not version.deleted]
        self.drugs = {version.name: self._entries[version.entry].content or b"" for version in alive}

    def add(self, version: Version) -> None:
        """Check and project one version; tombstones are written at the end, when their time is settled.

        Raises:
            EntryRefusedError: it breaks the contract.
        """
        if version.deleted:
            return
        text = bytes(self._entries[version.entry].content or b"")
        resource = None
        if _BACKSLASH not in text:
            resource = contract.read(version.resource_type, text)
        if resource is None:
            text = compact(text)
            resource = contract.read(version.resource_type, text)
        if resource is None and (problems := self._check(version.resource_type, text)):
            raise EntryRefusedError(problems)
        version.digest = digest(text, narrated=resource is None or "text" in resource.names)
        parts = parts_of(version, text, resource) if resource is None or "contained" in resource.names else []
        resolve = self._references.of(version.full_url, names_of(version, parts) if parts else {})
        row = self._row(version, text, resource, resolve, parts)
        inside = []
        for part in parts:
            read = part.resource or contract.read(part.version.resource_type, part.text)
            inside.append(self._row(part.version, part.text, read, resolve, parts, row.systems[_PATIENT]))
        self._append(version.resource_type, row)
        for part, each in zip(parts, inside, strict=True):
            self._append(part.version.resource_type, each)
        if parts:
            self._contained[version.entry] = len(parts)
        if version.resource_type not in contract.BY_SHAPE:
            self.seen.look(version.resource_type, text, resource)
        if resolve.open_ends:
            self._open_ends[version.entry] = resolve.open_ends

    def _row(
        self,
        version: Version,
        text: bytes,
        resource: Resource | None,
        resolve: EntryReferences,
        parts: list[Part],
        patient_id: str | None = None,
    ) -> Row:
        projector = projector_of(version.resource_type)
        read = resource or projector.read(text)
        row = projector.row(version, read, extensions_of(text, resource), self._origin, resolve, patient_id)
        if projector.table is MEDICATION:
            within = {part.version.name: part.text for part in parts}
            row = with_drug(row, {**(self.drugs or {}), **within} if within else self.drugs or {})
        return row

    def contained(self, winners: list[Version]) -> int:
        """How many rows are of resources inside of the winning ones."""
        return sum(self._contained.get(version.entry, 0) for version in winners)

    def kept(self, winners: list[Version], *, redated: bool) -> dict[str, TableRows]:
        """The rows of the winning versions, by table, in the order of their entries.

        Args:
            winners: the versions.
            redated: whether some have another time by now than when their rows were made.
        """
        tombstones = [version for version in winners if version.deleted]
        for version in tombstones:
            projector = projector_of(version.resource_type)
            self._append(version.resource_type, projector.tombstone(version, self._origin))
        late = {table_of(version.resource_type).name for version in tombstones}
        for name in late | ({OTHER_RESOURCE.name} & self._rows.keys() if self.drugs else set()):
            self._rows[name].sort()
        if sum(map(len, self._rows.values())) > len(winners) + self.contained(winners):
            entries = {version.entry for version in winners}
            for rows in self._rows.values():
                rows.keep(entries)
        if redated:
            times = {version.entry: version.version_time for version in winners}
            for rows in self._rows.values():
                rows.redate(times)
        return {table.name: self._rows[table.name] for table in TABLES if self._rows.get(table.name)}

    def references(self, winners: list[Version]) -> list[QueuedReference]:
        """The open ends of the winning versions, counted."""
        counts = Counter(chain.from_iterable(self._open_ends.get(version.entry, ()) for version in winners))
        ordered = sorted(counts.items(), key=lambda item: (item[0][0] or "", *item[0][1:]))
        return [QueuedReference(target, text, how, count) for (target, text, how), count in ordered]

    def _append(self, resource_type: str, row: Row) -> None:
        rows = self._of_type.get(resource_type)
        if rows is None:
            table = table_of(resource_type)
            rows = self._of_type[resource_type] = self._rows.setdefault(table.name, TableRows(table))
        rows.add(row)


def _bundle_time(parts: Split) -> datetime | None:
    if parts.timestamp is None:
        return None
    try:
        return instant(parts.timestamp)
    except ValueError:
        raise PermanentError("not_a_bundle", "/timestamp") from None


def _set_aside(entry: int, error: EntryRefusedError) -> list[QuarantinedEntry]:
    return [QuarantinedEntry(entry, problem.pointer, problem.reason) for problem in error.problems]
