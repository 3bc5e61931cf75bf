from typing import Any

import polars as pl
from view_builders import LOINC, SCT, concept, condition, facts, gene, observation, part, patient, variant

from spv_platform.view.explain import explain
from spv_platform.view.patient import patient_view
from spv_platform.view.schema import SCHEMA
from spv_platform.view.tables import COLUMNS, PATIENT_VIEW

HEMOGLOBIN = concept(LOINC, "718-7", "Hemoglobin")
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"


def view_of(*found: pl.DataFrame) -> pl.DataFrame:
    return patient_view(pl.concat(found).with_columns(person_id=pl.lit("p-1")))


def row_of(*resources: dict[str, Any]) -> dict[str, Any]:
    return view_of(facts(*resources)).row(0, named=True)


def hemoglobin(number: float, day: str, **more: Any) -> dict[str, Any]:
    return observation(
        HEMOGLOBIN, id=f"h{day}", valueQuantity={"value": number, "code": "g/dL"}, effectiveDateTime=day, **more
    )


def test_the_view_has_its_described_columns() -> None:
    view = view_of(facts(patient()))
    assert view.schema == pl.Schema({column.name: column.dtype for column in COLUMNS})
    assert list(PATIENT_VIEW.schema)[-2:] == ["deleted", "_seq"]
    assert all(column.description.endswith(".") for column in COLUMNS)
    empty = patient_view(pl.DataFrame(schema={**SCHEMA, "person_id": pl.String}))
    assert empty.schema == view.schema
    assert empty.is_empty()


def test_a_person_without_any_statement_has_empty_lists_and_nulls() -> None:
    row = row_of(patient())
    assert (row["name"], row["gender"], row["deceased"], row["encounter_count"], row["opted_out"]) == (
        None,
        None,
        None,
        0,
        False,
    )
    assert all(
        value == [] for name, value in row.items() if isinstance(value, list) and name not in ("sources", "records")
    )
    assert row["records"] == [{"source": "hospital", "patient_id": "p"}]


def test_the_latest_result_of_each_test_is_shown_with_its_pointer() -> None:
    row = row_of(
        hemoglobin(13.5, "2019-01-01"),
        hemoglobin(6.7, "2020-01-01"),
        hemoglobin(99, "2021-01-01", status="entered-in-error"),
        observation(concept(LOINC, "6690-2", "Leukocytes"), id="w", valueInteger=5),
    )
    shown = {fact["display"]: fact for fact in row["latest_results"]}
    assert set(shown) == {"Hemoglobin", "Leukocytes"}
    latest = shown["Hemoglobin"]
    assert (latest["value_number"], latest["value_text"], latest["unit"], latest["date"]) == (
        6.7,
        "6.7",
        "g/dL",
        "2020-01-01",
    )
    assert (latest["source_object"], latest["source_entry"], latest["resource_id"]) == ("object-1", 1, "h2020-01-01")


def test_a_result_without_a_date_is_shown_where_no_other_of_its_test_has_one() -> None:
    undated = observation(HEMOGLOBIN, id="u", valueInteger=12)
    undated.pop("effectiveDateTime")
    other = observation(concept(LOINC, "6690-2", "Leukocytes"), id="w", valueInteger=5)
    other.pop("effectiveDateTime")
    row = row_of(undated, other, hemoglobin(13.5, "2019-01-01"))
    assert {fact["resource_id"] for fact in row["latest_results"]} == {"w", "h2019-01-01"}


def test_problems_are_the_active_ones_and_medications_say_what_they_are() -> None:
    clinical = "http://terminology.hl7.org/CodeSystem/condition-clinical"
    drug = concept(RXNORM, "3002", "cyclophosphamide")
    row = row_of(
        condition(concept(SCT, "1", "Anxiety"), id="c1", clinicalStatus=concept(clinical, "active")),
        condition(concept(SCT, "2", "Murmur"), id="c2", clinicalStatus=concept(clinical, "resolved")),
        condition(concept(SCT, "3", "Cough"), id="c3", abatementDateTime="2020-01-01"),
        condition(concept(SCT, "254637007", "Lung cancer"), id="c4", clinicalStatus=concept(clinical, "remission")),
        {"resourceType": "MedicationRequest", "status": "active", "medicationCodeableConcept": drug},
        {"resourceType": "MedicationStatement", "status": "not-taken", "medicationCodeableConcept": drug},
    )
    assert [fact["display"] for fact in row["problems"]] == ["Anxiety"]
    assert [fact["display"] for fact in row["cancers"]] == ["Lung cancer"]
    assert [fact["status"] for fact in row["medications"]] == ["request:active"]


