"""The history in MongoDB: fed from the publications, behind them, equal however often and in whatever pieces."""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import bson
import pymongo
import pytest
from pipeline_bundles import MRN, at, bundle, deletes, patient, result
from pipeline_world import TENANT, World, approved

from spv_platform.errors import LeaseLostError, PermanentError, TransientError, UsageError
from spv_platform.history import schema, store
from spv_platform.history.schema import APPROVAL_EVENT, COLLECTIONS, PERSON, PERSON_VERSION
from spv_platform.ledger import history as ledger
from spv_platform.local import stack
from spv_platform.local.process import end
from spv_platform.pipeline import history
from spv_platform.pipeline.opting_out import change_list
from spv_platform.sample import bundles
from spv_platform.settings import Settings
from spv_platform.view.tables import COLUMNS

ASTER_MRN = "http://sample-hospital.example.org/mrn|SAMPLE-0001"
CANARIES = ("zqxfamilyqxz", "zqxgivenqxz", "zqxmrnqxz", "zqxstreetqxz", "zqxphoneqxz", "zqxpatientidqxz", "zqxtextqxz")
_FAMILY, _GIVEN, _MRN, _STREET, _PHONE, _PATIENT_ID, _TEXT = CANARIES

Documents = dict[str, list[dict[str, Any]]]


@pytest.fixture
def world(new_world: Callable[..., World], mongo_url: str) -> Iterator[World]:
    """A fresh installation with a MongoDB database of its own."""
    made = new_world(mongo_url=mongo_url, mongo_database=f"test_{secrets.token_hex(4)}")
    yield made
    made.platform.mongo.drop_database(made.settings.mongo_database)


@pytest.fixture
def sample(world: World) -> World:
    """The same with the sample published, not fed yet."""
    world.put_criteria()
    for file in bundles():
        world.land(file.name, file.data, content_type=file.content_type)
    world.drain()
    return world


def documents(world: World, tenant: str = TENANT) -> Documents:
    """Every document of a tenant, opened."""
    with history.open_store(world.platform, tenant) as opened:
        return {item.name: opened.documents(item.name, {}) for item in COLLECTIONS}


def in_force(world: World) -> list[tuple[Any, ...]]:
    """Who is approved by the newest event of each person and cohort."""
    newest = {(e["person_id"], e["trial"], e["cohort"]): e["status"] for e in documents(world)[APPROVAL_EVENT]}
    return sorted(key for key, status in newest.items() if status == "approved")


def feed(world: World) -> history.FeedReport:
    return history.feed(world.platform, TENANT)


@contextmanager
def mongo_stopped(servers: Settings) -> Iterator[None]:
    end(servers.home, ["mongo"])
    try:
        yield
    finally:
        stack.start_servers(servers.home, ["mongo"])


def test_every_person_version_and_approval_that_is_published_becomes_a_document(sample):
    report = feed(sample)
    found = documents(sample)
    views = sample.read("patient_view")
    assert {item["_id"] for item in found[PERSON]} == set(views["person_id"])
    assert {item["person_id"] for item in found[PERSON_VERSION]} == set(views["person_id"])
    assert in_force(sample) == approved(sample) != []
    assert report.documents == sum(map(len, found.values()))
    assert (report.refused, report.behind) == (0, 0)


def test_a_person_is_found_by_an_identifier_and_reads_as_the_view_does(sample):
    feed(sample)
    (found,) = history.find(sample.platform, TENANT, ASTER_MRN, who="test")
    view = sample.read("patient_view").filter(person_id=found["person"]["_id"]).to_dicts()[0]
    assert view["name"] == "Sample-Aster, Testina"
    for column in COLUMNS:
        if column.name in ("person_id", "birth_date_start", "birth_date_end") or view[column.name] in (None, []):
            continue
        assert without_gaps(found["person"][column.name]) == without_gaps(view[column.name]), column.name
    assert [event["status"] for event in found["events"]] == ["approved"]
    assert [item["trial"] for item in found["person"]["approvals"]] == ["NCT00000001"]
    assert history.find(sample.platform, TENANT, f"{MRN}|nobody", who="test") == []
    assert history.find(sample.platform, "south", ASTER_MRN, who="test") == []
    assert sample.rows("SELECT count(*) FROM ops.audit WHERE action = 'history find'") == [(3,)]


def without_gaps(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_gaps(part) for name, part in value.items() if part is not None and part != []}
    return [without_gaps(part) for part in value] if isinstance(value, list) else value


