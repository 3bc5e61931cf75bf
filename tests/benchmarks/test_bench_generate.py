"""Generated data: the same at every call, valid, in the mix that it claims."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import generate
from benchmarks.fill import frames
from spv_platform import sample
from spv_platform.fhir.parse import ParsedObject, parse_object
from spv_platform.lake.spec import RESOURCE_TABLES
from spv_platform.pipeline.landing.send import BUNDLE


def parsed(data: bytes) -> ParsedObject:
    return parse_object(
        data, content_type=BUNDLE, source="emr", landing_seq=1, source_object="0" * 64, batch_id="b", max_entries=10**6
    )


@settings(max_examples=5, deadline=None)
@given(number=st.integers(0, 10_000), seed=st.integers(0, 100))
def test_a_bundle_is_the_same_at_every_call(number: int, seed: int) -> None:
    assert generate.bundle(number, seed) == generate.bundle(number, seed)


def test_other_numbers_and_other_seeds_are_other_patients() -> None:
    made = [generate.bundle(number, seed) for number, seed in itertools.product((1, 2), (0, 1))]
    patients = {json.loads(data)["entry"][0]["resource"]["id"] for data in made}
    assert len(patients) == 4


def test_every_entry_is_valid_and_resolves_within_its_bundle() -> None:
    found = parsed(generate.bundle(1))
    assert found.entries == found.accepted
    assert not found.quarantined
    # What leads out of the bundle are the practice, its room and its practitioner, by identifier.
    assert {reference.how for reference in found.references} == {"conditional"}
    owners = {owner for frame in found.tables.values() for owner in frame["patient_id"].to_list()}
    assert len(owners) == 1


def test_a_bundle_has_the_mix_of_a_chart_in_compact_json() -> None:
    data = generate.bundle(0)
    entries = json.loads(data)["entry"]
    kinds = [entry["resource"]["resourceType"] for entry in entries]
    assert kinds.count("Patient") == 1
    assert kinds.count("Observation") > 0.4 * len(kinds)
    for kind in ("Encounter", "Condition", "MedicationRequest", "Procedure", "Immunization", "DiagnosticReport"):
        assert kind in kinds
    assert 1_000 < len(data) / len(entries) < 2_500
    assert b'": ' not in data.replace(b" xmlns", b"")[:1000]


def test_bundles_reach_the_size_and_not_much_more() -> None:
    made = list(generate.bundles(1_500_000))
    assert sum(map(len, made)) >= 1_500_000 > sum(map(len, made[:-1]))


def test_a_patient_who_qualifies_is_valid_and_nobody_else() -> None:
    first, second = parsed(generate.qualifying(1)), parsed(generate.qualifying(2))
    assert not first.quarantined
    for column in ("resource_id", "birth_date"):
        assert first.tables["patient"][column][0] != second.tables["patient"][column][0]
    values = [found.tables["patient"]["identifier"][0][0]["value"] for found in (first, second)]
    assert values == ["BENCH-0-1", "BENCH-0-2"]
    assert b"aster" not in generate.qualifying(1).lower()


def test_a_changed_sample_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "sample_bundles", lambda: sample.bundles()[1:])
    with pytest.raises(LookupError):
        generate.qualifying(1)


def test_filled_rows_are_the_same_at_every_call_and_have_the_tables_schemas() -> None:
    tables, again = frames(1_000, 500, 3), frames(1_000, 500, 3)
    schemas = {spec.name: spec.schema for spec in RESOURCE_TABLES}
    for name, frame in tables.items():
        assert frame.equals(again[name])
        assert list(frame.schema.items()) == list(schemas[name].items())
        assert frame["digest"].str.contains("^[0-9a-f]{64}$").all()
        assert frame["resource_id"].is_unique().all()
    assert tables["observation"].height == 500
    assert set(tables["observation"]["patient_id"]) == set(tables["patient"]["patient_id"])
