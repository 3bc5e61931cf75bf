"""Who an entry is: by its own id, by what a request names, and where neither can be."""

from typing import Any

import pytest
from fhir_samples import bundle, delete, entry, observation, parse, patient, quick, reasons, rows
from hypothesis import given
from hypothesis import strategies as st


def test_what_is_created_under_one_id_but_several_urls_is_several_resources() -> None:
    made = {"method": "POST", "url": "Patient"}
    urls = ("urn:uuid:a", "urn:oid:1.2")
    results = [observation(f"o{url[-1]}", subject={"reference": url}) for url in urls]
    parsed = parse(bundle(*(entry(patient("1"), url, request=made) for url in urls), *map(entry, results)))
    assert sorted(row["resource_id"] for row in rows(parsed, "patient")) == ["1.2", "a"]
    assert [row["patient_id"] for row in rows(parsed, "observation")] == ["a", "1.2"]
    again = parse(bundle(*(entry(patient("1"), "urn:uuid:a", request=made) for _ in urls)))
    assert (again.accepted, again.duplicates, rows(again, "patient")[0]["resource_id"]) == (1, 1, "1")


def test_what_is_created_under_one_id_without_urls_is_as_many_resources_as_it_has_contents() -> None:
    made = {"method": "POST", "url": "Patient"}
    contents = [patient("1", gender=gender) for gender in ("female", "male", "male")]
    parsed = parse(bundle(*(entry(each, request=made) for each in contents)))
    assert (parsed.accepted, parsed.duplicates, parsed.superseded) == (2, 1, 0)
    assert sorted(row["gender"] for row in rows(parsed, "patient")) == ["female", "male"]


def test_a_resource_without_an_id_has_that_of_its_oid() -> None:
    parsed = parse(bundle(entry(patient(None), "urn:oid:1.2"), entry(patient(None), "urn:oid:1.3"), kind="collection"))
    assert [row["resource_id"] for row in rows(parsed, "patient")] == ["1.2", "1.3"]


def put(resource: dict[str, Any], url: str) -> dict[str, Any]:
    return entry(resource, request={"method": "PUT", "url": url})


@pytest.mark.parametrize("url", ["Patient/p1", "/Patient/p1", "http://one.example/fhir/Patient/p1"])
@pytest.mark.parametrize("id_", [None, "p1"])
def test_what_is_put_has_the_id_of_its_place(url: str, id_: str | None) -> None:
    (found,) = rows(parse(bundle(put(patient(id_), url))), "patient")
    assert found["resource_id"] == "p1"


@pytest.mark.parametrize("url", ["Patient/other", "Observation/p1", "http://one.example/fhir/Patient/other"])
def test_what_is_put_where_another_resource_belongs_is_set_aside(url: str) -> None:
    parsed = parse(bundle(put(patient("p1"), url), entry(patient("p2"))))
    assert (reasons(parsed), parsed.accepted, parsed.balances) == ([(0, "request_mismatch", "")], 1, True)


def test_what_is_created_without_an_id_under_one_urn_is_as_many_resources_as_it_has_contents() -> None:
    post = {"method": "POST", "url": "Patient"}
    ann, ben = ({**patient(None), "name": [{"family": name}]} for name in ("Ann", "Ben"))
    seen = observation("o1", subject={"reference": "urn:uuid:a"}, focus=[{"reference": "urn:uuid:a"}])
    entries = [entry(each, "urn:uuid:a", request=post) for each in (ann, ben, ann)]
    parsed = parse(bundle(*entries, entry(seen)))
    assert (parsed.accepted, parsed.duplicates, parsed.balances) == (3, 1, True)
    assert {row["name"][0]["family"] for row in rows(parsed, "patient")} == {"Ann", "Ben"}
    (found,) = rows(parsed, "observation")
    assert (found["patient_id"], found["focus"][0]["how"]) == (None, "ambiguous")