def test_only_what_changed_becomes_a_version_and_what_changed_back_is_one_too(world):
    for plain in (
        bundle(patient("ann", mrn="M-1"), result("r", "ann", 1)),
        bundle(result("r", "ann", 2)),
        bundle(at("2026-01-01T00:00:00Z", result("r", "ann", 1))),
    ):
        world.land(secrets.token_hex(4), plain)
        world.drain()
    world.put_criteria()
    world.drain()
    feed(world)
    found = documents(world)
    assert [item["seq"] for item in found[PERSON_VERSION]] == [1, 2, 3]
    assert [item["latest_results"][0]["value_number"] for item in found[PERSON_VERSION]] == [1, 2, 1]
    (person,) = found[PERSON]
    assert person["seq"] == 3
    (newest,) = world.rows("SELECT max(seq) FROM ops.publication WHERE tenant = %s", TENANT)
    assert newest > (3,)  # the re-match wrote the person again, and changed nothing


def test_an_approval_that_ends_is_an_event_with_its_reason(sample, tmp_path):
    feed(sample)
    listed = tmp_path / "list"
    listed.write_text(ASTER_MRN)
    change_list(sample.platform, TENANT, listed, "add", who="test")
    sample.drain()
    feed(sample)
    (found,) = history.find(sample.platform, TENANT, ASTER_MRN, who="test")
    assert [event["status"] for event in found["events"]] == ["approved", "withdrawn"]
    assert "opted_out" in found["events"][-1]["reasons"]
    assert found["person"]["approvals"] == []
    assert in_force(sample) == approved(sample) == []


def test_a_person_who_is_gone_keeps_the_past_and_loses_the_present(world):
    world.land("a", bundle(patient("ann", mrn="M-1")))
    world.drain()
    feed(world)
    world.land("b", deletes("Patient/ann"))
    world.drain()
    feed(world)
    (found,) = history.find(world.platform, TENANT, f"{MRN}|M-1", who="test")
    assert found["person"]["retired"]
    assert "name" not in found["person"]
    assert [(item["retired"], "name" in item) for item in found["versions"]] == [(False, True), (True, False)]


def test_feeding_twice_changes_nothing_wherever_the_first_was_broken_off(sample):
    feed(sample)
    sample.land("later", bundle(patient("late", mrn="L-1"), result("r", "late", 1)))
    sample.drain()
    feed(sample)
    before = documents(sample)
    assert feed(sample) == history.FeedReport(had_turn=True, publications=0, documents=0, refused=0, behind=0)
    newest = sample.rows("SELECT max(seq) FROM ops.publication WHERE tenant = %s", TENANT)[0][0]
    for seq in range(newest):
        sample.rows("UPDATE ops.history_cursor SET seq = %s WHERE tenant = %s RETURNING 1", seq, TENANT)
        assert feed(sample).behind == 0
        assert documents(sample) == before


def test_a_rebuild_is_equal_to_what_was_fed_publication_by_publication(sample, tmp_path):
    listed = tmp_path / "list"
    listed.write_text(ASTER_MRN)
    feed(sample)
    for action in ("add", "remove"):
        change_list(sample.platform, TENANT, listed, action, who="test")
        sample.drain()
        feed(sample)
    before = documents(sample)
    report = history.rebuild(sample.platform, TENANT, who="test")
    assert report.behind == 0
    assert report.documents > 0
    assert documents(sample) == before


def test_a_rebuild_that_is_broken_off_goes_on_at_the_next_feeding(sample, monkeypatch):
    feed(sample)
    before = documents(sample)
    with sample.platform.mongo.start_session():  # the server is there
        sample.platform.mongo[sample.settings.mongo_database][f"{TENANT}.{PERSON}"].delete_many({})
    with monkeypatch.context() as patch:
        patch.setattr(store.HistoryStore, "drop_documents", fails)
        with pytest.raises(TransientError):
            history.rebuild(sample.platform, TENANT, who="test")
    assert history.behind(sample.platform, TENANT) > 0
    feed(sample)
    assert documents(sample) == before


def fails(*_: object) -> None:
    raise TransientError("store_unavailable", "mongodb")


