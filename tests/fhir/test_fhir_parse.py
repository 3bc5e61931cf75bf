import hashlib
import json
from datetime import datetime
from typing import Any

import pytest
from fhir_samples import (
    CANARY,
    NO_CHECK,
    bundle,
    delete,
    entry,
    ndjson,
    observation,
    parse,
    patient,
    quick,
    reasons,
    rows,
)
from hypothesis import given
from hypothesis import strategies as st

from spv_platform.errors import PermanentError
from spv_platform.fhir import frames
from spv_platform.fhir.digest import EMPTY, compact, digest
from spv_platform.fhir.parse import ParsedObject, body_of


def counts(parsed: ParsedObject) -> tuple[int, ...]:
    assert parsed.balances
    return (
        parsed.entries,
        parsed.accepted,
        parsed.tombstones,
        parsed.duplicates,
        parsed.superseded,
        parsed.quarantined_entries,
    )


def test_an_empty_bundle_gives_nothing_and_balances() -> None:
    parsed = parse(bundle())
    assert counts(parsed) == (0, 0, 0, 0, 0, 0)
    assert parsed.tables == {}


def test_the_same_content_twice_is_one_row_and_a_duplicate() -> None:
    parsed = parse(bundle(entry(patient()), entry(patient())))
    assert counts(parsed) == (2, 1, 0, 1, 0, 0)
    assert rows(parsed, "patient")[0]["source_entry"] == 0


def test_of_two_contents_without_a_time_the_later_entry_wins() -> None:
    parsed = parse(bundle(entry(patient(gender="male")), entry(patient(gender="female"))))
    assert counts(parsed) == (2, 1, 0, 0, 1, 0)
    assert rows(parsed, "patient")[0]["gender"] == "female"


def test_of_two_contents_with_a_time_the_later_time_wins_whatever_the_order() -> None:
    new = patient(meta={"lastUpdated": "2024-01-02T00:00:00Z"})
    old = patient(meta={"lastUpdated": "2024-01-02T00:30:00+01:00"})
    for entries in ((new, old), (old, new)):
        (found,) = rows(parse(bundle(*map(entry, entries))), "patient")
        assert found["version_time"] == datetime(2024, 1, 2)


@pytest.mark.parametrize(
    ("better", "worse"),
    [("corrected", "final"), ("amended", "preliminary"), ("entered-in-error", "corrected"), ("final", "registered")],
)
@pytest.mark.parametrize("number", range(4))
def test_of_two_contents_of_one_time_the_correction_wins_whatever_the_order(
    better: str, worse: str, number: int
) -> None:
    pair = [entry(observation(status=status, valueInteger=number)) for status in (better, worse)]
    for entries in (pair, pair[::-1]):
        (found,) = rows(parse(bundle(*entries, timestamp="2024-01-01T00:00:00Z")), "observation")
        assert found["status"] == better


def test_a_version_with_a_time_wins_over_one_without() -> None:
    parsed = parse(ndjson(patient(meta={"lastUpdated": "2024-01-02T00:00:00Z"}), patient(gender="male")))
    assert rows(parsed, "patient")[0]["versioned"]


def test_the_bundle_timestamp_is_the_time_of_resources_without_one() -> None:
    own = patient("p2", meta={"lastUpdated": "2020-01-01T00:00:00Z"})
    parsed = parse(bundle(entry(patient("p1")), entry(own), timestamp="2024-01-01T01:00:00+01:00"))
    assert [found["version_time"] for found in rows(parsed, "patient")] == [datetime(2024, 1, 1), datetime(2020, 1, 1)]


def test_a_bundle_timestamp_that_is_no_time_refuses_the_object() -> None:
    with pytest.raises(PermanentError) as caught:
        parse(bundle(entry(patient()), timestamp=CANARY))
    assert (caught.value.reason, caught.value.place) == ("not_a_bundle", "/timestamp")
    assert CANARY not in str(caught.value)


def test_a_delete_is_a_row_without_content() -> None:
    parsed = parse(bundle(delete("Patient/p1"), delete("Observation/o1"), timestamp="2024-01-01T00:00:00Z"))
    assert counts(parsed) == (2, 0, 2, 0, 0, 0)
    (found,) = rows(parsed, "patient")
    assert (found["resource_id"], found["patient_id"], found["deleted"], found["digest"]) == ("p1", "p1", True, EMPTY)
    assert (found["versioned"], found["version_time"], found["gender"]) == (True, datetime(2024, 1, 1), None)
    assert rows(parsed, "observation")[0]["patient_id"] is None


def test_a_bundle_timestamp_needs_a_time_of_day() -> None:
    with pytest.raises(PermanentError):
        parse(bundle(entry(patient()), timestamp="2024-01-01"))


