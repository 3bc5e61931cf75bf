"""Adoption of staged files, with what dead and displaced workers leave behind."""

import dataclasses
import threading

import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from lake_rows import THING, VIEW, frame, row

from spv_platform.errors import PermanentError, TransientError
from spv_platform.lake import store
from spv_platform.lake.publish import adopt
from spv_platform.lake.read import Reader, read
from spv_platform.lake.stage import StagedFile, stage
from spv_platform.lake.store import Lake


def _stage(lake, name, tenant="north"):
    return stage(lake, tenant, "thing", frame([row(name)]), batch_id=name, attempt=1, part=0)


def _files(lake, version, tenant="north"):
    uris = lake.open(tenant, "log", "thing", version).file_uris()
    return sorted(uri.rsplit("/", 2)[-2] for uri in uris)


def test_the_first_publish_creates_the_table(lake):
    versions = adopt(lake, "north", {"thing": [_stage(lake, "one"), _stage(lake, "two")]}, {})
    assert versions == {"thing": 1}
    assert _files(lake, 1) == ["one", "two"]


def test_tables_without_files_are_left_alone(lake):
    assert adopt(lake, "north", {"thing": [], "view": []}, {"thing": 4}) == {}
    assert adopt(lake, "north", {"thing": [_stage(lake, "one")], "view": []}, {}) == {"thing": 1}


def test_several_tables_are_published_together(lake):
    seen = pl.DataFrame([{"person_id": "p", "deleted": False, "value": "v", "_seq": 1}], schema=VIEW.schema)
    view = stage(lake, "north", "view", seen, batch_id="one", attempt=1, part=0)
    assert adopt(lake, "north", {"thing": [_stage(lake, "one")], "view": [view]}, {}) == {"thing": 1, "view": 1}


def test_a_pinned_version_does_not_see_later_publishes(lake):
    first = adopt(lake, "north", {"thing": [_stage(lake, "one")]}, {})
    second = adopt(lake, "north", {"thing": [_stage(lake, "two")]}, first)
    assert _files(lake, first["thing"]) == ["one"]
    assert _files(lake, second["thing"]) == ["one", "two"]


def test_adopting_twice_is_adopting_once(lake):
    pinned = adopt(lake, "north", {"thing": [_stage(lake, "one")]}, {})
    files = {"thing": [_stage(lake, "two")]}
    for _ in range(3):
        again = adopt(lake, "north", files, pinned)
        assert _files(lake, again["thing"]) == ["one", "two"]


def test_what_a_dead_worker_added_disappears_with_the_next_publish(lake):
    pinned = adopt(lake, "north", {"thing": [_stage(lake, "one")]}, {})
    adopt(lake, "north", {"thing": [_stage(lake, "orphan")]}, pinned)
    after = adopt(lake, "north", {"thing": [_stage(lake, "two")]}, pinned)
    assert _files(lake, after["thing"]) == ["one", "two"]
    assert _files(lake, pinned["thing"]) == ["one"]


def test_what_a_dead_worker_added_to_a_table_never_published_disappears(lake):
    adopt(lake, "north", {"thing": [_stage(lake, "orphan")]}, {})
    assert _files(lake, adopt(lake, "north", {"thing": [_stage(lake, "one")]}, {})["thing"]) == ["one"]


@examples(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["publish", "die before the commit", "publish what died"]), max_size=6), st.uuids())
def test_the_published_version_holds_exactly_what_was_committed(lake, steps, tenant):
    tenant, pinned, committed, died = f"t{tenant.hex}", {}, [], None
    for number, step in enumerate(steps):
        name = died if step == "publish what died" and died else f"file{number}"
        versions = adopt(lake, tenant, {"thing": [_stage(lake, name, tenant)]}, pinned)
        if step == "die before the commit":
            died = name
            continue
        pinned, committed, died = versions, [*committed, name], None
        assert _files(lake, pinned["thing"], tenant) == sorted(committed)


