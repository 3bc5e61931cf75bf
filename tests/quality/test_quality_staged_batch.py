"""The gate's suites on rows as the platform stages them: good rows meet each expectation, bad ones break it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from spv_platform.fhir.parse import parse_object
from spv_platform.lake.tables import TABLES
from spv_platform.quality.expectations import judge
from spv_platform.quality.staged_batch import FEEDS, MEASURES, ROWS, measure, places

TODAY = datetime.now(UTC).date()
LOINC = "http://loinc.org"


def day(ahead: int) -> str:
    return (TODAY + timedelta(days=ahead)).isoformat()


def patient(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": "1970-01-01", **more}


def observation(**more: Any) -> dict[str, Any]:
    code = {"coding": [{"system": LOINC, "code": "718-7"}]}
    return {"resourceType": "Observation", "id": "o", "status": "final", "code": code, **more}


def coded(code: str, system: str = LOINC) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": "call 555-123-4567"}]}


GOOD = [
    patient(),
    observation(
        subject={"reference": "Patient/p"},
        effectiveDateTime="2020-02-03",
        performer=[{"reference": "Practitioner?identifier=http://x|1"}, {"reference": "#inside"}],
        encounter={"identifier": {"value": "7"}},
    ),
    {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p"}, "code": coded("254637007")},
]


def staged(*resources: dict[str, Any]) -> dict[str, pl.DataFrame]:
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": each} for each in resources]}
    parsed = parse_object(
        json.dumps(bundle).encode(),
        content_type="application/fhir+json",
        source="emr",
        landing_seq=1,
        source_object="0" * 64,
        batch_id="b",
        max_entries=100,
        check=lambda _type, _text: [],  # the gate stands by itself
    )
    assert not parsed.quarantined
    return parsed.tables


def measured(frames: dict[str, pl.DataFrame]) -> pl.DataFrame:
    tables = {table.name: table for table in TABLES}
    return pl.concat([measure(tables[name], rows, TODAY) for name, rows in frames.items()])


def fallen(rows: pl.DataFrame) -> dict[str, int]:
    return {item.column: item.unexpected for item in judge(ROWS, rows) if not item.passed}


def where(frames: dict[str, pl.DataFrame], name: str) -> dict[str, int]:
    tables = {table.name: table for table in TABLES}
    found: dict[str, int] = {}
    for table, rows in frames.items():
        found |= places(tables[table], rows, TODAY, name)
    return found


def test_good_rows_meet_every_expectation() -> None:
    rows = measured(staged(*GOOD))
    judgements = judge(ROWS, rows)
    assert [item for item in judgements if not item.passed] == []
    assert {item.column for item in judgements} >= {*MEASURES, "resource_id", "resource_type", "source", "gender"}


@pytest.mark.parametrize(
    ("resource", "column", "place"),
    [
        (patient(birthDate=day(1)), "times_in_the_future", "patient.birth_date"),
        (patient(birthDate="2999"), "times_in_the_future", "patient.birth_date"),
        (patient(birthDate="1899-12-31"), "times_too_early", "patient.birth_date"),
        (patient(deceasedDateTime=day(9)), "times_in_the_future", "patient.deceased_time"),
        (observation(effectiveDateTime=day(2)), "times_in_the_future", "observation.effective"),
        (observation(effectiveDateTime="0001-01-01"), "times_too_early", "observation.effective"),
        (observation(effectivePeriod={"start": "1800-01-01"}), "times_too_early", "observation.effective_period"),
        (observation(issued=f"{day(3)}T00:00:00Z"), "times_in_the_future", "observation.issued"),
        (observation(code=coded("123-45-6789")), "identifier_like_codes", "observation.code"),
        (observation(code=coded("x", "mailto:ann@example.org")), "identifier_like_codes", "observation.code"),
        (
            observation(valueCodeableConcept=coded("(555) 123-4567")),
            "identifier_like_codes",
            "observation.value_concept",
        ),
        (
            observation(interpretation=[coded("ann.doe@example.org")]),
            "identifier_like_codes",
            "observation.interpretation",
        ),
        (
            observation(component=[{"code": coded("1"), "valueCodeableConcept": coded("+1 555-123-4567")}]),
            "identifier_like_codes",
            "observation.component",
        ),
        (
            {
                "resourceType": "Condition",
                "id": "c",
                "subject": {"display": "x"},
                "code": coded("1", "http://hl7.org/fhir/sid/us-ssn"),
            },
            "identifier_like_codes",
            "condition.code",
        ),
    ],
)
def test_a_row_that_falls_short_is_counted_with_its_place(resource: dict[str, Any], column: str, place: str) -> None:
    frames = staged(*GOOD, {**resource, "id": "other"})
    assert fallen(measured(frames)) == {column: 1}
    assert where(frames, column) == {place: 1}


def test_a_gender_that_is_none_of_the_value_set_is_counted() -> None:
    assert fallen(measured(staged(*GOOD, patient(id="other", gender="M")))) == {"gender": 1}


@pytest.mark.parametrize(
    "resource",
    [
        patient(birthDate=day(0)),
        patient(birthDate="1900"),
        observation(effectiveDateTime=day(1)),
        observation(valueDateTime=day(300)),
        {
            "resourceType": "Encounter",
            "id": "e",
            "status": "planned",
            "class": {"code": "AMB"},
            "period": {"start": day(90)},
        },
        observation(code=coded("0378-4150-05", "http://hl7.org/fhir/sid/ndc")),
        observation(code=coded("123456789")),
        observation(code=coded("NM_004333.4:c.1799T>A", "http://varnomen.hgvs.org")),
        observation(code=coded("1.2.840.10008.2.16.4", "urn:oid:2.16.840.1.113883.6.1")),
        observation(code=coded("94500-6-1234", "urn:uuid:123e4567-e89b-12d3-a456-426614174000")),
    ],
    ids=lambda resource: str(resource)[:80],
)
def test_what_only_looks_odd_is_let_through(resource: dict[str, Any]) -> None:
    assert fallen(measured(staged(*GOOD, {**resource, "id": "other"}))) == {}


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ({"source": None}, "source"),
        ({"resource_type": None}, "resource_type"),
        ({"resource_id": None}, "resource_id"),
        ({"resource_id": "with blanks"}, "resource_id"),
        ({"digest": "short"}, "digest"),
        ({"source_object": "ABC"}, "source_object"),
    ],
)
def test_a_broken_key_or_pointer_is_counted(change: dict[str, str | None], column: str) -> None:
    rows = measured(staged(*GOOD))
    broken = rows.head(1).with_columns(**{name: pl.lit(value, pl.String) for name, value in change.items()})
    assert fallen(pl.concat([rows, broken])) == {column: 1}


@pytest.mark.parametrize(
    ("table", "change", "place"),
    [
        ("observation", {"encounter": "Encounter/1", "encounter_how": None}, "observation.encounter"),
        ("observation", {"specimen_how": "relative"}, "observation.specimen"),
    ],
)
def test_a_reference_without_key_that_nothing_waits_for_is_counted(
    table: str, change: dict[str, str | None], place: str
) -> None:
    frames = staged(*GOOD)
    frames[table] = frames[table].with_columns(**{name: pl.lit(value, pl.String) for name, value in change.items()})
    assert fallen(measured(frames)) == {"dangling_references": 1}
    assert where(frames, "dangling_references") == {place: 1}


def test_a_reference_in_a_list_dangles_too() -> None:
    frames = staged(*GOOD)
    lost = pl.lit(
        [{"reference": "X/1", "key": None, "how": "relative"}], dtype=frames["observation"].collect_schema()["focus"]
    )
    frames["observation"] = frames["observation"].with_columns(focus=lost)
    assert where(frames, "dangling_references") == {"observation.focus": 1}


def test_open_ends_are_counted_per_row() -> None:
    rows = measured(staged(*GOOD))
    assert dict(rows.select("resource_id", "open_references").iter_rows()) == {"p": 0, "o": 2, "c": 0}


@pytest.mark.parametrize(
    ("share", "limit", "open_ends", "queued", "failed"),
    [
        (0.5, 0.5, 3, 3, []),
        (0.0, 0.0, 0, 0, []),
        (0.51, 0.5, 0, 0, ["quarantine_limit, quarantined_share"]),
        (0.0, 0.5, 4, 3, ["queued_references, open_references"]),
    ],
)
def test_a_feed_has_a_share_it_may_lose_and_its_open_ends_are_queued(
    share: float, limit: float, open_ends: int, queued: int, failed: list[str]
) -> None:
    frame = pl.DataFrame(
        {
            "source": ["good", "emr"],
            "quarantined_share": [0.0, share],
            "quarantine_limit": [0.5, limit],
            "open_references": [0, open_ends],
            "queued_references": [9, queued],
        }
    )
    found = judge(FEEDS, frame)
    assert len(found) == 2
    assert [item.column for item in found if not item.passed] == failed