@pytest.mark.parametrize("first", [True, False])
def test_a_delete_and_a_resource_of_one_key_leave_one_winner(first: bool) -> None:
    pair = [delete("Patient/p1"), entry(patient())]
    parsed = parse(bundle(*(pair if first else pair[::-1])))
    assert counts(parsed) == (2, int(first), int(not first), 0, 1, 0)


def test_a_history_says_when_each_delete_was() -> None:
    gone = {**delete("Patient/p1"), "response": {"status": "204", "lastModified": "2023-01-01T00:00:00Z"}}
    back = entry(patient(meta={"lastUpdated": "2023-06-01T00:00:00Z"}))
    parsed = parse(bundle(back, gone, kind="history", timestamp="2024-01-01T00:00:00Z"))
    assert counts(parsed) == (2, 1, 0, 0, 1, 0)


@pytest.mark.parametrize(
    ("bad", "reason", "pointer"),
    [
        (delete("Patient"), "invalid_delete", ""),
        (delete("Patient?identifier=1"), "invalid_delete", ""),
        ({**delete("Patient/p1"), "resource": patient()}, "invalid_delete", ""),
        (delete("Nothing/p1"), "unknown_resource_type", ""),
        ({}, "no_resource", ""),
        ({"request": {"method": "GET", "url": "Patient/1"}}, "no_resource", ""),
        (entry({"resourceType": "Parameters"}, request={"method": "PATCH", "url": "Patient/1"}), "no_resource", ""),
        (entry({}), "no_resource_type", "/resourceType"),
        (entry({"resourceType": 5}), "no_resource_type", "/resourceType"),
        (entry({"resourceType": ""}), "no_resource_type", "/resourceType"),
        (entry({"resourceType": "Nothing"}), "unknown_resource_type", "/resourceType"),
        (entry(patient("a b")), "invalid_id", "/id"),
        (entry(patient("x" * 65)), "invalid_id", "/id"),
        (entry(patient("")), "invalid_id", "/id"),
        (entry(patient(id=5)), "invalid_id", "/id"),
        (entry(patient(birthDate="x")), "invalid_resource", "/birthDate"),
        (entry(patient(), "urn:\0"), "nul_character", ""),
        (entry(patient(contained=None)), "null_value", "/contained"),
        (entry([]), "entry_not_object", ""),
        (5, "entry_not_object", ""),
    ],
)
def test_a_bad_entry_is_set_aside_and_its_neighbours_are_not(bad: Any, reason: str, pointer: str) -> None:
    parsed = parse(bundle(entry(patient("p1")), bad, entry(patient("p2"))))
    assert reasons(parsed) == [(1, reason, pointer)]
    assert counts(parsed) == (3, 2, 0, 0, 0, 1)


QUANTITY = b'"status":"final","code":{"text":"x"},"valueQuantity":{"value":%s}'


@pytest.mark.parametrize("number", [b"01", b"1.", b".5", b"+1", b"1e", b"--1", b"0x10", b"1_000", b"NaN", b"-Infinity"])
def test_a_number_that_is_none_costs_its_entry_and_no_neighbour(number: bytes) -> None:
    assert_alone(b'{"resourceType":"Observation",' + QUANTITY % number + b"}", "entry_not_json")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"\xff", "entry_not_json"),
        (b"\xc0\x80", "entry_not_json"),
        (b"\xed\xa0\x80", "entry_not_json"),
        (b"\\ud800", "entry_not_json"),
        (b"\\udc00\\ud800", "entry_not_json"),
        (b"a\0b", "entry_not_json"),
        (b"a\\u0000b", "nul_character"),
        (b"a\tb", "entry_not_json"),
        (b'a","text":"b', "repeated_key"),
        (b'a","\\u0074ext":"b', "repeated_key"),
    ],
)
def test_a_text_that_is_none_costs_its_entry_and_no_neighbour(text: bytes, reason: str) -> None:
    assert_alone(b'{"resourceType":"Patient","name":[{"text":"' + text + b'"}]}', reason)


def assert_alone(raw: bytes, reason: str) -> None:
    """A resource is set aside for this reason, and those beside it are not."""
    good = [json.dumps(patient(name)).encode() for name in ("a", "b")]
    lines = b"\n".join([good[0], raw, good[1]])
    made = b'{"resourceType":"Bundle","type":"batch","entry":[{"resource":%b},{"resource":%b},{"resource":%b}]}'
    for data in (lines, made % (good[0], raw, good[1])):
        parsed = parse(data)
        assert reasons(parsed) == [(1, reason, "")]
        assert counts(parsed) == (3, 2, 0, 0, 0, 1)