def test_while_mongodb_is_stopped_batches_go_on_and_afterwards_the_history_catches_up(sample, servers):
    feed(sample)
    with mongo_stopped(servers):
        sample.land("one", bundle(patient("one", mrn="O-1")))
        sample.drain()
        with pytest.raises(TransientError, match="store_unavailable at mongodb"):
            feed(sample)
        sample.land("two", bundle(patient("two", mrn="T-1")))
        assert sample.drain() == 1
        # a batch does not even try for a while
        assert not history.feed(sample.platform, TENANT, despite_pause=False).had_turn
        assert history.behind(sample.platform, TENANT) == 2
        assert {row["documents"] for row in history.status(sample.platform)} == {None}
    report = feed(sample)
    assert (report.publications, report.behind) == (2, 0)
    assert {item["_id"] for item in documents(sample)[PERSON]} == set(sample.read("patient_view")["person_id"])
    assert history.feed(sample.platform, TENANT, despite_pause=False).had_turn


@pytest.fixture
def with_canaries(world: World) -> World:
    who = patient(
        _PATIENT_ID,
        family=_FAMILY,
        mrn=_MRN,
        address=[{"line": [_STREET], "city": "Sampleton"}],
        telecom=[{"system": "phone", "value": _PHONE}],
    )
    who["name"][0]["given"] = [_GIVEN]
    said = result("r", _PATIENT_ID, 1)
    said.pop("valueQuantity")
    world.land("a", bundle(who, {**said, "valueString": _TEXT}))
    world.drain()
    feed(world)
    return world


def test_a_client_without_the_key_reads_nothing_that_says_who_somebody_is(with_canaries):
    opened = json.dumps(documents(with_canaries), default=str)
    assert all(canary in opened for canary in CANARIES)
    with pymongo.MongoClient(with_canaries.settings.mongo_url) as client:
        database = client[with_canaries.settings.mongo_database]
        raw = {name: list(database[name].find()) for name in database.list_collection_names()}
    assert {f"{TENANT}.{item.name}" for item in COLLECTIONS} < set(raw)
    text = str(raw)
    assert "718-7" in text
    assert not [canary for canary in CANARIES if canary in text]


def test_no_raw_byte_of_the_server_holds_an_identifier(with_canaries, servers):
    files = [file for file in (servers.home / "data" / "mongo").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) > 10_000
    for file in files:
        content = file.read_bytes()
        assert not [canary for canary in CANARIES if canary.encode() in content], file


def test_another_key_opens_nothing(with_canaries):
    settings = with_canaries.settings
    with store.HistoryStore(with_canaries.platform.mongo, settings.mongo_database, TENANT, b"x" * 32) as opened:
        for ask in (lambda: opened.find(f"{MRN}|{_MRN}"), lambda: opened.documents(PERSON, {})):
            with pytest.raises(PermanentError, match="history_key_unusable"):
                ask()


def test_one_document_that_is_refused_is_noted_and_the_rest_goes_on(sample, monkeypatch):
    (aster, *_), *_ = approved(sample)
    with monkeypatch.context() as patch:
        patch.setattr(schema.Collection, "validator", property(lambda item: refusing_one(item, aster)))
        report = feed(sample)
    assert (report.refused, report.behind) == (1, 0)
    with sample.platform.db.transaction() as cur:
        (row,) = ledger.refused_rows(cur, TENANT)
    assert (row["collection"], row["document_id"], row["reason"]) == (PERSON, aster, "document_invalid")
    found = documents(sample)
    assert {item["_id"] for item in found[PERSON]} == set(sample.read("patient_view")["person_id"]) - {aster}
    assert aster in {item["person_id"] for item in found[PERSON_VERSION]}
    assert [row["refused"] for row in history.status(sample.platform) if row["tenant"] == TENANT] == [1]
    assert history.rebuild(sample.platform, TENANT, who="test").refused == 0
    assert aster in {item["_id"] for item in documents(sample)[PERSON]}
    assert [row["refused"] for row in history.status(sample.platform) if row["tenant"] == TENANT] == [0]


def refusing_one(item: schema.Collection, person_id: str) -> dict[str, Any]:
    return {"$and": [{"_id": {"$ne": person_id}}, {"seq": {"$gte": 0}}]}


