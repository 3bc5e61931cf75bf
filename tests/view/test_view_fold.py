import random
from datetime import datetime
from typing import Any

import msgspec
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from view_builders import LOINC, concept, facts, observation

from spv_platform.view.facts import displaced
from spv_platform.view.fold import fold, from_bytes, pack, sort, to_bytes, unpack
from spv_platform.view.schema import SCHEMA, VERSION_COLUMNS

#: Content -> kinds of the facts it gives; content "gone" is a tombstone.
CONTENT = {"one": ["lab"], "two": ["lab", "cancer"], "silent": ["none"], "gone": ["none"]}
KEY = ("source", "resource_type", "resource_id")

versions = st.fixed_dictionaries(
    {
        "resource_id": st.sampled_from(["r1", "r1", "r1", "r2"]),
        "patient_id": st.sampled_from(["A", "B"]),
        # mostly undated: those are the ones whose place can fall
        "versioned": st.sampled_from([False, False, True]),
        "day": st.integers(1, 3),
        "digest": st.sampled_from(list(CONTENT)),
    }
)
histories = st.lists(versions, min_size=3, max_size=6)


def facts_of_history(history: list[dict[str, Any]], seqs: list[int]) -> list[pl.DataFrame]:
    return [facts_of_version(version, seq) for version, seq in zip(history, seqs, strict=True)]


def facts_of_version(version: dict[str, Any], seq: int) -> pl.DataFrame:
    base = {
        "source": "s",
        "resource_type": "Observation",
        "resource_id": version["resource_id"],
        "patient_id": version["patient_id"],
        "deleted": version["digest"] == "gone",
        "versioned": version["versioned"],
        "version_time": datetime(2020, 1, version["day"]) if version["versioned"] else None,
        "digest": version["digest"],
        "source_object": object_of(seq),
        "source_entry": 0,
        "_landing_seq": seq,
        "usable": True,
    }
    kinds = CONTENT[version["digest"]]
    return pl.DataFrame([base | {"kind": kind, "value_text": version["digest"]} for kind in kinds], schema=SCHEMA)


def object_of(seq: int) -> str:
    """Digests of objects are in no order of landing."""
    return f"object-{seq * 7 % 10}"


