from uuid import UUID

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from ledger_sample import claimed, formed, found, land, states

from spv_platform.errors import UsageError
from spv_platform.ledger import batches, objects, replays, tenants
from spv_platform.ledger.db import Cursor, Database


def entered(cur: Cursor, bucket: str) -> set[tuple[str, str]]:
    cur.execute("SELECT key, version FROM ops.object WHERE bucket = %s", (bucket,))
    return set(cur.fetchall())


def test_each_object_version_is_found_exactly_once(db: Database) -> None:
    listing = [
        found("north/emr/b", "v1"),
        found("north/emr/c", "v1"),  # lands in the same second
        found("north/emr/b", "v2"),  # overwrites
    ]
    with db.transaction() as cur:
        assert objects.discover(cur, listing) == 3
        assert objects.discover(cur, [*listing, found("north/emr/a", "v1")]) == 1  # sorts before the last one
        assert objects.discover(cur, [*listing, listing[0]]) == 0
        assert entered(cur, "landing") == {
            ("north/emr/b", "v1"),
            ("north/emr/c", "v1"),
            ("north/emr/b", "v2"),
            ("north/emr/a", "v1"),
        }


def test_the_landing_sequence_follows_time_then_key(db: Database) -> None:
    with db.transaction() as cur:
        objects.discover(
            cur,
            [found("north/emr/a", second=5), found("north/emr/z", second=1), found("north/emr/y", second=1)],
        )
        rows = objects.ledger_rows(cur)
    assert [row["object"] for row in rows] == [
        "landing/north/emr/y@v1",
        "landing/north/emr/z@v1",
        "landing/north/emr/a@v1",
    ]


@given(
    st.lists(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("123"), st.integers(0, 2))), max_size=4),
    st.uuids(),
)
@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_listing_in_any_order_and_repetition_finds_each_once(
    db: Database, listings: list[list[tuple[str, str, int]]], bucket: UUID
) -> None:
    new = 0
    with db.transaction() as cur:
        cur.execute("DELETE FROM ops.object WHERE bucket = %s", (str(bucket),))
        for listing in listings:
            new += objects.discover(
                cur, [found(f"north/emr/{k}", v, second=s, bucket=str(bucket)) for k, v, s in listing]
            )
        known = entered(cur, str(bucket))
    assert new == len(known)
    assert known == {(f"north/emr/{k}", v) for listing in listings for k, v, _ in listing}


@pytest.mark.parametrize(
    ("key", "size_bytes", "reason"),
    [
        ("west/emr/a", 10, "unknown_tenant"),
        ("a", 10, "unknown_tenant"),
        ("/emr/a", 10, "unknown_tenant"),
        ("north/lab/a", 10, "unknown_feed"),
        ("north/emr", 10, "unknown_feed"),
        ("north/emr/a", 0, "empty_object"),
    ],
)
def test_objects_of_nobody_and_empty_ones_are_quarantined_at_once(
    db: Database, key: str, size_bytes: int, reason: str
) -> None:
    with db.transaction() as cur:
        objects.discover(cur, [found(key, size_bytes=size_bytes)])
        (row,) = objects.ledger_rows(cur)
        assert (row["state"], row["reason"]) == ("quarantined", reason)
        assert batches.form(cur, "north", max_objects=10, max_bytes=10) is None


def test_a_ledger_row_says_whether_it_balances_once_it_is_counted(db: Database) -> None:
    land(db, 3)
    counts = {"accepted": 1, "tombstones": 1, "duplicates": 1, "superseded": 1, "quarantined": 1}
    with db.transaction() as cur:
        first, second, _ = (row[0] for row in _seqs(cur))
        objects.record_counts(cur, first, plain_digest="d", plain_bytes=9, entries=5, **counts)
        objects.record_counts(cur, second, plain_digest="d", plain_bytes=9, entries=6, **counts, same_as=first)
        rows = objects.ledger_rows(cur, "north")
        assert objects.ledger_rows(cur, "south") == []
        assert objects.ledger_rows(cur, state="published") == []
        assert objects.get(cur, second).same_as == first
    assert [row["balances"] for row in rows] == [True, False, None]
    assert list(rows[0]) == [
        *("object", "tenant", "state", "reason", "attempt", "bytes", "entries", "accepted", "tombstones"),
        *("duplicates", "superseded", "quarantined", "balances"),
    ]


