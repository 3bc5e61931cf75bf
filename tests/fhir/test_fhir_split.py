import contextlib
import json
from typing import Any

import pytest
from fhir_samples import bundle, delete, entry, ndjson, observation, patient, quick
from hypothesis import given
from hypothesis import strategies as st

from spv_platform.errors import PermanentError
from spv_platform.fhir.split import BUNDLE_TYPES, split
from spv_platform.fhir.structure import MAX_DEPTH, scan_entries, too_deep

LIMIT = 100


def problems(data: bytes, content_type: str = "") -> list[str | None]:
    return [found.problem for found in split(data, content_type, LIMIT).entries]


def refusal(data: bytes, content_type: str = "", limit: int = LIMIT) -> str:
    with pytest.raises(PermanentError) as caught:
        split(data, content_type, limit)
    return caught.value.reason


@pytest.mark.parametrize("kind", sorted(BUNDLE_TYPES))
def test_each_taken_bundle_type_gives_its_resources(kind: str) -> None:
    parts = split(bundle(entry(patient()), entry(observation()), kind=kind, timestamp="2024-01-01"), "", LIMIT)
    assert (parts.kind, parts.timestamp) == (kind, "2024-01-01")
    assert [json.loads(found.raw or b"") for found in parts.entries] == [patient(), observation()]


def test_an_entry_keeps_full_url_request_and_raw_text() -> None:
    data = (
        b'{"resourceType":"Bundle","type":"batch","entry":[{"fullUrl":"urn:uuid:1",'
        b'"resource":{"resourceType":"Patient", "n":1.50},"request":{"method":"POST","url":"Patient"}}]}'
    )
    (found,) = split(data, "", LIMIT).entries
    assert (found.index, found.full_url, found.method, found.url) == (0, "urn:uuid:1", "POST", "Patient")
    assert found.raw == b'{"resourceType":"Patient", "n":1.50}'


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty_payload"),
        (b" \n\t ", "empty_payload"),
        (b"\xef\xbb\xbf", "empty_payload"),
        (b"hello", "not_json"),
        (b'{"resourceType":"Bundle"', "not_json"),
        (b'{"resourceType":"Bundle","type":"batch","entry":[{]}', "not_json"),
        (bundle(entry(patient()))[:-3], "not_json"),
        (bundle(entry(patient())) + b"}", "not_json"),
        (b'{"resourceType":"Bundle","type":"batch",,"entry":[]}', "not_json"),
        ("{}".encode("utf-16"), "not_json"),
        (b"{}", "not_a_bundle"),
        (b"[]", "not_a_bundle"),
        (b"5", "not_a_bundle"),
        (b'"Bundle"', "not_a_bundle"),
        (b'{"resourceType":5}', "not_a_bundle"),
        (b'{"resourceType":"Patient"}', "not_a_bundle"),
        (b'{"resourceType":"Bundle"}', "unsupported_bundle_type"),
        (bundle(kind="batch-response"), "unsupported_bundle_type"),
        (b"[" * 5000 + b"]" * 5000, "not_json"),
    ],
)
def test_an_object_that_is_no_bundle_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    assert refusal(data) == reason


def test_a_byte_order_mark_is_skipped() -> None:
    assert problems(b"\xef\xbb\xbf" + bundle(entry(patient()))) == [None]
    assert problems(b"\xef\xbb\xbf" + ndjson(patient(), observation())) == [None, None]


def test_a_byte_order_mark_between_lines_costs_its_line() -> None:
    marked = b"\xef\xbb\xbf" + ndjson(patient())
    assert problems(marked + marked + ndjson(patient())) == [None, "entry_not_json", None]


@pytest.mark.parametrize("more", [{}, {"entry": None}])
def test_a_bundle_without_entries_is_empty(more: dict[str, None]) -> None:
    data = json.dumps({"resourceType": "Bundle", "type": "searchset", **more}).encode()
    assert split(data, "", LIMIT).entries == []


def test_a_delete_has_no_resource_and_no_problem() -> None:
    (found,) = split(bundle(delete("Patient/1")), "", LIMIT).entries
    assert (found.method, found.url, found.raw, found.problem) == ("DELETE", "Patient/1", None, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'{"resource":{"a":NaN}}', "entry_not_json"),
        (b'{"resource":{"a":"\\ud800"}}', "entry_not_json"),
        (b'{"resource":{"a":"\xff"}}', "entry_not_json"),
        (b'{"resource":{"a":1,}}', "entry_not_json"),
        (b'{"resource":[]}', "entry_not_object"),
        (b'{"resource":"x"}', "entry_not_object"),
        (b"5", "entry_not_object"),
        (b"[]", "entry_not_object"),
        (b'{"fullUrl":5}', "invalid_resource"),
        (b'{"resource":{"a":' + b"[" * 150 + b"]" * 150 + b"}}", "too_deep"),
        (b'{"resource":{"a":' + b"[" * 5000 + b"]" * 5000 + b"}}", "too_deep"),
    ],
)
def test_a_broken_entry_keeps_its_number_and_its_neighbours(text: bytes, problem: str) -> None:
    good = b'{"resource":{"resourceType":"Patient"}}'
    data = b'{"resourceType":"Bundle","type":"batch","entry":[' + good + b"," + text + b" ,\n" + good + b"]}"
    found = split(data, "", LIMIT).entries
    assert [part.problem for part in found] == [None, problem, None]
    assert [part.index for part in found] == [0, 1, 2]
    assert found[0].raw == found[2].raw == b'{"resourceType":"Patient"}'