def winners_of_history(history: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Resource id -> (digest, patient) of the winner, by the words of docs/architecture.md."""
    won = {}
    for resource in {version["resource_id"] for version in history}:
        mine = [(version, seq) for seq, version in enumerate(history, 1) if version["resource_id"] == resource]
        ranked = []
        for digest, undated_delete in {(version["digest"], is_undated_delete(version)) for version, _ in mine}:
            same = [
                (version, seq)
                for version, seq in mine
                if (version["digest"], is_undated_delete(version)) == (digest, undated_delete)
            ]
            best = max(version["day"] if version["versioned"] else 0 for version, _ in same)
            rows = [seq for version, seq in same if (version["day"] if version["versioned"] else 0) == best]
            patient = history[min(rows, key=object_of) - 1]["patient_id"]
            place = 0 if best else min(rows)
            ranked.append((best > 0, best, place, digest == "gone", digest, patient, min(rows), undated_delete))
        dated, *_, digest, patient, landed, _ = max(ranked)
        for *_, whose, later, undated_delete in ranked:
            if dated and undated_delete and later > landed:
                digest, patient = "gone", whose
        won[resource] = (digest, patient)
    return won


def is_undated_delete(version: dict[str, Any]) -> bool:
    return version["digest"] == "gone" and not version["versioned"]


def current(state: pl.DataFrame) -> pl.DataFrame:
    return sort(state.filter(pl.col("held_kind").is_null()))


EMPTY = pl.DataFrame(schema=SCHEMA)


@settings(max_examples=50, deadline=None)
@given(histories, st.randoms(use_true_random=False))
def test_order_repetition_and_chunking_do_not_matter(history: list[dict[str, Any]], chance: random.Random) -> None:
    arrivals = facts_of_history(history, list(range(1, len(history) + 1)))
    at_once = fold(EMPTY, pl.concat(arrivals))
    again = [*arrivals, *chance.sample(arrivals, chance.randint(0, len(arrivals)))]
    chance.shuffle(again)
    state = EMPTY
    while again:
        size = chance.randint(1, len(again))
        state, again = fold(state, pl.concat(again[:size])), again[size:]
    assert state.equals(at_once)
    assert to_bytes(state) == to_bytes(at_once)


@settings(max_examples=60, deadline=None)
@given(histories)
def test_the_facts_of_the_winning_version_are_kept_and_no_others(history: list[dict[str, Any]]) -> None:
    state = current(fold(EMPTY, pl.concat(facts_of_history(history, list(range(1, len(history) + 1))))))
    expected = []
    for resource, (digest, owner) in winners_of_history(history).items():
        for patient in {version["patient_id"] for version in history if version["resource_id"] == resource}:
            kinds = CONTENT[digest] if patient == owner else ["none"]
            expected += [(resource, patient, digest, kind) for kind in kinds]
    assert sorted(state.select("resource_id", "patient_id", "digest", "kind").rows()) == sorted(expected)


@settings(max_examples=12, deadline=None)
@given(histories, st.randoms(use_true_random=False))
def test_records_folded_apart_agree_when_displacements_are_brought_to_them(
    history: list[dict[str, Any]], chance: random.Random
) -> None:
    arrivals = facts_of_history(history, list(range(1, len(history) + 1)))
    expected = current(fold(EMPTY, pl.concat(arrivals)))
    chance.shuffle(arrivals)
    states: dict[tuple[str, str], bytes] = {}
    seen = EMPTY
    for arrival in arrivals:
        seen = pl.concat([seen, arrival])
        homes = seen.select(*KEY, "patient_id").unique()
        new = pl.concat([arrival, displaced(seen.select(VERSION_COLUMNS).unique(), homes)])
        for patient in new["patient_id"].unique():
            mine = new.filter(pl.col("patient_id") == patient)
            states |= pack(fold(unpack([states[key] for key in states if key[1] == patient]), mine))
    assert current(unpack(states.values())).equals(expected)


def test_an_earlier_landing_of_a_losing_version_brings_the_other_one_back() -> None:
    older = {"resource_id": "r1", "patient_id": "A", "versioned": False, "day": 1, "digest": "one"}
    newer = older | {"digest": "two"}
    state = fold(facts_of_version(newer, 2), facts_of_version(older, 3))
    assert current(state)["digest"].to_list() == ["one"]
    state = fold(from_bytes(to_bytes(state)), facts_of_version(older, 1))
    assert current(state).select("digest", "kind").rows() == [("two", "cancer"), ("two", "lab")]
    assert set(state.filter(pl.col("held_kind").is_not_null())["kind"]) == {"none"}


def test_a_dated_version_leaves_nothing_of_the_undated_ones() -> None:
    undated = {"resource_id": "r1", "patient_id": "A", "versioned": False, "day": 1, "digest": "one"}
    state = fold(facts_of_version(undated, 1), facts_of_version(undated | {"versioned": True, "digest": "gone"}, 2))
    assert state.select("digest", "kind", "deleted").rows() == [("gone", "none", True)]


def test_a_deletion_without_a_date_leaves_nothing_usable_of_the_dated_versions_before_it() -> None:
    dated = {"resource_id": "r1", "patient_id": "A", "versioned": True, "day": 2, "digest": "one"}
    gone = dated | {"versioned": False, "digest": "gone"}
    state = fold(facts_of_version(dated, 1), facts_of_version(gone, 2))
    assert current(state).select("digest", "kind", "deleted").rows() == [("gone", "none", True)]
    assert set(state["kind"]) == {"none"}
    state = fold(from_bytes(to_bytes(state)), facts_of_version(dated | {"day": 1, "digest": "two"}, 3))
    assert current(state)["digest"].to_list() == ["gone"]
    state = fold(from_bytes(to_bytes(state)), facts_of_version(dated | {"day": 3, "digest": "two"}, 4))
    assert current(state)["kind"].to_list() == ["cancer", "lab"]


def test_columns_beside_the_schema_follow_the_record() -> None:
    version = {"resource_id": "r1", "patient_id": "A", "versioned": True, "day": 1, "digest": "one"}
    moved = version | {"patient_id": "B", "day": 2}
    new = pl.concat([facts_of_version(version, 1), facts_of_version(moved | {"digest": "two"}, 2)])
    state = fold(
        new.clear().with_columns(record=pl.lit("")), new.with_columns(record="record of " + pl.col("patient_id"))
    )
    told = state.select("record", "kind").rows()
    assert told == [("record of A", "none"), ("record of B", "cancer"), ("record of B", "lab")]
    assert fold(state.clear(), state.clear()).is_empty()


values = {
    pl.String: st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    pl.Float64: st.none() | st.floats(allow_nan=False).map(lambda number: number or 0.0),
    pl.Int64: st.none() | st.integers(-(2**63), 2**63 - 1),
    pl.Boolean: st.none() | st.booleans(),
    pl.Datetime: st.none() | st.datetimes(),
    pl.List: st.none() | st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), max_size=2),
}
rows = st.fixed_dictionaries({name: values[dtype.base_type()] for name, dtype in SCHEMA.items()})


@settings(max_examples=30, deadline=None)
@given(st.lists(rows, max_size=4), st.randoms(use_true_random=False))
def test_equal_facts_are_equal_bytes_and_come_back_whole(facts: list[dict[str, Any]], chance: random.Random) -> None:
    frame = pl.DataFrame(facts, schema=SCHEMA)
    shuffled = pl.DataFrame(chance.sample(facts, len(facts)) + facts[:1], schema=SCHEMA)
    assert to_bytes(frame) == to_bytes(shuffled)
    assert from_bytes(to_bytes(frame)).equals(sort(frame))


def test_a_record_is_packed_apart_from_others() -> None:
    facts = pl.concat(
        facts_of_version(
            {"resource_id": f"r{seq % 3}", "patient_id": who, "versioned": True, "day": 1, "digest": "two"}, seq
        )
        for seq, who in enumerate("ABABBA", 1)
    )
    documents = pack(facts.with_columns(record=pl.lit("x")))
    assert sorted(documents) == [("s", "A"), ("s", "B")]
    for (source, patient), document in documents.items():
        mine = facts.filter((pl.col("source") == source) & (pl.col("patient_id") == patient))
        assert document == to_bytes(mine)
    assert sort(unpack(documents.values())).equals(sort(facts))
    assert unpack([]).schema == pl.Schema(SCHEMA)


def test_a_document_from_before_a_column_existed_is_read() -> None:
    facts = facts_of_version({"resource_id": "r", "patient_id": "A", "versioned": True, "day": 1, "digest": "one"}, 1)
    back = from_bytes(to_bytes(facts.with_columns(value_text=pl.lit(None, pl.String))))
    assert back["value_text"].to_list() == [None]
    assert back.schema == pl.Schema(SCHEMA)


def test_a_state_from_before_a_column_is_read_with_nothing_in_it() -> None:
    result = observation(concept(LOINC, "718-7"), valueQuantity={"value": 13.0}, performer=[{"display": "Acme Labs"}])
    state = fold(EMPTY, facts(result))
    height, columns = msgspec.msgpack.decode(to_bytes(state))
    assert columns.pop("laboratory") == ["Acme Labs"]
    before = from_bytes(msgspec.msgpack.encode((height, columns)))
    assert before.schema == state.schema
    assert before.equals(state.with_columns(laboratory=pl.lit(None, pl.String)))
    # the next version of the resource says it again
    later = facts(result | {"meta": {"lastUpdated": "2024-01-01T00:00:00Z"}}, seq=2)
    assert fold(before, later).filter(pl.col("kind") == "lab")["laboratory"].to_list() == ["Acme Labs"]
