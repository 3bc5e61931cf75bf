"""Who made a result, as explanations tell it: by the result, by its report, or by the record of the organisation."""

from collections.abc import Callable

import pytest
from pipeline_bundles import bundle, patient
from pipeline_world import TENANT, World

from spv_platform.pipeline.criteria import refresh_criteria
from spv_platform.pipeline.persons import look_up

LOINC = "http://loinc.org"
CRITERIA = """
trial: NCT00000001
cohorts:
  - id: A
    criteria:
      all:
        - {id: braf, biomarker: {gene: BRAF}}
        - {id: kras, biomarker: {gene: KRAS}}
        - {id: platelets, lab: {code: "loinc|777-3", min: 1, unit: "10*3/uL"}}
"""


def observation(id_: str, code: str, **more: object) -> dict:
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "subject": {"reference": "Patient/ann"},
        "effectiveDateTime": "2026-03-02",
        **more,
    }


def variant(id_: str, symbol: str, **more: object) -> dict:
    gene = {"code": {"coding": [{"system": LOINC, "code": "48018-6"}]}, "valueString": symbol}
    present = {"coding": [{"system": LOINC, "code": "LA9633-4"}]}
    return observation(id_, "69548-6", valueCodeableConcept=present, component=[gene], **more)


@pytest.fixture(scope="module")
def world(new_world: Callable[..., World]) -> World:
    world = new_world()
    world.platform.s3.put_object(
        Bucket=world.settings.feeds_bucket, Key="criteria/NCT00000001.yaml", Body=CRITERIA.encode()
    )
    refresh_criteria(world.platform)
    organisation = {"resourceType": "Organization", "id": "lab", "name": "Acme Laboratories"}
    report = {
        "resourceType": "DiagnosticReport",
        "id": "report",
        "status": "final",
        "code": {"text": "Genomics"},
        "subject": {"reference": "Patient/ann"},
        "performer": [{"reference": "Organization/other", "display": "Gene Institute"}],
        "result": [{"reference": "Observation/kras"}, {"reference": "Observation/braf"}],
    }
    count = {"value": 200, "system": "http://unitsofmeasure.org", "code": "10*3/uL"}
    results = (
        variant("braf", "BRAF", performer=[{"reference": "Organization/lab"}]),
        variant("kras", "KRAS", performer=[{"reference": "Practitioner/d", "display": "Dr. Somebody"}]),
        observation("platelets", "777-3", valueQuantity=count),
    )
    world.land("one", bundle(patient("ann"), organisation, report, *results))
    world.drain()
    return world


def test_a_laboratory_is_told_by_the_result_else_by_its_report_and_a_person_is_none(world: World) -> None:
    found = look_up(world.platform, TENANT, "Patient/ann", source="emr", who="me").criteria
    told = {row["criterion"]: [fact["summary"] for fact in row["evidence"]] for row in found.to_dicts()}
    assert told == {
        "braf": ["BRAF present, laboratory Acme Laboratories, 2026-03-02"],
        "kras": ["KRAS present, 2026-03-02, laboratory Gene Institute"],
        "platelets": ["lab 200 10*3/uL, 2026-03-02"],
    }
    assert found.schema == world.read("criterion_result").schema
