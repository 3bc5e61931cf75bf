"""The practices that are told about approvals: where, for which organisations, and whether their receiver wants it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from spv_platform.errors import UsageError
from spv_platform.ledger.db import Cursor, rows_as_dicts


class Practice(NamedTuple):
    """One practice; `secret` is sealed."""

    practice: str
    url: str
    organizations: list[str]
    secret: bytes


def lock(cur: Cursor, tenant: str) -> None:
    """Keep commits of the tenant out until this transaction ends, so that each routes by the practices before or after.

    Raises:
        UsageError: no such tenant.
    """
    cur.execute("SELECT 1 FROM ops.tenant WHERE tenant = %s AND removed_at IS NULL FOR UPDATE", (tenant,))
    if cur.fetchone() is None:
        raise UsageError(f"tenant {tenant!r} does not exist: see `spv tenant list`")


def put(cur: Cursor, tenant: str, practice: Practice) -> None:
    """Add a practice, or change it; one whose receiver wanted no more is told again.

    Raises:
        UsageError: another practice stands for one of the organisations.
    """
    for known in practices(cur, tenant):
        taken = sorted(set(known.organizations) & set(practice.organizations))
        if taken and known.practice != practice.practice:
            raise UsageError(
                f"practice {known.practice!r} stands for {taken[0]} already: one organization, one practice"
            )
    cur.execute(
        "INSERT INTO ops.practice (tenant, practice, url, organizations, secret) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (tenant, practice) DO UPDATE SET url = excluded.url, organizations = excluded.organizations,"
        " secret = excluded.secret, disabled_at = NULL, paused_until = '-infinity'",
        (tenant, *practice),
    )


def remove(cur: Cursor, tenant: str, practice: str) -> None:
    """Forget a practice and its secret.

    Raises:
        UsageError: there is none.
    """
    cur.execute("DELETE FROM ops.practice WHERE tenant = %s AND practice = %s", (tenant, practice))
    if not cur.rowcount:
        raise UsageError(f"tenant {tenant} has no practice {practice!r}: see `spv practice list --tenant {tenant}`")


def practices(cur: Cursor, tenant: str) -> list[Practice]:
    """The practices of a tenant, sorted by name."""
    cur.execute(
        "SELECT practice, url, organizations, secret FROM ops.practice WHERE tenant = %s ORDER BY practice", (tenant,)
    )
    return [Practice(*row) for row in cur.fetchall()]


def routes(cur: Cursor, tenant: str) -> dict[str, str]:
    """The practice that stands for each organisation, also those whose receivers are disabled: their news waits."""
    return {name: item.practice for item in practices(cur, tenant) for name in item.organizations}


def pause(cur: Cursor, tenant: str, practice: str, seconds: float) -> None:
    """Leave a receiver alone for a while."""
    cur.execute(
        "UPDATE ops.practice SET paused_until = clock_timestamp() + make_interval(secs => %s)"
        " WHERE tenant = %s AND practice = %s",
        (seconds, tenant, practice),
    )


def disable(cur: Cursor, tenant: str, practice: str) -> None:
    """Send nothing more to a practice until it is added again."""
    cur.execute(
        "UPDATE ops.practice SET disabled_at = clock_timestamp() WHERE tenant = %s AND practice = %s",
        (tenant, practice),
    )


def practice_rows(cur: Cursor, tenants: Sequence[str]) -> list[dict[str, Any]]:
    """Practices for display: address, organisations, state, and what was delivered, waits and is dead."""
    cur.execute(
        "SELECT p.tenant, p.practice, p.url, p.organizations,"
        " CASE WHEN p.disabled_at IS NOT NULL THEN 'disabled' ELSE 'active' END AS state,"
        " count(o.event_id) FILTER (WHERE o.delivered_at IS NOT NULL) AS delivered,"
        " count(o.event_id) FILTER (WHERE o.delivered_at IS NULL AND o.dead IS NULL) AS waiting,"
        " count(o.event_id) FILTER (WHERE o.dead IS NOT NULL) AS dead"
        " FROM ops.practice p LEFT JOIN (SELECT o.*, coalesce(o.dead_at, d.dead_at) AS dead FROM ops.outbox o"
        "   LEFT JOIN ops.outbox d ON d.event_id = o.digest_id WHERE o.kind <> 'digest') o USING (tenant, practice)"
        " WHERE p.tenant = ANY(%s) GROUP BY p.tenant, p.practice ORDER BY p.tenant, p.practice",
        (list(tenants),),
    )
    return rows_as_dicts(cur)
