"""Bundles as what they are: transactions, searches, histories, messages, documents; and what is none of them."""

import json
from typing import Any

import pytest
from fhir_samples import CANARY, bundle, delete, entry, observation, parse, patient, reasons, rows

from spv_platform.errors import PermanentError
from spv_platform.fhir.split import split

PRACTITIONER = {"resourceType": "Practitioner", "identifier": [{"system": "urn:npi", "value": "1"}]}


def create(resource: dict[str, Any], url: str, condition: str | None = None) -> dict[str, Any]:
    asked = {"method": "POST", "url": resource["resourceType"]}
    return entry(resource, url, request=asked | ({"ifNoneExist": condition} if condition else {}))


def test_what_is_created_only_if_it_is_not_there_is_created_once_and_meant_by_all_its_names() -> None:
    first = create(PRACTITIONER, "urn:uuid:a", "identifier=urn:npi|1")
    again = create(PRACTITIONER | {"active": True}, "urn:uuid:b", "identifier=urn:npi|1")
    seen = [
        observation(f"o{number}", performer=[{"reference": name}])
        for number, name in enumerate(("urn:uuid:a", "urn:uuid:b", "Practitioner?identifier=urn:npi|1"))
    ]
    parsed = parse(bundle(first, again, *map(entry, seen)))
    assert (parsed.accepted, parsed.duplicates, parsed.balances, parsed.references) == (4, 1, True, [])
    (made,) = rows(parsed, "other_resource")
    keys = {row["performer"][0]["key"] for row in rows(parsed, "observation")}
    assert keys == {f"Practitioner/{made['resource_id']}"}


def test_the_same_condition_is_the_same_resource_in_every_object() -> None:
    ids = {
        rows(parse(bundle(create(PRACTITIONER | more, "urn:uuid:a", "identifier=urn:npi|1"))), "other_resource")[0][
            "resource_id"
        ]
        for more in ({}, {"active": True})
    }
    assert len(ids) == 1


def test_a_conditional_create_that_is_refused_costs_the_next_one_nothing() -> None:
    good, bad = PRACTITIONER | {"active": True}, PRACTITIONER | {"active": "yes"}
    seen = observation("o", performer=[{"reference": "urn:uuid:a"}, {"reference": "urn:uuid:b"}])
    entries = [
        create(resource, f"urn:uuid:{name}", "identifier=urn:npi|1")
        for name, resource in (("a", bad), ("b", good), ("c", good))
    ]
    parsed = parse(bundle(*entries, entry(seen)))
    assert (reasons(parsed), parsed.accepted, parsed.duplicates, parsed.balances) == (
        [(0, "wrong_json_type", "/active")],
        2,
        1,
        True,
    )
    (made,) = rows(parsed, "other_resource")
    assert {each["key"] for each in rows(parsed, "observation")[0]["performer"]} == {
        f"Practitioner/{made['resource_id']}"
    }


def test_a_condition_is_the_same_however_its_characters_are_escaped() -> None:
    conditions = ("identifier=urn:npi|1", "identifier=urn%3Anpi%7C1", "Practitioner?identifier=urn:npi%7C1")
    entries = [create(PRACTITIONER, f"urn:uuid:{number}", each) for number, each in enumerate(conditions)]
    put = entry(PRACTITIONER, request={"method": "PUT", "url": "Practitioner?identifier=urn:npi%7C1"})
    parsed = parse(bundle(*entries, put))
    assert (parsed.accepted, parsed.duplicates, parsed.balances) == (1, 3, True)


@pytest.mark.parametrize(
    "condition",
    [
        "identifier=urn:mrn|",
        "identifier=",
        "Patient?",
        "=",
        "&",
        "name=M%F6ller",
        "_format=json&_count=1",
        "name=%20",
        "identifier:not=s|zzz",
        "identifier=s|%2C",
        "identifier=s|a%2C",
        "identifier=s|%20",
        "%20=x",
        "name:missing=true",
    ],
)
def test_a_condition_that_finds_anybody_makes_no_two_patients_one(condition: str) -> None:
    first, second = (create(patient(None, name=[{"family": name}]), f"urn:uuid:{name}", condition) for name in "ab")
    seen = observation("o", subject={"reference": "urn:uuid:b"})
    parsed = parse(bundle(first, second, entry(seen), entry(patient("c"))))
    assert reasons(parsed) == [(0, "invalid_condition", ""), (1, "invalid_condition", "")]
    assert (parsed.accepted, parsed.balances, rows(parsed, "observation")[0]["patient_id"]) == (2, True, None)


