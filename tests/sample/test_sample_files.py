import importlib
import json
from decimal import Decimal

import pytest
import yaml

from spv_platform.reasons import REASONS
from spv_platform.sample import BROKEN, bundles, expected, trial_files
from spv_platform.sample.files import FHIR_NDJSON

TENANTS = ("north", "south")


def entries_of(file):
    """(fullUrl, request, resource) of every entry of a file."""
    if file.content_type == FHIR_NDJSON:
        return [("", None, json.loads(line)) for line in file.data.splitlines()]
    bundle = json.loads(file.data)
    assert bundle["resourceType"] == "Bundle"
    return [(entry["fullUrl"], entry.get("request"), entry["resource"]) for entry in bundle["entry"]]


def all_entries():
    return [
        (tenant, file.name, number, *entry)
        for tenant in TENANTS
        for file in bundles(tenant)
        for number, entry in enumerate(entries_of(file))
    ]


def references(value):
    if isinstance(value, list):
        return [found for item in value for found in references(item)]
    if isinstance(value, dict):
        return [value["reference"]] if "reference" in value else [f for v in value.values() for f in references(v)]
    return []


def validate(resource):
    kind = resource["resourceType"]
    module = importlib.import_module(f"fhir.resources.R4B.{kind.lower()}")
    getattr(module, kind).model_validate_json(json.dumps(resource))


def is_broken(tenant, file, number):
    return (tenant, file, number) == (BROKEN.tenant, BROKEN.file, BROKEN.entry)


def test_the_sample_is_the_same_at_every_call():
    for tenant in TENANTS:
        assert bundles(tenant) == bundles(tenant)
    assert bundles() == bundles("north")
    assert trial_files() == trial_files()


def test_there_is_nothing_for_other_tenants():
    assert bundles("west") == []


def test_every_entry_but_the_broken_one_is_valid_fhir():
    refused = []
    for tenant, file, number, _, _, resource in all_entries():
        try:
            validate(resource)
        except ValueError:
            refused.append((tenant, file, number))
    assert refused == [(BROKEN.tenant, BROKEN.file, BROKEN.entry)]
    assert BROKEN.reason in REASONS


def test_the_broken_entry_lacks_its_status_and_nothing_else():
    (broken,) = [entry[5] for entry in all_entries() if is_broken(*entry[:3])]
    assert broken["resourceType"] == "Observation"
    validate(broken | {"status": "final"})


def test_the_broken_entry_has_neighbours_of_the_same_patient_on_both_sides():
    file = next(file for file in bundles(BROKEN.tenant) if file.name == BROKEN.file)
    subjects = [resource.get("subject") for _, _, resource in entries_of(file)]
    assert subjects[BROKEN.entry - 1] == subjects[BROKEN.entry] == subjects[BROKEN.entry + 1]


def test_every_bundle_is_valid_apart_from_the_broken_entry():
    for tenant in TENANTS:
        for file in bundles(tenant):
            if file.content_type == FHIR_NDJSON:
                continue
            bundle = json.loads(file.data)
            bundle["entry"] = [e for n, e in enumerate(bundle["entry"]) if not is_broken(tenant, file.name, n)]
            validate(bundle)


def test_all_kinds_of_files_are_there():
    types = {json.loads(f.data)["type"] for f in bundles() if f.content_type != FHIR_NDJSON}
    assert types == {"transaction", "collection"}
    assert any(file.content_type == FHIR_NDJSON for file in bundles())


def test_ids_are_unique_within_a_tenant():
    keys = [(tenant, resource["resourceType"], resource["id"]) for tenant, *_, resource in all_entries()]
    assert len(keys) == len(set(keys))


def test_every_reference_leads_to_a_resource_of_its_file():
    for tenant in TENANTS:
        for file in bundles(tenant):
            entries = entries_of(file)
            known = {f"{r['resourceType']}/{r['id']}" for _, _, r in entries} | {url for url, _, _ in entries}
            loose = [ref for _, _, resource in entries for ref in references(resource) if ref not in known]
            assert all(ref.startswith("Practitioner?identifier=") for ref in loose)


def test_a_transaction_refers_by_urn_only():
    (file, *_) = bundles()
    found = [ref for _, _, resource in entries_of(file) for ref in references(resource)]
    assert found
    assert all(ref.startswith("urn:uuid:") for ref in found)


def test_decimals_go_out_as_written():
    file = bundles()[0]
    assert b'"value": 3.20' in file.data
    values = []
    json.loads(file.data, parse_float=lambda text: values.append(text) or Decimal(text))
    assert "3.20" in values


def test_everybody_is_obviously_invented():
    for *_, resource in all_entries():
        for name in resource.get("name", []) if isinstance(resource.get("name"), list) else []:
            assert name["family"].startswith("Sample-")


def test_every_patient_meets_every_cohort_in_the_truth_once():
    patients = {(tenant, r["id"]) for tenant, *_, r in all_entries() if r["resourceType"] == "Patient"}
    cohorts = set()
    for file in trial_files():
        if file.name.startswith("criteria/"):
            trial = yaml.safe_load(file.data)
            cohorts |= {(trial["trial"], cohort["id"]) for cohort in trial["cohorts"]}
    rows = [(t.tenant, f"sample-{t.patient}", t.trial, t.cohort) for t in expected()]
    assert sorted(rows) == sorted((*patient, *cohort) for patient in patients for cohort in cohorts)


def test_one_patient_of_each_tenant_qualifies():
    assert [(t.tenant, t.patient) for t in expected() if t.approved] == [("north", "aster"), ("south", "ivy")]


@pytest.mark.parametrize(
    ("patient", "verdict", "reasons", "missing"),
    [
        ("birch", "needs_information", set(), {"lung-egfr"}),
        ("cedar", "not_eligible", {"criterion:lung-ecog"}, set()),
        ("dogwood", "not_eligible", {"deceased"}, set()),
        ("elm", "not_eligible", {"opted_out"}, set()),
        ("hazel", "not_eligible", {"criterion:lung-kras"}, set()),
    ],
)
def test_each_patient_is_in_the_sample_for_one_reason(patient, verdict, reasons, missing):
    (truth,) = [t for t in expected() if t.patient == patient and t.cohort == "lung"]
    assert (truth.verdict, truth.reasons, truth.missing) == (verdict, reasons, missing)
    assert not truth.approved


def test_every_trial_has_its_study_in_the_registrys_shape():
    files = {file.name: file.data for file in trial_files()}
    trials = [name.removeprefix("criteria/").removesuffix(".yaml") for name in files if name.startswith("criteria/")]
    for trial in trials:
        study = json.loads(files[f"ctgov/{trial}.json"])["protocolSection"]
        assert study["identificationModule"]["nctId"] == trial
        assert study["statusModule"]["overallStatus"]
        assert study["statusModule"]["lastUpdatePostDateStruct"]["date"]
        assert study["contactsLocationsModule"]["locations"]
    assert len(files) == 2 * len(trials)
