from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from ledger_sample import claimed, formed

from spv_platform.ledger import batches, records
from spv_platform.ledger.db import Database
from spv_platform.ledger.records import StoredRecord

_RECORDS = st.lists(
    st.builds(
        StoredRecord,
        record=st.binary(min_size=1, max_size=4),
        person_id=st.none() | st.sampled_from(["p-a", "p-b"]),
        has_patient=st.booleans(),
        blocks=st.lists(st.binary(max_size=2), max_size=3),
        state=st.binary(max_size=20),
    ),
    max_size=6,
)


@given(st.lists(_RECORDS, max_size=4))
@hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_in_force_is_the_last_candidate_of_each_record(db: Database, loads: list[list[StoredRecord]]) -> None:
    model: dict[bytes, StoredRecord] = {}
    with db.transaction() as cur:
        cur.execute("DELETE FROM ops.record_state")
        for seq, load in enumerate(loads, 1):
            batch_id = batches.form_rematch(cur, "north", 1)
            claim = batches.claim(cur, batch_id, f"run-{seq}", 60)
            assert claim
            distinct = {row.record: row for row in load}
            assert records.put_candidates(cur, claim, load) == len(distinct)
            assert records.commit_candidates(cur, claim, seq) == len(distinct)
            assert records.candidates(cur, claim) == []
            batches.mark_published(cur, claim)
            model |= {record: row._replace(seq=seq) for record, row in distinct.items()}
        expected = [model[record] for record in sorted(model)]
        shelf = records.in_force("north")
        assert shelf.read(cur, list(model)) == expected
        assert shelf.around(cur, [], ["p-a"]) == [row for row in expected if row.person_id == "p-a"]
        blocks = [b"", b"\x00", b"\x01"]
        assert shelf.around(cur, blocks, []) == [row for row in expected if set(row.blocks) & set(blocks)]
        assert shelf.around(cur, blocks, ["p-b"]) == [
            row for row in expected if set(row.blocks) & set(blocks) or row.person_id == "p-b"
        ]
        assert records.beginning(cur, "north", [b"\x00", b"\x01"]) == [
            row for row in expected if row.record[:1] in (b"\x00", b"\x01")
        ]
        assert shelf.page(cur, b"", max_records=9, max_bytes=99) == sorted(model)[:9]
        assert records.in_force("south").read(cur, list(model)) == []


def test_nothing_is_in_force_before_the_commit(db: Database) -> None:
    claim = claimed(db, formed(db))
    row = StoredRecord(b"r", "p", True, [b"x"], b"s")
    with db.transaction() as cur:
        records.put_candidates(cur, claim, [row])
        records.put_candidates(cur, claim, [row._replace(state=b"later")])
    with db.transaction() as cur:
        assert records.candidates(cur, claim) == [row._replace(state=b"later")]
        shelf = records.in_force("north")
        assert shelf.read(cur, [b"r"]) == shelf.around(cur, [b"x"], ["p"]) == []


def test_candidates_of_a_lost_try_are_not_committed_by_its_heir(db: Database) -> None:
    zombie = claimed(db, formed(db), lease_s=0)
    with db.transaction() as cur:
        records.put_candidates(cur, zombie, [StoredRecord(b"old", "p", True, [], b"s")])
    heir = claimed(db, zombie.batch_id, "run-2")
    with db.transaction() as cur:
        records.put_candidates(cur, heir, [StoredRecord(b"new", "p", True, [], b"s")])
        assert records.commit_candidates(cur, heir, 1) == 1
        assert [row.record for row in records.in_force("north").read(cur, [b"new", b"old"])] == [b"new"]
        cur.execute("SELECT count(*) FROM ops.candidate_record")
        assert cur.fetchone() == (0,)


def test_records_are_paged_by_number_and_by_sealed_bytes(db: Database) -> None:
    claim = claimed(db, formed(db))
    with db.transaction() as cur:
        records.put_candidates(cur, claim, [StoredRecord(name, "p", True, [], b"12345") for name in (b"a", b"b", b"c")])
        records.commit_candidates(cur, claim, 1)
        shelf = records.in_force("north")
        assert shelf.page(cur, b"", max_records=2, max_bytes=99) == [b"a", b"b"]
        assert shelf.page(cur, b"a", max_records=2, max_bytes=9) == [b"b"]
        assert shelf.page(cur, b"b", max_records=2, max_bytes=1) == [b"c"]
        assert shelf.page(cur, b"c", max_records=2, max_bytes=99) == []


def test_candidates_come_in_parts_and_get_their_persons_later(db: Database) -> None:
    claim = claimed(db, formed(db))
    first = [StoredRecord(name, None, False, [b"x"], b"s") for name in (b"a", b"b")]
    with db.transaction() as cur:
        records.add_candidates(cur, claim, first)
        records.add_candidates(cur, claim, [first[0]._replace(person_id="p")])
        assert records.unlinked(claim).around(cur, [b"x"], []) == first[1:]
        assert records.linked(claim).read(cur, [b"a", b"b"]) == [first[0]._replace(person_id="p")]


def test_a_rebuild_leaves_no_record_that_it_did_not_make(db: Database) -> None:
    claim = claimed(db, formed(db))
    with db.transaction() as cur:
        for tenant in ("north", "south"):
            cur.execute("INSERT INTO ops.record_state VALUES (%s, 'old', 'p', true, '{}', 's', 1)", (tenant,))
        records.put_candidates(cur, claim, [StoredRecord(b"new", "p", True, [], b"s")])
        assert records.forget_others(cur, claim) == 1
        records.commit_candidates(cur, claim, 2)
        assert [row.record for row in records.in_force("north").read(cur, [b"old", b"new"])] == [b"new"]
        assert [row.record for row in records.in_force("south").read(cur, [b"old"])] == [b"old"]
