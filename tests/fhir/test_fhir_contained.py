"""Resources inside of others, and the drugs that medications refer to."""

from typing import Any

import polars as pl
import pytest
from fhir_samples import bundle, entry, observation, parse, patient, reasons, rows

from spv_platform.lake.winners import winners

LOINC = {"coding": [{"system": "http://loinc.org", "code": "718-7"}]}
ASPIRIN = {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "1191"}], "text": "aspirin"}


def report(*contained: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "DiagnosticReport",
        "id": "d1",
        "status": "final",
        "code": LOINC,
        "subject": {"reference": "Patient/p1"},
        "contained": list(contained),
        "result": [{"reference": f"#{each['id']}"} for each in contained],
        **more,
    }


def request(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "MedicationRequest",
        "id": "m1",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/p1"},
        **more,
    }


def medication(id_: str | None, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Medication", "id": id_, "code": ASPIRIN, **more}


def test_a_contained_resource_is_a_row_that_names_its_container() -> None:
    parsed = parse(bundle(entry(report(observation("o", valueString="x"), observation("o2", valueString="y")))))
    assert (parsed.entries, parsed.accepted, parsed.contained, parsed.balances) == (1, 1, 2, True)
    (held,) = rows(parsed, "diagnostic_report")
    first, second = rows(parsed, "observation")
    assert (first["resource_id"], second["resource_id"]) == ("d1#o", "d1#o2")
    assert {row["container"] for row in (first, second)} == {"DiagnosticReport/d1"}
    assert (held["container"], held["digest"]) == (None, first["digest"])
    assert (first["value_string"], first["source_entry"]) == ("x", held["source_entry"])
    assert held["result"] == [
        {"reference": "#o", "key": "Observation/d1#o", "how": "contained"},
        {"reference": "#o2", "key": "Observation/d1#o2", "how": "contained"},
    ]


def test_a_contained_resource_is_about_the_patient_of_its_container_unless_it_says_otherwise() -> None:
    other = observation("o2", subject={"reference": "Patient/p2"})
    parsed = parse(bundle(entry(report(observation("o"), other, medication("m")))))
    assert [row["patient_id"] for row in rows(parsed, "observation")] == ["p1", "p2"]
    assert rows(parsed, "other_resource")[0]["patient_id"] is None


def test_inside_of_a_container_references_lead_to_siblings_and_to_the_container() -> None:
    held = observation(
        "o", derivedFrom=[{"reference": "#o2"}], focus=[{"reference": "#"}], specimen={"reference": "#x"}
    )
    first, _ = rows(parse(bundle(entry(report(held, observation("o2"))))), "observation")
    assert first["derived_from"] == [{"reference": "#o2", "key": "Observation/d1#o2", "how": "contained"}]
    assert first["focus"] == [{"reference": "#", "key": "DiagnosticReport/d1", "how": "contained"}]
    assert (first["specimen"], first["specimen_key"], first["specimen_how"]) == ("#x", None, "contained")


def test_a_contained_patient_is_the_record_of_what_names_it() -> None:
    held = observation("o", contained=[patient("p", gender="female")], subject={"reference": "#p"})
    parsed = parse(bundle(entry(held)))
    assert rows(parsed, "observation")[0]["patient_id"] == "o#p"
    (found,) = rows(parsed, "patient")
    assert (found["resource_id"], found["patient_id"], found["gender"]) == ("o#p", "o#p", "female")


def test_what_a_losing_or_refused_container_holds_loses_with_it() -> None:
    old = report(observation("o", valueString="old"), meta={"lastUpdated": "2020-01-01T00:00:00Z"})
    new = report(observation("o", valueString="new"), meta={"lastUpdated": "2021-01-01T00:00:00Z"})
    bad = {**report(observation("o", status="nonsense")), "id": "d2"}
    parsed = parse(bundle(entry(new), entry(old), entry(bad)))
    assert reasons(parsed) == [(2, "not_in_value_set", "/contained/0/status")]
    assert (parsed.accepted, parsed.superseded, parsed.contained, parsed.balances) == (1, 1, 1, True)
    assert [row["value_string"] for row in rows(parsed, "observation")] == ["new"]


def test_a_medication_has_the_code_of_the_drug_that_it_refers_to() -> None:
    inside = request(contained=[medication("drug")], medicationReference={"reference": "#drug"})
    beside = request(medicationReference={"reference": "Medication/m2"}) | {"id": "m2"}
    own = request(medicationCodeableConcept={"text": "own"}) | {"id": "m3"}
    nowhere = request(medicationReference={"reference": "Medication/m9"}) | {"id": "m4"}
    parsed = parse(bundle(*map(entry, (inside, beside, own, nowhere, medication("m2")))))
    found = {
        row["resource_id"]: (row["code"] and row["code"][0]["code"], row["code_text"])
        for row in rows(parsed, "medication")
    }
    assert found == {"m1": ("1191", "aspirin"), "m2": ("1191", "aspirin"), "m3": (None, "own"), "m4": (None, None)}


def drugs(*entries: dict[str, Any], kind: str = "batch") -> list[str | None]:
    """What the requests of a Bundle say that the drug is."""
    parsed = parse(bundle(*entries, kind=kind))
    assert parsed.balances
    places = [row["source_entry"] for row in rows(parsed, "other_resource")] if "other_resource" in parsed.rows else []
    assert places == sorted(places)
    return [row["code_text"] for row in rows(parsed, "medication")]


ASKED = entry(request(medicationReference={"reference": "Medication/m"}))
OLD = medication("m", code={"text": "old"}, meta={"lastUpdated": "2020-01-01T00:00:00Z"})
NEW = medication("m", code={"text": "new"}, meta={"lastUpdated": "2021-01-01T00:00:00Z"})


def test_the_drug_is_that_of_the_version_of_the_medication_that_counts() -> None:
    organization = entry({"resourceType": "Organization", "id": "o"})
    assert drugs(ASKED, organization, entry(NEW), entry(OLD)) == ["new"]
    assert drugs(entry(OLD), organization, ASKED, entry(NEW)) == ["new"]
    undated = [entry(medication("m", code={"text": text})) for text in ("newer", "older")]
    assert drugs(ASKED, *undated, kind="history") == ["newer"]
    gone = {"request": {"method": "DELETE", "url": "Medication/m"}}
    assert drugs(ASKED, entry(medication("m")), gone) == [None]


def test_a_medication_that_is_refused_gives_no_drug_and_costs_no_neighbour() -> None:
    for refused in (medication("m") | {"code": "aspirin"}, medication("m") | {"status": "nonsense"}):
        parsed = parse(bundle(entry(refused), ASKED, kind="batch"))
        assert (parsed.accepted, parsed.quarantined_entries, parsed.balances) == (1, 1, True)
        assert rows(parsed, "medication")[0]["code_text"] is None


def test_of_two_creates_under_one_condition_the_first_gives_the_drug() -> None:
    made = {"method": "POST", "url": "Medication", "ifNoneExist": "code=x"}
    first, second = (medication(None, code={"text": text}) for text in ("first", "second"))
    asked = entry(request(medicationReference={"reference": "urn:uuid:a"}))
    del first["id"], second["id"]
    assert drugs(entry(first, "urn:uuid:a", request=made), entry(second, "urn:uuid:b", request=made), asked) == [
        "first"
    ]


def test_of_equal_rows_the_one_with_its_drug_counts() -> None:
    with_drug, without = parse(bundle(ASKED, entry(OLD))), parse(bundle(ASKED))
    (told,), (silent,) = rows(with_drug, "medication"), rows(without, "medication")
    assert told["digest"] == silent["digest"]
    for objects in (("a", "b"), ("b", "a")):
        both = pl.concat(
            parsed.tables["medication"].with_columns(source_object=pl.lit(name))
            for parsed, name in zip((with_drug, without), objects, strict=True)
        )
        assert winners(both.lazy()).collect()["code_text"].to_list() == ["old"]


def test_what_is_contained_under_an_escaped_name_is_contained() -> None:
    data = bundle(entry(report(observation("o", valueString="x"))))
    parsed = parse(data.replace(b'"contained"', b'"cont\\u0061ined"'))
    assert [row["resource_id"] for row in rows(parsed, "observation")] == ["d1#o"]


@pytest.mark.parametrize("id_", [5, {"x": 1}, "a/b c"])
def test_a_contained_resource_of_a_type_without_a_model_has_an_id_that_is_one(id_: Any) -> None:
    parsed = parse(bundle(entry(report({"resourceType": "Evidence", "id": id_}, result=[{"display": "x"}]))))
    assert reasons(parsed) == [(0, "invalid_id", "/contained/0/id")]


def test_an_absent_contained_element_costs_nothing_and_one_without_an_id_is_numbered() -> None:
    nameless = {key: value for key, value in observation(None).items() if key != "id"}
    parsed = parse(bundle(entry({**report(), "contained": [nameless], "result": [{"display": "x"}]})))
    assert rows(parsed, "observation")[0]["resource_id"] == "d1#0"


def test_a_contained_resource_without_an_id_takes_no_id_that_another_has() -> None:
    nameless = {key: value for key, value in observation(None).items() if key != "id"}
    parsed = parse(bundle(entry({**report(), "contained": [nameless, observation("0")], "result": [{"display": "x"}]})))
    assert sorted(row["resource_id"] for row in rows(parsed, "observation")) == ["d1#0", "d1#1"]


def test_an_id_is_made_that_is_no_longer_than_an_id_may_be() -> None:
    named = [observation(".".join("0" * number)) for number in range(1, 33)]
    inside = [*named, observation(None), observation(None)]
    parsed = parse(bundle(entry({**report(*named), "contained": inside})))
    made = {row["resource_id"] for row in rows(parsed, "observation")}
    assert (len(made), max(map(len, made)), reasons(parsed)) == (34, len("d1#") + 63, [])


def test_a_great_many_contained_resources_get_ids_that_are_free() -> None:
    inside = [*(observation(None) for _ in range(2_000)), *(observation(str(number)) for number in range(2_000))]
    parsed = parse(bundle(entry(patient("p", contained=inside))))
    assert (parsed.contained, len({row["resource_id"] for row in rows(parsed, "observation")})) == (4_000, 4_000)


def test_what_a_history_of_relatives_contains_is_not_about_the_patient() -> None:
    told = {
        "resourceType": "FamilyMemberHistory",
        "id": "f",
        "status": "completed",
        "patient": {"reference": "Patient/p"},
        "relationship": {"text": "mother"},
        "contained": [observation("o"), observation("own", subject={"reference": "Patient/p"})],
        "extension": [{"url": "urn:seen", "valueReference": {"reference": name}} for name in ("#o", "#own")],
    }
    parsed = parse(bundle(entry(told), entry(patient("p"))))
    about = {row["resource_id"]: row["patient_id"] for row in rows(parsed, "observation")}
    assert about == {"f#o": None, "f#own": "p"}


def test_two_contained_resources_of_one_id_are_refused_since_no_reference_could_say_which() -> None:
    twins = report(observation("o", valueString="x"), observation("o", valueString="y"))
    parsed = parse(bundle(entry(twins), entry(patient())))
    assert (reasons(parsed), parsed.accepted) == ([(0, "invalid_resource", "/contained/1/id")], 1)


def test_a_bundle_among_parameters_is_refused_since_its_entries_would_be_lost() -> None:
    inside = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient("px")}]}
    deep = {"name": "a", "part": [{"name": "b", "resource": inside}]}
    for parameter in ({"name": "a", "resource": inside}, deep):
        parsed = parse(bundle(entry({"resourceType": "Parameters", "id": "x", "parameter": [parameter]})))
        assert reasons(parsed) == [(0, "nested_bundle", "/parameter")]
    plain = {"resourceType": "Parameters", "id": "x", "parameter": [{"name": "a", "valueString": "b"}]}
    assert parse(bundle(entry(plain))).accepted == 1