def test_a_generated_narrative_makes_no_other_version() -> None:
    told = patient(text={"status": "generated", "div": "<div xmlns='http://www.w3.org/1999/xhtml'>x</div>"})
    assert counts(parse(bundle(entry(patient()), entry(told)))) == (2, 1, 0, 1, 0, 0)


def test_several_problems_are_one_quarantined_entry() -> None:
    parsed = parse(bundle(entry(patient(birthDate="x", active=[]))))
    assert len(parsed.quarantined) == 2
    assert counts(parsed) == (1, 0, 0, 0, 0, 1)


def test_a_refused_version_does_not_supersede_a_good_one() -> None:
    bad = observation("o1", effectiveDateTime="x")
    parsed = parse(bundle(entry(observation("o1")), entry(bad)), check=NO_CHECK)
    assert counts(parsed) == (2, 1, 0, 0, 0, 1)


def made_id(text: str) -> str:
    return f"sha256-{hashlib.sha256(text.encode()).hexdigest()[:40]}"


@pytest.mark.parametrize(
    ("made", "id_"),
    [
        (entry(patient("p1"), "urn:uuid:other"), "p1"),
        (entry(patient(None), "urn:uuid:0b5b2b6e-0000-4000-8000-000000000001"), "0b5b2b6e-0000-4000-8000-000000000001"),
        (entry(patient(None), "http://x.example/fhir/Patient/p7"), "p7"),
        (entry(patient(None), request={"method": "PUT", "url": "Patient/p8"}), "p8"),
        (entry(patient(None)), f"sha256-{digest(compact(json.dumps(patient(None)).encode()))[:40]}"),
        (entry(patient(None), "http://x.example/fhir/Group/p7"), None),
        (
            entry(patient(None), request={"method": "PUT", "url": "Patient?identifier=1"}),
            made_id("Patient?identifier=1"),
        ),
        (
            entry(patient(None, gender="male"), request={"method": "PUT", "url": "Patient?identifier=1"}),
            made_id("Patient?identifier=1"),
        ),
        (
            entry(patient(None), "urn:uuid:1", request={"method": "POST", "url": "Patient", "ifNoneExist": "a=1"}),
            made_id("Patient?a=1"),
        ),
    ],
)
def test_a_resource_without_an_id_takes_one_that_comes_again(made: Any, id_: str | None) -> None:
    (found,) = rows(parse(bundle(made)), "patient")
    assert found["resource_id"] == (id_ or f"sha256-{digest(compact(json.dumps(patient(None)).encode()))[:40]}")


def test_urn_references_lead_to_the_patient_of_the_bundle() -> None:
    parsed = parse(
        bundle(
            entry(observation("o1", subject={"reference": "urn:uuid:1"}), "urn:uuid:2"),
            entry(patient("p1"), "urn:uuid:1"),
            entry(observation("o2", subject={"reference": "Patient/p1"}), "urn:uuid:3"),
        )
    )
    assert [found["patient_id"] for found in rows(parsed, "observation")] == ["p1", "p1"]
    assert parsed.references == []


def test_open_ends_of_accepted_rows_are_counted() -> None:
    who = [{"reference": "Practitioner?identifier=npi|1"}]
    lost = {"type": "Patient", "identifier": {"system": "s", "value": "v"}}
    parsed = parse(
        bundle(
            entry(observation("o1", performer=who, subject=lost)),
            entry(observation("o2", performer=who)),
            entry(observation("o1", performer=who, subject=lost, valueString="later")),
        )
    )
    assert counts(parsed) == (3, 2, 0, 0, 1, 0)
    assert [(found.target_type, found.reference_text, found.how, found.count) for found in parsed.references] == [
        ("Patient", "identifier=s|v", "logical", 1),
        ("Practitioner", "identifier=npi|1", "conditional", 2),
    ]


def test_chunks_do_not_show_in_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    data = ndjson(*[observation(f"o{number % 5}", valueInteger=number) for number in range(20)])
    whole = parse(data, check=NO_CHECK)
    monkeypatch.setattr(frames, "CHUNK_ROWS", 3)
    parts = parse(data, check=NO_CHECK)
    assert parts.tables["observation"].equals(whole.tables["observation"])
    assert counts(parts) == counts(whole) == (20, 5, 0, 0, 15, 0)


