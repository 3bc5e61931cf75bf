import json
from typing import Any

import pytest
from fhir_samples import CANARY, observation, patient

from spv_platform.fhir import contract
from spv_platform.fhir.contract import Problem, check, is_known


def of(resource: Any, type_: str | None = None) -> list[Problem]:
    return check(type_ or resource["resourceType"], json.dumps(resource).encode())


def test_a_valid_resource_has_no_problem() -> None:
    assert of(patient(birthDate="2020-02", name=[{"family": "x"}])) == []


@pytest.mark.parametrize(
    ("resource", "reason", "pointer"),
    [
        (patient(birthDate="2020-02-30"), "invalid_resource", "/birthDate"),
        (patient(name=[{}, {"given": CANARY}]), "invalid_resource", "/name/1/given"),
        (patient(name=[{"family": {CANARY: 1}}]), "invalid_resource", "/name/0/family"),
        (patient(name=[{CANARY: "x"}]), "invalid_resource", "/name/0"),
        (patient(**{CANARY: "x"}), "invalid_resource", ""),
        (patient(maritalStatus=[CANARY]), "invalid_resource", "/maritalStatus"),
        (patient(gender="a\0"), "invalid_resource", ""),
        (patient(contained=[{"resourceType": CANARY}]), "unknown_resource_type", "/contained/0"),
        (patient(contained=[{"id": "x"}]), "invalid_resource", "/contained/0"),
        (patient(contained=[5]), "invalid_resource", "/contained/0"),
        (patient(contained=CANARY), "invalid_resource", "/contained"),
        (patient(contained=[patient(birthDate=CANARY)]), "invalid_resource", "/contained/0/birthDate"),
        (observation(code=None), "invalid_resource", "/code"),
        (observation(valueString="a", valueBoolean=True), "invalid_resource", ""),
        ({"resourceType": "Encounter", "status": "finished", "class": 5}, "invalid_resource", "/class"),
        (
            {"resourceType": "Bundle", "type": "batch", "entry": [{"resource": {"resourceType": CANARY}}]},
            "invalid_resource",
            "",
        ),
    ],
)
def test_a_problem_names_its_place_and_no_value(resource: dict[str, Any], reason: str, pointer: str) -> None:
    found = of(resource)
    assert Problem(reason, pointer) in found
    assert CANARY not in repr(found)


@pytest.mark.parametrize(
    "type_", [CANARY, "", "HumanName", "Resource", "DomainResource", "SubscriptionTopic", "patient"]
)
def test_a_type_that_r4_does_not_have_is_unknown(type_: str) -> None:
    assert not is_known(type_)
    assert of({"resourceType": type_}) == [Problem("unknown_resource_type", "")]


def test_a_null_property_is_an_absent_one() -> None:
    assert of(patient(birthDate=None, name=[{"given": [None, "x"], "_given": [{"id": "g"}, None]}])) == []


def test_a_type_that_only_r4_has_is_taken_by_its_shape() -> None:
    assert is_known("RiskEvidenceSynthesis")
    assert of({"resourceType": "RiskEvidenceSynthesis", "id": "x"}) == []


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"resourceType":"Patient","id":"a","id":"b"}', "invalid_resource"),
        (b'{"resourceType":"Patient","multipleBirthInteger":NaN}', "invalid_resource"),
        (b"{", "entry_not_json"),
        (b'{"resourceType":"Patient","id":"\xff"}', "entry_not_json"),
        (b"[]", "entry_not_object"),
    ],
)
def test_json_that_fhir_does_not_allow_is_refused(raw: bytes, reason: str) -> None:
    assert check("Patient", raw) == [Problem(reason, "")]


def test_an_escaped_backslash_before_u0000_is_text() -> None:
    assert check("Patient", b'{"resourceType":"Patient","name":[{"text":"\\\\u0000"}]}') == []


@pytest.mark.parametrize("number", ["1.50", "-0", "1e400", "12345678901234567890.5", "1E-7"])
def test_any_decimal_of_the_grammar_is_taken(number: str) -> None:
    raw = json.dumps(observation(valueQuantity={"value": "N"})).replace('"N"', number).encode()
    assert check("Observation", raw) == []


def test_only_the_first_problems_are_told() -> None:
    assert len(of(patient(name=[{"family": 1}] * 100))) == contract.MAX_PROBLEMS
