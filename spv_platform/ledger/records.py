"""States of patient records: the ones in force, and the candidates of a batch that is not published yet.

A record is known by its HMAC; its state is sealed bytes, opaque here.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from psycopg2.extras import execute_values

from spv_platform.errors import LeaseLostError
from spv_platform.ledger import claims
from spv_platform.ledger.claims import Claim
from spv_platform.ledger.db import Cursor

_PAGE = 500


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


_SELECT = "SELECT record, person_id, has_patient, blocks, state, seq FROM ops.record_state WHERE tenant = %s"


def read_records(cur: Cursor, tenant: str, records: Sequence[bytes]) -> list[StoredRecord]:
    """Those of the records that exist, by record."""
    cur.execute(_SELECT + " AND record = ANY(%s::bytea[]) ORDER BY record", (tenant, list(records)))
    return [StoredRecord(*row) for row in cur.fetchall()]


def find_by_blocks(cur: Cursor, tenant: str, blocks: Sequence[bytes]) -> list[StoredRecord]:
    """The records that have any of the blocks, by record."""
    return around(cur, tenant, blocks, [])


def persons(cur: Cursor, tenant: str, person_ids: Sequence[str]) -> list[StoredRecord]:
    """The records of these persons, by record."""
    return around(cur, tenant, [], person_ids)


def around(cur: Cursor, tenant: str, blocks: Sequence[bytes], person_ids: Sequence[str]) -> list[StoredRecord]:
    """The records that have any of the blocks or belong to any of the persons, by record."""
    cur.execute(
        _SELECT + " AND (blocks && %s::bytea[] OR person_id = ANY(%s::text[])) ORDER BY record",
        (tenant, list(blocks), list(person_ids)),
    )
    return [StoredRecord(*row) for row in cur.fetchall()]


def all_records(cur: Cursor, tenant: str) -> Iterator[StoredRecord]:
    """Every record of the tenant, by record, read page by page.

    The transaction must not pause between pages for longer than a lease. Under the publish lease nothing changes
    meanwhile.
    """
    after = b""
    while True:
        cur.execute(_SELECT + " AND record > %s ORDER BY record LIMIT %s", (tenant, after, _PAGE))
        page = [StoredRecord(*row) for row in cur.fetchall()]
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].record


def put_candidates(cur: Cursor, held: Claim, rows: Iterable[StoredRecord]) -> int:
    """Set the states that the batch will bring, in place of those of an earlier preparation; how many.

    Raises:
        LeaseLostError: the batch is not this try's any more.
    """
    # Without a lock: candidates of a lost try are never read, and the commit looks again.
    cur.execute(
        "SELECT 1 FROM ops.batch WHERE batch_id = %s AND attempt = %s AND run_id = %s"
        " AND state IN ('claimed', 'staged')",
        (held.batch_id, held.attempt, held.run_id),
    )
    if cur.fetchone() is None:
        raise LeaseLostError(f"batch {held.batch_id}")
    cur.execute("DELETE FROM ops.candidate_record WHERE batch_id = %s", (held.batch_id,))
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
