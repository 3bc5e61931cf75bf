"""The lineage that descriptions state is the true one: what a column is not made of cannot change it."""

import gzip
from datetime import date
from functools import cache

import msgspec
import polars as pl
import pytest

from spv_platform.fhir.parse import parse_object
from spv_platform.lake.tables import TABLES
from spv_platform.sample import bundles
from spv_platform.sample.world import world
from spv_platform.trials.tables import APPROVED_PATIENTS, CRITERIA_COLUMNS
from spv_platform.view.facts import facts_of
from spv_platform.view.patient import patient_view
from spv_platform.view.tables import COLUMNS, PATIENT_VIEW

_SUBJECT = {"reference": "Patient/a"}
_CODED = {"coding": [{"system": "http://example.org/codes", "code": "x", "display": "X"}]}
_REST = [
    {"resourceType": "Patient", "id": "a", "deceasedBoolean": True},
    {
        "resourceType": "AllergyIntolerance",
        "id": "b",
        "patient": _SUBJECT,
        "code": _CODED,
        "criticality": "high",
        "onsetDateTime": "2020-01-01",
        "recordedDate": "2020-01-02",
    },
    {
        "resourceType": "Immunization",
        "id": "c",
        "status": "completed",
        "patient": _SUBJECT,
        "vaccineCode": _CODED,
        "occurrenceDateTime": "2020-01-03",
        "recorded": "2020-01-04",
    },
    {
        "resourceType": "Procedure",
        "id": "d",
        "status": "completed",
        "subject": _SUBJECT,
        "code": _CODED,
        "performedDateTime": "2020-01-05",
    },
    {
        "resourceType": "MedicationRequest",
        "id": "e",
        "status": "active",
        "intent": "order",
        "subject": _SUBJECT,
        "medicationCodeableConcept": _CODED,
        "authoredOn": "2020-01-06",
    },
    {
        "resourceType": "Condition",
        "id": "f",
        "meta": {"profile": ["http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-primary-cancer-condition"]},
        "extension": [
            {
                "url": "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-histology-morphology-behavior",
                "valueCodeableConcept": _CODED,
            }
        ],
        "subject": _SUBJECT,
        "code": _CODED,
        "stage": [{"summary": {"coding": [{"display": "Stage IV"}]}}],
    },
    {
        "resourceType": "Observation",
        "id": "g",
        "status": "final",
        "subject": _SUBJECT,
        "code": {"text": "Mismatch repair protein expression"},
        "valueCodeableConcept": {"coding": [{"display": "Deficient (dMMR)"}]},
        "effectiveDateTime": "2020-01-07",
    },
]


@cache
def rows() -> dict[str, pl.DataFrame]:
    """Rows of every table that facts come from."""
    files = [(drop.content_type, drop.data) for day in world(7, 12, today=date(2026, 1, 1)).drops for drop in day]
    files += [(file.content_type, file.data) for file in bundles()]
    files.append(("application/fhir+ndjson", b"\n".join(map(msgspec.json.encode, _REST))))
    frames: dict[str, list[pl.DataFrame]] = {}
    for number, (content_type, data) in enumerate(files):
        parsed = parse_object(
            gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data,
            content_type=content_type,
            source=f"feed-{number % 3}",
            landing_seq=number,
            source_object=f"object-{number}",
            batch_id="batch",
            max_entries=10_000,
        )
        for name, frame in parsed.tables.items():
            frames.setdefault(name, []).append(frame)
    return {name: pl.concat(parts) for name, parts in frames.items()}


def view(tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """The view, with each record as a person of its own."""
    facts = facts_of(tables)
    return patient_view(facts.with_columns(person_id=pl.concat_str("source", "patient_id", separator="/")))


@cache
def whole() -> pl.DataFrame:
    return view(rows())


def changed_without(table: str, column: str) -> set[str]:
    """The columns of the view that are others when a column of the rows is empty."""
    (described,) = (each for name in TABLES if name.name == table for each in name.columns if each.name == column)
    emptied = rows()[table].with_columns(pl.lit(None, dtype).alias(name) for name, dtype in described.physical.items())
    if emptied.equals(rows()[table]):
        return set()
    before, after = whole(), view(rows() | {table: emptied})
    after = before.select("person_id").join(after, on="person_id", how="left", maintain_order="left")
    return {name for name in before.columns if not before[name].equals(after[name])}


@pytest.mark.parametrize("source", [f"{table.name}.{column.name}" for table in TABLES for column in table.columns])
def test_a_column_changes_only_those_of_the_view_that_name_it_as_a_source(source: str) -> None:
    table, _, column = source.partition(".")
    assert changed_without(table, column) <= {made.name for made in COLUMNS if source in made.sources}


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("patient.identifier", {"identifiers"}),
        ("patient.deceased_time", {"deceased", "deceased_date"}),
        ("condition.histology", {"cancers"}),
        ("condition.stage", {"stages"}),
        ("medication.authored", {"medications"}),
        ("encounter.period", {"last_encounter", "last_encounters"}),
        ("other_resource.provision_type", {"opted_out"}),
    ],
)
def test_the_columns_that_name_a_source_are_made_of_it(source: str, made: set[str]) -> None:
    table, _, column = source.partition(".")
    assert changed_without(table, column) == made


def test_every_column_of_the_view_and_the_approvals_is_traced_to_a_column_that_there_is() -> None:
    known = {f"{table.name}.{column.name}" for table in TABLES for column in table.columns}
    assert all(set(column.sources) <= known for column in COLUMNS)
    assert {column.name for column in COLUMNS if not column.sources} == {"sources", "records"}
    published = {f"{PATIENT_VIEW.name}.{column.name}" for column in COLUMNS}
    published |= {f"trial_criteria.{column.name}" for column in CRITERIA_COLUMNS}
    assert all(set(column.sources) <= published for column in APPROVED_PATIENTS.columns)
    assert {column.name for column in APPROVED_PATIENTS.columns if not column.sources} == {"wording", "as_of"}
