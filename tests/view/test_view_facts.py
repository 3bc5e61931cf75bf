from datetime import datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from view_builders import LOINC, SCT, concept, condition, facts, gene, observation, only, patient, rows_of, variant

from spv_platform.lake.tables import TABLES
from spv_platform.view.facts import bearing, displaced, facts_of, versions_without_patient
from spv_platform.view.schema import KINDS, SCHEMA

ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition/"
VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"


def test_a_patient_gives_facts_of_who_it_is() -> None:
    found = facts(
        patient(
            identifier=[
                {
                    "type": concept("http://terminology.hl7.org/CodeSystem/v2-0203", "MR"),
                    "system": "urn:h",
                    "value": "1|2",
                },
                {"use": "old", "system": "urn:h", "value": "0"},
            ],
            name=[{"use": "official", "family": "Roe", "given": ["Jane", "Q"], "suffix": ["Jr"]}, {"text": "J. Roe"}],
            gender="female",
            birthDate="1970-05",
            deceasedDateTime="2020-01-01",
            address=[{"line": ["1 A St", "Flat 2"], "city": "Town", "state": "MA", "postalCode": "01234"}],
            telecom=[{"system": "phone", "value": "555"}],
        )
    )
    identifiers = found.filter(pl.col("kind") == "identifier").sort("value_text")
    assert identifiers.select("value_text", "usable").rows() == [("urn:h|0", False), ("urn:h|1|2", True)]
    assert identifiers["codes"].to_list() == [[], ["MR"]]
    assert sorted(found.filter(pl.col("kind") == "name")["value_text"]) == ["J. Roe", "Roe, Jane Q, Jr"]
    assert only(found, "gender")["value_text"] == "female"
    born = only(found, "birth_date")
    assert (born["time"], str(born["time_start"]), str(born["time_end"])) == (
        "1970-05",
        "1970-05-01 00:00:00",
        "1970-06-01 00:00:00",
    )
    died = only(found, "deceased")
    assert (died["polarity"], died["time"]) == ("present", "2020-01-01")
    assert only(found, "address")["value_text"] == "1 A St, Flat 2, Town, MA 01234"
    assert only(found, "telecom")["value_text"] == "phone:555"


def test_an_address_tells_where_somebody_lives_unless_it_is_for_something_else() -> None:
    def address(**more: Any) -> dict[str, Any]:
        return {"postalCode": "01234", "state": "MA", "country": "US", **more}

    point = [{"url": name, "valueDecimal": value} for name, value in (("latitude", 42.5), ("longitude", -70.25))]
    geolocation = {"url": "http://hl7.org/fhir/StructureDefinition/geolocation", "extension": point}
    home = {"use": "home", "extension": [geolocation], "period": {"end": "2024-01"}}
    elsewhere = [address(use=use) for use in ("old", "temp", "billing", "work")] + [address(type="postal")]
    found = facts(patient(address=[home, address(), {"city": "Town"}, *elsewhere])).filter(kind="place")
    assert found.filter("usable").sort("value_text", nulls_last=True).select("value_text", "value_codes").rows() == [
        ("geo:42.5,-70.25", ["", "", ""]),
        (None, ["US", "MA", "01234"]),
    ]
    assert found.filter(pl.col("status") == "home")["time_end"].to_list() == [datetime(2024, 2, 1)]
    assert found.filter(~pl.col("usable")).height == len(elsewhere)


def test_a_patient_stated_alive_has_an_absent_death() -> None:
    assert only(facts(patient(deceasedBoolean=False)), "deceased")["polarity"] == "absent"
    assert "deceased" not in facts(patient())["kind"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (concept(ICD10, "C34.90"), "cancer"),
        (concept(ICD10, "C7A.1"), "cancer"),
        (concept(ICD10, "C78.7"), "metastasis"),
        (concept(ICD10, "C7B.02"), "metastasis"),
        (concept(ICD10, "D05.10"), "cancer"),
        (concept(ICD10, "D12.6"), "condition"),
        (concept(ICD10, "I50.32"), "condition"),
        (concept(SCT, "254637007"), "cancer"),
        (concept(SCT, "94222008"), "metastasis"),
        (concept(SCT, "1", "Malignant neoplasm of ovary (disorder)"), "cancer"),
        (concept(SCT, "1", "Secondary malignant neoplasm of pleura"), "metastasis"),
        (concept(SCT, "1", "Family history of malignant neoplasm of breast"), "condition"),
        (concept(SCT, "1", "History of carcinoma of colon"), "condition"),
        (concept(SCT, "49601007", "Disorder of cardiovascular system"), "condition"),
        ({"text": "Malignant neoplasm of something"}, "condition"),
    ],
)
def test_a_condition_is_told_from_a_cancer_by_its_code(code: dict[str, Any], kind: str) -> None:
    assert facts(condition(code))["kind"].to_list() == [kind]


