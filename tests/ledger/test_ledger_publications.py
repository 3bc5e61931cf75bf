import pytest
from ledger_sample import batch_state, claimed, formed, states

from spv_platform.errors import LeaseLostError, PermanentError
from spv_platform.ledger import batches, leases, publications, records
from spv_platform.ledger.batches import Claim
from spv_platform.ledger.db import Cursor, Database
from spv_platform.ledger.publications import StagedFile
from spv_platform.ledger.records import StoredRecord


def _commit(cur: Cursor, claim: Claim, token: leases.Token, seq: int) -> None:
    leases.check_for_update(cur, token)
    publications.insert(cur, claim, seq, tables={"patient": {"log": seq}}, criteria_version=None, counts={"rows": seq})
    publications.mark_files_published(cur, claim.batch_id, claim.attempt, seq)
    records.commit_candidates(cur, claim, seq)
    batches.mark_published(cur, claim)


def _token(db: Database) -> leases.Token:
    with db.transaction() as cur:
        token = leases.acquire(cur, "north", "holder", 60)
    assert token
    return token


def test_publications_count_from_one_and_pin_versions(db: Database) -> None:
    token = _token(db)
    with db.transaction() as cur:
        assert publications.newest(cur, "north") is None
    for seq in (1, 2):
        claim = claimed(db, formed(db, prefix=f"p{seq}"), f"run-{seq}")
        with db.transaction() as cur:
            _commit(cur, claim, token, seq)
    with db.transaction() as cur:
        newest = publications.newest(cur, "north")
        assert newest
        assert (newest.seq, newest.kind, newest.tables, newest.counts) == (
            2,
            "load",
            {"patient": {"log": 2}},
            {"rows": 2},
        )
        first = publications.at(cur, "north", 1)
        assert first
        assert first.tables == {"patient": {"log": 1}}
        assert publications.at(cur, "north", 3) is None
        assert publications.newest(cur, "south") is None


@pytest.mark.parametrize("seq", [0, 1, 3])
def test_a_publication_prepared_on_another_one_is_refused(db: Database, seq: int) -> None:
    token = _token(db)
    first = claimed(db, formed(db, prefix="a"))
    with db.transaction() as cur:
        _commit(cur, first, token, 1)
    second = claimed(db, formed(db, prefix="b"), "run-2")
    with pytest.raises(LeaseLostError), db.transaction() as cur:
        _commit(cur, second, token, seq)
    with db.transaction() as cur:
        _commit(cur, second, token, 2)


def test_a_commit_that_fails_at_the_end_leaves_nothing(db: Database) -> None:
    token, claim = _token(db), claimed(db, formed(db))
    with db.transaction() as cur:
        publications.add_staged_file(cur, claim.batch_id, 1, StagedFile("patient", "f", 1, 2))
        records.put_candidates(cur, claim, [StoredRecord(b"r", "p", True, [], b"s")])
    with pytest.raises(PermanentError), db.transaction() as cur:  # noqa: PT012
        _commit(cur, claim, token, 1)
        cur.execute("SELECT 1 / 0")
    with db.transaction() as cur:
        assert publications.newest(cur, "north") is None
        assert publications.files_between(cur, "north", "patient", 0, 9) == []
        assert len(records.candidates(cur, claim)) == 1
        assert records.in_force("north").read(cur, [b"r"]) == []
    assert states(db) == ["claimed"]
    assert batch_state(db, claim.batch_id) == "claimed"


def test_files_are_read_by_publication(db: Database) -> None:
    token = _token(db)
    for seq in (1, 2, 3):
        claim = claimed(db, formed(db, prefix=f"p{seq}"), f"run-{seq}")
        with db.transaction() as cur:
            publications.add_staged_file(cur, claim.batch_id, 1, StagedFile("patient", f"{seq}-b", 1, 2))
            publications.add_staged_file(cur, claim.batch_id, 1, StagedFile("patient", f"{seq}-a", 1, 2))
            publications.add_staged_file(cur, claim.batch_id, 1, StagedFile("condition", f"{seq}-a", 1, 2))
            assert publications.files_between(cur, "north", "patient", seq - 1, seq) == []
            _commit(cur, claim, token, seq)
    with db.transaction() as cur:
        assert publications.files_between(cur, "north", "patient", 1, 3) == ["2-a", "2-b", "3-a", "3-b"]
        assert publications.files_between(cur, "north", "condition", 0, 2) == ["1-a", "2-a"]
        assert publications.files_between(cur, "south", "patient", 0, 3) == []
        assert publications.size_between(cur, "north", "patient", 1, 3) == (4, 4)
        assert publications.size_between(cur, "north", "patient", 3, 3) == (0, 0)
        assert publications.drop_attempts(cur, claim.batch_id) == []  # published files stay


def test_noting_a_file_twice_keeps_the_later_size(db: Database) -> None:
    claim = claimed(db, formed(db))
    with db.transaction() as cur:
        for size in (1, 2):
            publications.add_staged_file(cur, claim.batch_id, 1, StagedFile("patient", "f", size, size))
        assert publications.staged_files(cur, claim.batch_id, 1) == [StagedFile("patient", "f", 2, 2)]


def test_an_attempt_can_be_forgotten(db: Database) -> None:
    old = claimed(db, formed(db), lease_s=0)
    with db.transaction() as cur:
        publications.add_staged_file(cur, old.batch_id, 1, StagedFile("patient", "1-0", 1, 2))
        records.put_candidates(cur, old, [StoredRecord(b"r", "p", True, [], b"s")])
    claimed(db, old.batch_id, "run-2")
    with db.transaction() as cur:
        assert publications.drop_attempts(cur, old.batch_id) == [StagedFile("patient", "1-0", 1, 2)]
        assert publications.staged_files(cur, old.batch_id, 1) == []
        assert records.candidates(cur, old) == []


def test_a_batch_is_published_once(db: Database) -> None:
    token, claim = _token(db), claimed(db, formed(db))
    with db.transaction() as cur:
        _commit(cur, claim, token, 1)
    with pytest.raises(LeaseLostError), db.transaction() as cur:
        _commit(cur, claim, token, 2)