def test_a_condition_is_the_same_however_its_parameters_are_ordered() -> None:
    conditions = (
        "identifier=urn:npi|1&active=true",
        "active=true&identifier=urn:npi|1",
        "active=true&_format=json&identifier=urn:npi|1",
    )
    parsed = parse(bundle(*(create(PRACTITIONER, f"urn:uuid:{n}", each) for n, each in enumerate(conditions))))
    assert (parsed.accepted, parsed.duplicates) == (1, 2)


def test_what_is_created_only_if_it_is_not_there_displaces_nothing_that_is() -> None:
    search = "identifier=urn:npi|1"
    asked = create(PRACTITIONER | {"gender": "female"}, "urn:uuid:a", search)
    by_search = entry(PRACTITIONER | {"gender": "male"}, request={"method": "PUT", "url": f"Practitioner?{search}"})
    own = create(patient("x", gender="female"), "urn:uuid:x", search)
    there = entry(patient("x", gender="male"), request={"method": "PUT", "url": "Patient/x"})
    for entries in ((by_search, asked, there, own), (own, there, asked, by_search)):
        parsed = parse(bundle(*entries))
        assert (parsed.accepted, parsed.duplicates, parsed.superseded, parsed.balances) == (3, 1, 0, True)
        assert {row["gender"] for row in rows(parsed, "patient") if row["resource_id"] == "x"} == {"male"}


def test_references_by_identifier_find_the_one_entry_that_has_it() -> None:
    named = {"type": "Practitioner", "identifier": {"system": "urn:npi", "value": "1"}}
    seen = observation("o", performer=[named, {"reference": "Organization?identifier=urn:npi|1"}])
    parsed = parse(bundle(entry(seen), entry(PRACTITIONER | {"id": "d"})))
    found = rows(parsed, "observation")[0]["performer"]
    assert [(each["key"], each["how"]) for each in found] == [("Practitioner/d", "logical"), (None, "conditional")]
    twice = parse(bundle(entry(seen), entry(PRACTITIONER | {"id": "d"}), entry(PRACTITIONER | {"id": "e"})))
    found = rows(twice, "observation")[0]["performer"]
    assert [(each["key"], each["how"]) for each in found] == [(None, "ambiguous"), (None, "conditional")]


def test_entries_of_any_type_are_found_by_their_identifier() -> None:
    specimens = [
        {"resourceType": "Specimen", "id": id_, "identifier": [{"system": "urn:lab", "value": value}]}
        for id_, value in (("s", "1"), ("t", "2"), ("u", "2"))
    ]
    ways = (
        {"reference": "Specimen?identifier=urn:lab|1"},
        {"type": "Specimen", "identifier": {"system": "urn:lab", "value": "1"}},
        {"identifier": {"system": "urn:lab", "value": "1"}},
        {"reference": "Specimen?identifier=urn:lab|2"},
        {"reference": "Specimen?identifier=urn:lab|3"},
    )
    seen = [observation(f"o{number}", specimen=way) for number, way in enumerate(ways)]
    parsed = parse(bundle(*map(entry, (*seen, *specimens))))
    assert [(row["specimen_key"], row["specimen_how"]) for row in rows(parsed, "observation")] == [
        ("Specimen/s", "conditional"),
        ("Specimen/s", "logical"),
        ("Specimen/s", "logical"),
        (None, "ambiguous"),
        (None, "conditional"),
    ]


def test_a_type_that_has_one_identifier_only_is_found_by_it() -> None:
    answers = {
        "resourceType": "QuestionnaireResponse",
        "id": "q",
        "status": "completed",
        "identifier": {"system": "s", "value": "1"},
    }
    seen = observation("o", derivedFrom=[{"reference": "QuestionnaireResponse?identifier=s|1"}])
    (found,) = rows(parse(bundle(entry(seen), entry(answers))), "observation")
    assert found["derived_from"][0]["key"] == "QuestionnaireResponse/q"


def test_a_full_url_that_two_entries_have_is_ambiguous() -> None:
    twins = [entry(patient(f"p{number}"), "urn:uuid:a") for number in range(2)]
    (found,) = rows(parse(bundle(*twins, entry(observation("o", subject={"reference": "urn:uuid:a"})))), "observation")
    assert found["patient_id"] is None
    versions = [entry(patient("p", gender=gender), "urn:uuid:a") for gender in ("male", "female")]
    (found,) = rows(
        parse(bundle(*versions, entry(observation("o", subject={"reference": "urn:uuid:a"})))), "observation"
    )
    assert found["patient_id"] == "p"