def test_an_mcode_profile_decides_before_the_code() -> None:
    code = concept(SCT, "128462008", "Metastatic malignant neoplasm")
    primary = condition(code, meta={"profile": [MCODE + "mcode-primary-cancer-condition|4.0.0"]})
    assert facts(condition(code))["kind"].to_list() == ["metastasis"]
    assert facts(primary)["kind"].to_list() == ["cancer"]


@pytest.mark.parametrize(
    ("verification", "usable"),
    [
        ("confirmed", True),
        (None, True),
        ("refuted", False),
        ("entered-in-error", False),
        ("differential", False),
        ("provisional", False),
        ("unconfirmed", False),
    ],
)
def test_a_condition_counts_unless_it_is_unverified(verification: str | None, usable: bool) -> None:
    more = {"verificationStatus": concept(VERIFICATION, verification)} if verification else {}
    found = only(
        facts(condition(concept(ICD10, "C34.9"), clinicalStatus=concept(CLINICAL, "active"), **more)), "cancer"
    )
    assert found["usable"] is usable
    assert found["status"] == ("active" if usable else verification)


@pytest.mark.parametrize(
    ("verification", "usable"),
    [
        ({"coding": [{"system": "urn:local", "code": "R"}, {"system": VERIFICATION, "code": "refuted"}]}, False),
        ({"coding": [{"system": VERIFICATION, "code": "confirmed"}, {"system": "urn:local", "code": "C"}]}, True),
        ({"coding": [{"system": "urn:local", "code": "R", "display": "Refuted"}]}, False),
        ({"coding": [{"system": VERIFICATION, "code": "Refuted"}]}, False),
        ({"text": "Entered in Error"}, False),
        ({"text": "Entered  in_error"}, False),
        ({"text": "confirmed by biopsy"}, True),
    ],
)
@pytest.mark.parametrize("kind", ["cancer", "allergy"])
def test_what_is_refuted_in_any_coding_or_in_words_does_not_count(
    kind: str, verification: dict[str, Any], usable: bool
) -> None:
    stated = {"verificationStatus": verification}
    allergy = {"resourceType": "AllergyIntolerance", "code": {"text": "Penicillin"}, **stated}
    found = facts(allergy if kind == "allergy" else condition(concept(ICD10, "C34.9"), **stated))
    assert only(found, kind)["usable"] is usable


@pytest.mark.parametrize("words", ["Ruled out", "Not confirmed", "Suspected", "refuted by biopsy", "Known absent"])
def test_a_verification_that_says_nowhere_confirmed_does_not_count(words: str) -> None:
    for stated in ({"text": words}, {"coding": [{"system": "urn:local", "code": "X", "display": words}]}):
        found = only(facts(condition(concept(ICD10, "C34.9"), verificationStatus=stated)), "cancer")
        assert (found["usable"], found["status"], found["polarity"]) == (False, "unconfirmed", None)


@pytest.mark.parametrize(
    ("stated", "usable"),
    [
        ({"text": "Diagnosis confirmed"}, True),
        ({"coding": [{"system": SCT, "code": "410605003"}]}, True),
        ({"text": "To be confirmed"}, False),
        ({"text": "unconfirmed by biopsy"}, False),
    ],
)
def test_a_verification_is_read_in_words(stated: dict[str, Any], usable: bool) -> None:
    assert only(facts(condition(concept(ICD10, "C34.9"), verificationStatus=stated)), "cancer")["usable"] is usable