def test_resources_of_one_id_by_two_servers_are_two_and_each_is_meant_where_it_is_at_home() -> None:
    servers = ("http://one.example/fhir/", "http://two.example/")
    patients = [
        entry(patient("p1", gender=gender), f"{server}Patient/p1")
        for server, gender in zip(servers, ("female", "male"), strict=True)
    ]
    seen = [
        entry(observation(f"o{n}", subject={"reference": "Patient/p1"}), f"{server}Observation/o{n}")
        for n, server in enumerate(servers)
    ]
    named = entry(observation("o2", subject={"reference": f"{servers[1]}Patient/p1"}))
    homeless = entry(observation("o3", subject={"reference": "Patient/p1"}))
    parsed = parse(bundle(*patients, *seen, named, homeless))
    assert (parsed.accepted, parsed.superseded, parsed.balances) == (6, 0, True)
    ids = {row["gender"]: row["resource_id"] for row in rows(parsed, "patient")}
    assert len({*ids.values(), "p1"}) == 3
    found = {row["resource_id"]: row["patient_id"] for row in rows(parsed, "observation")}
    assert found == {"o0": ids["female"], "o1": ids["male"], "o2": ids["male"], "o3": None}
    # they are the same in whatever company, and the same id by one server only is that id
    again = parse(bundle(*reversed(patients)))
    assert {row["gender"]: row["resource_id"] for row in rows(again, "patient")} == ids
    assert [row["resource_id"] for row in rows(parse(bundle(patients[0])), "patient")] == ["p1"]


def test_an_identifier_beside_a_reference_that_leads_nowhere_is_looked_for() -> None:
    known = {"system": "urn:mrn", "value": "1"}
    lost = [{"reference": "urn:uuid:gone", "identifier": each} for each in (known, {**known, "value": "2"})]
    parsed = parse(
        bundle(
            entry(patient("p1", identifier=[known])),
            *(entry(observation(f"o{n}", subject=each, focus=[each])) for n, each in enumerate(lost)),
        )
    )
    first, second = rows(parsed, "observation")
    assert first["patient_id"] == "p1"
    assert first["focus"] == [{"reference": "urn:uuid:gone", "key": "Patient/p1", "how": "logical"}]
    assert (second["patient_id"], second["focus"][0]["how"]) == (None, "unresolved")


@pytest.mark.parametrize("more", [[{}, {}], [{"versionId": "1"}, {"versionId": "2"}]], ids=["equal", "versions"])
def test_what_is_created_again_under_its_own_id_and_urn_is_what_it_is_when_it_comes_once(more: list[Any]) -> None:
    url, post = "urn:uuid:04121321-4af5-424c-a0e1-ed3aab1c349d", {"method": "POST", "url": "Patient"}
    sent = [
        entry(patient(url[9:], meta={"lastUpdated": "2026-01-01T00:00:00Z"} | meta), url, request=post) for meta in more
    ]
    for entries in (sent[:1], sent):
        (found,) = rows(parse(bundle(*entries)), "patient")
        assert found["resource_id"] == url[9:]


def test_of_what_is_created_again_under_one_urn_beside_another_each_urn_is_one_resource() -> None:
    post = {"method": "POST", "url": "Patient"}
    sent = [
        entry(patient("1", gender=gender), f"urn:uuid:{name}", request=post)
        for name, gender in (
            ("a", "female"),
            ("a", "female"),
            ("b", "male"),
        )
    ]
    parsed = parse(bundle(*sent))
    assert {row["resource_id"] for row in rows(parsed, "patient")} == {"a", "b"}
    assert (parsed.accepted, parsed.duplicates, parsed.balances) == (2, 1, True)


def test_a_conditional_create_is_one_resource_whatever_servers_its_urls_name() -> None:
    post = {"method": "POST", "url": "Patient", "ifNoneExist": "identifier=s|1"}
    urls = ("http://one.example/fhir/Patient/1", "http://two.example/fhir/Patient/1")
    sent = [
        entry(patient("1", gender="female", active=active), url, request=post)
        for active, url in zip((True, False), urls, strict=True)
    ]
    seen = [entry(observation(f"o{n}", subject={"reference": url})) for n, url in enumerate(urls)]
    parsed = parse(bundle(*sent, *seen))
    (made,) = rows(parsed, "patient")
    assert {row["patient_id"] for row in rows(parsed, "observation")} == {made["resource_id"]}


MALE = patient("1", gender="male", identifier=[{"system": "s", "value": "a"}])
FEMALE = patient("1", gender="female", identifier=[{"system": "s", "value": "b"}])
POST = {"method": "POST", "url": "Patient"}


