import functools
import hashlib
import hmac
import random
import re
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spv_platform.identity.link import RecordKeys, components, person_id, record_blocks, record_id
from spv_platform.view.schema import SCHEMA


def plain_mac(key: bytes, *parts: str) -> bytes:
    return hmac.digest(key, "\0".join(parts).encode(), hashlib.sha256)[:16]


MAC = functools.partial(plain_mac, b"k" * 32)


def record(
    patient: str,
    *identifiers: tuple[str | None, str],
    born: str | None = "1970-01-01",
    sex: str | None = None,
    source: str = "s",
    usable: bool = True,
) -> pl.DataFrame:
    """Facts of one record; identifiers are (type, "system|value")."""
    base = {"source": source, "patient_id": patient, "usable": True}
    rows: list[dict[str, Any]] = [base | {"kind": "none"}]
    rows += [
        base | {"kind": "identifier", "codes": [type_] if type_ else [], "value_text": text, "usable": usable}
        for type_, text in identifiers
    ]
    rows += [base | {"kind": "birth_date", "time": born}] if born else []
    rows += [base | {"kind": "gender", "value_text": sex}] if sex else []
    return pl.DataFrame(rows, schema=SCHEMA)


def persons(*records: pl.DataFrame) -> list[set[str]]:
    """Persons as sets of patient ids."""
    facts = pl.concat(records)
    names = {record_id(MAC, *place): place[1] for place in facts.select("source", "patient_id").unique().iter_rows()}
    return sorted(({names[member] for member in group} for group in components(record_blocks(facts, MAC))), key=min)


def test_records_that_share_an_identifier_and_a_birth_date_are_one_person() -> None:
    assert persons(record("a", ("MR", "urn:h|7")), record("b", ("MR", "urn:h|7"), source="t")) == [{"a", "b"}]


def test_two_people_with_one_medical_record_number_stay_two() -> None:
    assert persons(
        record("a", ("MR", "urn:h|m123"), born="1962-02-05"), record("b", ("MR", "urn:h|m123"), born="1951-01-20")
    ) == [
        {"a"},
        {"b"},
    ]


def test_what_is_linked_through_a_third_record_is_one_person() -> None:
    chain = [
        record("a", ("MR", "urn:h|1")),
        record("b", ("MR", "urn:h|1"), ("SS", "urn:ssn|219-09-9998")),
        record("c", ("SS", "urn:ssn|219099998")),
    ]
    assert persons(*chain) == [{"a", "b", "c"}]


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        ("MB", "urn:plan|1234"),
        ("VN", "urn:visits|1234"),
        ("AN", "urn:accounts|1234"),
        ("MR", "|1234"),
        ("MR", "urn:h| "),
        ("SS", "urn:ssn|000-00-0000"),
        ("SS", "urn:ssn|999-99-9999"),
        ("SS", "urn:ssn|123-45-6789"),
        ("MR", "urn:h|unknown"),
        (None, "urn:h|N/A"),
    ],
)
def test_an_identifier_that_does_not_name_one_person_links_nobody(type_: str, text: str) -> None:
    assert len(persons(record("a", (type_, text)), record("b", (type_, text)))) == 2


@pytest.mark.parametrize("born", [None, "1970", "1970-05"])
def test_without_a_full_date_of_birth_a_record_links_to_nobody(born: str | None) -> None:
    assert len(persons(record("a", ("MR", "urn:h|7"), born=born), record("b", ("MR", "urn:h|7"), born=born))) == 2


def test_an_identifier_out_of_use_links_nobody() -> None:
    assert len(persons(record("a", ("MR", "urn:h|7")), record("b", ("MR", "urn:h|7"), usable=False))) == 2


def test_an_identifier_without_a_type_links_by_its_system() -> None:
    assert persons(record("a", (None, "urn:h|x7")), record("b", (None, "urn:h/|X7 "))) == [{"a", "b"}]


def test_a_man_and_a_woman_are_never_one_person() -> None:
    shared = ("MR", "urn:h|7")
    assert persons(record("a", shared, sex="male"), record("b", shared, sex="female")) == [{"a"}, {"b"}]
    assert persons(record("a", shared, sex="male"), record("b", shared, sex="other")) == [{"a", "b"}]


def test_a_record_of_unknown_sex_does_not_bridge_a_man_and_a_woman() -> None:
    one, two = ("MR", "urn:h|1"), ("MR", "urn:h|2")
    found = persons(
        record("m1", one, sex="male"),
        record("m2", one, sex="male"),
        record("u", one, two),
        record("w", two, sex="female"),
    )
    assert found == [{"m1", "m2"}, {"u"}, {"w"}]


def test_record_blocks_tell_nothing_of_the_patient() -> None:
    facts = record("patient-canary", ("MR", "urn:canary|canary-7"), born="1971-12-31", sex="male")
    (keys,) = record_blocks(facts, MAC)
    assert "canary" not in repr(keys)
    assert "1971" not in repr(keys)
    assert (len(keys.blocks), keys.sex) == (1, "male")
    assert record_blocks(facts.clear(), MAC) == []


def test_a_person_is_named_after_the_least_record() -> None:
    name = person_id(MAC, [b"\x02", b"\x01"])
    assert re.fullmatch(r"p-[a-z2-7]{26}", name)
    assert name == person_id(MAC, [b"\x01", b"\x09"])
    assert name != person_id(MAC, [b"\x02"])
    with pytest.raises(ValueError, match="empty"):
        person_id(MAC, [])


blocks = st.sets(st.sampled_from([b"1", b"2", b"3", b"4", b"5"]), max_size=2).map(lambda found: tuple(sorted(found)))
keys = st.builds(
    RecordKeys, st.binary(min_size=1, max_size=1), blocks, st.sampled_from([None, None, "male", "male", "female"])
)
sets_of_keys = st.lists(keys, max_size=12, unique_by=lambda key: key.record)


@given(sets_of_keys, st.randoms(use_true_random=False))
def test_the_order_of_records_does_not_matter(records: list[RecordKeys], chance: random.Random) -> None:
    again = [*records, *records[:2]]
    chance.shuffle(again)
    assert components(again) == components(records)


@given(sets_of_keys)
def test_every_record_is_in_one_person_of_one_sex(records: list[RecordKeys]) -> None:
    found = components(records)
    assert sorted(member for group in found for member in group) == sorted(record.record for record in records)
    sexes = {record.record: record.sex for record in records}
    assert all(len({sexes[member] for member in group} - {None}) <= 1 for group in found)


@given(sets_of_keys)
def test_records_without_a_common_block_are_linked_only_through_others(records: list[RecordKeys]) -> None:
    by_record = {record.record: record for record in records}
    for group in components(records):
        reached, waiting = set(), [min(group)]
        while waiting:
            here = waiting.pop()
            reached.add(here)
            near = {other for other in group if set(by_record[other].blocks) & set(by_record[here].blocks)}
            waiting += near - reached
        assert reached == group


@given(sets_of_keys)
def test_two_records_of_one_known_sex_that_share_a_block_are_one_person(records: list[RecordKeys]) -> None:
    person = {member: number for number, group in enumerate(components(records)) for member in group}
    for one in records:
        for other in records:
            if one.sex and one.sex == other.sex and set(one.blocks) & set(other.blocks):
                assert person[one.record] == person[other.record]