def test_a_course_is_told_by_the_coding_that_fhir_knows() -> None:
    course = {"coding": [{"system": "urn:local", "code": "X"}, {"system": CLINICAL, "code": "resolved"}]}
    assert only(facts(condition(concept(ICD10, "C34.9"), clinicalStatus=course)), "cancer")["status"] == "resolved"
    local = facts(condition(concept(ICD10, "C34.9"), clinicalStatus=concept("urn:local", "X")))
    assert only(local, "cancer")["status"] == "X"


def test_a_stage_on_the_condition_is_left_to_its_observation() -> None:
    summary = {"summary": concept(SCT, "1222806003", "American Joint Committee on Cancer stage IIIC")}
    alone = facts(condition(concept(ICD10, "C34.9"), stage=[summary]))
    assert only(alone, "stage")["value_text"] == "IIIC"
    assessed = facts(
        condition(concept(ICD10, "C34.9"), stage=[summary | {"assessment": [{"reference": "Observation/s"}]}])
    )
    assert assessed["kind"].to_list() == ["cancer"]


@pytest.mark.parametrize(
    ("code", "value", "kind", "text"),
    [
        ("399537006", "American Joint Committee on Cancer stage IIB (qualifier value)", "stage", "IIB"),
        ("399588009", "Stage group 4", "stage", "IV"),
        ("399588009", "iiia", "stage", "IIIA"),
        ("385388004", "Lymphoma stage III (finding)", "stage", None),
        ("399504009", "American Joint Committee on Cancer cT3 (qualifier value)", "tnm", "cT3"),
        ("399504009", "pTis", "tnm", "pTis"),
        ("371497001", "Not applicable", "tnm", None),
    ],
)
def test_stages_are_read_from_the_words_of_their_value(code: str, value: str, kind: str, text: str | None) -> None:
    found = only(facts(observation(concept(SCT, code), valueCodeableConcept=concept(SCT, "1", value))), kind)
    assert (found["value_text"], found["value_display"]) == (text, value)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ({"valueInteger": 1}, 1.0),
        ({"valueQuantity": {"value": 2}}, 2.0),
        ({"valueCodeableConcept": concept(LOINC, "LA9625-0")}, 3.0),
        ({"valueCodeableConcept": concept(SCT, "423237006")}, 4.0),
        ({"interpretation": [concept(LOINC, "LA9622-7")]}, 0.0),
    ],
)
def test_a_performance_status_is_a_number_however_it_is_stated(value: dict[str, Any], number: float) -> None:
    found = only(facts(observation(concept(LOINC, "89247-1"), **value)), "ecog")
    assert found["value_number"] == number
    assert float(found["value_text"]) == number