def test_the_body_of_an_entry_is_its_text_as_sent() -> None:
    data = b'{"resourceType":"Bundle","type":"batch","entry":[{},{"resource":{"a": 1.50}}]}'
    assert body_of(data, "", 1) == b'{"a": 1.50}'
    assert body_of(b'\n{"a":1}\n\n{"a": 2}', "application/fhir+ndjson", 1) == b'{"a": 2}'
    for number in (0, 2, -1):
        with pytest.raises(PermanentError) as caught:
            body_of(data, "", number)
        assert caught.value.reason == "no_resource"


@pytest.mark.parametrize(
    "resource",
    [
        patient(birthDate=CANARY),
        patient(**{CANARY: CANARY}),
        patient(name=[{CANARY: 1}, {"family": [CANARY]}]),
        patient(CANARY + " "),
        patient(gender={"coding": CANARY}),
        patient(contained=[{"resourceType": CANARY, CANARY: 1}]),
        patient(extension=[{"url": 5, CANARY: "x"}], meta={"lastUpdated": CANARY}),
        {"resourceType": CANARY},
        observation(valueQuantity={"value": CANARY}),
        observation(effectiveDateTime=CANARY),
        observation(component=[{"code": {"coding": [{"code": [CANARY]}]}}]),
        {"resourceType": "RiskEvidenceSynthesis", "status": CANARY, "date": CANARY},
    ],
)
@pytest.mark.parametrize("checked", [True, False])
def test_no_value_of_a_broken_resource_is_told(resource: dict[str, Any], checked: bool) -> None:
    data = bundle(entry(resource))
    parsed = parse(data) if checked else parse(data, check=NO_CHECK)
    assert CANARY not in repr((parsed.quarantined, parsed.references))


@pytest.mark.parametrize("exponent", ["", "e" + "9" * 5_000])
def test_a_number_of_thousands_of_digits_keeps_its_text_wherever_it_stands(exponent: str) -> None:
    digits = (exponent and "1" + exponent) or "1" * 5_000
    beside = '"extension":[{"url":"urn:x","valueCode":"y"}]'
    resource = json.dumps(observation(valueQuantity={"value": 7})).replace("7", f"{digits},{beside}")
    (found,) = rows(
        parse(b'{"resourceType":"Bundle","type":"batch","entry":[{"resource":%b}]}' % resource.encode()), "observation"
    )
    assert (found["value_text"], found["extension_urls"]) == (digits, ["urn:x"])


@quick
@given(st.lists(st.integers(1, 300), min_size=1, max_size=12), st.integers(1, 4), st.integers(1, 800))
def test_what_an_object_comes_to_does_not_depend_on_how_much_is_read_at_once(
    lengths: list[int], entries: int, size: int
) -> None:
    patients = [patient(f"p{number % 5}", language="x" * length) for number, length in enumerate(lengths)]
    about = [{"reference": f"Patient/p{number % 5}"} for number in range(len(lengths))]
    observations = [observation(f"o{number}", subject=subject) for number, subject in enumerate(about)]
    data = bundle(*map(entry, patients), *map(entry, observations))
    whole = parse(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spv_platform.fhir.parse._MOST_ENTRIES", entries)
        patch.setattr("spv_platform.fhir.parse._MOST_BYTES", size)
        patch.setattr(frames, "CHUNK_ROWS", entries)
        cut = parse(data)
    assert {name: frame.rows() for name, frame in cut.tables.items()} == {n: f.rows() for n, f in whole.tables.items()}
    assert (cut.duplicates, cut.superseded, cut.references) == (whole.duplicates, whole.superseded, whole.references)


@pytest.mark.parametrize("indent", [None, 2])
def test_each_row_leads_to_the_text_that_it_was_made_of(indent: int | None) -> None:
    strange = {"fullUrl": "urn:uuid:a", "foo": 1, "resource": patient("p1")}
    for first in (entry(patient("p1")), strange, entry(patient("p1"), note="x")):
        data = bundle(first, entry(observation("o1")), entry(patient("p2", gender="male")), indent=indent)
        parsed = parse(data)
        for frame in parsed.tables.values():
            for number, told in frame.select("source_entry", "digest").iter_rows():
                assert digest(compact(body_of(data, "", number))) == told


def test_of_several_creates_under_one_condition_the_first_that_is_taken_counts() -> None:
    request = {"method": "POST", "url": "Patient", "ifNoneExist": "identifier=s|1"}
    broken = [entry(patient(f"b{number}", foo=1), request=request) for number in range(3)]
    taken = [entry(patient(f"p{number}"), request=request) for number in range(3)]
    parsed = parse(bundle(*broken, entry(patient("x")), *taken, entry(patient("y"))))
    assert counts(parsed) == (8, 3, 0, 2, 0, 3)
    # those of a condition have the id that it gives the first of them
    assert parsed.tables["patient"]["source_entry"].to_list() == [3, 4, 7]