def test_a_document_over_the_limit_is_refused_and_the_rest_goes_on(sample, monkeypatch):
    feed(sample)
    found = documents(sample)
    sizes = {item["_id"]: len(bson.encode(item)) for item in found[PERSON]}
    monkeypatch.setattr(store, "_CIPHER_BYTES", 0)
    *_, second, first = sorted(sizes.values())
    (largest,) = (name for name, size in sizes.items() if size == first)
    monkeypatch.setattr(store, "MAX_DOCUMENT_BYTES", (first + second) // 2)
    history.rebuild(sample.platform, TENANT, who="test")
    with sample.platform.db.transaction() as cur:
        refused = {(row["collection"], row["document_id"], row["reason"]) for row in ledger.refused_rows(cur, TENANT)}
    assert (PERSON, largest, "document_too_large") in refused
    assert {document.partition("/")[0] for _, document, _ in refused} == {largest}
    assert {item["_id"] for item in documents(sample)[PERSON]} == set(sizes) - {largest}
    assert in_force(sample) == approved(sample)


def test_a_feeder_that_lost_its_turn_overwrites_nothing_and_moves_no_cursor(sample):
    feed(sample)
    before = documents(sample)
    newest = {item["_id"]: item for item in before[PERSON]}
    sample.land("more", bundle(patient("more", mrn="X-1")))
    sample.drain()
    with sample.platform.db.transaction() as cur:
        late = ledger.take(cur, TENANT, hold_s=0, despite_pause=True)
        sole = ledger.take(cur, TENANT, hold_s=60, despite_pause=True)
        assert late
        assert sole
        assert ledger.take(cur, TENANT, hold_s=60, despite_pause=True) is None
    assert not feed(sample).had_turn
    with pytest.raises(UsageError, match="is being fed"):
        history.rebuild(sample.platform, TENANT, who="test")
    with pytest.raises(LeaseLostError), sample.platform.db.transaction() as cur:
        ledger.advance(cur, late, 99)
    with history.open_store(sample.platform, TENANT) as opened:
        old = [{**item, "seq": item["seq"] - 1, "digest": "old"} for item in newest.values()]
        assert opened.write(store.Changes(persons=old)) == []
    assert documents(sample) == before


def test_a_feeder_that_hung_while_it_emptied_the_history_lets_it_be_filled_anew(sample, monkeypatch):
    feed(sample)
    whole = documents(sample)
    drop = store.HistoryStore.drop_documents

    def late(opened):
        monkeypatch.setattr(store.HistoryStore, "drop_documents", drop)
        with sample.platform.db.transaction() as cur:
            cur.execute("UPDATE ops.history_cursor SET until = '-infinity' WHERE tenant = %s", (TENANT,))
        assert feed(sample).behind == 0
        drop(opened)

    monkeypatch.setattr(store.HistoryStore, "drop_documents", late)
    with pytest.raises(LeaseLostError):
        history.rebuild(sample.platform, TENANT, who="test")
    assert documents(sample) != whole
    assert feed(sample).behind == 0
    assert documents(sample) == whole


def test_a_turn_lasts_as_long_as_a_publication_takes_to_read(sample, monkeypatch):
    monkeypatch.setattr(history, "_HOLD_S", 0.3)
    read = history._rows

    def slowly(*asked):
        time.sleep(1)
        with sample.platform.db.transaction() as cur:
            assert ledger.take(cur, TENANT, hold_s=60, despite_pause=True) is None
        return read(*asked)

    monkeypatch.setattr(history, "_rows", slowly)
    assert history.rebuild(sample.platform, TENANT, who="test").behind == 0


def test_the_server_takes_no_field_that_is_not_described_and_nothing_sealed_in_plain(sample):
    feed(sample)
    with pymongo.MongoClient(sample.settings.mongo_url) as client:
        persons = client[sample.settings.mongo_database][f"{TENANT}.{PERSON}"]
        whole = persons.find_one({"sealed": {"$exists": True}})
        assert whole
        persons.insert_one({**whole, "_id": "p-copy"})
        for change in (
            {"name": "in plain"},
            {"sealed": {"direct": {"name": "in plain"}}},
            {"identifier_keys": ["a|b"]},
        ):
            with pytest.raises(pymongo.errors.WriteError) as refused:
                persons.insert_one({**whole, "_id": "p-other", **change})
            assert refused.value.code == 121


def test_forgetting_a_tenant_leaves_no_document_and_no_key_of_it_and_all_of_the_others(sample):
    feed(sample)
    assert history.forget(sample.platform, TENANT)
    names = sample.platform.mongo[sample.settings.mongo_database].list_collection_names()
    assert [name for name in names if name.startswith(f"{TENANT}.")] == []
    assert history.behind(sample.platform, TENANT) > 0


def test_what_is_no_tenant_or_no_identifier_is_refused_in_words(world):
    with pytest.raises(UsageError, match="SYSTEM"):
        history.find(world.platform, TENANT, "M-1", who="test")
    for ask in (history.rebuild, lambda *a, who: history.find(*a, "a|b", who=who)):
        with pytest.raises(UsageError, match="no tenant nowhere"):
            ask(world.platform, "nowhere", who="test")