@pytest.mark.parametrize(
    ("value", "polarity"),
    [
        ({"valueCodeableConcept": concept(SCT, "10828004")}, "present"),
        ({"valueCodeableConcept": concept(LOINC, "LA6577-6")}, "absent"),
        ({"valueCodeableConcept": {"text": "Equivocal"}}, "indeterminate"),
        ({"valueCodeableConcept": concept(SCT, "0", "Negative (qualifier value)")}, "absent"),
        ({"valueString": " NOT DETECTED "}, "absent"),
        ({"valueString": "3+"}, None),
        ({"valueBoolean": True}, "present"),
        ({"valueQuantity": {"value": 95, "unit": "%"}}, None),
        (
            {
                "valueQuantity": {"value": 95, "unit": "%"},
                "interpretation": [
                    concept("http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "POS")
                ],
            },
            "present",
        ),
    ],
)
def test_a_tumor_marker_is_positive_only_where_it_says_so(value: dict[str, Any], polarity: str | None) -> None:
    assert only(facts(observation(concept(LOINC, "16112-5"), **value)), "tumor_marker")["polarity"] == polarity


def test_a_tumor_marker_is_known_by_its_profile_too() -> None:
    marker = observation(
        concept("urn:local", "x"), valueString="positive", meta={"profile": [MCODE + "mcode-tumor-marker"]}
    )
    assert only(facts(marker), "tumor_marker")["polarity"] == "present"


@pytest.mark.parametrize(
    ("code", "display", "polarity"),
    [
        ("LA26203-2", None, "present"),
        ("LA26202-4", None, "indeterminate"),
        ("LA14122-8", None, "absent"),
        ("x", "MSS", "absent"),
        ("x", "MSI-High", "present"),
    ],
)
def test_microsatellite_instability_is_high_low_or_stable(code: str, display: str | None, polarity: str) -> None:
    msi = observation(concept(LOINC, "81695-9"), valueCodeableConcept=concept(LOINC, code, display))
    assert only(facts(msi), "msi")["polarity"] == polarity


def test_a_stable_disease_is_no_negative_result() -> None:
    status = observation(concept(LOINC, "97509-4"), valueCodeableConcept=concept(SCT, "x", "Stable"))
    assert only(facts(status), "lab")["polarity"] is None


def test_a_blood_pressure_is_one_result_per_component() -> None:
    found = facts(
        observation(
            concept(LOINC, "85354-9"),
            component=[
                {"code": concept(LOINC, "8480-6"), "valueQuantity": {"value": 120, "code": "mm[Hg]", "unit": "mmHg"}},
                {"code": concept(LOINC, "8462-4"), "valueQuantity": {"value": 80, "unit": "mmHg"}},
            ],
        )
    )
    assert sorted(found.select("kind", pl.col("codes").list.first(), "value_number", "unit").rows()) == [
        ("lab", f"{LOINC}|8462-4", 80.0, "mmHg"),
        ("lab", f"{LOINC}|8480-6", 120.0, "mm[Hg]"),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"valueQuantity": {"value": 3.10, "comparator": "<"}}, "3.1"),
        ({"valueString": "trace"}, "trace"),
        ({"valueBoolean": False}, "false"),
        ({"valueInteger": 7}, "7"),
        ({"valueDateTime": "2020-02"}, "2020-02"),
        ({"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 128}}}, "1:128"),
    ],
)
def test_every_kind_of_result_value_is_kept(value: dict[str, Any], text: str) -> None:
    assert only(facts(observation(concept(LOINC, "1-8"), **value)), "lab")["value_text"] == text


def test_a_result_that_is_absent_keeps_the_reason_and_does_not_count() -> None:
    reason = concept("http://terminology.hl7.org/CodeSystem/data-absent-reason", "not-performed", "Not Performed")
    found = only(facts(observation(concept(LOINC, "1-8"), dataAbsentReason=reason)), "lab")
    assert (found["usable"], found["value_display"], found["value_number"]) == (False, "Not Performed", None)


def test_a_reason_in_words_is_kept_too() -> None:
    found = facts(
        observation(concept(LOINC, "1-8"), dataAbsentReason={"text": "clotted"}),
        observation(
            concept(LOINC, "85354-9"),
            id="parts",
            component=[{"code": concept(LOINC, "8480-6"), "dataAbsentReason": {"text": "cuff too small"}}],
        ),
    )
    assert sorted(found.filter(pl.col("kind") == "lab").select("value_display", "usable").rows()) == [
        ("clotted", False),
        ("cuff too small", False),
    ]


@pytest.mark.parametrize("status", ["entered-in-error", "cancelled", "registered", "final"])
def test_what_stands_inside_of_a_resource_that_was_entered_in_error_or_has_no_results_counts_not(status: str) -> None:
    inside = observation(concept(LOINC, "718-7"), valueInteger=1)
    report = {"resourceType": "DiagnosticReport", "status": status, "code": {"text": "x"}, "contained": [inside]}
    found = facts_of(bearing(rows_of(report, observation(concept(LOINC, "1-8"), valueInteger=2) | {"id": "beside"})))
    usable = dict(found.filter(pl.col("kind") == "lab").select("value_text", "usable").iter_rows())
    assert usable == {"1": status == "final", "2": True}


@pytest.mark.parametrize(
    ("verification", "usable"), [("confirmed", True), ("entered-in-error", False), ("refuted", True)]
)
@pytest.mark.parametrize("resource_type", ["Condition", "AllergyIntolerance"])
def test_what_stands_inside_of_a_problem_that_was_entered_in_error_was_so_too(
    resource_type: str, verification: str, usable: bool
) -> None:
    inside = observation(concept(LOINC, "718-7"), valueInteger=1)
    problem = {
        "resourceType": resource_type,
        "code": {"text": "x"},
        "verificationStatus": concept("http://terminology.hl7.org/CodeSystem/condition-ver-status", verification),
        "contained": [inside],
    }
    assert only(facts_of(bearing(rows_of(problem))), "lab")["usable"] is usable