def test_links_to_oneself_and_in_circles_are_kept_as_they_are() -> None:
    def linked(id_: str, *others: str) -> dict[str, Any]:
        return entry(patient(id_, link=[{"other": {"reference": f"Patient/{o}"}, "type": "seealso"} for o in others]))

    parsed = parse(bundle(linked("a", "a"), linked("b", "c"), linked("c", "b")))
    found = {row["resource_id"]: [each["key"] for each in row["link_other"]] for row in rows(parsed, "patient")}
    assert found == {"a": ["Patient/a"], "b": ["Patient/c"], "c": ["Patient/b"]}


def test_addresses_of_documents_lead_to_entries_and_a_web_page_is_no_open_end() -> None:
    document = {
        "resourceType": "DocumentReference",
        "id": "d",
        "status": "current",
        "content": [{"attachment": {"url": url}} for url in ("urn:uuid:b", "Binary/b", "https://example.org/a.pdf")],
    }
    binary = {"resourceType": "Binary", "id": "b", "contentType": "text/plain"}
    parsed = parse(bundle(entry(document), entry(binary, "urn:uuid:b")))
    (found,) = [row for row in rows(parsed, "other_resource") if row["resource_type"] == "DocumentReference"]
    assert [(each["key"], each["how"]) for each in found["attachment"]] == [
        ("Binary/b", "urn"),
        ("Binary/b", "fallback"),
        (None, "absolute"),
    ]
    assert parsed.references == []
    medium = {"resourceType": "Media", "id": "m", "status": "completed", "content": {"url": "urn:uuid:b"}}
    (found,) = [
        row
        for row in rows(parse(bundle(entry(medium), entry(binary, "urn:uuid:b"))), "other_resource")
        if row["resource_type"] == "Media"
    ]
    assert found["attachment"] == [{"reference": "urn:uuid:b", "key": "Binary/b", "how": "urn"}]


@pytest.mark.parametrize("method", ["delete", "FOO", ""])
def test_an_entry_that_asks_for_what_fhir_has_not_is_set_aside(method: str) -> None:
    asked = entry(patient("p1"), request={"method": method, "url": "Patient/p1"})
    parsed = parse(bundle(asked, entry(patient("p2"))))
    assert (reasons(parsed), parsed.accepted, parsed.balances) == ([(0, "not_in_value_set", "")], 1, True)


@pytest.mark.parametrize("stated", [{"entry": {"resource": patient()}}, {"entries": [{"resource": patient()}]}])
def test_a_bundle_whose_entries_cannot_be_found_is_none(stated: dict[str, Any]) -> None:
    with pytest.raises(PermanentError, match="not_a_bundle"):
        parse(json.dumps({"resourceType": "Bundle", "type": "collection", **stated}).encode())


def test_an_entry_with_an_element_that_entries_do_not_have_is_set_aside() -> None:
    parsed = parse(bundle(entry(patient("p1"), **{CANARY: 1}), entry(patient("p2"), link=[], search={"score": 1})))
    assert (reasons(parsed), parsed.accepted, parsed.balances) == ([(0, "unknown_element", "")], 1, True)


@pytest.mark.parametrize(
    "twice",
    [
        b'"fullUrl":"urn:uuid:a","fullUrl":"urn:uuid:b"',
        b'"request":{"method":"PUT","url":"Patient/p1"},"request":{"method":"PUT","url":"Patient/p2"}',
        b'"request":{"method":"PUT","method":"POST","url":"Patient/p1"}',
        b'"request":{"method":"PUT","url":"Patient/p1","url":"Patient/p2"}',
        b'"link":[{"url":"x"}],"request":{"method":"PUT","url":"Patient/p1","url":"Patient/p2"}',
        b'"request":{"method":"POST","url":"Patient","ifNoneExist":"identifier=1","ifNoneExist":"identifier=2"}',
        b'"response":{"lastModified":"2026-01-01T00:00:00Z","lastModified":"2026-01-02T00:00:00Z"}',
        b'"response":{"status":"200"},"response":{"lastModified":"2026-01-02T00:00:00Z"}',
    ],
)
def test_an_entry_that_says_something_twice_is_set_aside(twice: bytes) -> None:
    first, second = (json.dumps(patient(id_)).encode() for id_ in ("p1", "p2"))
    data = b'{"resourceType":"Bundle","type":"batch","entry":[{%b,"resource":%b},{"resource":%b}]}'
    parsed = parse(data % (twice, first, second))
    assert (reasons(parsed), parsed.accepted) == ([(0, "repeated_key", "")], 1)


