"""The quick yes of the structs, against the models that they are derived from."""

import gzip
import json
import zipfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fhir_samples import ndjson, observation, parse, patient, rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from spv_platform.fhir import contract, texts
from spv_platform.fhir.contract import second_opinion
from spv_platform.fhir.digest import compact
from spv_platform.fhir.rules import RULES
from spv_platform.fhir.split import split
from spv_platform.fhir.structs import Takers
from spv_platform.sample import bundles

takers = Takers(contract.model_of)

EXTENSION = {"url": "http://example.org/e", "valueCodeableConcept": {"text": "x"}}
RESOURCES: tuple[dict[str, Any], ...] = (
    patient(
        name=[{"family": "Ämne", "given": ["A", "B"], "_family": {"extension": [EXTENSION]}}],
        gender="female",
        birthDate="1961-02-28",
        _birthDate={"extension": [{"url": "t", "valueDateTime": "1961-02-28T08:00:00+01:00"}]},
        deceasedBoolean=False,
        text={"status": "generated", "div": "<div xmlns='http://www.w3.org/1999/xhtml'>a \"b\": c</div>"},
        contained=[observation("c1")],
        extension=[{"url": "o", "extension": [EXTENSION]}],
        link=[{"other": {"reference": "Patient/2"}, "type": "seealso"}],
    ),
    observation(
        effectiveDateTime="2020-02-29T23:59:59.123Z",
        issued="2020-03-01T00:00:00.5-05:00",
        valueQuantity={"value": 1.50, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"},
        component=[
            {"code": {"coding": [{"system": "s", "code": "a b"}]}, "valueInteger": 3, "interpretation": [{"text": "x"}]}
        ],
        referenceRange=[{"low": {"value": 0}, "text": 'a": b\\'}],
    ),
    {
        "resourceType": "DocumentReference",
        "status": "current",
        "content": [{"attachment": {"contentType": "text/plain", "data": "QUJD", "url": "http://example.org/a"}}],
    },
    {"resourceType": "Encounter", "status": "finished", "class": {"code": "AMB"}, "length": {"value": 3}},
    {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/1"},
        "medicationCodeableConcept": {"text": "x"},
        "dosageInstruction": [{"timing": {"repeat": {"count": 3, "timeOfDay": ["08:00:00"]}}, "sequence": 1}],
    },
)
VALUES: tuple[Any, ...] = (
    *(None, True, "", " ", "\t", "\u00a0", "\u2003x", "\x1c", "\x85", "\u180e", "x\n", "\n", "a  b", "a\u00a0b", "😀"),
    *("2020-02-30", "1900-02-29", "2000-02-29", "2020", "2020-13", "24:00:00", "2020-01-01T10:00", "0000"),
    *("2020-01-01T10:00:00", "2020-01-01T10:00:60Z", "2020-01-01T10:00:00+14:00", "2020-01-01T00:00:00.1234567Z"),
    *(0, -1, 1, 1.0, 1.5, 2**31, -(2**31) - 1, 1e300, "1", "1.5", "true", [], {}, [None], [{}], [[]], [""], {"x": 1}),
    *("=", "QQ", "QQ==", "Q=Q=", "QR==", "QUJ D", "ftp://x", "http://x", "http://example.org/ä", "urn:uuid:x"),
    *("x" * 64, "x" * 65, "a_b", {"value": 1, "valuE": 1}, {"url": "u"}, {"url": "u", "valueString": "x"}),
    *({"reference": "Patient/1"}, {"resourceType": "Patient"}, {"resourceType": "Observation"}, EXTENSION),
)
NAMES = ("id", "status", "value", "valueString", "valueBoolean", "_status", "extension", "code", "text", "url", "given")


def places(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place below a value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for key, part in parts:
        found += [(*at, key), *places(part, (*at, key))]
    return found


@st.composite
def spoiled(draw: st.DrawFn) -> dict[str, Any]:
    """A resource with one to three things changed, which may leave it valid."""
    resource: dict[str, Any] = deepcopy(draw(st.sampled_from(RESOURCES)))
    for _ in range(draw(st.integers(1, 3))):
        found = places(resource)
        *path, last = draw(st.sampled_from(found))
        holder: Any = resource
        for key in path:
            holder = holder[key]
        match draw(st.sampled_from(["put", "take", "add", "wrap"])):
            case "put":
                holder[last] = deepcopy(draw(st.sampled_from(VALUES)))
            case "take":
                del holder[last]
            case "wrap":
                holder[last] = [holder[last]]
            case _ if isinstance(holder, dict):
                holder[draw(st.sampled_from(NAMES))] = deepcopy(draw(st.sampled_from(VALUES)))
            case _:
                holder.append(deepcopy(draw(st.sampled_from(VALUES))))
    return resource


def text_of(resource: dict[str, Any], *, ascii_: bool, indent: int | None) -> bytes:
    return json.dumps(resource, ensure_ascii=ascii_, indent=indent).encode("utf-8", "surrogatepass")


def taken(type_: str, raw: bytes) -> bool:
    """Whether a resource is taken as the platform would read it."""
    try:
        return takers.take(type_, compact(raw)) is not None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False  # the split refuses it


@pytest.mark.parametrize("number", range(len(RESOURCES)))
@pytest.mark.parametrize("indent", [None, 1])
def test_ordinary_resources_are_taken_whatever_their_layout(number: int, indent: int | None) -> None:
    resource = RESOURCES[number]
    raw = text_of(resource, ascii_=False, indent=indent)
    assert second_opinion(resource["resourceType"], raw) == []
    assert taken(resource["resourceType"], raw)


@settings(deadline=None, max_examples=200)
@given(spoiled(), st.booleans(), st.sampled_from([None, 1]))
def test_what_is_taken_the_models_take_too(resource: dict[str, Any], ascii_: bool, indent: int | None) -> None:
    type_ = resource.get("resourceType")
    if not isinstance(type_, str):
        return
    raw = text_of(resource, ascii_=ascii_, indent=indent)
    assert not taken(type_, raw) or second_opinion(type_, raw) == []


def taken_by_models_alone(type_: str, raw: bytes) -> bool:
    try:
        contract.model_of(type_).model_validate(json.loads(raw))
    except Exception:  # they raise whatever their validators meet
        return False
    return True


@settings(deadline=None, max_examples=200)
@given(spoiled())
def test_where_the_contract_and_the_models_differ_a_rule_of_the_list_says_so(resource: dict[str, Any]) -> None:
    type_ = resource.get("resourceType")
    if not isinstance(type_, str) or contract.model_of(type_) is None:
        return
    raw = json.dumps(resource).encode()
    found = {problem.reason for problem in second_opinion(type_, raw)}
    assert found <= set(RULES) if taken_by_models_alone(type_, raw) else found


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(RESOURCES), st.data())
def test_whatever_the_text_what_is_taken_the_models_take_too(resource: dict[str, Any], data: st.DataObject) -> None:
    raw = bytearray(text_of(resource, ascii_=data.draw(st.booleans()), indent=None))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        match data.draw(st.sampled_from(["put", "cut", "repeat"])):
            case "put":
                piece = data.draw(st.sampled_from(PIECES))
                raw[at : at + data.draw(st.integers(0, 1)) * len(piece)] = piece
            case "cut":
                del raw[at : at + data.draw(st.integers(1, 4))]
            case _:
                end = min(len(raw), at + data.draw(st.integers(1, 60)))
                raw[at:at] = raw[at:end]
    type_ = resource["resourceType"]
    assert not taken(type_, bytes(raw)) or second_opinion(type_, bytes(raw)) == []


PIECES = (
    *(b'"', b'":', b" :", b"\\", b"\\u0022", b"\\u0000", b"\\u00a0", b"\\ud800", b"\\f", b"\xc2\xa0", b"\xff", b"\0"),
    *(b"e5", b"-", b"0", b".", b"+", b",", b"null", b"[", b"]", b"{", b"}", b"NaN", b"1e400", b"\xef\xbb\xbf"),
    *(b'"status":"final",', b'"id" :"x",', b'"text":{"div":"\\u0022:"},'),
)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"resourceType":"Patient","id":"a","id":"b"}',
        b'{"resourceType":"Patient","id":"a","id" :"b","active":true}',
        b'{"resourceType":"Patient","id":"a","id":"b","name":[{"text":"\\u0022:"}]}',
        b'{"resourceType":"Patient","name":[{"text":"a","text":"b"}]}',
        b'{"resourceType":"Patient","contained":[{"resourceType":"Patient","id":"a","id":"b"}]}',
        b'{"resourceType":"Patient","contained":[{"resourceType":"Patient","resourceType":"Patient"}]}',
        b'{"resourceType":"Patient","name":[{"text":"\xc2\xa0"}]}',
        b'{"resourceType":"Patient","name":[{"text":"\\u00a0"}]}',
        b'{"resourceType":"Patient","name":[{"text":"a\\u0000"}]}',
        b'{"resourceType":"Patient","name":[{"text":"\\ud800"}]}',
        b'{"resourceType":"Observation","status":"final","code":{},"valueString":"a","valueBoolean":true}',
        b'{"resourceType":"Patient","fhir_comments":"x"}',
        b'{"resourceType":"Patient","_birthDate":{}}',
        b'{"resourceType":"Patient","id":""}',
        b'{"resourceType":"Patient","id":5}',
        b'{"resourceType":"Patient","maritalStatus":{"coding":[{"code":" "}]}}',
        b'{"resourceType":"Patient","maritalStatus":{"coding":[{"code":"a  b"}]}}',
        b'{"resourceType":"Patient","maritalStatus":{"coding":[{"code":"a\x7f"}]}}',
        b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":"1"}}',
        b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":true}}',
        b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"Claim/1"}}',
        b'{"resourceType":"Observation"}',
        b'{"resourceType":"SubscriptionTopic"}',
        b"[]",
        b"",
    ],
)
def test_what_structs_cannot_see_is_left_to_the_models(raw: bytes) -> None:
    assert not taken("Patient", raw)
    assert not taken("Observation", raw)
    assert not taken("SubscriptionTopic", raw)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spoiled())
