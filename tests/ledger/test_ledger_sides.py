"""The small tables beside the ledger: tenants, entry quarantine, references, criteria, opt-outs, audit."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
from ledger_sample import claimed, formed, land

from spv_platform.errors import UsageError
from spv_platform.ledger import audit, batches, criteria, objects, opt_outs, quarantine, references, replays, tenants
from spv_platform.ledger.db import Database, today


class Entry(NamedTuple):
    entry: int
    pointer: str
    reason: str


def test_tenants_and_feeds_can_be_added_twice(db: Database) -> None:
    with db.transaction() as cur:
        tenants.add_tenant(cur, "north")
        tenants.add_feed(cur, "north", "emr", "ndjson")
        assert tenants.tenants(cur) == ["north", "south"]
        assert tenants.feeds(cur, "north") == [tenants.Feed("emr", "ndjson")]
        assert tenants.feeds(cur, "west") == []
        assert tenants.tenant_exists(cur, "north")
        assert not tenants.tenant_exists(cur, "west")


def test_a_tenant_is_in_utc_until_its_zone_is_said(db: Database) -> None:
    with db.transaction() as cur:
        assert tenants.zone_and_day(cur, "north") == ("UTC", today(cur))
        tenants.set_time_zone(cur, "north", "Pacific/Kiritimati")
        zone, day = tenants.zone_and_day(cur, "north")
        cur.execute("SELECT (now() + interval '14 hours')::date")
        assert (zone, [(day,)]) == ("Pacific/Kiritimati", cur.fetchall())
        assert tenants.zone_and_day(cur, "south")[0] == "UTC"


@pytest.mark.parametrize(
    "zone", ["Europe/Atlantis", "europe/berlin", "CET", "Factory", "+02:00", "posix/Europe/Berlin", ""]
)
def test_what_is_no_time_zone_is_refused(db: Database, zone: str) -> None:
    with pytest.raises(UsageError, match="no IANA name such as Europe/Berlin"), db.transaction() as cur:
        tenants.check_time_zone(cur, zone)


def test_nobody_has_no_time_zone(db: Database) -> None:
    with pytest.raises(UsageError, match="no tenant west"), db.transaction() as cur:
        tenants.zone_and_day(cur, "west")


def test_a_day_begins_once_at_each_tenant_and_again_when_the_tenant_is_elsewhere(db: Database) -> None:
    with db.transaction() as cur:
        assert [tenants.begin_day(cur, "north") for _ in range(2)] == [True, False]
        assert tenants.begin_day(cur, "south")
        tenants.set_time_zone(cur, "north", "Europe/Berlin")
        assert [tenants.begin_day(cur, name) for name in ("north", "south")] == [True, False]
        tenants.set_time_zone(cur, "north", "Europe/Berlin")
        assert not tenants.begin_day(cur, "north")
        cur.execute("UPDATE ops.tenant SET matched_for = matched_for - 1")
        assert [tenants.begin_day(cur, name) for name in ("north", "south")] == [True, True]


def test_a_name_that_cannot_be_a_path_is_refused(db: Database) -> None:
    for name in ["", "a/b", "Ä", "-a", "..", "a" * 64, "north\n"]:
        with pytest.raises(UsageError), db.transaction() as cur:
            tenants.add_tenant(cur, name)
        with pytest.raises(UsageError), db.transaction() as cur:
            tenants.add_feed(cur, "north", name, "fhir")


def test_a_feed_needs_its_tenant(db: Database) -> None:
    with pytest.raises(UsageError, match="add the tenant"), db.transaction() as cur:
        tenants.add_feed(cur, "west", "emr", "fhir")


def test_a_removed_tenant_sends_nothing_until_it_is_added_again(db: Database) -> None:
    with db.transaction() as cur:
        cur.execute("UPDATE ops.tenant SET removed_at = now() WHERE tenant = 'north'")
        assert tenants.tenants(cur) == ["south"]
        assert not tenants.tenant_exists(cur, "north")
    land(db, 1)
    with db.transaction() as cur:
        (row,) = objects.ledger_rows(cur)
        assert row["reason"] == "unknown_tenant"
        tenants.add_tenant(cur, "north")
        assert replays.replay(cur, _only_seq(cur))


def test_entries_are_set_aside_once_and_open_again_after_a_replay(db: Database) -> None:
    land(db, 1)
    rows = [Entry(3, "/status", "invalid_resource"), Entry(3, "/code", "invalid_resource"), Entry(1, "", "no_resource")]
    with db.transaction() as cur:
        seq = _only_seq(cur)
        for _ in range(2):
            quarantine.put_entries(cur, "north", seq, [*rows, rows[0]], contract="1")
        listed = quarantine.list_entries(cur, "north")
        assert [(row["entry"], row["pointer"], row["reason"]) for row in listed] == sorted(rows)
        assert listed[0]["object"] == "landing/north/emr/o0000@v1"
        assert quarantine.list_entries(cur, "south") == []
        assert quarantine.list_entries(cur, object_seq=seq + 1) == []
        objects.quarantine_object(cur, seq, "wrong_key")
        assert replays.replay(cur, seq)
        assert quarantine.list_entries(cur, state="open") == []
        quarantine.put_entries(cur, "north", seq, rows[:1], contract="2")
        (still,) = quarantine.list_entries(cur, state="open")
        assert (still["pointer"], still["contract"]) == ("/status", "2")
        assert still["id"] in {row["id"] for row in listed}
        assert quarantine.list_entries(cur) == [still]


def test_references_are_queued_once(db: Database) -> None:
    land(db, 1)
    with db.transaction() as cur:
        seq = _only_seq(cur)
        urn = references.Waiting("", b"t", "urn", 1)
        for _ in range(2):
            references.put_queue(cur, "north", "emr", seq, [references.Waiting("Patient", b"t", "conditional", 2), urn])
        references.put_queue(cur, "north", "emr", seq, [urn, urn._replace(waiting=3)])
        assert references.queue_of(cur, "north", seq) == [
            references.Waiting("", b"t", "urn", 4),
            references.Waiting("Patient", b"t", "conditional", 2),
        ]


def test_objects_wait_again_once_their_references_mean_another_number_of_resources(db: Database) -> None:
    claim = claimed(db, formed(db))
    with db.transaction() as cur:
        seq = _only_seq(cur)
        references.put_queue(cur, "north", "emr", seq, [references.Waiting("Patient", b"t", "conditional", 1)])
        batches.mark_staged(cur, claim)
        batches.mark_published(cur, claim)
        ann = references.Target("emr", b"t", "Patient", b"ann", b"sealed")
        group = ann._replace(resource_type="Group", key_mac=b"group")
        for other in (ann._replace(source="lab"), group, ann._replace(target=b"u")):
            references.put_targets(cur, "north", [other])
            assert references.stage_again(cur, "north", "none", [b"t", b"u"]) == 0
        assert references.put_targets(cur, "north", [ann, ann]) == [b"t"]
        assert references.put_targets(cur, "north", [ann]) == []
        assert references.stage_again(cur, "north", "none", []) == 0
        assert references.stage_again(cur, "north", "none", [b"t"]) == 1
        assert references.stage_again(cur, "north", "none", [b"t"]) == 0


def test_going_back_to_earlier_criteria_is_a_new_version(db: Database) -> None:
    with db.transaction() as cur:
        assert criteria.newest(cur) is None
        assert criteria.newest_digest(cur) is None
        assert criteria.put_version(cur, "a", {"trials": [1]}) == 1
        assert criteria.put_version(cur, "a", {"trials": [1]}) == 1
        assert criteria.put_version(cur, "b", {"trials": [2]}) == 2
        assert criteria.put_version(cur, "a", {"trials": [1]}) == 3
        assert criteria.newest(cur) == criteria.CriteriaVersion(3, "a", {"trials": [1]})
        assert criteria.newest_digest(cur) == (3, "a")
        assert criteria.at(cur, 2) == criteria.CriteriaVersion(2, "b", {"trials": [2]})
        assert criteria.at(cur, 9) is None


def test_the_same_criteria_from_many_at_once_are_one_version(db: Database) -> None:
    start = threading.Barrier(4)

    def work(_: int) -> int:
        start.wait()
        with db.transaction() as cur:
            return criteria.put_version(cur, "a", {})

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(work, range(4))) == {1}


def test_opt_outs_come_and_go(db: Database) -> None:
    with db.transaction() as cur:
        assert opt_outs.add(cur, "north", b"a")
        assert not opt_outs.add(cur, "north", b"a")
        assert opt_outs.among(cur, "north", [b"a", b"b"]) == {b"a"}
        assert opt_outs.among(cur, "north", []) == set()
        assert opt_outs.among(cur, "south", [b"a"]) == set()
        assert opt_outs.remove(cur, "north", b"a")
        assert not opt_outs.remove(cur, "north", b"a")
        assert opt_outs.among(cur, "north", [b"a"]) == set()


def test_an_act_is_audited_with_its_transaction(db: Database) -> None:
    with db.transaction() as cur:
        audit.write(cur, "operator", "resource.show", "north", "object 1 entry 2")
    with pytest.raises(RuntimeError), db.transaction() as cur:  # noqa: PT012
        audit.write(cur, "operator", "resource.show", "north", "object 1 entry 3")
        raise RuntimeError
    with db.transaction() as cur:
        cur.execute("SELECT who, action, tenant, what FROM ops.audit")
        assert cur.fetchall() == [("operator", "resource.show", "north", "object 1 entry 2")]


def _only_seq(cur: object) -> int:
    cur.execute("SELECT seq FROM ops.object")  # type: ignore[attr-defined]
    ((seq,),) = cur.fetchall()  # type: ignore[attr-defined]
    return seq