@pytest.mark.parametrize(
    "twice",
    [
        b'"type":"batch","type":"history"',
        b'"type":"transaction","resourceType":"Bundle"',
        b'"type":"transaction","meta":{"tag":[{"code":"a","code":"b"}]}',
        b'"type":"transaction","timestamp":"2026-01-01T00:00:00Z","timestamp":"2026-01-02T00:00:00Z"',
    ],
)
def test_a_bundle_that_says_something_twice_is_none(twice: bytes) -> None:
    data = bundle(entry(patient())).replace(b'"type": "transaction"', twice)
    with pytest.raises(PermanentError, match="not_a_bundle"):
        parse(data)


@pytest.mark.parametrize("url", ["Patient/p/_history/3", "http://s.example.org/fhir/Patient/p"])
def test_a_history_may_name_what_was_deleted_as_its_server_does(url: str) -> None:
    gone = delete(url) | {"response": {"status": "204", "lastModified": "2022-01-01T00:00:00Z"}}
    parsed = parse(bundle(gone, put(patient("p"), "2021-01-01T00:00:00Z"), kind="history"))
    (found,) = rows(parsed, "patient")
    assert (found["resource_id"], found["deleted"], reasons(parsed)) == ("p", True, [])


def test_content_that_comes_again_has_its_latest_time() -> None:
    old, new = patient("p", gender="male"), patient("p", gender="female")
    years = ((old, 2020), (new, 2021), (old, 2022))
    (found,) = rows(
        parse(bundle(*(put(each, f"{year}-01-01T00:00:00Z") for each, year in years), kind="history")), "patient"
    )
    assert (found["gender"], found["versioned"], found["version_time"].year) == ("male", True, 2022)


@pytest.mark.parametrize("type_", ["Condition", "AllergyIntolerance"])
def test_of_two_versions_of_one_time_the_one_in_error_counts(type_: str) -> None:
    system = f"http://terminology.hl7.org/CodeSystem/{type_.lower()}-ver-status"
    whom = {"subject" if type_ == "Condition" else "patient": {"reference": "Patient/p"}}
    base = {"resourceType": type_, "id": "c", "meta": {"lastUpdated": "2020-01-01T00:00:00Z"}, **whom}
    for number in range(8):  # else the digests decide
        stated = [
            base | {"code": {"text": f"{number}"}, "verificationStatus": {"coding": [{"system": system, "code": code}]}}
            for code in ("confirmed", "entered-in-error")
        ]
        for versions in (stated, stated[::-1]):
            parsed = parse(bundle(*map(entry, versions), kind="batch"), check=lambda *_: [])
            (found,) = rows(parsed, "condition" if type_ == "Condition" else "allergy")
            assert found["verification_status"][0]["code"] == "entered-in-error"


def test_a_delete_needs_nothing_but_its_address() -> None:
    parsed = parse(bundle(delete("Patient/p1"), entry(patient("p2")), kind="batch"))
    assert (parsed.tombstones, parsed.accepted, reasons(parsed)) == (1, 1, [])
    gone = next(row for row in rows(parsed, "patient") if row["deleted"])
    assert (gone["resource_id"], gone["versioned"], gone["version_time"]) == ("p1", False, None)


HISTORY = "2024-01-01T00:00:00Z"


def put(resource: dict[str, Any], changed: str | None = None) -> dict[str, Any]:
    response = {"status": "200"} | ({"lastModified": changed} if changed else {})
    return entry(resource, request={"method": "PUT", "url": f"Patient/{resource['id']}"}, response=response)


def test_a_history_says_of_each_version_when_it_was() -> None:
    old, new = put(patient("p", gender="male"), "2020-01-01T00:00:00Z"), put(patient("p"), "2021-01-01T00:00:00Z")
    for versions in ((old, new), (new, old)):
        (found,) = rows(parse(bundle(*versions, kind="history", timestamp=HISTORY)), "patient")
        assert (found["gender"], str(found["version_time"])) == (None, "2021-01-01 00:00:00")