MODIFIED = {"modifierExtension": [{"url": "http://example.org/of-a-relative", "valueBoolean": True}]}


def test_what_an_extension_changes_the_meaning_of_is_no_evidence() -> None:
    read = {"code": concept(LOINC, "1-8"), "valueInteger": 2}
    found = facts(
        observation(concept(LOINC, "718-7"), valueInteger=1) | MODIFIED,
        observation(concept(LOINC, "718-7"), valueInteger=2, component=[read | MODIFIED]) | {"id": "of-a-part"},
        observation(concept(LOINC, "718-7"), valueInteger=3, extension=MODIFIED["modifierExtension"]) | {"id": "plain"},
    )
    labs = found.filter(pl.col("kind") == "lab").select("value_text", "usable").unique().sort("value_text")
    assert labs.rows() == [("1", False), ("2", False), ("3", True)]


def test_a_modified_report_says_nothing_of_what_stands_inside_of_it() -> None:
    inside = observation(concept(LOINC, "718-7"), valueInteger=1)
    report = {"resourceType": "DiagnosticReport", "status": "final", "code": {"text": "x"}, "contained": [inside]}
    assert only(facts_of(bearing(rows_of(report))), "lab")["usable"]
    modified = facts_of(bearing(rows_of(report | MODIFIED)))
    assert not only(modified, "lab")["usable"]


def test_what_keeps_a_person_out_does_so_also_where_its_meaning_is_changed() -> None:
    found = facts(patient(deceasedBoolean=True, gender="male") | MODIFIED)
    assert only(found, "deceased")["usable"]
    assert not only(found, "gender")["usable"]


def test_versions_that_may_take_back_what_stood_inside_of_them_bear() -> None:
    note = {"resourceType": "Basic", "code": {"text": "x"}}
    taken_back = {"resourceType": "QuestionnaireResponse", "status": "entered-in-error"}
    rows = rows_of(note, taken_back)["other_resource"]
    assert bearing({"other_resource": rows})["other_resource"]["resource_type"].to_list() == ["QuestionnaireResponse"]
    gone = rows.with_columns(deleted=pl.lit(value=True))
    assert bearing({"other_resource": gone})["other_resource"].height == 2


@pytest.mark.parametrize(
    ("status", "usable"),
    [("final", True), ("amended", True), ("corrected", True)]
    + [(status, False) for status in ("registered", "preliminary", "cancelled", "entered-in-error", "unknown")],
)
def test_an_observation_counts_only_when_it_is_final(status: str, usable: bool) -> None:
    assert only(facts(observation(concept(LOINC, "718-7"), status=status, valueInteger=1)), "lab")["usable"] is usable


@pytest.mark.parametrize(
    ("resource_type", "status", "said", "usable"),
    [
        ("MedicationRequest", "active", "request:active", False),
        ("MedicationRequest", "completed", "request:completed", False),
        ("MedicationStatement", "active", "statement:active", True),
        ("MedicationStatement", "intended", "statement:intended", False),
        ("MedicationStatement", "not-taken", "statement:not-taken", False),
        ("MedicationAdministration", "completed", "administration:completed", True),
        ("MedicationAdministration", "not-done", "administration:not-done", False),
        ("MedicationDispense", "completed", "dispense:completed", True),
        ("MedicationDispense", "in-progress", "dispense:in-progress", False),
        *(
            (f"Medication{kind.capitalize()}", "entered-in-error", f"{kind}:entered-in-error", False)
            for kind in ("request", "statement", "administration", "dispense")
        ),
    ],
)
def test_only_what_was_taken_counts_as_exposure(resource_type: str, status: str, said: str, usable: bool) -> None:
    drug = concept("http://www.nlm.nih.gov/research/umls/rxnorm", "3002", "cyclophosphamide")
    found = only(
        facts({"resourceType": resource_type, "status": status, "medicationCodeableConcept": drug}), "medication"
    )
    assert (found["status"], found["usable"], found["display"]) == (said, usable, "cyclophosphamide")