def two(first: dict[str, Any], second: dict[str, Any], kind: str = "transaction") -> dict[str, str]:
    """Whom an observation of each fullUrl is about, by gender, whatever comes first; both patients must land."""
    seen = [
        entry(observation(f"o{n}", subject={"reference": each["fullUrl"]}), f"urn:uuid:o{n}")
        for n, each in enumerate((first, second))
        if "fullUrl" in each
    ]
    found = []
    for entries in ((first, second, *seen), (second, first, *seen), (*seen, first, second)):
        parsed = parse(bundle(*entries, kind=kind))
        genders = {row["resource_id"]: row["gender"] for row in rows(parsed, "patient")}
        assert (len(genders), parsed.duplicates, parsed.superseded, reasons(parsed)) == (2, 0, 0, [])
        found.append({row["resource_id"]: genders[row["patient_id"]] for row in rows(parsed, "observation")})
    assert found[0] == found[1] == found[2]
    return found[0]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (POST | {"ifNoneExist": "identifier=s|a"}, POST | {"ifNoneExist": "identifier=s|b"}),
        (POST | {"ifNoneExist": "identifier=s|a"}, POST),
        (POST, {"method": "PUT", "url": "Patient/1"}),
        (POST, {"method": "PUT", "url": "Patient?identifier=s|b"}),
        (POST | {"ifNoneExist": "identifier=s|a"}, {"method": "PUT", "url": "Patient/1"}),
        ({"method": "PUT", "url": "Patient?identifier=s|a"}, {"method": "PUT", "url": "Patient?identifier=s|b"}),
        (POST, None),
    ],
)
def test_patients_that_only_a_passing_id_makes_one_are_two(first: Any, second: Any) -> None:
    asked = {"request": second} if second else {}
    told = two(entry(MALE, "urn:uuid:a", request=first), entry(FEMALE, "urn:uuid:b", **asked))
    assert told == {"o0": "male", "o1": "female"}
    told = two(entry(MALE, "urn:uuid:a", request=first), entry(FEMALE, "http://s/fhir/Patient/1", **asked))
    assert told == {"o0": "male", "o1": "female"}


PUT = {"method": "PUT", "url": "Patient/1"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (entry(MALE, "http://s/fhir/Patient/a", request=POST), entry(FEMALE, "http://s/fhir/Patient/b", request=POST)),
        (entry(MALE, "http://s/fhir/Patient/1", request=POST), entry(FEMALE, "http://t/fhir/Patient/1", request=PUT)),
        (entry(MALE, "http://s/fhir/Patient/1"), entry(FEMALE, "http://t/fhir/Patient/1", request=PUT)),
        (
            entry({**MALE, "id": "2"}, "urn:uuid:2", request=POST),
            entry({**FEMALE, "id": "2"}, "urn:oid:2", request=POST),
        ),
    ],
)
def test_an_address_tells_patients_apart_as_far_as_it_names_them(first: Any, second: Any) -> None:
    assert two(first, second) == {"o0": "male", "o1": "female"}


def test_an_id_that_a_url_gives_is_no_other_resource() -> None:
    other = entry(patient("2", gender="other"), request={"method": "PUT", "url": "Patient/2"})
    created = [entry(MALE, "urn:uuid:2", request=POST), entry(FEMALE, "urn:uuid:3", request=POST)]
    seen = entry(observation("o", subject={"reference": "urn:uuid:2"}))
    parsed = parse(bundle(*created, other, seen))
    genders = {row["resource_id"]: row["gender"] for row in rows(parsed, "patient")}
    assert (len(genders), genders["2"], genders["3"]) == (3, "other", "female")
    assert genders[rows(parsed, "observation")[0]["patient_id"]] == "male"


@pytest.mark.parametrize(
    "entries",
    [
        (entry(MALE, "Patient/1"), entry(FEMALE, request=PUT)),
        (entry(MALE, "urn:uuid:a"), entry(FEMALE, "urn:uuid:a", request=PUT)),
        (entry(MALE, "http://s/fhir/Patient/1"), entry(FEMALE, "http://s/fhir/Patient/1", request=PUT)),
        (entry(MALE, "http://s/fhir/Patient/1"), entry(FEMALE)),
    ],
)
def test_versions_of_one_place_are_one_resource(entries: Any) -> None:
    named = entries[0]["fullUrl"]
    seen = [entry(observation(f"o{n}", subject={"reference": ref})) for n, ref in enumerate((named, "Patient/1"))]
    parsed = parse(bundle(*entries, *seen, kind="batch"))
    assert (parsed.accepted, parsed.superseded, reasons(parsed)) == (3, 1, [])
    assert {row["patient_id"] for row in rows(parsed, "observation")} == {"1"}