ONE, TWO = (b'{"resourceType":"Patient","id":"%d"}' % number for number in (1, 2))


@pytest.mark.parametrize(
    "entries",
    [
        b'"entry":[{"resource":' + ONE + b'}],"entry":[{"resource":' + TWO + b"}]",
        b'"entry":[{"resource":' + ONE + b'}],"\\u0065ntry" : []',
    ],
)
def test_a_bundle_of_two_lists_of_entries_is_refused_since_one_would_be_lost(entries: bytes) -> None:
    assert refusal(b'{"resourceType":"Bundle","type":"batch",' + entries + b"}") == "not_a_bundle"


@pytest.mark.parametrize("name", [b'"resource":', b'"resource" :', b'"r\\u0065source":'])
def test_an_entry_of_two_resources_is_set_aside_since_one_would_be_lost(name: bytes) -> None:
    twice = b'{"resource":' + ONE + b"," + name + TWO + b"}"
    data = b'{"resourceType":"Bundle","type":"batch","entry":[%b,{"resource":%b}]}' % (twice, ONE)
    assert problems(data) == ["repeated_key", None]


@pytest.mark.parametrize("value", ["resource", "entry", 'a "resource": "entry": [', "\\u0065ntry"])
def test_words_like_names_are_no_names(value: str) -> None:
    held = patient(name=[{"text": value, "family": '"entry"'}])
    made = bundle(entry(held, value), entry(held), link=[{"relation": value, "url": value}])
    assert problems(made) == [None, None]
    assert problems(made.replace(b'"entry"', b'"\\u0065ntry"').replace(b'"resource"', b'"r\\u0065source"')) == [
        None,
        None,
    ]


def test_lines_are_told_by_content_type() -> None:
    assert split(ndjson(patient()), "application/fhir+ndjson; charset=utf-8", LIMIT).kind == "ndjson"


@pytest.mark.parametrize("indent", [None, 2])
def test_one_bundle_is_a_bundle_even_if_it_was_sent_as_lines(indent: int | None) -> None:
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": {"resourceType": "Patient"}}]}
    found = split(json.dumps(bundle, indent=indent).encode(), "application/fhir+ndjson", 10)
    assert (found.kind, len(found.entries)) == ("collection", 1)


def test_a_bundle_with_a_broken_entry_that_was_said_to_be_lines_costs_no_neighbour():
    broken = bundle(entry(patient("p1")), entry(patient("p2")), entry(patient("p3"))).replace(b'"p2"', b"p2")
    found = split(broken, "application/fhir+ndjson", LIMIT)
    assert (found.kind, [each.problem for each in found.entries]) == ("transaction", [None, "entry_not_json", None])
    resources = [patient(name) for name in ("p1", "p2", "p3")] * 10
    sorted_ = json.dumps(
        {"entry": [{"resource": each} for each in resources], "resourceType": "Bundle", "type": "batch"}
    )
    found = split(sorted_.replace('"p2"', "p2", 1).encode(), "application/fhir+ndjson", LIMIT)
    assert [each.problem for each in found.entries].count(None) == 29
    # a line that is a Bundle and cut off is a line
    cut_off = broken[:-20] + b"\n" + ndjson(patient())
    assert [each.problem for each in split(cut_off, "application/fhir+ndjson", LIMIT).entries] == [
        "entry_not_json",
        None,
    ]


def test_lines_are_told_by_shape_even_if_an_element_is_called_type() -> None:
    account = {"resourceType": "Account", "type": {"text": "x"}, "entry": 5}
    assert split(ndjson(account, patient()), "application/json", LIMIT).kind == "ndjson"


def test_blank_lines_take_no_entry_number_and_a_bad_line_does() -> None:
    data = b'\n{"resourceType":"Patient"}\r\n\n  \n{bad\n5\n{"resourceType":"Patient"}'
    found = split(data, "application/fhir+ndjson", LIMIT).entries
    assert [(part.index, part.problem) for part in found] == [
        (0, None),
        (1, "entry_not_json"),
        (2, "entry_not_object"),
        (3, None),
    ]


def test_a_bad_first_line_does_not_hide_the_others() -> None:
    assert problems(b"{bad\n" + ndjson(patient(), patient())) == ["entry_not_json", None, None]
    foreign = b"id,name\n" * 8
    assert problems(foreign + ndjson(patient(), patient())) == ["entry_not_json"] * 8 + [None, None]