@pytest.mark.parametrize("status", ["completed", "not-done", "preparation", "entered-in-error"])
@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Procedure", "code": concept(SCT, "387713003", "Surgical procedure")},
        {"resourceType": "Immunization", "vaccineCode": concept("http://hl7.org/fhir/sid/cvx", "140")},
    ],
    ids=lambda resource: resource["resourceType"].lower(),
)
def test_only_what_was_done_counts(resource: dict[str, Any], status: str) -> None:
    found = facts(resource | {"status": status}).filter(pl.col("kind") != "none")
    assert found["status"].to_list() == [status]
    assert found["usable"].to_list() == [status == "completed"]


@pytest.mark.parametrize(
    ("change", "kinds", "usable"),
    [
        ({}, ["opt_out"], True),
        ({"status": "inactive"}, ["opt_out"], False),
        ({"provision": {"type": "permit"}}, ["none"], False),
        ({"provision": {"type": "permit", "provision": [{"type": "permit"}, {"type": "deny"}]}}, ["opt_out"], True),
        ({"provision": {"type": "permit", "provision": [{"type": "permit"}]}}, ["none"], False),
        (
            {"provision": {"type": "permit", "provision": [{"type": "permit", "provision": [{"type": "deny"}]}]}},
            ["opt_out"],
            True,
        ),
        ({"scope": concept("http://terminology.hl7.org/CodeSystem/consentscope", "treatment")}, ["none"], False),
    ],
)
def test_an_active_consent_that_denies_research_is_an_opt_out(
    change: dict[str, Any], kinds: list[str], usable: bool
) -> None:
    consent = {
        "resourceType": "Consent",
        "status": "active",
        "scope": concept("http://terminology.hl7.org/CodeSystem/consentscope", "research"),
        "provision": {"type": "deny"},
    }
    found = facts(consent | change)
    assert found["kind"].to_list() == kinds
    assert found["usable"].to_list() == [usable]


def test_other_clinical_resources_become_facts_of_their_kind() -> None:
    found = facts(
        {"resourceType": "Procedure", "status": "completed", "code": concept(SCT, "71651007", "Mammography")},
        {"resourceType": "Procedure", "status": "preparation", "code": concept(SCT, "71651007")},
        {
            "resourceType": "Immunization",
            "status": "not-done",
            "vaccineCode": concept("http://hl7.org/fhir/sid/cvx", "1"),
        },
        {"resourceType": "AllergyIntolerance", "code": {"text": "Penicillin"}, "criticality": "high"},
        {"resourceType": "Encounter", "status": "planned", "period": {"start": "2020-01-01"}},
        {
            "resourceType": "Encounter",
            "status": "finished",
            "period": {"start": "2020-01-02"},
            "class": {"code": "AMB"},
        },
    )
    told = found.select("kind", "usable", "display", "value_display", "time").sort("kind", "usable")
    assert told.rows() == [
        ("allergy", True, "Penicillin", "high", None),
        ("encounter", False, None, None, "2020-01-01"),
        ("encounter", True, None, "AMB", "2020-01-02"),
        ("immunization", False, None, None, None),
        ("procedure", False, None, None, None),
        ("procedure", True, "Mammography", None, None),
    ]


def test_the_organizations_that_treat_a_patient_or_keep_the_record_are_facts() -> None:
    found = facts(
        patient(
            managingOrganization={"reference": "Organization/keeps"},
            generalPractitioner=[{"reference": "Practitioner/who"}, {"reference": "Organization/named"}],
        ),
        {"resourceType": "Encounter", "status": "finished", "serviceProvider": {"reference": "Organization/treats"}},
        {"resourceType": "Encounter", "status": "finished", "serviceProvider": {"identifier": {"value": "x"}}},
    )
    told = found.select("kind", "status", "value_text").sort("kind", "status", "value_text")
    assert told.rows() == [
        ("care_organization", "general_practitioner", "Organization/named"),
        ("care_organization", "managing", "Organization/keeps"),
        ("encounter", "finished", None),
        ("encounter", "finished", "Organization/treats"),
    ]