def test_equal_contents_without_requests_are_one_resource_beside_another_of_their_id() -> None:
    parsed = parse(
        bundle(
            *(entry(each, f"urn:uuid:{n}") for each, n in ((MALE, "a"), (MALE, "b"), (FEMALE, "c"))), kind="collection"
        )
    )
    assert (parsed.accepted, parsed.duplicates) == (2, 1)


def test_who_tells_a_history_gave_its_ids() -> None:
    asked = POST | {"ifNoneExist": "identifier=s|"}
    url = "http://s/fhir/Patient/1"
    changes = [entry(FEMALE, url, request=PUT), entry(MALE, url, request=asked)]
    seen = entry(observation("o", subject={"reference": "Patient/1"}), "http://s/fhir/Observation/o")
    parsed = parse(bundle(*changes, seen, kind="history"))
    assert [(row["resource_id"], row["gender"]) for row in rows(parsed, "patient")] == [("1", "female")]
    assert (rows(parsed, "observation")[0]["patient_id"], reasons(parsed)) == ("1", [])


def test_a_great_many_resources_of_one_id_are_as_many() -> None:
    created = [entry(observation("1"), f"urn:uuid:{number}", request=POST) for number in range(4_000)]
    parsed = parse(bundle(*created), max_entries=4_000)
    assert (parsed.accepted, parsed.balances) == (4_000, True)


@pytest.mark.parametrize("kind", ["collection", "document", "searchset"])
@pytest.mark.parametrize(
    "urls",
    [
        ("urn:uuid:a", "urn:uuid:b"),
        ("http://s/fhir/Patient/1", "urn:uuid:b"),
        ("http://s/docs/a", "http://s/docs/b"),
        ("http://s/fhir/Patient/1", "http://t/fhir/Patient/1"),
    ],
)
def test_patients_of_one_id_under_different_urls_are_two(kind: str, urls: tuple[str, str]) -> None:
    assert two(entry(MALE, urls[0]), entry(FEMALE, urls[1]), kind) == {"o0": "male", "o1": "female"}


URLS = ("urn:uuid:1", "urn:uuid:b", "urn:oid:1", "http://s/Patient/1", "http://t/Patient/1", "https://u/docs/x")


@quick
@given(
    st.lists(st.sampled_from(URLS), min_size=2, unique=True).flatmap(
        lambda urls: st.tuples(
            st.permutations(urls),
            *(st.tuples(st.sampled_from(["1", "b", None]), st.sampled_from([None, POST])) for _ in urls),
        )
    )
)
def test_whatever_ids_they_have_patients_of_different_urls_stay_apart_and_are_found_by_these(drawn: Any) -> None:
    urls, *chosen = drawn
    born = {url: f"19{10 + number}-01-01" for number, url in enumerate(sorted(urls))}
    entries = [entry(observation(f"o{born[url][:4]}", subject={"reference": url}), f"urn:o:{url}") for url in urls]
    for url, (id_, request) in zip(urls, chosen, strict=True):
        entries.append(entry(patient(id_, birthDate=born[url]), url, **({"request": request} if request else {})))
    parsed = parse(bundle(*entries, kind="batch"))
    found = {row["resource_id"]: row["birth_date"] for row in rows(parsed, "patient")}
    assert sorted(found.values()) == sorted(born.values())
    assert all(found[row["patient_id"]][:4] == row["resource_id"][1:] for row in rows(parsed, "observation"))


def test_a_deletion_takes_back_nothing_that_is_created_under_its_id() -> None:
    seen = entry(observation("o", subject={"reference": "Patient/1"}))
    for asked in ({"request": POST}, {}):
        parsed = parse(bundle(entry(MALE, "urn:uuid:a", **asked), delete("Patient/1"), seen))
        assert (parsed.accepted, parsed.tombstones, parsed.superseded) == (2, 1, 0)
        assert rows(parsed, "observation")[0]["patient_id"] == "a"
    created = entry(MALE, "http://s/fhir/Patient/1", request=POST)
    assert parse(bundle(created, delete("Patient/1"))).accepted == 1


def test_a_search_may_have_a_question_mark_in_a_value() -> None:
    asked = [POST | {"ifNoneExist": f"identifier=http://h/{each}?kind=mrn|5"} for each in "xy"]
    told = two(*(entry(each, f"urn:uuid:{n}", request=asked[n]) for n, each in enumerate((MALE, FEMALE))))
    assert told == {"o0": "male", "o1": "female"}


