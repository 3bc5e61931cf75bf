"""The sample world as files: what each source system of each tenant sends on each day.

What belongs here: packing, in the ways of different senders, and what they get wrong. Nothing is kept of a person once
their file is full, so a world may be of any size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec

from spv_platform.sample.chart import Resource
from spv_platform.sample.files import FHIR_JSON, FHIR_NDJSON
from spv_platform.sample.world.model import DAYS, DELETED, FEEDS, TENANTS, Entry, Person, day_of
from spv_platform.sample.world.records import Record, organization, reference_of
from spv_platform.sample.world.stories import CLINICS, person

#: People whose records go into one file.
MOST_IN_A_FILE, _LEAST_IN_A_FILE, _FILES_AT_LEAST = 200, 6, 6
#: One file in so many of the first day has a broken entry.
_BROKEN_EVERY = 25
#: Senders that write lines; all others write Bundles.
_LINES = {("north", "lab"), ("south", "emr")}

#: Decimals go out as they were written: 3.20 and 3.2 are different statements.
_ENCODER = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True)
class Drop:
    """One file of a source system, not sealed yet.

    Attributes:
        day: on which it is sent, from 0.
        broken: reason codes of the entries in it that must be set aside.
    """

    day: int
    tenant: str
    feed: str
    name: str
    content_type: str
    data: bytes
    broken: tuple[str, ...] = ()


def people(seed: int, patients: int, tenants: Sequence[str], today: date) -> Iterator[Person]:
    """All people of a world, tenant by tenant."""
    for tenant, count in zip(tenants, _shares(patients, len(tenants)), strict=True):
        for number in range(count):
            yield person(seed, tenant, number, today)


def generate(seed: int, patients: int, tenants: Sequence[str] = TENANTS, *, today: date) -> Iterator[Drop]:
    """Every file of a world in the order of sending: day by day, tenant by tenant.

    Args:
        seed: another one gives other people.
        patients: number of people, of all tenants; up to millions.
        tenants: some of `model.TENANTS`.
        today: what all dates are counted back from. Equal arguments give equal bytes.
    """
    for day in range(DAYS):
        for tenant, count in zip(tenants, _shares(patients, len(tenants)), strict=True):
            yield from _day(seed, tenant, count, today, day)


def _shares(patients: int, parts: int) -> list[int]:
    return [patients // parts + (part < patients % parts) for part in range(parts)]


def _day(seed: int, tenant: str, count: int, today: date, day: int) -> Iterator[Drop]:
    size = min(MOST_IN_A_FILE, max(_LEAST_IN_A_FILE, count // _FILES_AT_LEAST))
    for at, start in enumerate(range(0, count, size)):
        group = [person(seed, tenant, number, today) for number in range(start, min(start + size, count))]
        for feed in FEEDS[tenant]:
            yield from _files(tenant, feed, group, today, day, at)


def _files(tenant: str, feed: str, group: list[Person], today: date, day: int, at: int) -> Iterator[Drop]:
    written: list[Resource] = []
    deleted: list[str] = []
    for someone in group:
        record = Record(someone, feed, today)
        for entry in _of_day(someone, feed, day):
            if entry.status == DELETED:
                deleted.append(reference_of(someone, entry))
            else:
                written.append(record.write(entry))
    if feed == "emr" and day == 0 and at == 0:
        written += [organization(clinic) for clinic in range(CLINICS + 1)]
    name = f"day-{day + 1}/{feed}-{at + 1:05d}"
    sent = f"{day_of(today, day)}T06:00:00Z"
    if written:
        broken = at % _BROKEN_EVERY == 0 and day == 0 and feed != "registry"
        yield _packed(Drop(day, tenant, feed, name, "", b""), written, sent, broken=broken)
    if deleted:
        yield Drop(day, tenant, feed, f"{name}-deletes.json", FHIR_JSON, _deletes(deleted, f"{sent[:11]}07:00:00Z"))


def _of_day(someone: Person, feed: str, day: int) -> list[Entry]:
    return [entry for entry in someone.entries if entry.feed == feed and entry.day == day]


def _packed(drop: Drop, written: list[Resource], sent: str, *, broken: bool) -> Drop:
    tenant, feed = drop.tenant, drop.feed
    if (tenant, feed) in _LINES:
        lines = [
            _ENCODER.encode(resource | {"meta": resource.get("meta", {}) | {"lastUpdated": sent}})
            for resource in written
        ]
        # Half a line: the export was cut off, and went on.
        lines[1:1] = [lines[0][: len(lines[0]) // 2]] if broken else []
        return _filled(drop, ".ndjson", FHIR_NDJSON, b"\n".join(lines) + b"\n", ("entry_not_json",) * broken)
    base = f"https://{feed}.{tenant}.example.org/fhir"
    entries: list[dict[str, Any]] = [
        {"fullUrl": f"{base}/{resource['resourceType']}/{resource['id']}", "resource": resource} for resource in written
    ]
    if broken:
        entries.insert(1, {"resource": {"resourceType": "Observation", "id": "without-status", "code": {"text": "?"}}})
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "collection", "timestamp": sent, "entry": entries}
    if feed == "registry":
        # A registry sends what a server is to store, and says nothing of when.
        del bundle["timestamp"]
        bundle["type"] = "transaction"
        for entry in entries:
            resource = entry["resource"]
            entry["request"] = {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}
    return _filled(drop, ".json", FHIR_JSON, _ENCODER.encode(bundle), ("missing_element",) * broken)


def _filled(drop: Drop, suffix: str, content_type: str, data: bytes, broken: tuple[str, ...]) -> Drop:
    return Drop(drop.day, drop.tenant, drop.feed, drop.name + suffix, content_type, data, broken)


def _deletes(references: list[str], sent: str) -> bytes:
    entries = [{"request": {"method": "DELETE", "url": reference}} for reference in references]
    return _ENCODER.encode({"resourceType": "Bundle", "type": "batch", "timestamp": sent, "entry": entries})