@pytest.mark.parametrize("stated", [{}, {"timestamp": HISTORY}])
def test_a_history_without_times_has_the_newest_version_first(stated: dict[str, str]) -> None:
    old, new, gone = put(patient("p", gender="male")), put(patient("p")), delete("Patient/p")
    (found,) = rows(parse(bundle(new, old, kind="history", **stated)), "patient")
    assert (found["gender"], found["deleted"]) == (None, False)
    (found,) = rows(parse(bundle(gone, new, old, kind="history", **stated)), "patient")
    assert found["deleted"]
    (found,) = rows(parse(bundle(new, gone, old, kind="history", **stated)), "patient")
    assert not found["deleted"]


def test_a_delete_without_a_time_takes_back_the_stated_version_that_it_comes_after() -> None:
    stated, gone = put(patient("p", meta={"lastUpdated": "2021-01-01T00:00:00Z"})), delete("Patient/p")
    for kind, newest_first in (("batch", False), ("history", True)):
        for entries in ((stated, gone), (gone, stated)):
            parsed = parse(bundle(*entries, kind=kind))
            (found,) = rows(parsed, "patient")
            assert found["deleted"] is ((entries[0] is gone) is newest_first)
            assert (parsed.superseded, parsed.balances) == (1, True)


def test_a_delete_without_a_time_is_told_from_one_with_a_time() -> None:
    dated = delete("Patient/p") | {"response": {"status": "204", "lastModified": "2020-01-01T00:00:00Z"}}
    stated = put(patient("p"), "2021-01-01T00:00:00Z")
    (found,) = rows(parse(bundle(delete("Patient/p"), stated, dated, kind="history")), "patient")
    assert (found["deleted"], found["versioned"]) == (True, False)


def test_of_a_version_and_a_delete_of_one_time_the_delete_counts() -> None:
    gone = delete("Observation/o")
    for number in range(8):  # else the digests decide
        stated = entry(
            observation("o", status="amended", valueInteger=number), request={"method": "PUT", "url": "Observation/o"}
        )
        for entries in ((stated, gone), (gone, stated)):
            (found,) = rows(parse(bundle(*entries, kind="batch", timestamp=HISTORY)), "observation")
            assert found["deleted"]


@pytest.mark.parametrize("stated", [{}, {"timestamp": HISTORY}])
def test_what_a_history_says_no_time_of_overtakes_nothing_that_is_newer(stated: dict[str, str]) -> None:
    old, middle, new = (patient("p", gender=gender) for gender in ("male", "other", "female"))
    dated = put(new, "2023-01-01T00:00:00Z")
    for before in (delete("Patient/p"), put(middle)):
        versions = (dated, before, put(old, "2020-01-01T00:00:00Z"), put(patient("p")))
        (found,) = rows(parse(bundle(*versions, kind="history", **stated)), "patient")
        assert (found["gender"], found["deleted"]) == ("female", False)
    versions = (put(middle), put(old, "2020-01-01T00:00:00Z"), put(new, "2023-01-01T00:00:00Z"))
    (found,) = rows(parse(bundle(*versions, kind="history", **stated)), "patient")
    assert (found["gender"], found["version_time"].year) == ("other", 2023)
    (found,) = rows(parse(bundle(put(new), put(old, "2021-01-01T00:00:00Z"), kind="history", **stated)), "patient")
    assert (found["gender"], found["version_time"].year) == ("female", 2021)


@pytest.mark.parametrize("url", ["http://s.example.org/fhir/Patient/p", "/Patient/p"])
def test_a_delete_may_name_its_server(url: str) -> None:
    parsed = parse(bundle(delete(url), entry(patient("p2"))))
    assert (parsed.tombstones, parsed.accepted, reasons(parsed)) == (1, 1, [])


def test_resources_without_ids_under_one_url_are_as_many_as_they_are_different() -> None:
    alike = [entry(patient(None, gender=gender), "urn:uuid:a") for gender in ("male", "female", "male")]
    parsed = parse(bundle(*alike, kind="collection"))
    assert (parsed.accepted, parsed.duplicates, parsed.superseded) == (2, 1, 0)


@pytest.mark.parametrize("target", ["", "Patient", "Patient/", "Patient?name=x", "Nothing/1", "Patient/a/b"])
def test_a_delete_of_nothing_in_particular_is_set_aside(target: str) -> None:
    parsed = parse(bundle(delete(target), entry(patient("p2"))))
    assert (parsed.accepted, parsed.quarantined_entries, parsed.balances) == (1, 1, True)


