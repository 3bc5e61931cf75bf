"""Invented patients as FHIR R4 transaction bundles, in the mix of types and the sizes that Synthea writes.

What belongs here: the same bytes for the same numbers at every call. Nobody in it exists. How one visit looks is in
`visits`.
"""

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import msgspec

from benchmarks.visits import Resource, Subject, concept, visit
from spv_platform.sample import bundles as sample_bundles

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
_IDENTIFIER_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0203"
_RACE = ("2106-3", "White"), ("2054-5", "Black or African American"), ("2028-9", "Asian")
_NAMES = "Testina", "Mockwell", "Fictor", "Pretendia", "Placeholda", "Dummelia", "Inventio", "Samplia"
_PLACES = "Sampleton", "Mockborough", "Fictown", "Inventon"
_VISITS = range(25, 85)
#: The visits of every patient lie in the twenty years after this.
_FIRST_DAY = date(2004, 1, 5)


def bundle(number: int, seed: int = 0) -> bytes:
    """The chart of one invented patient, compact JSON; about a megabyte.

    Args:
        number: names the patient.
        seed: names the population.
    """
    chance = random.Random(f"{seed}:{number}")  # noqa: S311 - invented data, no secret
    subject = Subject(_new_id(chance), f"{_NAMES[number % len(_NAMES)]} Bench-{seed}-{number}")
    entries = [_patient(subject, seed, number, chance)]
    days = sorted(chance.randrange(20 * 365) for _ in range(chance.choice(_VISITS)))
    for day in days:
        start = datetime.combine(_FIRST_DAY, datetime.min.time(), UTC) + timedelta(
            days=day, minutes=chance.randrange(480, 1000)
        )
        entries += visit(subject, start, chance, lambda: _new_id(chance))
    return _ENCODER.encode(
        {"resourceType": "Bundle", "type": "transaction", "entry": [_entry(resource) for resource in entries]}
    )


def bundles(total_bytes: int, seed: int = 0) -> Iterator[bytes]:
    """Charts of as many patients as it takes to reach the size."""
    number = made = 0
    while made < total_bytes:
        data = bundle(number, seed)
        yield data
        number, made = number + 1, made + len(data)


def qualifying(number: int, seed: int = 0) -> bytes:
    """A bundle of the sample's patient who qualifies for its lung cohort, as another person.

    Args:
        number: names the person.
        seed: names the population.
    """
    born = date(1940, 1, 1) + timedelta(days=number * 37 % 15_000)
    changes = {
        "sample-aster": f"bench-{seed}-{number}",
        "Sample-Aster": f"Bench-{seed}-{number}",
        "SAMPLE-0001": f"BENCH-{seed}-{number}",
        "1961-04-17": born.isoformat(),
    }
    text = sample_bundles()[0].data.decode()
    for old, new in changes.items():
        if old not in text:
            raise LookupError("the sample's first bundle is not that of its approved patient any more")
        text = text.replace(old, new)
    return text.encode()


def _patient(subject: Subject, seed: int, number: int, chance: random.Random) -> Resource:
    code, race = chance.choice(_RACE)
    coding = {"system": "urn:oid:2.16.840.1.113883.6.238", "code": code, "display": race}
    given, family = subject.name.split(" ", 1)
    born = date(1935, 1, 1) + timedelta(days=chance.randrange(25_000))
    return {
        "resourceType": "Patient",
        "id": subject.id,
        "meta": {"profile": [f"{_US_CORE}patient"]},
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml">Invented patient {seed}-{number}</div>',
        },
        "extension": [
            {
                "url": f"{_US_CORE}race",
                "extension": [{"url": "ombCategory", "valueCoding": coding}, {"url": "text", "valueString": race}],
            },
            {"url": f"{_US_CORE}birthsex", "valueCode": "F" if number % 2 else "M"},
        ],
        "identifier": [
            {"system": "https://bench.example.org/id", "value": subject.id},
            {
                "type": concept(_IDENTIFIER_TYPE, "MR", "Medical Record Number"),
                "system": "http://bench-hospital.example.org/mrn",
                "value": f"BENCH-{seed}-{number:07d}",
            },
        ],
        "name": [{"use": "official", "family": family, "given": [given]}],
        "telecom": [{"system": "phone", "value": f"555-01{number % 100:02d}", "use": "home"}],
        "gender": "female" if number % 2 else "male",
        "birthDate": born.isoformat(),
        "address": [
            {
                "line": [f"{number + 1} Invented Lane"],
                "city": chance.choice(_PLACES),
                "state": "MA",
                "postalCode": "00000",
                "country": "US",
            }
        ],
        "maritalStatus": concept("http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "M", "Married"),
        "multipleBirthBoolean": False,
    }


def _entry(resource: Resource) -> Resource:
    return {
        "fullUrl": f"urn:uuid:{resource['id']}",
        "resource": resource,
        "request": {"method": "POST", "url": resource["resourceType"]},
    }


def _new_id(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))