def test_every_version_has_a_fact_even_when_it_says_nothing() -> None:
    tables = rows_of({"resourceType": "DiagnosticReport", "status": "final", "code": concept(LOINC, "1-8")}, patient())
    silent = facts_of(tables)
    assert silent["kind"].to_list() == ["none", "none"]
    tombstones = {name: rows.with_columns(deleted=pl.lit(True)) for name, rows in tables.items()}
    gone = facts_of(tombstones)
    assert gone.select("kind", "deleted", "usable").unique().rows() == [("none", True, False)]
    assert sorted(gone["resource_type"]) == ["DiagnosticReport", "Patient"]


def test_a_version_without_a_patient_is_told_to_the_records_that_hold_the_resource() -> None:
    tables = rows_of(observation(concept(LOINC, "718-7"), valueInteger=1))
    lost = {name: rows.with_columns(patient_id=pl.lit(None, pl.String)) for name, rows in tables.items()}
    assert facts_of(lost).is_empty()
    versions = versions_without_patient(lost)
    assert versions["resource_id"].to_list() == ["o"]
    homes = facts_of(tables).select("source", "resource_type", "resource_id", "patient_id")
    told = displaced(versions, homes)
    assert told.select("patient_id", "kind", "digest").rows() == [("p", "none", versions["digest"][0])]
    assert displaced(facts_of(tables).select(versions.columns), homes).is_empty()


def test_no_rows_give_no_facts_with_the_whole_schema() -> None:
    empty = {table.name: pl.DataFrame(schema=table.schema) for table in TABLES}
    for tables in ({}, empty):
        assert facts_of(tables).schema == pl.Schema(SCHEMA)
        assert facts_of(tables).is_empty()
        assert versions_without_patient(tables).is_empty()


texts = st.none() | st.text(max_size=5)
codings = st.none() | st.lists(st.fixed_dictionaries({"system": texts, "code": texts, "display": texts}), max_size=2)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_observation_row_gives_facts_of_known_kinds(data: st.DataObject) -> None:
    rows = rows_of(observation(concept(LOINC, "69548-6"), component=[{"code": concept(LOINC, "48018-6")}]))[
        "observation"
    ]
    columns = {
        name: pl.Series([data.draw(codings)], dtype=rows.schema[name])
        for name in ("code", "value_concept", "interpretation", "absent_reason", "body_site")
    }
    columns |= {name: pl.Series([data.draw(texts)], dtype=pl.String) for name in ("status", "value_string", "issued")}
    found = facts_of({"observation": rows.with_columns(**columns)})
    assert found.height >= 1
    assert set(found["kind"]) <= set(KINDS)
    assert found["usable"].null_count() == 0


