"""The rows of one object: its resources in lots, those inside of them, and what of all that counts in the end."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np

from spv_platform.fhir import contract
from spv_platform.fhir.contained import Holder, add_drugs, inside_of, parts_of
from spv_platform.fhir.digest import compact, digest
from spv_platform.fhir.elements_seen import ElementsSeen
from spv_platform.fhir.extensions import NOTHING_SAID, extensions_in
from spv_platform.fhir.frames import Block, Codes, TableRows
from spv_platform.fhir.lot import Lot, Resource, lot_of
from spv_platform.fhir.problems import EntryRefusedError, refused
from spv_platform.fhir.project import MadeLot, projector_of
from spv_platform.fhir.references import Known, LotReferences, ObjectReferences, OpenEnd, Resolver, base_of
from spv_platform.fhir.rules import Problem
from spv_platform.fhir.split import Split
from spv_platform.fhir.version import Origin, Version, systems_of
from spv_platform.lake.describe import Table
from spv_platform.lake.tables import MEDICATION, TABLES, table_of

Check = Callable[[str, bytes], list[Problem]]
#: By entry: why it is not taken.
Broken = dict[int, EntryRefusedError]

_BACKSLASH = ord("\\")
#: Of the place of a row: its entry, and in these bits which of the resources inside of it.
_PART_BITS = 24


class _Group(NamedTuple):
    """A lot of an object's resources.

    Attributes:
        versions: beside the resources.
        numbers: 0: the resource is the entry's own; else which of those inside of it, from 1.
    """

    lot: Lot
    versions: list[Version]
    numbers: list[int]

    def without(self, entries: Mapping[int, object]) -> "_Group":
        """The same without the resources of these entries."""
        kept = [number for number, version in enumerate(self.versions) if version.entry not in entries]
        if len(kept) == len(self.versions):
            return self
        versions, numbers = [self.versions[each] for each in kept], [self.numbers[each] for each in kept]
        return _Group(self.lot.only(kept), versions, numbers)


class _Around(NamedTuple):
    """What the parts of a resource have from it: whom it is about, and its candidates (`LotReferences`)."""

    patient: str | None
    candidates: int


_NOTHING_AROUND = _Around(None, -1)


class ObjectRows:
    """Collects the rows of one object, table by table, as frames of bounded chunks.

    Args:
        parts: the object.
        resolver: of its references.
        known: resources of other objects that they may mean.
        origin: of all rows.
        check: says what is wrong with a resource that `contract.read_all` does not take.

    Attributes:
        seen: the elements that its resources have.
    """

    def __init__(self, parts: Split, resolver: Resolver, known: Known, origin: Origin, check: Check) -> None:
        self.seen = ElementsSeen()
        self._entries = parts.entries
        self._references = ObjectReferences(resolver, known)
        self._origin = origin
        self._check = check
        self._drugs: dict[str, bytes] = {}
        self._rows: dict[str, TableRows] = {}
        self._open_ends: list[tuple[list[Sequence[OpenEnd]], Codes, Codes]] = []
        self._contained: dict[int, int] = {}

    def note_drugs(self, medications: list[Version]) -> None:
        """Remember the Medications that count, to which the rows of further entries may refer."""
        self._drugs = {version.name: self._text_of(version) for version in medications if not version.deleted}

    def add(self, versions: list[Version]) -> Broken:
        """Check and project versions of several entries, in their order; why some are not taken.

        Tombstones are written at the end, when their time is settled.
        """
        broken: Broken = {}
        own = self._read([version for version in versions if not version.deleted], broken)
        holders: dict[int, Holder] = {}
        for group in own:
            _look_inside(group, holders, broken)
        groups = own + _inside(holders, broken)
        made = _made(groups)
        for group, each in zip(groups, made, strict=True):
            for number, pointer in each.wrong.items():
                broken.setdefault(group.versions[number].entry, refused("invalid_resource", pointer))
        if broken:
            groups = [left for group in groups if (left := group.without(broken)).versions]
            made = _made(groups)
        around: dict[int, _Around] = {}
        for group, each in zip(groups, made, strict=True):
            self._project(group, each, holders, around)
            if group.lot.type not in contract.BY_SHAPE and not any(group.numbers):
                self.seen.look_at(group.lot)
        for rows in self._rows.values():
            rows.frame_if_many()
        self._contained |= {entry: len(holder.parts) for entry, holder in holders.items()}
        return broken

    def _text_of(self, version: Version) -> bytes:
        return bytes(self._entries[version.entry].content or b"")

    def _read(self, versions: list[Version], broken: Broken) -> list[_Group]:
        kinds: defaultdict[tuple[str, str], list[Version]] = defaultdict(list)
        for version in versions:
            kinds[version.resource_type, base_of(version.full_url)].append(version)
        found: list[_Group] = []
        for (resource_type, _), some in kinds.items():
            texts = map(self._text_of, some)
            left = [
                (each, compact(text) if _BACKSLASH in text else text) for each, text in zip(some, texts, strict=True)
            ]
            left = _take(resource_type, left, found)
            # what has blanks between its tokens
            left = _take(resource_type, [(version, compact(text)) for version, text in left], found) if left else []
            for version, text in left:
                try:
                    if problems := self._check(resource_type, text):
                        raise EntryRefusedError(problems)
                    read = projector_of(resource_type).read(text)
                except EntryRefusedError as error:
                    broken[version.entry] = error
                    continue
                found.append(_Group(lot_of(resource_type, [text], [read]), [version], [0]))
        for group in found:
            narrated = group.lot.lenient or "text" in group.lot.names
            for version, text in zip(group.versions, group.lot.texts, strict=True):
                version.digest = digest(text, narrated=narrated)
        return found

    def _project(self, group: _Group, made: MadeLot, holders: Mapping[int, Holder], around: dict[int, _Around]) -> None:
        """Make the rows of a group; those of resources that contain others come before these."""
        versions = group.versions
        entries = np.array([version.entry for version in versions])
        holding = [holders.get(version.entry) for version in versions] if holders else []
        names = [holder.names if holder else {} for holder in holding] if any(holding) else []
        references = LotReferences(self._references, [version.full_url for version in versions], names)
        columns = made.columns(references)
        outside = [around.get(version.entry, _NOTHING_AROUND) for version in versions]
        patients = made.patients(versions, references, [each.patient for each in outside])
        # whom a part is about may follow from the references of what it is in
        inherited = np.array([each.candidates for each in outside])
        references.candidates = np.where(
            inherited < 0, references.candidates, np.maximum(references.candidates, 0) + inherited
        )
        if holders and not any(group.numbers):
            # what a history of relatives contains is about them
            about = [None] * len(patients) if group.lot.type == "FamilyMemberHistory" else patients
            stated = zip(versions, about, references.candidates.tolist(), strict=True)
            around |= {version.entry: _Around(patient, candidates) for version, patient, candidates in stated}
        table = table_of(group.lot.type)
        if table is MEDICATION:
            within = [holder.texts if holder else {} for holder in holding] if any(holding) else []
            add_drugs(columns, references.candidates, self._drugs, within)
        candidates = [None if each < 0 else each for each in references.candidates.tolist()]
        systems = systems_of(versions, self._origin, patients, extensions_in(group.lot), candidates)
        self._rows_of(table).add(Block(systems, columns, (entries << _PART_BITS) + np.array(group.numbers)))
        self._open_ends += [(ends, codes, entries) for ends, codes in references.open_ends]

    def contained(self, winners: list[Version]) -> int:
        """How many rows are of resources inside of the winning ones."""
        return sum(self._contained.get(version.entry, 0) for version in winners)

    def kept(self, winners: list[Version], *, redated: bool) -> dict[str, TableRows]:
        """The rows of the winning versions, by table, in the order of their entries.

        Args:
            winners: the versions.
            redated: whether some have another time by now than when their rows were made.
        """
        for version in winners:
            if version.deleted:
                patient = version.resource_id if version.resource_type == "Patient" else None
                systems = systems_of([version], self._origin, [patient], [NOTHING_SAID], [None])
                place = np.array([version.entry << _PART_BITS])
                self._rows_of(table_of(version.resource_type)).add(Block(systems, {}, place))
        for rows in self._rows.values():
            rows.sort()
        if sum(map(len, self._rows.values())) > len(winners) + self.contained(winners):
            entries = {version.entry for version in winners}
            for rows in self._rows.values():
                rows.keep(entries)
        if redated:
            times: dict[int, datetime | None] = {version.entry: version.version_time for version in winners}
            for rows in self._rows.values():
                rows.redate(times)
        return {table.name: self._rows[table.name] for table in TABLES if self._rows.get(table.name)}

    def open_ends(self, winners: list[Version]) -> Counter[OpenEnd]:
        """What leads out of the object from the winning versions, counted."""
        counts: Counter[OpenEnd] = Counter()
        wins = np.zeros(len(self._entries), bool)
        wins[[version.entry for version in winners]] = True
        for ends, codes, entries in self._open_ends:
            often = np.bincount(codes[wins[entries]], minlength=len(ends)).tolist()
            for each, times in zip(ends, often, strict=True):
                for end in each if times else ():
                    counts[end] += times
        return counts

    def _rows_of(self, table: Table) -> TableRows:
        return self._rows.setdefault(table.name, TableRows(table))


def _take(
    resource_type: str, resources: list[tuple[Version, bytes]], found: list[_Group]
) -> list[tuple[Version, bytes]]:
    """Put what is surely valid with the groups; the rest."""
    left = dict(enumerate(resources))
    for lot, numbers in contract.read_all(resource_type, [text for _, text in resources]):
        found.append(_Group(lot, [left.pop(number)[0] for number in numbers], [0] * len(numbers)))
    return list(left.values())


def _made(groups: list[_Group]) -> list[MadeLot]:
    return [projector_of(group.lot.type).made(group.lot) for group in groups]


def _look_inside(group: _Group, holders: dict[int, Holder], broken: Broken) -> None:
    """Note what the resources of a group contain."""
    lot = group.lot
    if lot.lenient:
        found = [inside_of(text) for text in lot.texts]
    elif "contained" in lot.names:
        values, codes = lot.columns[lot.names.index("contained")]
        found = [values[code].value for code in codes.tolist()]
    else:
        return
    for version, inside in zip(group.versions, found, strict=True):
        try:
            if inside:
                holders[version.entry] = parts_of(version, inside)
        except EntryRefusedError as error:
            broken[version.entry] = error


def _inside(holders: Mapping[int, Holder], broken: Broken) -> list[_Group]:
    """The contained resources, in groups."""
    alike: defaultdict[tuple[str, str, bool, tuple[str, ...]], list[tuple[Resource, bytes, Version, int]]]
    alike = defaultdict(list)
    for entry, holder in holders.items():
        for number, part in enumerate(holder.parts, 1):
            kind = part.version.resource_type
            try:
                read = part.resource or contract.read(kind, part.text) or projector_of(kind).read(part.text)
            except EntryRefusedError as error:
                broken.setdefault(entry, error)
                continue
            key = (kind, base_of(part.version.full_url), bool(read.texts), read.names)
            alike[key].append((read, part.text, part.version, number))
    found = []
    for (kind, *_), some in alike.items():
        resources, texts, versions, numbers = zip(*some, strict=True)
        found.append(_Group(lot_of(kind, texts, resources), list(versions), list(numbers)))
    return found
