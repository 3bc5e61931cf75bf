"""States of patient records: the ones in force, and the candidates of a batch that is not published yet.

A record is known by its HMAC; its state is sealed bytes, opaque here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from psycopg2.extras import execute_values

from spv_platform.errors import LeaseLostError
from spv_platform.ledger import claims
from spv_platform.ledger.claims import Claim
from spv_platform.ledger.db import Cursor

_PAGE = 500
#: Follows every name that has the same beginning.
_LAST = b"\xff" * 16
_CANDIDATES = "ops.candidate_record WHERE batch_id = %s AND attempt = %s"


class StoredRecord(NamedTuple):
    """One record.

    Attributes:
        record: HMAC of (source, patient id).
        person_id: the person it is linked to.
        has_patient: whether its Patient resource is known, and not only resources that refer to it.
        blocks: HMACs by which records of one person find each other.
        state: sealed facts.
        seq: the publication that wrote it; 0 for a candidate.
    """

    record: bytes
    person_id: str | None
    has_patient: bool
    blocks: list[bytes]
    state: bytes
    seq: int = 0


@dataclass(frozen=True)
class Shelf:
    """Records to read from; see `in_force`, `unlinked` and `linked`.

    Attributes:
        source: the table, and the condition that chooses its records.
        values: of the condition.
        seq: the column that says which publication wrote a record.
    """

    source: str
    values: tuple[str | int, ...]
    seq: str = "0"

    def read(self, cur: Cursor, names: Sequence[bytes]) -> list[StoredRecord]:
        """Those of the records that exist, by record."""
        return self._rows(cur, "record = ANY(%s::bytea[])", list(names))

    def around(self, cur: Cursor, blocks: Sequence[bytes], person_ids: Sequence[str]) -> list[StoredRecord]:
        """The records that have any of the blocks or belong to any of the persons, by record."""
        if not person_ids:
            return self._rows(cur, "blocks && %s::bytea[]", list(blocks))
        return self._rows(cur, "(blocks && %s::bytea[] OR person_id = ANY(%s::text[]))", list(blocks), list(person_ids))

    def page(self, cur: Cursor, after: bytes, *, max_records: int, max_bytes: int) -> list[bytes]:
        """Names of the records that follow one, in order: up to both limits, of which the second is on sealed bytes.

        At least one if there are any.
        """
        cur.execute(
            f"SELECT record, octet_length(state) FROM {self.source}"  # noqa: S608  (text of ours)
            " AND record > %s ORDER BY record LIMIT %s",
            (*self.values, after, max_records),
        )
        found = cur.fetchall()
        totals = accumulate(size for _, size in found)
        within = [record for (record, _), total in zip(found, totals, strict=True) if total <= max_bytes]
        return within or [record for record, _ in found[:1]]

    def _rows(self, cur: Cursor, condition: str, *values: list[bytes] | list[str]) -> list[StoredRecord]:
        cur.execute(
            f"SELECT record, person_id, has_patient, blocks, state, {self.seq} FROM {self.source}"  # noqa: S608  (texts of ours)
            f" AND {condition} ORDER BY record",
            (*self.values, *values),
        )
        return [StoredRecord(*row) for row in cur.fetchall()]


def in_force(tenant: str) -> Shelf:
    """The records of a tenant as they were published last."""
    return Shelf("ops.record_state WHERE tenant = %s", (tenant,), "seq")


def count(cur: Cursor, tenant: str) -> tuple[int, int]:
    """How many records are in force, and how many persons with a Patient resource they are."""
    cur.execute(
        "SELECT count(*), count(DISTINCT person_id) FILTER (WHERE has_patient) FROM ops.record_state WHERE tenant = %s",
        (tenant,),
    )
    (row,) = cur.fetchall()
    return row


def beginning(cur: Cursor, tenant: str, beginnings: Iterable[bytes]) -> list[StoredRecord]:
    """The records in force whose names have any of the beginnings, which are of one length, by record."""
    cur.execute(
        "SELECT record, person_id, has_patient, blocks, state, seq FROM unnest(%s::bytea[]) AS beginning"
        " JOIN ops.record_state ON tenant = %s AND record >= beginning AND record <= beginning || %s ORDER BY record",
        (sorted(set(beginnings)), tenant, _LAST),
    )
    return [StoredRecord(*row) for row in cur.fetchall()]


def unlinked(held: Claim) -> Shelf:
    """The candidates of a try that have no person yet."""
    return Shelf(f"{_CANDIDATES} AND person_id IS NULL", (held.batch_id, held.attempt))


def linked(held: Claim) -> Shelf:
    """The candidates of a try that have a person."""
    return Shelf(f"{_CANDIDATES} AND person_id IS NOT NULL", (held.batch_id, held.attempt))


def put_candidates(cur: Cursor, held: Claim, rows: Iterable[StoredRecord]) -> int:
    """Set the states that the batch will bring, in place of those of an earlier preparation; how many.

    Raises:
        LeaseLostError: the batch is not this try's any more.
    """
    _check(cur, held)
    cur.execute("DELETE FROM ops.candidate_record WHERE batch_id = %s", (held.batch_id,))
    return _add(cur, held, rows)


def add_candidates(cur: Cursor, held: Claim, rows: Iterable[StoredRecord]) -> int:
    """Add to the states that the batch will bring, or replace some of them; how many.

    Raises:
        LeaseLostError: the batch is not this try's any more.
    """
    _check(cur, held)
    return _add(cur, held, rows)


def candidates(cur: Cursor, held: Claim) -> list[StoredRecord]:
    """The candidates of this try, by record."""
    cur.execute(
        "SELECT record, person_id, has_patient, blocks, state FROM ops.candidate_record"
        " WHERE batch_id = %s AND attempt = %s ORDER BY record",
        (held.batch_id, held.attempt),
    )
    return [StoredRecord(*row) for row in cur.fetchall()]


def commit_candidates(cur: Cursor, held: Claim, seq: int) -> int:
    """Put this try's candidates in force, and forget those of all tries of the batch; how many records changed.

    Part of the commit, before `batches.mark_published`.

    Raises:
        LeaseLostError: the batch is not this try's any more.
    """
    claims.check(cur, held)
    cur.execute(
        "INSERT INTO ops.record_state (tenant, record, person_id, has_patient, blocks, state, seq)"
        " SELECT tenant, record, person_id, has_patient, blocks, state, %s FROM ops.candidate_record"
        " WHERE batch_id = %s AND attempt = %s ORDER BY record"
        " ON CONFLICT (tenant, record) DO UPDATE SET person_id = excluded.person_id,"
        " has_patient = excluded.has_patient, blocks = excluded.blocks, state = excluded.state, seq = excluded.seq",
        (seq, held.batch_id, held.attempt),
    )
    changed = cur.rowcount
    cur.execute("DELETE FROM ops.candidate_record WHERE batch_id = %s", (held.batch_id,))
    return changed


def forget_others(cur: Cursor, held: Claim) -> int:
    """Take away the tenant's records that are not among this try's candidates; how many.

    Part of the commit of a rebuild, before `commit_candidates`.

    Raises:
        LeaseLostError: the batch is not this try's any more.
    """
    claims.check(cur, held)
    cur.execute(
        "DELETE FROM ops.record_state AS old WHERE tenant = %s AND NOT EXISTS (SELECT FROM ops.candidate_record AS new"
        " WHERE new.batch_id = %s AND new.attempt = %s AND new.record = old.record)",
        (held.tenant, held.batch_id, held.attempt),
    )
    return cur.rowcount


def _check(cur: Cursor, held: Claim) -> None:
    # Without a lock: candidates of a lost try are never read, and the commit looks again.
    cur.execute(
        "SELECT 1 FROM ops.batch WHERE batch_id = %s AND attempt = %s AND run_id = %s"
        " AND state IN ('claimed', 'staged')",
        (held.batch_id, held.attempt, held.run_id),
    )
    if cur.fetchone() is None:
        raise LeaseLostError(f"batch {held.batch_id}")


def _add(cur: Cursor, held: Claim, rows: Iterable[StoredRecord]) -> int:
    sent = execute_values(
        cur,
        "INSERT INTO ops.candidate_record (tenant, batch_id, attempt, record, person_id, has_patient, blocks, state)"
        " VALUES %s ON CONFLICT (batch_id, attempt, record) DO UPDATE SET person_id = excluded.person_id,"
        " has_patient = excluded.has_patient, blocks = excluded.blocks, state = excluded.state RETURNING 1",
        (
            (
                held.tenant,
                held.batch_id,
                held.attempt,
                row.record,
                row.person_id,
                row.has_patient,
                row.blocks,
                row.state,
            )
            for row in {row.record: row for row in rows}.values()
        ),
        template="(%s, %s, %s, %s, %s, %s, %s::bytea[], %s)",
        page_size=_PAGE,
        fetch=True,
    )
    return len(sent)
