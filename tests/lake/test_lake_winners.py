"""The rule of winners, against an independent reading of it, and its algebra."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lake_rows import canonical, expected, frame, row, rows_strategy
from polars.testing import assert_frame_equal

from spv_platform.lake.spec import RESOURCE_TABLES, TableSpec
from spv_platform.lake.winners import contenders, latest, survivors, versions, winners


def _winners(rows, *, keep_deleted=False):
    return canonical(winners(frame(rows).lazy(), keep_deleted=keep_deleted).collect().to_dicts())


@settings(max_examples=100, deadline=None)
@given(rows_strategy(), st.booleans())
def test_winners_follow_the_written_rule(rows, keep_deleted):
    assert _winners(rows, keep_deleted=keep_deleted) == expected(rows, keep_deleted=keep_deleted)


@settings(max_examples=60, deadline=None)
@given(rows_strategy(), st.randoms())
def test_order_and_repetition_of_rows_change_nothing(rows, random):
    again = rows + random.choices(rows, k=5) if rows else []
    random.shuffle(again)
    assert _winners(again, keep_deleted=True) == _winners(rows, keep_deleted=True)


@settings(max_examples=100, deadline=None)
@given(st.lists(rows_strategy(6), max_size=5))
def test_remembering_only_the_survivors_of_each_chunk_changes_nothing(chunks):
    remembered = frame([])
    for chunk in chunks:
        both = pl.concat([remembered, frame(chunk)])
        remembered = survivors(both.lazy()).collect().select(remembered.columns)
    everything = [item for chunk in chunks for item in chunk]
    assert _winners(remembered.to_dicts(), keep_deleted=True) == expected(everything, keep_deleted=True)


@settings(max_examples=200, deadline=None)
@given(st.lists(rows_strategy(6), max_size=5))
def test_remembering_only_the_contenders_of_each_chunk_gives_the_same_winners(chunks):
    remembered = frame([])
    for chunk in chunks:
        both = pl.concat([remembered, frame(chunk)])
        remembered = contenders(both.lazy()).collect().select(remembered.columns)
    everything = [item for chunk in chunks for item in chunk]
    assert remembered.equals(contenders(frame(everything).lazy()).collect().select(remembered.columns))
    found = _winners(remembered.to_dicts(), keep_deleted=True)
    told = [name for name in row() if name != "decided_by"]
    wanted = expected(everything, keep_deleted=True)
    assert [[w[name] for name in told] for w in found] == [[w[name] for name in told] for w in wanted]


@settings(max_examples=60, deadline=None)
@given(rows_strategy())
def test_the_flags_of_survivors_name_the_current_rows(rows):
    kept = survivors(frame(rows).lazy()).collect()
    assert canonical(kept.filter("current").to_dicts()) == expected(rows)
    assert canonical(kept.filter(pl.col("decided_by").is_not_null()).to_dicts()) == expected(rows, keep_deleted=True)


def test_versions_that_lost_twice_are_forgotten_unless_only_landing_can_tell():
    versioned = [row(digest=d, time=t) for d, t in (("a", 1), ("b", 2), ("c", 3))]
    unversioned = [row("r2", digest=d, landing=n) for d, n in (("a", 1), ("b", 2), ("c", 3))]
    kept = survivors(frame(versioned + unversioned).lazy()).collect()
    assert sorted(kept.filter(resource_id="r1")["digest"]) == ["b", "c"]
    assert sorted(kept.filter(resource_id="r2")["digest"]) == ["a", "b", "c"]


def test_a_tombstone_hides_its_resource_until_a_newer_version_comes():
    old, gone, new = row(digest="a", time=1), row(digest="t", time=2), row(digest="b", time=3)
    assert _winners([old, gone]) == []
    assert [w["digest"] for w in _winners([gone, old, new])] == ["b"]


def test_a_tombstone_without_a_time_hides_stated_versions_that_landed_before_it():
    stated, gone = row(digest="a", time=2, landing=1), row(digest="t", landing=2)
    assert [(w["digest"], w["decided_by"]) for w in _winners([stated, gone], keep_deleted=True)] == [("t", "landing")]
    renewed = row(digest="b", time=3, landing=3)
    assert [(w["digest"], w["decided_by"]) for w in _winners([stated, gone, renewed])] == [("b", "version")]


def test_an_older_version_that_lands_after_a_tombstone_without_a_time_brings_nothing_back():
    rows = [row(digest="a", time=2, landing=1), row(digest="t", landing=2), row(digest="b", time=1, landing=3)]
    assert _winners(rows) == []
    # and a newer one does not that had landed before it
    assert _winners([*rows[1:], row(digest="c", time=3, landing=1)]) == []


def test_a_tombstone_with_a_time_does_not_stand_for_one_without():
    dated, renewed, gone = row(digest="t", time=1), row(digest="a", time=2, landing=2), row(digest="t", landing=3)
    assert _winners([dated, renewed, gone]) == []
    assert [w["digest"] for w in _winners([dated, renewed])] == ["a"]


def test_content_that_comes_again_keeps_its_first_landing():
    rows = [row(digest="a", landing=1), row(digest="b", landing=2), row(digest="a", landing=3)]
    assert [(w["digest"], w["decided_by"]) for w in _winners(rows)] == [("b", "landing")]


def test_a_version_wins_late_when_its_rivals_turn_out_to_have_landed_before_it():
    first = [row(digest="a", landing=2), row(digest="b", landing=3), row(digest="c", landing=4)]
    remembered = survivors(frame(first).lazy()).collect().select(frame([]).columns).to_dicts()
    assert [w["digest"] for w in _winners(remembered)] == ["c"]
    earlier = [row(digest="b", landing=1), row(digest="c", landing=1)]
    assert [w["digest"] for w in _winners(remembered + earlier)] == ["a"]


def test_equal_rows_that_differ_in_nothing_but_the_batch_give_the_first_batch():
    assert [w["_batch_id"] for w in _winners([row(batch_id="b2"), row(batch_id="b1")])] == ["b1"]


@settings(max_examples=40, deadline=None)
@given(rows_strategy())
def test_versions_have_one_row_per_key_and_content_and_one_for_an_undated_tombstone(rows):
    found = versions(frame(rows).lazy()).collect()
    told = found.select("resource_id", "digest", pl.col("deleted") & ~pl.col("versioned")).rows()
    assert sorted(told) == sorted({(r["resource_id"], r["digest"], r["deleted"] and not r["versioned"]) for r in rows})


def test_a_filter_by_the_reader_is_applied_after_the_decision():
    rows = [row(digest="a", time=1), row(digest="b", time=2)]
    asked = winners(frame(rows).lazy()).filter(pl.col("value") == "content a").collect()
    assert asked.is_empty()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("pqr"), st.integers(1, 5))), st.randoms())
def test_the_latest_row_of_a_key_has_its_greatest_seq(pairs, random):
    rows = [{"person_id": p, "value": f"{p}{seq}", "_seq": seq} for p, seq in pairs]
    random.shuffle(rows)
    schema = {"person_id": pl.String, "value": pl.String, "_seq": pl.Int64}
    found = latest(pl.LazyFrame(rows, schema=schema), ["person_id"]).collect()
    newest = {p: max(seq for q, seq in pairs if q == p) for p, _ in pairs}
    wanted = pl.DataFrame(
        [{"person_id": p, "value": f"{p}{seq}", "_seq": seq} for p, seq in sorted(newest.items())], schema=schema
    )
    assert_frame_equal(found.sort("person_id"), wanted)


def test_every_resource_table_has_the_columns_that_the_rule_needs():
    for spec in RESOURCE_TABLES:
        empty = pl.LazyFrame(schema=spec.schema)
        assert dict(survivors(empty).collect_schema()) == spec.base_schema


def test_a_table_without_its_key_or_seq_is_refused():
    with pytest.raises(ValueError, match="no columns _seq, person_id"):
        TableSpec("view", {"value": pl.String()}, ("person_id",), "seq")
