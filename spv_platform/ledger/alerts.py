"""Incidents that somebody has to hear of, each once, and whether somebody was told.

An incident is a subject (a batch, or a job), a reason code and an episode; see `ops.alert`. No column holds more than
names, codes and times.
"""

from datetime import datetime
from typing import NamedTuple

from spv_platform.ledger.db import Cursor

_UNTOLD = "told_at IS NULL AND dead_at IS NULL"


class Alert(NamedTuple):
    """One incident that is to be told now.

    Attributes:
        attempts: this one included.
    """

    alert_id: str
    tenant: str | None
    batch_id: str | None
    job: str | None
    run_id: str | None
    reason: str
    at: datetime
    attempts: int


def batch_of_run(cur: Cursor, run_id: str, batch_id: str | None) -> str | None:
    """The batch that a run was asked for, else the one that it has or had last; None: no batch that exists."""
    cur.execute(
        "SELECT batch_id FROM ops.batch WHERE batch_id = %s OR (%s IS NULL AND run_id = %s) ORDER BY created_at"
        " LIMIT 1",
        (batch_id, batch_id, run_id),
    )
    row = cur.fetchone()
    return row[0] if row else None


def note_batch(cur: Cursor, batch_id: str, *, job: str, run_id: str, reason: str) -> bool:
    """Note that a run of a batch failed; if the batch is set aside, the ledger's reason counts.

    Returns:
        Whether it is a new incident.
    """
    cur.execute(
        "INSERT INTO ops.alert (subject, reason, episode, tenant, batch_id, job, run_id)"
        " SELECT batch_id, CASE WHEN state = 'set_aside' THEN reason ELSE %s END, budget_from::text, tenant, batch_id,"
        " %s, %s FROM ops.batch WHERE batch_id = %s ON CONFLICT DO NOTHING",
        (reason, job, run_id, batch_id),
    )
    return cur.rowcount > 0


def note_job(cur: Cursor, job: str, tenant: str | None, *, run_id: str, reason: str, episode: str) -> bool:
    """Note that a run without a batch failed.

    Args:
        cur: the transaction.
        job: whose run.
        tenant: whose part of the job's work it was, if it has parts.
        run_id: the run.
        reason: a code.
        episode: the last success before.

    Returns:
        Whether it is a new incident.
    """
    cur.execute(
        "INSERT INTO ops.alert (subject, reason, episode, tenant, job, run_id) VALUES (%s, %s, %s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        (f"{job} {tenant or ''}".rstrip(), reason, episode, tenant, job, run_id),
    )
    return cur.rowcount > 0


def note_set_aside(cur: Cursor) -> int:
    """Note every batch that is set aside, whoever did it; how many are new incidents.

    Not those of removed tenants: a person has decided that.
    """
    cur.execute(
        "INSERT INTO ops.alert (subject, reason, episode, tenant, batch_id, run_id)"
        " SELECT batch_id, reason, budget_from::text, tenant, batch_id, run_id FROM ops.batch"
        " WHERE state = 'set_aside' AND reason <> 'tenant_removed' ON CONFLICT DO NOTHING"
    )
    return cur.rowcount


def take(cur: Cursor, *, hold_s: float) -> Alert | None:
    """Begin to tell the incident that has been due for longest; nobody else takes it before `hold_s` are over.

    Commit before telling: the attempt counts also if this process dies.
    """
    cur.execute(
        "UPDATE ops.alert SET attempts = attempts + 1,"  # noqa: S608  (texts of ours)
        " next_attempt_at = clock_timestamp() + make_interval(secs => %s)"
        f" WHERE alert_id = (SELECT alert_id FROM ops.alert WHERE {_UNTOLD} AND next_attempt_at <= clock_timestamp()"
        " ORDER BY next_attempt_at, at LIMIT 1 FOR UPDATE SKIP LOCKED)"
        " RETURNING alert_id::text, tenant, batch_id, job, run_id, reason, at, attempts",
        (hold_s,),
    )
    row = cur.fetchone()
    return Alert(*row) if row else None


def told(cur: Cursor, alert_id: str, status: str) -> None:
    """Note that somebody was told."""
    cur.execute(
        "UPDATE ops.alert SET told_at = clock_timestamp(), last_status = %s WHERE alert_id = %s AND told_at IS NULL",
        (status, alert_id),
    )


def failed(cur: Cursor, alert_id: str, status: str, *, again_after_s: float | None) -> None:
    """Note that nobody took it; None: it is not tried again."""
    cur.execute(
        "UPDATE ops.alert SET last_status = %s, next_attempt_at = clock_timestamp()"  # noqa: S608  (texts of ours)
        " + make_interval(secs => coalesce(%s, 0)), dead_at = CASE WHEN %s THEN clock_timestamp() END"
        f" WHERE alert_id = %s AND {_UNTOLD}",
        (status, again_after_s, again_after_s is None, alert_id),
    )