@pytest.mark.parametrize("more", ["&active:not=false", "&deceased:missing=true", "\\,x"])
def test_a_search_that_names_somebody_may_leave_others_out(more: str) -> None:
    parsed = parse(bundle(entry(MALE, request=POST | {"ifNoneExist": f"identifier=s|a{more}"})))
    assert (parsed.accepted, reasons(parsed)) == (1, [])


def test_a_put_by_a_search_for_another_type_is_set_aside() -> None:
    parsed = parse(bundle(entry(MALE, request={"method": "PUT", "url": "Practitioner?identifier=s|a"})))
    assert reasons(parsed) == [(0, "request_mismatch", "")]


def test_a_conditional_create_is_named_by_its_search_in_every_object() -> None:
    ids = set()
    for made, value in ((MALE, "a"), (FEMALE, "b"), (MALE | {"id": "2"}, "a")):
        post = POST | {"ifNoneExist": f"identifier=s|{value}"}
        seen = observation("o", performer=[{"reference": f"Patient/{made['id']}"}])
        parsed = parse(bundle(entry(made, "urn:uuid:a", request=post), entry(seen, "urn:uuid:o")))
        (row,) = rows(parsed, "patient")
        (found,) = rows(parsed, "observation")
        (named,) = found["performer"]
        assert (named["key"], named["how"]) == (f"Patient/{row['resource_id']}", "fallback")
        ids.add(row["resource_id"])
    assert len(ids) == 2


def test_a_name_that_two_resources_give_themselves_means_none() -> None:
    created = [
        entry(each, url, request=POST | {"ifNoneExist": f"identifier=s|{url[-1]}"})
        for each, url in ((MALE, "urn:uuid:a"), (FEMALE, "urn:uuid:b"))
    ]
    seen = observation("o", subject={"reference": "Patient/1"}, performer=[{"reference": "Patient/1"}])
    (found,) = rows(parse(bundle(*created, entry(seen))), "observation")
    assert (found["patient_id"], found["performer"][0]["how"]) == (None, "ambiguous")


def test_one_server_under_two_addresses_has_one_resource() -> None:
    sent = [entry(patient("1"), f"{scheme}://one.example/fhir/Patient/1") for scheme in ("http", "https")]
    sent.append(entry(patient("1"), "http://inside:8080/fhir/Patient/1"))
    parsed = parse(bundle(*sent))
    assert [row["resource_id"] for row in rows(parsed, "patient")] == ["1"]
    assert parsed.duplicates == 2


def test_a_history_takes_back_what_it_says_was_deleted_whatever_servers_its_urls_name() -> None:
    def changed(method: str, server: str, year: int, resource: Any = None) -> dict[str, Any]:
        told = {"request": {"method": method, "url": "Patient/1"}}
        told["response"] = {"status": "200", "lastModified": f"{year}-01-01T00:00:00Z"}
        return {"fullUrl": f"http://{server}/fhir/Patient/1", **told} | ({"resource": resource} if resource else {})

    parsed = parse(bundle(changed("DELETE", "one", 2022), changed("PUT", "one", 2021, patient("1")), kind="history"))
    assert (parsed.accepted, parsed.tombstones, parsed.superseded) == (0, 1, 1)
    both = [changed("PUT", "one", 2021, patient("1")), changed("PUT", "two", 2021, patient("1", active=True))]
    parsed = parse(bundle(changed("DELETE", "one", 2022), *both, kind="history"))
    assert (parsed.accepted, parsed.tombstones) == (0, 1)


@pytest.mark.parametrize("url", ["Patient?link=http://a/Patient/7", "/Patient?link=http://a/Patient/7"])
def test_a_put_by_a_search_is_named_by_the_search_also_as_an_address(url: str) -> None:
    ids = {
        rows(parse(bundle(put(patient(None), address))), "patient")[0]["resource_id"]
        for address in (url, f"http://one.example/fhir/{url.removeprefix('/')}")
    }
    assert len(ids) == 1
    assert "7" not in ids


def test_what_has_a_url_and_what_has_none_are_two() -> None:
    post = {"method": "POST", "url": "Patient"}
    sent = [entry(patient("p1", gender="male"), "1", request=post), entry(patient("p1"), request=post)]
    assert parse(bundle(*sent)).accepted == 2
