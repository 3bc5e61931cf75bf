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
        assert list(records.all_records(cur, "north")) == expected
        assert records.read_records(cur, "north", list(model)) == expected
        assert records.persons(cur, "north", ["p-a"]) == [row for row in expected if row.person_id == "p-a"]
        blocks = [b"", b"\x00", b"\x01"]
        assert records.find_by_blocks(cur, "north", blocks) == [
            row for row in expected if set(row.blocks) & set(blocks)
        ]
        assert records.around(cur, "north", blocks, ["p-b"]) == [
            row for row in expected if set(row.blocks) & set(blocks) or row.person_id == "p-b"
        ]
        assert list(records.all_records(cur, "south")) == []


def test_nothing_is_in_force_before_the_commit(db: Database) -> None:
    claim = claimed(db, formed(db))
    row = StoredRecord(b"r", "p", True, [b"x"], b"s")
    with db.transaction() as cur:
        records.put_candidates(cur, claim, [row])
        records.put_candidates(cur, claim, [row._replace(state=b"later")])
    with db.transaction() as cur:
        assert records.candidates(cur, claim) == [row._replace(state=b"later")]
        assert records.read_records(cur, "north", [b"r"]) == []
        assert records.find_by_blocks(cur, "north", [b"x"]) == []


def test_candidates_of_a_lost_try_are_not_committed_by_its_heir(db: Database) -> None:
    zombie = claimed(db, formed(db), lease_s=0)
    with db.transaction() as cur:
        records.put_candidates(cur, zombie, [StoredRecord(b"old", "p", True, [], b"s")])
    heir = claimed(db, zombie.batch_id, "run-2")
    with db.transaction() as cur:
        records.put_candidates(cur, heir, [StoredRecord(b"new", "p", True, [], b"s")])
        assert records.commit_candidates(cur, heir, 1) == 1
        assert [row.record for row in records.all_records(cur, "north")] == [b"new"]
        cur.execute("SELECT count(*) FROM ops.candidate_record")
        assert cur.fetchone() == (0,)


def test_all_records_are_read_across_pages(db: Database) -> None:
    claim = claimed(db, formed(db))
    names = [number.to_bytes(4, "big") for number in range(2 * records._PAGE)]
    with db.transaction() as cur:
        rows = (StoredRecord(name, "p", True, [], b"s") for name in names)
        assert records.put_candidates(cur, claim, rows) == len(names)
        records.commit_candidates(cur, claim, 1)
        assert [row.record for row in records.all_records(cur, "north")] == names