def test_the_outcome_of_a_search_is_a_row_of_its_own_kind() -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "incomplete"}]}
    parsed = parse(
        bundle(
            entry(patient("p1"), search={"mode": "match"}),
            entry(observation("o1", subject={"reference": "Patient/p1"}), search={"mode": "include"}),
            entry(outcome, search={"mode": "outcome"}),
            kind="searchset",
        )
    )
    assert (parsed.accepted, reasons(parsed)) == (3, [])
    assert [row["resource_type"] for row in rows(parsed, "other_resource")] == ["OperationOutcome"]


@pytest.mark.parametrize(
    ("kind", "first"),
    [
        ("message", {"resourceType": "MessageHeader", "eventUri": "urn:e", "source": {"endpoint": "urn:s"}}),
        (
            "document",
            {
                "resourceType": "Composition",
                "status": "final",
                "type": {"text": "x"},
                "date": "2020",
                "author": [{"reference": "Practitioner/1"}],
                "title": "x",
            },
        ),
    ],
)
def test_messages_and_documents_give_all_that_they_carry(kind: str, first: dict[str, Any]) -> None:
    parsed = parse(bundle(entry(first, "urn:uuid:h"), entry(patient("p1"), "urn:uuid:p"), kind=kind))
    assert (parsed.accepted, reasons(parsed)) == (2, [])


def test_a_bundle_inside_of_content_is_set_aside_since_its_entries_would_be_one() -> None:
    inner = json.loads(bundle(entry(patient(CANARY))))
    parsed = parse(bundle(entry(inner), entry(patient("p1"))))
    assert (reasons(parsed), parsed.accepted) == ([(0, "nested_bundle", "/resourceType")], 1)
    assert CANARY not in repr(parsed.quarantined)


def test_an_array_of_resources_is_taken_only_where_it_was_agreed_on() -> None:
    data = json.dumps([patient("p1"), 5, observation("o1")]).encode()
    with pytest.raises(PermanentError, match="not_a_bundle"):
        split(data, "", 10)
    found = split(data, "", 10, arrays=True)
    assert (found.kind, [each.problem for each in found.entries]) == ("array", [None, "entry_not_object", None])
    with pytest.raises(PermanentError, match="too_many_entries"):
        split(data, "", 2, arrays=True)
    for broken in (data[:-1], data + b"x", data + b', "entry":[]'):
        with pytest.raises(PermanentError, match="not_json"):
            split(broken, "", 10, arrays=True)
    assert split(bundle(entry(patient())), "", 10, arrays=True).kind == "transaction"


@pytest.mark.parametrize(
    ("element", "problem"),
    [
        (b"{bad}", "entry_not_json"),
        (b'{"resourceType":"Patient","multipleBirthInteger":NaN}', "entry_not_json"),
        (b'{"resourceType":"Patient","language":"\\ud800"}', "entry_not_json"),
        (b'{"resourceType":"Patient","language":"\xff"}', "entry_not_json"),
        (b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}", "too_deep"),
        (b"", "entry_not_json"),
    ],
)
def test_a_broken_element_of_an_array_costs_no_neighbour(element: bytes, problem: str) -> None:
    good = json.dumps(patient("p1")).encode()
    found = split(b" [" + good + b"," + element + b",\n" + good + b"] ", "", 10, arrays=True)
    assert (found.kind, [each.problem for each in found.entries]) == ("array", [None, problem, None])
    assert found.entries[0].raw == found.entries[2].raw == good
    with pytest.raises(PermanentError, match="too_many_entries"):
        split(b"[" + good + b"," + element + b"," + good + b"]", "", 2, arrays=True)


@pytest.mark.parametrize("content_type", ["", "application/fhir+ndjson"])
def test_lines_of_which_the_first_begins_like_an_array_are_lines(content_type: str) -> None:
    good = json.dumps(patient("p1")).encode()
    found = split(b"[2026-11-28] export begins\n" + good + b"\n" + good, content_type, 10, arrays=True)
    assert (found.kind, [each.problem for each in found.entries]) == ("ndjson", ["entry_not_json", None, None])


def test_lines_that_are_blank_cut_off_or_of_something_else_cost_no_neighbour() -> None:
    good = json.dumps(patient("p1"))
    data = "\n".join([good, "", "  ", good[:20], '{"user": "x"}', "5", json.dumps(observation("o1"))]).encode()
    parsed = parse(data, "application/fhir+ndjson")
    assert reasons(parsed) == [
        (1, "entry_not_json", ""),
        (2, "no_resource_type", "/resourceType"),
        (3, "entry_not_object", ""),
    ]
    assert (parsed.entries, parsed.accepted, parsed.balances) == (5, 2, True)
