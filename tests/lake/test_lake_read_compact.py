"""Reading over base and tail, and compaction, which changes nothing that is read."""

import dataclasses

import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from lake_rows import THING, VIEW, canonical, expected, frame, row, rows_strategy
from polars.testing import assert_frame_equal

from spv_platform.lake import compact as compacting
from spv_platform.lake.compact import compact, should_compact
from spv_platform.lake.publish import adopt
from spv_platform.lake.read import Reader, read
from spv_platform.lake.stage import stage
from spv_platform.lake.store import Lake


class _Ledger:
    """What the ledger knows of one tenant's publications."""

    def __init__(self, lake: Lake, tenant: str = "north") -> None:
        self.lake, self.tenant, self.seq = lake, tenant, 0
        self.tables: dict[str, dict[str, int | None]] = {}
        self.added: list[tuple[str, int, str]] = []

    def publish(self, table: str, rows: pl.DataFrame) -> None:
        self.seq += 1
        file = stage(self.lake, self.tenant, table, rows, batch_id=f"b{self.seq}", attempt=1, part=0)
        pinned = {name: pins["log"] for name, pins in self.tables.items()}
        versions = adopt(self.lake, self.tenant, {table: [file]}, pinned)
        self.tables[table] = {**self.tables.get(table, {}), "log": versions[table]}
        self.added.append((table, self.seq, file.path))

    def reader(self) -> Reader:
        return Reader(self.lake, self.tenant, self.seq, {t: dict(p) for t, p in self.tables.items()}, self._files)

    def compact(self, table: str) -> None:
        reader = self.reader()
        base = compact(self.lake, self.tenant, table, reader)
        self.tables[table] |= {"current": base.version, "base_seq": reader.seq}

    def _files(self, table: str, after: int, upto: int) -> list[str]:
        return [path for name, seq, path in self.added if name == table and after < seq <= upto]


def _current(ledger):
    return canonical(ledger.reader().current("thing").collect().to_dicts())


@examples(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(rows_strategy(6), st.booleans()), min_size=1, max_size=4), st.uuids())
def test_reading_gives_the_winners_of_all_that_was_published_with_or_without_compaction(lake, batches, tenant):
    ledger, published = _Ledger(lake, f"t{tenant.hex}"), []
    for rows, compacted in batches:
        ledger.publish("thing", frame(rows))
        published += rows
        assert _current(ledger) == expected(published)
        if compacted:
            ledger.compact("thing")
            assert _current(ledger) == expected(published)


def test_a_base_that_is_made_in_parts_holds_what_one_made_at_once_does(lake, monkeypatch):
    rows = [row(f"r{number % 40}", "abct"[number % 3], number % 4 or None, number) for number in range(200)]
    whole, parts = _Ledger(lake, "whole"), _Ledger(lake, "parts")
    for ledger in (whole, parts):
        ledger.publish("thing", frame(rows[:150]))
    whole.compact("thing")
    monkeypatch.setattr(compacting, "ROWS_AT_ONCE", 20)
    parts.compact("thing")
    for ledger in (whole, parts):
        ledger.publish("thing", frame(rows[150:]))
    parts.compact("thing")
    monkeypatch.undo()
    whole.compact("thing")
    assert_frame_equal(
        parts.reader().merged("thing").collect(), whole.reader().merged("thing").collect(), check_row_order=False
    )
    assert _current(parts) == expected(rows)


def test_an_older_version_that_comes_after_compaction_does_not_raise_the_dead(lake):
    ledger = _Ledger(lake)
    ledger.publish("thing", frame([row(digest="t", time=2)]))
    ledger.compact("thing")
    ledger.publish("thing", frame([row(digest="a", time=1)]))
    assert _current(ledger) == []


def test_the_compacted_table_marks_the_current_rows_for_analysts(lake):
    ledger = _Ledger(lake)
    ledger.publish("thing", frame([row("r1", "a", 1), row("r1", "b", 2), row("r2", "t", 1)]))
    base = compact(lake, "north", "thing", ledger.reader())
    table = pl.scan_delta(
        lake.url("north", "current", "thing"), version=base.version, storage_options=lake.storage_options("north")
    ).collect()
    assert (table.height, dict(table.schema)) == (base.rows, THING.base_schema)
    assert table.filter("current").select("resource_id", "digest", "decided_by").rows() == [("r1", "b", "version")]
    assert table.filter("deleted")["resource_id"].to_list() == ["r2"]


def test_an_older_publication_reads_the_same_after_later_publishes_and_compactions(lake):
    ledger = _Ledger(lake)
    ledger.publish("thing", frame([row(digest="a", time=1)]))
    ledger.compact("thing")
    before = ledger.reader()
    seen = before.current("thing").collect()
    ledger.publish("thing", frame([row(digest="b", time=2)]))
    ledger.compact("thing")
    assert_frame_equal(before.current("thing").collect(), seen)
    assert [r["digest"] for r in _current(ledger)] == ["b"]


def test_compacting_again_with_nothing_new_gives_the_same_rows(lake):
    ledger = _Ledger(lake)
    ledger.publish("thing", frame([row("r1", "a", 1), row("r1", "b", 2), row("r2", "c")]))
    ledger.compact("thing")
    first = ledger.reader().merged("thing").collect()
    ledger.compact("thing")
    assert_frame_equal(ledger.reader().merged("thing").collect(), first, check_row_order=False)