def test_a_bundle_inside_of_a_resource_is_refused_since_its_entries_would_be_lost() -> None:
    inside = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient("px")}]}
    parsed = parse(bundle(entry(report(inside | {"id": "b"})), entry(patient())))
    assert (reasons(parsed), parsed.accepted) == ([(0, "nested_bundle", "/contained/0/resourceType")], 1)


def test_an_address_leads_into_the_resource_that_it_stands_in() -> None:
    form = {"resourceType": "Binary", "id": "b", "contentType": "text/plain"}
    parsed = parse(bundle(entry(report(form, result=[{"display": "x"}], presentedForm=[{"url": "#b"}]))))
    (found,) = rows(parsed, "diagnostic_report")
    assert found["presented_form"] == [{"reference": "#b", "key": "Binary/d1#b", "how": "contained"}]


def test_the_same_address_in_two_resources_leads_into_each() -> None:
    form = {"resourceType": "Binary", "id": "b", "contentType": "text/plain"}
    both = [report(form, id=id_, result=[{"display": "x"}], presentedForm=[{"url": "#b"}]) for id_ in ("d1", "d2")]
    found = rows(parse(bundle(*map(entry, both))), "diagnostic_report")
    assert [row["presented_form"][0]["key"] for row in found] == ["Binary/d1#b", "Binary/d2#b"]


def test_what_is_contained_is_as_well_known_as_whom_its_container_is_about() -> None:
    """Else of two rows of it the one from before its patient was known could count."""
    inside = {"resourceType": "Observation", "id": "z", "status": "final", "code": LOINC}
    outside = {**inside, "id": "o1", "subject": {"reference": "Patient?identifier=s|9"}, "contained": [inside]}
    data, asked = bundle(entry(outside)), ("Patient", "identifier=s|9")
    for known in ({}, {asked: ["Patient/a"]}):
        found = rows(parse(data, known=known), "observation")
        patient_id, candidates = ("a", 1) if known else (None, 0)
        assert [(row["resource_id"], row["patient_id"], row["_candidates"]) for row in found] == [
            ("o1", patient_id, candidates),
            ("o1#z", patient_id, candidates),
        ]
