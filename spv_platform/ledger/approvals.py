"""Who is approved for which cohort, and since when. The news of it is in `outbox`."""

import uuid
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from psycopg2.extras import Json, execute_values

from spv_platform.ledger.db import Cursor

_NAMESPACE = uuid.UUID("0c3f5f4e-6b1d-5b0e-9c6e-3f0b6a1d7e52")


class Verdict(NamedTuple):
    """What matching says about a person and a cohort; `evidence` holds pointers and codes, nothing personal."""

    person_id: str
    trial: str
    cohort: str
    approved: bool
    evidence: Any


class Approval(NamedTuple):
    """An approval in force, or one that was withdrawn; `since_seq` is the publication that changed it last."""

    person_id: str
    trial: str
    cohort: str
    status: str
    since_seq: int
    event_id: str
    evidence: Any


def event_id(tenant: str, person_id: str, trial: str, cohort: str) -> str:
    """The name of the approval of this person for this cohort: the same at every repetition."""
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join((tenant, person_id, trial, cohort))))


def current(cur: Cursor, tenant: str, person_ids: Sequence[str]) -> list[Approval]:
    """What is known of these persons, approved or withdrawn."""
    cur.execute(
        "SELECT person_id, trial, cohort, status, since_seq, event_id::text, evidence FROM ops.approval"
        " WHERE tenant = %s AND person_id = ANY(%s::text[]) ORDER BY person_id, trial, cohort",
        (tenant, list(person_ids)),
    )
    return [Approval(*row) for row in cur.fetchall()]


def persons(cur: Cursor, tenant: str) -> list[str]:
    """Everybody who has an approval in force."""
    cur.execute("SELECT DISTINCT person_id FROM ops.approval WHERE tenant = %s AND status = 'approved'", (tenant,))
    return [person_id for (person_id,) in cur.fetchall()]


def apply(cur: Cursor, tenant: str, seq: int, rows: Iterable[Verdict]) -> list[Approval]:
    """Bring verdicts in force, under the publish lease. One that approves nobody new or withdraws nothing says nothing.

    Persons and cohorts that no row names stay as they are.

    Returns:
        The approvals that are new, by person, trial and cohort: never approved before, or approved again.
    """
    verdicts = {(row.person_id, row.trial, row.cohort): row for row in rows}
    before = {
        (known.person_id, known.trial, known.cohort): known
        for known in current(cur, tenant, sorted({person_id for person_id, _, _ in verdicts}))
    }
    changed: list[Approval] = []
    fresh: list[Approval] = []
    for key, verdict in sorted(verdicts.items()):
        known = before.get(key)
        if known is None and not verdict.approved:
            continue
        status = "approved" if verdict.approved else "withdrawn"
        same = known is not None and known.status == status
        since_seq = known.since_seq if known and same else seq
        approval = Approval(*key, status, since_seq, event_id(tenant, *key), verdict.evidence)
        if approval != known:
            changed.append(approval)
        if verdict.approved and not same:
            fresh.append(approval)
    execute_values(
        cur,
        "INSERT INTO ops.approval (tenant, person_id, trial, cohort, status, since_seq, event_id, evidence) VALUES %s"
        " ON CONFLICT (tenant, person_id, trial, cohort) DO UPDATE SET status = excluded.status,"
        " since_seq = excluded.since_seq, evidence = excluded.evidence",
        [(tenant, *approval[:-1], Json(approval.evidence)) for approval in changed],
        template="(%s, %s, %s, %s, %s, %s, %s::uuid, %s)",
        page_size=1000,
    )
    return fresh