def test_a_displaced_worker_that_keeps_writing_never_gets_into_a_published_version(lake):
    pinned = adopt(lake, "north", {"thing": [_stage(lake, "one")]}, {})
    foreign, stop = _stage(lake, "foreign"), threading.Event()

    def write_on() -> None:
        while not stop.is_set():
            adopt(lake, "north", {"thing": [foreign]}, pinned)

    zombie = threading.Thread(target=write_on)
    zombie.start()
    published = []
    try:
        for number in range(5):
            try:
                version = adopt(lake, "north", {"thing": [_stage(lake, f"two{number}")]}, pinned)["thing"]
            except TransientError as error:
                assert "others keep writing" in error.place  # noqa: PT017
                continue
            published.append((version, number))
    finally:
        stop.set()
        zombie.join()
    assert published
    for version, number in published:
        assert _files(lake, version) == ["one", f"two{number}"]


def test_a_log_that_ends_before_its_pinned_version_is_a_permanent_failure(lake):
    with pytest.raises(PermanentError, match="its log ends before version 9"):
        adopt(lake, "north", {"thing": [_stage(lake, "one")]}, {"thing": 9})


def test_a_table_that_gained_a_column_takes_new_files_and_still_gives_the_old_rows(lake):
    pinned = adopt(lake, "north", {"thing": [_stage(lake, "one")]}, {})
    wider = dataclasses.replace(THING, schema={**THING.schema, "added": pl.List(pl.String)})
    newer = Lake(lake.settings, lake._keys, (wider, VIEW))
    rows = pl.DataFrame([row("two") | {"added": ["x"]}], schema=wider.schema)
    staged = stage(newer, "north", "thing", rows, batch_id="two", attempt=1, part=0)
    for _ in range(2):  # the second time the schema change of the first is undone, too
        after = adopt(newer, "north", {"thing": [staged]}, pinned)
    old_file = StagedFile("thing", "one/1-0.parquet", 1, 0)
    found = read(newer, "north", "thing", base=None, tail=[old_file.path, staged.path]).collect().sort("resource_id")
    assert found["added"].to_list() == [None, ["x"]]
    delta = pl.scan_delta(newer.url("north", "log", "thing"), storage_options=newer.storage_options("north"))
    assert delta.collect().sort("resource_id")["added"].to_list() == [None, ["x"]]
    reader = Reader(newer, "north", 2, {"thing": {"log": after["thing"]}}, lambda *_: [])
    assert sorted(reader.stored("thing").collect()["resource_id"]) == ["one", "two"]
    assert _files(lake, pinned["thing"]) == ["one"]


@pytest.fixture
def opened(monkeypatch):
    """Counts how often a log is read from its beginning."""
    calls, whole = [], Lake.open
    monkeypatch.setattr(Lake, "open", lambda lake, *place: calls.append(place) or whole(lake, *place))
    return calls


def test_two_workers_in_turn_read_only_what_the_other_has_added(lake, opened):
    other = Lake(lake.settings, lake._keys, (THING, VIEW))
    pinned = adopt(lake, "north", {"thing": [_stage(lake, "0")]}, {})
    for number in range(1, 5):
        worker = (other, lake)[number % 2]
        pinned = adopt(worker, "north", {"thing": [_stage(worker, str(number))]}, pinned)
    assert len(opened) == 2
    assert _files(lake, pinned["thing"]) == ["0", "1", "2", "3", "4"]


def test_an_opened_log_is_of_no_use_with_another_key(lake, opened):
    pinned = adopt(lake, "north", {"thing": [_stage(lake, "one")]}, {})
    staged = _stage(lake, "two")
    lake._keys = lambda tenant: bytes(32)
    with pytest.raises(TransientError):
        adopt(lake, "north", {"thing": [staged]}, pinned)
    assert len(opened) == 2


def test_a_log_that_stands_elsewhere_than_expected_is_read_anew(lake, opened):
    adopt(lake, "north", {"thing": [_stage(lake, "one")]}, {})
    lake.ensure_table("north", "log", "thing", expected=1)
    assert len(opened) == 1
    assert lake.ensure_table("north", "log", "thing", expected=7).version() == 1
    assert lake.ensure_table("north", "log", "thing").version() == 1
    assert len(opened) == 3


def test_no_more_logs_are_kept_open_than_allowed(lake, monkeypatch):
    monkeypatch.setattr(store, "_MOST_HANDLES", 2)
    for tenant in ("north", "south", "west"):
        adopt(lake, tenant, {"thing": [_stage(lake, "one", tenant)]}, {})
    assert [tenant for tenant, _, _ in lake._handles] == ["south", "west"]
