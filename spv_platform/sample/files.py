"""The sample as files: FHIR bundles and lines as a hospital would send them, and the trial feeds.

What belongs here: packing, in the variety that real senders show: references by `urn:uuid`, relative, conditional;
with a bundle's time, with each resource's own, and with none.
"""

import uuid
from dataclasses import dataclass
from importlib import resources
from typing import Any

import msgspec

from spv_platform.sample import patients
from spv_platform.sample.chart import Chart, Resource

FHIR_JSON = "application/fhir+json"
FHIR_NDJSON = "application/fhir+ndjson"

#: Decimals go out as they were written: 3.20 and 3.2 are different statements.
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://sample.example.org/spv")


@dataclass(frozen=True)
class SampleFile:
    """One file: its name below the tenant's feed or in the feeds bucket, its MIME type, its bytes."""

    name: str
    content_type: str
    data: bytes


def bundles(tenant: str = "north") -> list[SampleFile]:
    """What the tenant's hospital sends, not sealed yet; nothing for any tenant but north and south."""
    if tenant == "south":
        return [_collection("oncology-101.json", [patients.ivy(), patients.juniper()], "2026-03-10T06:00:00Z")]
    if tenant != "north":
        return []
    return [
        _transaction("oncology-001.json", patients.practice() + patients.aster().resources),
        _transaction("oncology-002.json", _with_broken_entry(patients.birch())),
        _collection("oncology-003.json", [patients.cedar(), patients.dogwood()], "2026-03-10T06:00:00Z"),
        _collection("oncology-004.json", [patients.elm()], "2026-03-10T06:05:00-05:00"),
        _transaction("oncology-005.json", patients.fern().resources),
        _lines("oncology-006.ndjson", [patients.ginkgo(), patients.hazel()], "2026-03-10T07:30:00Z"),
    ]


def trial_files() -> list[SampleFile]:
    """The trial feeds: criteria as YAML and studies as ClinicalTrials.gov's API v2 gives them; all invented."""
    feeds = resources.files("spv_platform.sample") / "feeds"
    return [
        SampleFile(f"{folder}/{file.name}", content_type, file.read_bytes())
        for folder, content_type in (("criteria", "application/yaml"), ("ctgov", "application/json"))
        for file in sorted((feeds / folder).iterdir(), key=lambda file: file.name)
    ]


def _with_broken_entry(chart: Chart) -> list[Resource]:
    """A result without its status, which FHIR requires, between good neighbours."""
    broken = chart.lab("platelets", "777-3", "Platelets [#/volume] in Blood", "210", "10*3/uL", "2026-03-02")
    del broken["status"]
    chart.resources.remove(broken)
    return [*chart.resources[:3], broken, *chart.resources[3:]]


def _transaction(name: str, entries: list[Resource]) -> SampleFile:
    """References between the entries are by `urn:uuid`, as in a bundle that a server has not stored yet."""
    urls = {_key(entry): uuid.uuid5(_NAMESPACE, _key(entry)).urn for entry in entries}
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": urls[_key(entry)],
                "resource": _with_references(entry, urls),
                "request": {"method": "POST", "url": entry["resourceType"]},
            }
            for entry in entries
        ],
    }
    return SampleFile(name, FHIR_JSON, _pretty(bundle))


def _collection(name: str, charts: list[Chart], timestamp: str) -> SampleFile:
    entries = [resource for chart in charts for resource in chart.resources]
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": timestamp,
        "entry": [
            {"fullUrl": f"https://sample-hospital.example.org/fhir/{_key(entry)}", "resource": entry}
            for entry in entries
        ],
    }
    return SampleFile(name, FHIR_JSON, _pretty(bundle))


def _lines(name: str, charts: list[Chart], last_updated: str) -> SampleFile:
    """One resource a line, the patients last: nothing promises an order."""
    entries = [resource for chart in charts for resource in chart.resources]
    entries.sort(key=lambda entry: entry["resourceType"] == "Patient")
    lines = [_json(entry | {"meta": {"lastUpdated": last_updated} | entry.get("meta", {})}) for entry in entries]
    return SampleFile(name, FHIR_NDJSON, b"\n".join(lines) + b"\n")


def _key(resource: Resource) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def _with_references(value: Any, urls: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_with_references(item, urls) for item in value]
    if isinstance(value, dict):
        return {
            name: urls.get(item, item) if name == "reference" else _with_references(item, urls)
            for name, item in value.items()
        }
    return value


def _json(value: Resource) -> bytes:
    return _ENCODER.encode(value)


def _pretty(value: Resource) -> bytes:
    return msgspec.json.format(_json(value), indent=2)