@pytest.mark.parametrize("change", [[{"url": "urn:not", "valueBoolean": True}], None, []])
@pytest.mark.parametrize("part", ["", "request", "response", "search"])
def test_an_entry_that_is_modified_is_set_aside_and_costs_no_neighbour(change: object, part: str) -> None:
    modified: dict[str, Any] = {"modifierExtension": change}
    data = bundle(entry(patient("p1"), **({part: modified} if part else modified)), entry(patient("p2")))
    assert problems(data) == ["modified_entry", None]
    assert problems(data.replace(b'"p2"', b"p2")) == ["modified_entry", "entry_not_json"]


@pytest.mark.parametrize("part", ["request", "response", "search"])
def test_what_fhir_does_not_give_to_a_part_of_an_entry_sets_it_aside(part: str) -> None:
    known = {
        "request": {"method": "PUT", "url": "Patient/p2", "ifMatch": "1", "_url": {"id": "x"}},
        "response": {"status": "200", "etag": "1", "location": "x", "outcome": {"resourceType": "OperationOutcome"}},
        "search": {"mode": "match", "score": 1, "extension": [{"url": "urn:x"}]},
    }[part]
    data = bundle(entry(patient("p1"), **{part: {"foo": 1}}), entry(patient("p2"), **{part: known}))
    assert problems(data) == ["unknown_element", None]


@pytest.mark.parametrize("count", [LIMIT, LIMIT + 1])
def test_the_entry_limit_holds_for_every_shape(count: int) -> None:
    broken = b'{"resourceType":"Bundle","type":"batch","entry":[' + b",".join([b"NaN"] * count) + b"]}"
    small = b'{"resourceType":"Bundle","type":"batch","entry":[' + b",".join([b"{}"] * count) + b"]}"
    for data in (bundle(*[entry(patient())] * count), broken, small, ndjson(*[patient()] * count)):
        if count > LIMIT:
            assert refusal(data) == "too_many_entries"
        else:
            assert len(split(data, "", LIMIT).entries) == count


def test_a_bundle_of_very_many_objects_is_counted_before_it_is_held() -> None:
    data = b'{"resourceType":"Bundle","type":"batch","entry":[' + b",".join([b"{}"] * 1000) + b"]}"
    assert refusal(data, limit=3) == "too_many_entries"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@quick
@given(st.lists(st.dictionaries(st.text(max_size=8), JSON, max_size=4), max_size=5), st.sampled_from([None, 1, 4]))
def test_the_patient_reader_finds_the_same_entries_as_the_fast_one(resources: list[dict], indent: int | None) -> None:
    entries = [entry(resource, full_url='a "quoted" \\ [url]') for resource in resources]
    whole = {"resourceType": "Bundle", "meta": {"tag": [{"code": "x"}]}, "type": "batch", "entry": entries, "link": []}
    data = json.dumps(whole, indent=indent).encode()
    scanned = scan_entries(data, LIMIT)
    assert scanned is not None
    assert json.loads(scanned[0]) == {**whole, "entry": []}
    assert [json.loads(text) for text in scanned[1]] == entries
    assert [json.loads(found.raw or b"{}") for found in split(data, "", LIMIT).entries] == resources


@quick
@given(st.integers(1, 2 * MAX_DEPTH), st.text(max_size=20))
def test_depth_is_counted_exactly_and_not_in_strings(depth: int, text: str) -> None:
    flat = json.dumps([[text, "[{"]] * (MAX_DEPTH // 2)).encode()
    raw = b"[" * (depth - 1) + b"[" + flat[1:-1] + b"]" * depth
    assert too_deep(raw) == (depth + 1 > MAX_DEPTH)


@quick
@given(st.binary(max_size=200))
def test_any_bytes_are_split_as_lines_and_only_whole_objects_have_text(data: bytes) -> None:
    data = b"{}" + data
    found = split(data, "application/fhir+ndjson", LIMIT).entries
    assert [part.index for part in found] == list(range(len([line for line in data.split(b"\n") if line.strip()])))
    assert all((part.raw is None) == (part.problem is not None) for part in found)
    assert all(isinstance(json.loads(part.raw), dict) for part in found if part.raw)


@quick
@given(st.binary(max_size=60), st.integers(0, 200))
def test_any_damage_to_a_bundle_is_a_refusal_with_a_reason_or_entries(damage: bytes, place: int) -> None:
    data = bundle(entry(patient()), entry(observation()))
    with contextlib.suppress(PermanentError):
        split(data[:place] + damage + data[place + 1 :], "", LIMIT)


@pytest.mark.parametrize("content_type", ["", "application/fhir+json"])
def test_a_broken_bundle_with_resources_on_lines_of_their_own_is_no_list_of_lines(content_type: str) -> None:
    entries = [json.dumps(patient(f"p{number}")) for number in range(3)]
    text = ",\n".join(f'{{"fullUrl":"urn:uuid:{n}","resource":\n{each}\n}}' for n, each in enumerate(entries))
    data = f'{{"resourceType":"Bundle","type":"transaction","entry":[\n{text}\n]}}'.replace('"p2"', '"p2",,')
    found = split(data.encode(), content_type, LIMIT)
    assert (found.kind, [each.problem for each in found.entries]) == ("transaction", [None, None, "entry_not_json"])