def test_a_compaction_that_was_never_pinned_changes_nothing(lake):
    ledger = _Ledger(lake)
    ledger.publish("thing", frame([row(digest="a", time=1)]))
    compact(lake, "north", "thing", ledger.reader())
    ledger.publish("thing", frame([row(digest="b", time=2)]))
    assert [r["digest"] for r in _current(ledger)] == ["b"]


def test_a_table_that_was_never_published_is_empty_and_has_its_columns(lake):
    reader = _Ledger(lake).reader()
    assert dict(reader.current("thing").collect().schema) == THING.read_schema
    assert dict(reader.stored("thing").collect().schema) == THING.schema
    assert reader.current("view").collect().is_empty()


def test_a_derived_table_gives_the_latest_row_of_each_key_and_hides_tombstones(lake):
    ledger = _Ledger(lake)

    def publish(*rows):
        seq = ledger.seq + 1
        ledger.publish("view", pl.DataFrame([{**r, "_seq": seq} for r in rows], schema=VIEW.schema))

    publish({"person_id": "p", "value": "old"}, {"person_id": "q", "value": "kept", "deleted": False})
    publish({"person_id": "p", "value": "new"}, {"person_id": "r", "value": "gone"})
    publish({"person_id": "r", "deleted": True})
    wanted = [("p", "new"), ("q", "kept")]
    for _ in range(2):
        found = ledger.reader().current("view").collect()
        assert dict(found.schema) == VIEW.schema
        assert sorted(found.select("person_id", "value").rows()) == wanted
        ledger.compact("view")
    publish({"person_id": "r", "value": "back"})
    assert sorted(ledger.reader().current("view").select("person_id").collect()["person_id"]) == ["p", "q", "r"]
    assert ledger.reader().stored("view").collect().height == 6


def test_what_is_stored_has_every_row_that_was_published_whatever_was_compacted(lake):
    ledger = _Ledger(lake)
    ledger.publish("thing", frame([row(digest="a", time=1), row(digest="t", time=2)]))
    ledger.compact("thing")
    ledger.publish("thing", frame([row(digest="a", time=1, batch_id="b2"), row(digest="b", time=3)]))
    assert sorted(ledger.reader().stored("thing").collect()["digest"]) == ["a", "a", "b", "t"]


def test_rows_of_some_keys_are_the_same_as_among_all(lake):
    ledger = _Ledger(lake)
    some = pl.col("resource_id").is_in(["r1", "r3"])
    ledger.publish("thing", frame([row("r1", "a", 1), row("r2", "a", 1), row("r3", "t", 2)]))
    for compacted in (False, True):
        ledger.publish("thing", frame([row("r1", "b", 2), row("r2", "b", 2)]))
        for wanted in (some, ~some):
            found = ledger.reader().current("thing", wanted).collect()
            assert_frame_equal(found, ledger.reader().current("thing").filter(wanted).collect(), check_row_order=False)
        if not compacted:
            ledger.compact("thing")


def test_a_base_made_before_a_column_was_added_gives_null_for_it(lake):
    ledger = _Ledger(lake)
    ledger.publish("thing", frame([row("r1")]))
    ledger.compact("thing")
    wider = dataclasses.replace(THING, schema={**THING.schema, "added": pl.Int64()})
    ledger.lake = Lake(lake.settings, lake._keys, (wider, VIEW))
    ledger.publish("thing", pl.DataFrame([row("r2") | {"added": 5}], schema=wider.schema))
    for _ in range(2):
        found = ledger.reader().current("thing").collect().sort("resource_id")
        assert found["added"].to_list() == [None, 5]
        ledger.compact("thing")


def test_selecting_and_filtering_reads_the_same_rows(lake):
    ledger = _Ledger(lake)
    ledger.publish("thing", frame([row("r1", "a", 1), row("r2", "b", 1)]))
    ledger.compact("thing")
    ledger.publish("thing", frame([row("r1", "c", 2), row("r3", "a", 1)]))
    current = ledger.reader().current("thing")
    assert sorted(current.select("value").collect()["value"]) == ["content a", "content b", "content c"]
    assert current.filter(pl.col("value") == "content a").collect()["resource_id"].to_list() == ["r3"]
    assert current.select(pl.len()).collect().item() == 3


def test_a_file_listed_twice_or_held_by_the_base_counts_once(lake):
    ledger = _Ledger(lake)
    ledger.publish("thing", frame([row("r1", "a"), row("r2", "b")]))
    ledger.compact("thing")
    path = ledger.added[0][2]
    found = read(lake, "north", "thing", base=ledger.tables["thing"]["current"], tail=[path, path]).collect()
    assert sorted(found["resource_id"]) == ["r1", "r2"]


@pytest.mark.parametrize(
    ("tail_rows", "base_rows", "tail_files", "wanted"),
    [
        (0, 0, 0, False),
        (19_999, 0, 10, False),
        (20_000, 0, 10, True),
        (990_000, 1_000_000, 10, False),
        (1_000_000, 1_000_000, 10, True),
        (500, 1_000_000, 500, True),
    ],
)
def test_compaction_is_due_when_the_tail_is_a_share_of_the_base_or_in_many_files(
    tail_rows, base_rows, tail_files, wanted
):
    assert should_compact(tail_rows=tail_rows, base_rows=base_rows, tail_files=tail_files) is wanted
