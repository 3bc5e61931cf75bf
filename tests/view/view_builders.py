"""FHIR resources as rows and facts, for tests of the view."""

import json
from typing import Any

import polars as pl

from spv_platform.fhir.parse import parse_object
from spv_platform.view.facts import facts_of

LOINC = "http://loinc.org"
SCT = "http://snomed.info/sct"
HGNC = "http://www.genenames.org/geneId"


def rows_of(*resources: dict[str, Any], source: str = "hospital", seq: int = 1) -> dict[str, pl.DataFrame]:
    """Rows by table, of resources that are about Patient/p unless they say otherwise."""
    lines = "\n".join(json.dumps(_about_p(resource, number)) for number, resource in enumerate(resources))
    parsed = parse_object(
        lines.encode(),
        content_type="application/fhir+ndjson",
        source=source,
        landing_seq=seq,
        source_object=f"object-{seq}",
        batch_id="batch",
        max_entries=1000,
        check=lambda _type, _raw: [],
    )
    assert not parsed.quarantined
    return parsed.tables


def facts(*resources: dict[str, Any], **origin: Any) -> pl.DataFrame:
    return facts_of(rows_of(*resources, **origin))


def only(found: pl.DataFrame, kind: str) -> dict[str, Any]:
    """The one fact of the kind."""
    rows = found.filter(pl.col("kind") == kind)
    assert rows.height == 1, found["kind"].to_list()
    return rows.row(0, named=True)


def concept(system: str, code: str, display: str | None = None) -> dict[str, Any]:
    coding = {"system": system, "code": code} | ({"display": display} if display else {})
    return {"coding": [coding]}


def observation(code: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "code": code,
        "effectiveDateTime": "2019-04-01",
    } | more


def condition(code: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"resourceType": "Condition", "id": "c", "code": code} | more


def patient(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": "p"} | more


def variant(*components: dict[str, Any], answer: str = "LA9633-4", **more: Any) -> dict[str, Any]:
    value = concept(LOINC, answer)
    return observation(concept(LOINC, "69548-6"), valueCodeableConcept=value, component=list(components), **more)


def part(code: str, **value: Any) -> dict[str, Any]:
    return {"code": concept(LOINC, code), **value}


def gene(number: str, symbol: str | None = None) -> dict[str, Any]:
    return part("48018-6", valueCodeableConcept=concept(HGNC, number, symbol))


def _about_p(resource: dict[str, Any], number: int) -> dict[str, Any]:
    resource = {"id": f"r{number}"} | resource
    if resource["resourceType"] != "Patient" and not {"subject", "patient"} & set(resource):
        who = "patient" if resource["resourceType"] in ("AllergyIntolerance", "Immunization", "Consent") else "subject"
        resource[who] = {"reference": "Patient/p"}
    return resource