def test_the_same_is_taken_whether_patterns_are_looked_for_or_not(
    monkeypatch: pytest.MonkeyPatch, resource: dict[str, Any]
) -> None:
    type_ = resource.get("resourceType")
    if not isinstance(type_, str):
        return
    raw = text_of(resource, ascii_=True, indent=None)
    found = taken(type_, raw)
    with monkeypatch.context() as patch:
        patch.setattr(texts, "is_plain", lambda _: False)
        patch.setattr(texts, "_MOST_REMEMBERED", 0)
        assert taken(type_, raw) == found


def test_of_the_sample_nothing_that_is_valid_needs_a_second_opinion() -> None:
    entries = [entry for file in bundles() if file.name.endswith(".json") for entry in json.loads(file.data)["entry"]]
    for resource in (entry["resource"] for entry in entries):
        type_, raw = resource["resourceType"], text_of(resource, ascii_=True, indent=None)
        assert taken(type_, raw) == (second_opinion(type_, raw) == [])


def assert_read_alike(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Rows do not depend on who read the resource."""
    quick = parse(data, max_entries=100_000)
    with monkeypatch.context() as patch:
        patch.setattr(contract, "read", lambda _type, _text: None)
        slow = parse(data, max_entries=100_000)
    assert (slow.quarantined, slow.references) == (quick.quarantined, quick.references)
    assert slow.tables.keys() == quick.tables.keys()
    for name, frame in quick.tables.items():
        assert_frame_equal(frame, slow.tables[name])


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(spoiled(), min_size=1, max_size=4))
def test_what_a_process_remembers_of_texts_changes_no_row(
    monkeypatch: pytest.MonkeyPatch, resources: list[dict[str, Any]]
) -> None:
    data = ndjson(*RESOURCES, *resources, *RESOURCES)
    with monkeypatch.context() as patch:
        patch.setattr(texts, "_MOST_REMEMBERED", 300)
        forgetful = parse(data)
    remembered = parse(data)
    assert (forgetful.quarantined, forgetful.references) == (remembered.quarantined, remembered.references)
    assert forgetful.paths == remembered.paths
    for name, frame in forgetful.tables.items():
        assert_frame_equal(frame, remembered.tables[name])


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(spoiled(), min_size=1, max_size=4))
def test_a_row_is_the_same_whoever_read_the_resource(
    monkeypatch: pytest.MonkeyPatch, resources: list[dict[str, Any]]
) -> None:
    assert_read_alike(monkeypatch, ndjson(*RESOURCES, *resources))


@pytest.mark.parametrize("number", ["1e400", "-1E-400", "1" * 4000, "1e999999999999", "1e99999999999999999999", "-0"])
def test_a_number_of_any_size_is_taken_with_its_text_whoever_reads_it(
    monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    resource = observation(valueQuantity={"value": "N"}, extension=[{"url": "u", "valueDecimal": "N"}])
    data = ndjson(resource, resource | {"id": "o2"}).replace(b'"N"', number.encode())
    assert_read_alike(monkeypatch, data)
    assert [row["value_text"] for row in rows(parse(data), "observation")] == [number] * 2


def test_the_rows_of_real_data_are_the_same_whoever_read_them(monkeypatch: pytest.MonkeyPatch, corpus: Path) -> None:
    with zipfile.ZipFile(corpus / "fhir-r4-examples" / "examples.zip") as archive:
        examples = [archive.read(name) for name in archive.namelist() if name.endswith(".json")]
    assert_read_alike(monkeypatch, b"\n".join(b" ".join(data.splitlines()) for data in examples))
    for name in ("Bundle-gx-genomic-bundle-adam-anyperson.json", "TrialMatching_Patient01.json"):
        assert_read_alike(monkeypatch, (corpus / "mcode" / name).read_bytes())
    smallest = min((corpus / "synthea").glob("*.json.gz"), key=lambda file: file.stat().st_size)
    assert_read_alike(monkeypatch, gzip.decompress(smallest.read_bytes()))


def test_of_the_official_examples_what_is_taken_the_models_take_too(corpus: Path) -> None:
    number = 0
    with zipfile.ZipFile(corpus / "fhir-r4-examples" / "examples.zip") as archive:
        for name in archive.namelist():
            raw = archive.read(name)
            type_ = json.loads(raw).get("resourceType") if name.endswith(".json") else None
            if type_ and taken(type_, raw):
                number += 1
                assert second_opinion(type_, raw) == [], name
    assert number > 550


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "least"), [("synthea", 20_000), ("mcode", 200)])
def test_all_of_real_data_is_taken_at_once_and_the_models_take_it_too(corpus: Path, folder: str, least: int) -> None:
    number = 0
    for file in sorted((corpus / folder).glob("*json*")):
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        for entry in split(data, "", 100_000).entries:
            text = compact(bytes(entry.content or b""))
            type_ = json.loads(text)["resourceType"]
            assert contract.read(type_, text), (file.name, entry.index)
            assert second_opinion(type_, text) == [], (file.name, entry.index)
            number += 1
    assert number > least
