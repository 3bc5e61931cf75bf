"""The hidden model of the sample world: who its people are, and what really is on record about them.

What belongs here: plain data, from which `records` writes FHIR and `truth` computes answers; neither asks the other.
What does not: how people are invented (`people`, `stories`).
"""

from dataclasses import dataclass
from datetime import date, timedelta

#: Days of drops: the first load, and what changes on the days after it.
DAYS = 3
#: What the status of a version can be, beside FHIR's own: its resource was taken back.
DELETED = "deleted"
#: Statuses of a result that counts.
COUNTS = ("final", "amended")

#: Feeds of each tenant: name of the source system.
FEEDS: dict[str, tuple[str, ...]] = {"north": ("emr", "lab", "registry"), "south": ("emr", "lab")}
TENANTS = tuple(FEEDS)


@dataclass(frozen=True)
class Identity:
    """How one person is known to one source system.

    Attributes:
        birth_date: FHIR date; a year only where the day is not known.
        mrn: the hospital's number; empty where the source does not state it.
        ssn: likewise. Invented ones begin with 9, which no real one does.
    """

    family: str
    given: str
    sex: str
    birth_date: str
    mrn: str
    ssn: str
    street: str
    city: str
    state: str
    postal_code: str
    phone: str


@dataclass(frozen=True)
class Entry:
    """One version of one resource in one source system.

    Attributes:
        feed: the source system.
        part: what tells the resource from others of the record; empty for the Patient.
        says: what it is about, such as `gene:EGFR`, `marker:HER2`, `lab:anc`, `stage`, `visit`, `patient`.
        value: what it says about that.
        days_ago: when that was true, in days before the world's today.
        status: FHIR status of a result, or `DELETED`.
        day: of the drop that brings it, from 0.
    """

    feed: str
    part: str
    says: str
    value: str
    days_ago: int
    status: str = "final"
    day: int = 0


@dataclass(frozen=True)
class Person:
    """One person of one tenant.

    Attributes:
        label: names the person in the truth; never leaves the generator.
        birth: the true date of birth.
        records: how each source system that has a record knows the person.
        entries: every version of every resource, in order of the days.
        named_clinic: the clinic that the EMR's Patient names as general practitioner.
    """

    tenant: str
    number: int
    label: str
    birth: date
    sex: str
    records: dict[str, Identity]
    entries: tuple[Entry, ...]
    named_clinic: int | None = None

    def in_force(self, day: int) -> list[Entry]:
        """The versions that hold once a day's drops are in; what was taken back is not among them."""
        newest = {(entry.feed, entry.part): entry for entry in self.entries if entry.day <= day}
        return [entry for entry in newest.values() if entry.status != DELETED]

    def present(self, day: int) -> list[str]:
        """Source systems that have a Patient of this person by then."""
        return sorted({entry.feed for entry in self.in_force(day) if not entry.part})

    def patient_id(self, feed: str) -> str:
        """Id of the Patient resource; tenants use the same ids for different people."""
        return f"{feed[0]}-{self.number:07d}"


def day_of(today: date, day: int) -> date:
    """When a day's drops are sent; the last of them yesterday."""
    return today - timedelta(days=DAYS - day)