def test_equal_content_is_found_among_what_was_published_before(db: Database) -> None:
    batch_id = formed(db, 3)
    claim = claimed(db, batch_id)
    with db.transaction() as cur:
        first, second, third = objects.of_batch(cur, batch_id)
        for each in (first, second):
            objects.record_counts(cur, each.seq, plain_digest="same", plain_bytes=1, entries=0, **_NOTHING)
        assert objects.find_published_digest(cur, "north", "emr", "same", third.seq) is None
        batches.mark_published(cur, claim)
        assert objects.find_published_digest(cur, "north", "emr", "same", third.seq) == objects.Twin(first.seq, 0)
        assert objects.find_published_digest(cur, "north", "emr", "same", first.seq) is None
        assert objects.find_published_digest(cur, "south", "emr", "same", third.seq) is None
        assert objects.find_published_digest(cur, "north", "emr", "other", third.seq) is None
        assert [each.seq for each in objects.by_digest(cur, "north", "emr", "same")] == [first.seq, second.seq]
    assert first.format == "fhir"


def test_a_replay_waits_again_under_the_same_landing_sequence(db: Database) -> None:
    with db.transaction() as cur:
        objects.discover(cur, [found("west/emr/a")])
        ((seq,),) = _seqs(cur)
        assert not replays.replay(cur, seq)  # the tenant is still unknown
        tenants.add_tenant(cur, "west")
        tenants.add_feed(cur, "west", "emr", "fhir")
        assert replays.replay(cur, seq)
        assert not replays.replay(cur, seq)  # it waits already
        assert not replays.replay(cur, seq + 1)
        batch_id = batches.form(cur, "west", max_objects=1, max_bytes=1)
        assert batch_id
        assert [each.seq for each in objects.of_batch(cur, batch_id)] == [seq]


def test_a_published_object_can_be_replayed_and_its_rows_keep_their_master(db: Database) -> None:
    claim = claimed(db, formed(db))
    with db.transaction() as cur:
        (each,) = objects.of_batch(cur, claim.batch_id)
        objects.record_counts(cur, each.seq, plain_digest="d", plain_bytes=1, entries=0, **_NOTHING)
        batches.mark_published(cur, claim)
        assert replays.replay(cur, each.seq)
        assert [row["state"] for row in objects.ledger_rows(cur)] == ["landed"]
        assert [again.seq for again in objects.by_digest(cur, "north", "emr", "d")] == [each.seq]


def test_quarantine_does_not_touch_what_is_published(db: Database) -> None:
    claim = claimed(db, formed(db, 2))
    with db.transaction() as cur:
        first, second = objects.of_batch(cur, claim.batch_id)
        objects.quarantine_object(cur, first.seq, "wrong_key")
        batches.mark_published(cur, claim)
        objects.quarantine_object(cur, second.seq, "wrong_key")
    assert states(db) == ["quarantined", "published"]


def test_a_reason_of_another_level_is_refused(db: Database) -> None:
    land(db, 1)
    with pytest.raises(ValueError, match="gate_failed"), db.transaction() as cur:
        objects.quarantine_object(cur, 1, "gate_failed")


def test_an_unknown_object_is_a_usage_error(db: Database) -> None:
    with pytest.raises(UsageError, match="object 7 does not exist"), db.transaction() as cur:
        objects.get(cur, 7)


_NOTHING = {"accepted": 0, "tombstones": 0, "duplicates": 0, "superseded": 0, "quarantined": 0}


def _seqs(cur: object) -> list[tuple[int]]:
    cur.execute("SELECT seq FROM ops.object ORDER BY seq")  # type: ignore[attr-defined]
    return cur.fetchall()  # type: ignore[attr-defined]
