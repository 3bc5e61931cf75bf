"""From rows to documents, and what the collections accept."""

import json
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from spv_platform.history.documents import CLEAR, DIRECT, Before, Changes, changes, identifier_keys, unsealed
from spv_platform.history.schema import COLLECTIONS, PERSON, PERSON_VERSION
from spv_platform.lake.describe import Phi
from spv_platform.view.tables import COLUMNS, FACT, PATIENT_VIEW

NOTHING = Before({}, {})
PUBLISHED = {seq: datetime(2026, 1, seq, tzinfo=UTC) for seq in range(1, 10)}
FACT_ROW = {
    **dict.fromkeys(FACT),
    "codes": ["http://loinc.org|718-7"],
    "value_number": 3.0,
    "value_text": "written by hand",
    "resource_id": "r-1",
    "source_object": "ab12",
}


def view(seq: int, person: str = "p-1", **values: Any) -> dict[str, Any]:
    return {**dict.fromkeys(PATIENT_VIEW.schema), "person_id": person, "deleted": False, "_seq": seq, **values}


def verdict(seq: int, approved: bool, cohort: str = "lung", **values: Any) -> dict[str, Any]:
    names = ("verdict", "reasons", "missing", "trial_title", "cohort_title", "trial_version")
    row = {"person_id": "p-1", "trial": "NCT1", "cohort": cohort, "approved": approved, "deleted": False, "_seq": seq}
    return {**dict.fromkeys(names), **row, "as_of": date(2026, 1, seq), **values}


def made(*rows: dict[str, Any], before: Before = NOTHING) -> Changes:
    views = [row for row in rows if "trial" not in row]
    verdicts = [row for row in rows if "trial" in row]
    return changes(views, verdicts, before, published=PUBLISHED, digest=digest)


def digest(row: Any) -> str:
    return json.dumps({name: value for name, value in row.items() if name != "_seq"}, default=str)


def test_direct_identifiers_and_what_somebody_wrote_are_in_the_sealed_part_only() -> None:
    row = view(1, name="Xname", birth_date="1950-01-01", latest_results=[FACT_ROW], gender="female")
    (document,) = made(row).versions
    clear = {name: value for name, value in document.items() if name not in ("sealed", "digest")}
    assert document["sealed"]["direct"] == {"name": "Xname", "birth_date": "1950-01-01"}
    assert not [word for word in ("Xname", "1950", "written by hand", "r-1") if word in str(clear)]
    assert clear["latest_results"] == [
        {"codes": ["http://loinc.org|718-7"], "value_number": 3.0, "source_object": "ab12"}
    ]
    assert unsealed(document)["latest_results"][0]["value_text"] == "written by hand"
    assert unsealed(document)["name"] == "Xname"


def test_every_column_is_either_direct_or_clear_by_its_description() -> None:
    assert {*DIRECT, *(column.name for column in CLEAR), "person_id"} == {column.name for column in COLUMNS}
    assert {column.name for column in COLUMNS if column.phi is Phi.DIRECT} == set(DIRECT)
    fields = {collection.name: collection.fields for collection in COLLECTIONS}
    for name in (PERSON, PERSON_VERSION):
        assert not set(DIRECT) & set(fields[name])
        assert {column.name for column in CLEAR} < set(fields[name])


def test_a_row_that_says_what_is_known_adds_nothing() -> None:
    known = Before({"p-1": digest(view(1))}, {"p-1": {("NCT1", "lung"): ("approved", 1)}})
    assert made(view(2), verdict(2, approved=True), before=known) == Changes()


def test_each_change_among_several_publications_is_a_version() -> None:
    found = made(view(3, gender="male"), view(1), view(2), view(4))
    assert [item["_id"] for item in found.versions] == ["p-1/1", "p-1/3", "p-1/4"]
    (person,) = found.persons
    assert (person["_id"], person["seq"], person["published_at"]) == ("p-1", 4, PUBLISHED[4])


def test_a_never_approved_cohort_is_no_event_and_approvals_come_and_go() -> None:
    rows = [verdict(seq, approved) for seq, approved in ((1, False), (2, True), (3, True), (4, False), (5, True))]
    found = made(view(1), view(2), view(5), *rows, verdict(2, True, cohort="other"))
    assert [(item["cohort"], item["status"], item["seq"]) for item in found.events] == [
        ("lung", "approved", 2),
        ("other", "approved", 2),
        ("lung", "withdrawn", 4),
        ("lung", "approved", 5),
    ]
    (person,) = found.persons
    assert person["approvals"] == [
        {"trial": "NCT1", "cohort": "lung", "since_seq": 5},
        {"trial": "NCT1", "cohort": "other", "since_seq": 2},
    ]


def test_a_verdict_that_is_gone_withdraws() -> None:
    known = Before({"p-1": "old"}, {"p-1": {("NCT1", "lung"): ("approved", 1)}})
    gone = verdict(2, approved=True, deleted=True)
    (event,) = made(view(2, deleted=True), gone, before=known).events
    assert event["status"] == "withdrawn"


def test_one_who_is_no_person_any_more_keeps_no_detail() -> None:
    (version,) = made(view(2, deleted=True)).versions
    assert set(version) == {"_id", "person_id", "seq", "digest", "retired", "published_at"}


def test_identifiers_are_told_apart_by_their_systems_and_counted_once() -> None:
    one = {"system": "http://a", "value": "1"}
    assert identifier_keys([one, one, {"system": None, "value": "1"}, {"system": "http://a", "value": None}]) == [
        "http://a|1",
        "|1",
    ]


def test_the_validators_know_the_type_of_every_clear_column() -> None:
    fields = next(item.fields for item in COLLECTIONS if item.name == PERSON)
    assert fields["encounter_count"] == {"bsonType": ["int", "long"]}
    assert fields["sources"] == {"bsonType": "array", "items": {"bsonType": "string"}}
    variant = fields["variants"]["items"]
    assert variant["additionalProperties"] is False
    assert variant["properties"]["vaf"] == {"bsonType": "double"}
    assert not {"resource_id", "value_text"} & set(variant["properties"])
    assert isinstance(dict(PATIENT_VIEW.schema)["variants"], pl.List)
