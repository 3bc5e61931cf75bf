"""Small bundles of invented people for the pipeline's tests."""

import json
from typing import Any

Resource = dict[str, Any]

MRN = "http://hospital.example.org/mrn"
SSN = "http://hl7.org/fhir/sid/us-ssn"
_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"


def patient(
    id_: str, *, family: str = "Invented", mrn: str = "", ssn: str = "", birth: str = "1961-04-17", **more: Any
) -> Resource:
    """A Patient; `mrn` and `ssn` are strong identifiers."""
    known = [("MR", MRN, mrn), ("SS", SSN, ssn)]
    identifiers = [
        {"type": {"coding": [{"system": _TYPES, "code": code}]}, "system": system, "value": value}
        for code, system, value in known
        if value
    ]
    return {
        "resourceType": "Patient",
        "id": id_,
        **({"identifier": identifiers} if identifiers else {}),
        "name": [{"use": "official", "family": family}],
        "birthDate": birth,
        **more,
    }


def result(id_: str, patient_id: str, value: int, **more: Any) -> Resource:
    """A laboratory result of a patient."""
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}]},
        "subject": {"reference": f"Patient/{patient_id}"},
        "effectiveDateTime": "2026-03-02",
        "valueQuantity": {"value": value, "system": "http://unitsofmeasure.org", "code": "g/dL"},
        **more,
    }


def report(id_: str, patient_id: str, *results: Resource, **more: Any) -> Resource:
    """A report that contains its results; they say of whom they are by it only."""
    inside = [{key: value for key, value in each.items() if key != "subject"} for each in results]
    return {
        "resourceType": "DiagnosticReport",
        "id": id_,
        "status": "final",
        "code": {"text": "blood count"},
        "subject": {"reference": f"Patient/{patient_id}"},
        **({"contained": inside, "result": [{"reference": f"#{each['id']}"} for each in inside]} if inside else {}),
        **more,
    }


def coded(code: str, resource: Resource) -> Resource:
    """The resource about another LOINC code."""
    return {**resource, "code": {"coding": [{"system": "http://loinc.org", "code": code}]}}


def at(time: str, resource: Resource) -> Resource:
    """The resource with the time of its version."""
    return {**resource, "meta": {**resource.get("meta", {}), "lastUpdated": time}}


def bundle(*resources: Resource, timestamp: str = "") -> bytes:
    """A collection."""
    return _bundle("collection", [{"resource": resource} for resource in resources], timestamp)


def deletes(*references: str, timestamp: str = "") -> bytes:
    """A transaction that deletes resources, given as `Type/id`."""
    entries = [{"request": {"method": "DELETE", "url": reference}} for reference in references]
    return _bundle("transaction", entries, timestamp)


def _bundle(kind: str, entries: list[Resource], timestamp: str) -> bytes:
    head = {"resourceType": "Bundle", "type": kind} | ({"timestamp": timestamp} if timestamp else {})
    return json.dumps(head | {"entry": entries}).encode()