def test_a_result_that_contradicts_itself_is_indeterminate() -> None:
    positive, negative = concept(SCT, "10828004", "Positive"), concept(SCT, "260385009", "Negative")
    both = {"coding": [*positive["coding"], *negative["coding"]]}
    flag = concept("http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "POS")
    er = concept(LOINC, "16112-5", "ER")
    assert only(facts(observation(er, valueCodeableConcept=both)), "tumor_marker")["polarity"] == "indeterminate"
    flagged = facts(observation(er, valueCodeableConcept=negative, interpretation=[flag]))
    assert only(flagged, "tumor_marker")["polarity"] == "indeterminate"
    assert only(facts(observation(er, valueCodeableConcept=positive)), "tumor_marker")["polarity"] == "present"


@pytest.mark.parametrize(
    ("code", "said", "polarity"),
    [
        ("260385009", "Positive", "indeterminate"),
        ("260385009", "ER positive (95 %)", "indeterminate"),
        ("10828004", "Receptor negative", "indeterminate"),
        ("10828004", "Not detected", "indeterminate"),
        ("260385009", "Negative", "absent"),
        ("260385009", "No positive cells", "absent"),
        ("260385009", "not detected (qualifier value)", "absent"),
        ("10828004", "Positive in 95 %, internal control negative", "present"),
        ("10828004", "strong staining", "present"),
    ],
)
def test_a_negative_result_with_a_positive_text_is_indeterminate(code: str, said: str, polarity: str) -> None:
    er, value = concept(LOINC, "16112-5", "ER"), {"coding": [{"system": SCT, "code": code}], "text": said}
    assert only(facts(observation(er, valueCodeableConcept=value)), "tumor_marker")["polarity"] == polarity


def test_a_result_about_a_relative_is_not_the_patients() -> None:
    er = observation(concept(LOINC, "16112-5", "ER"), valueCodeableConcept=concept(SCT, "10828004"))
    assert only(facts(er), "tumor_marker")["usable"]
    assert not only(facts({**er, "focus": [{"reference": "RelatedPerson/mother"}]}), "tumor_marker")["usable"]


@pytest.mark.parametrize(
    ("said", "polarity"),
    [("Deficient (dMMR)", "present"), ("Proficient", "absent"), ("Intact", "absent"), ("See note", None)],
)
def test_mismatch_repair_is_known_by_what_the_test_is_called(said: str, polarity: str | None) -> None:
    code = {"text": "Mismatch repair (MMR) protein status"}
    found = facts(observation(code, valueCodeableConcept={"coding": [{"display": said}]}))
    assert only(found, "mmr")["polarity"] == polarity


def lab(**more: Any) -> dict[str, Any]:
    return only(facts(observation(concept(LOINC, "718-7"), valueQuantity={"value": 13.0}, **more)), "lab")


@pytest.mark.parametrize(
    ("specimen", "key", "words"),
    [
        ({"reference": "Specimen/s1"}, "Specimen/s1", None),
        ({"reference": "Specimen/s1", "display": "Plasma"}, "Specimen/s1", "Plasma"),
        ({"display": "Peripheral blood"}, None, "Peripheral blood"),
        ({"identifier": {"system": "urn:lab", "value": "A-42"}}, "urn:lab|A-42", None),
        ({"identifier": {"value": "A-42"}, "display": "Tumor tissue"}, "|A-42", "Tumor tissue"),
    ],
)
def test_a_specimen_is_named_by_key_identifier_or_words(
    specimen: dict[str, Any], key: str | None, words: str | None
) -> None:
    found = lab(specimen=specimen)
    assert (found["specimen"], found["specimen_display"]) == (key, words)
    found = only(facts(variant(gene("HGNC:1097"), specimen=specimen)), "variant")
    assert (found["specimen"], found["specimen_display"]) == (key, words)


def test_a_specimen_keeps_what_it_is_known_by() -> None:
    specimen = {
        "resourceType": "Specimen",
        "identifier": [{"system": "urn:lab", "value": "A-42"}],
        "accessionIdentifier": {"system": "urn:acc", "value": "7"},
        "type": concept("http://terminology.hl7.org/CodeSystem/v2-0487", "PLAS"),
    }
    assert only(facts(specimen), "specimen")["value_codes"] == ["urn:lab|A-42", "urn:acc|7"]


LAB = {"reference": "Organization/lab"}
DOCTOR = {"reference": "Practitioner/d"}


@pytest.mark.parametrize(
    ("performers", "laboratory"),
    [
        (None, None),
        ([DOCTOR | {"display": "Dr. Somebody"}], None),
        ([LAB | {"display": "Acme Labs"}], "Acme Labs"),
        ([LAB], "Organization/lab"),
        ([DOCTOR | {"display": "Dr. Somebody"}, LAB | {"display": "Acme Labs"}], "Acme Labs"),
        ([DOCTOR, LAB | {"display": "Acme Labs"}], "Organization/lab"),
        ([{"display": "Acme Labs"}], "Acme Labs"),
        ([{"identifier": {"value": "x"}, "display": "Acme Labs"}], "Acme Labs"),
        ([{"reference": "https://lab.example/fhir/PractitionerRole/7", "display": "Dr. Somebody"}], None),
    ],
)
def test_a_laboratory_is_the_performer_that_is_no_person(
    performers: list[dict[str, Any]] | None, laboratory: str | None
) -> None:
    more = {"performer": performers} if performers else {}
    assert lab(**more)["laboratory"] == laboratory
    assert only(facts(variant(gene("HGNC:1097"), **more)), "variant")["laboratory"] == laboratory