def test_encounters_are_counted_and_the_last_five_shown() -> None:
    visits = [
        {
            "resourceType": "Encounter",
            "status": "finished",
            "class": {"code": "AMB"},
            "period": {"start": f"2020-01-0{day}"},
        }
        for day in range(1, 8)
    ]
    row = row_of(*visits, {"resourceType": "Encounter", "status": "planned", "period": {"start": "2030-01-01"}})
    assert (row["encounter_count"], row["last_encounter"]) == (7, "2020-01-07")
    assert [fact["date"][-1] for fact in row["last_encounters"]] == ["7", "6", "5", "4", "3"]


def test_a_person_of_two_sources_keeps_what_each_says() -> None:
    old = patient(meta={"lastUpdated": "2020-01-01T00:00:00Z"}, gender="unknown", name=[{"family": "Old"}])
    new = patient(
        meta={"lastUpdated": "2021-01-01T00:00:00Z"},
        gender="female",
        name=[{"use": "nickname", "family": "Nick"}, {"use": "official", "family": "New"}],
        identifier=[{"system": "urn:lab", "value": "7"}],
        deceasedDateTime="2021-06",
    )
    view = view_of(facts(old, source="clinic", seq=1), facts(new, source="lab", seq=2))
    row = view.row(0, named=True)
    assert view.height == 1
    assert (row["sources"], row["name"], row["gender"]) == (["clinic", "lab"], "New", "female")
    assert [(name["source"], name["text"]) for name in row["names"]] == [
        ("clinic", "Old"),
        ("lab", "New"),
        ("lab", "Nick"),
    ]
    assert row["identifiers"] == [
        {"source": "lab", "type": None, "use": None, "system": "urn:lab", "value": "7", "resource_id": "p"}
    ]
    assert (row["deceased"], row["deceased_date"]) == (True, "2021-06")


def test_the_order_of_facts_does_not_matter() -> None:
    found = facts(
        patient(name=[{"family": "A"}, {"family": "B"}], gender="male"),
        hemoglobin(1, "2020-01-01"),
        observation(HEMOGLOBIN, id="same-day", valueInteger=2, effectiveDateTime="2020-01-01"),
        variant(gene("HGNC:76"), id="v1"),
        variant(gene("HGNC:427"), id="v2"),
    ).with_columns(person_id=pl.lit("p-1"))
    expected = patient_view(found)
    for seed in range(5):
        assert patient_view(found.sample(fraction=1, shuffle=True, seed=seed)).equals(expected)


def test_explain_says_who_it_is_and_where_each_finding_is_from() -> None:
    row = row_of(
        patient(name=[{"family": "Roe", "given": ["Jane"]}], gender="female", birthDate="1970-05"),
        condition(concept(SCT, "254637007", "Non-small cell lung cancer"), onsetDateTime="2019-04-01"),
        observation(concept(LOINC, "89247-1"), id="e", valueInteger=1),
        observation(concept(LOINC, "16112-5", "ER"), id="er", valueCodeableConcept=concept(SCT, "10828004")),
        observation(concept(LOINC, "94076-7"), id="tmb", valueQuantity={"value": 57.1, "code": "1"}),
        variant(
            gene("HGNC:3236", "EGFR"),
            part("48005-3", valueString="p.Leu858Arg"),
            part("81258-6", valueQuantity={"value": 20, "code": "%"}),
            id="v",
        ),
        variant(gene("HGNC:427"), id="n", answer="LA9634-2", effectiveDateTime=None),
    )
    assert explain(row) == [
        "p-1: Roe, Jane, female, born 1970-05",
        "Known to: hospital",
        "Cancer:",
        "  cancer: Non-small cell lung cancer; 2019-04-01 (hospital, Condition/c)",
        "  ECOG: 1; 2019-04-01 (hospital, Observation/e)",
        "Biomarkers:",
        "  ER: positive; 2019-04-01 (hospital, Observation/er)",
        "  EGFR present (mutation, p.Leu858Arg, allele fraction 20.0%); 2019-04-01 (hospital, Observation/v)",
        "  ALK absent; undated (hospital, Observation/n)",
        "  tumour mutational burden: 57.1; 2019-04-01 (hospital, Observation/tmb)",
    ]


def test_explain_of_a_person_who_refuses_research_says_so() -> None:
    consent = {
        "resourceType": "Consent",
        "status": "active",
        "scope": concept("http://terminology.hl7.org/CodeSystem/consentscope", "research"),
        "provision": {"type": "deny"},
    }
    told = explain(row_of(patient(deceasedBoolean=True), consent))
    assert told[0] == "p-1: No name, sex not stated, date of birth not stated, dead"
    assert "Has denied research use: matched to no trial." in told
