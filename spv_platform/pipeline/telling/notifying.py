"""Telling the practices: the relay from the outbox to their receivers, after the commit and never in its way.

Delivered at least once: a row is marked after the receiver took it, so whoever dies in between sends it again, under
the same id.
"""

import random
import time
import uuid
from dataclasses import dataclass
from typing import Any

from spv_platform import faults
from spv_platform.errors import PermanentError, UsageError
from spv_platform.ledger import audit, outbox, practices, tenants
from spv_platform.ledger.outbox import Attempt
from spv_platform.notify.message import DIGEST, body
from spv_platform.notify.post import Outcome, post
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.telling.news import organizations_of
from spv_platform.pipeline.telling.practices import open_secret

#: An attempt that was begun and not ended, because its process died, is made again after so long.
_HOLD_S = 20.0
#: A receiver that failed is left alone for so long.
_PAUSE_S = 30.0
#: The pause after the first failure of a message, four times as long after each further one, up to a day.
_BACK_OFF_S = 30.0
_BACK_OFF_MOST_S = 86_400.0


@dataclass(frozen=True)
class RelayReport:
    """What one relay came to, and how the tenant's news stands after it.

    Attributes:
        sent: messages that receivers took; a digest is one.
        failed: attempts that came to nothing.
        states: number of news by state, as `spv notifications list` names them.
    """

    sent: int
    failed: int
    states: dict[str, int]


def relay(platform: Platform, tenant: str, *, for_s: float | None = None) -> RelayReport:
    """Send what is due for a tenant, the longest waiting first; ends the tenant's first load if it is worked off.

    Any number may do this at the same time: no two have the same message at once.

    Args:
        for_s: begin no further attempt after so many seconds.

    Raises:
        TransientError: the ledger did not answer.
    """
    deadline = None if for_s is None else time.monotonic() + for_s
    with platform.db.transaction() as cur:
        _end_first_load(platform, cur, tenant)
    sent = failed = 0
    while deadline is None or time.monotonic() < deadline:
        with platform.db.transaction() as cur:
            attempt = outbox.take(cur, tenant, hold_s=_HOLD_S + platform.settings.webhook_total_s)
        if attempt is None:
            break
        faults.point("attempt_counted")
        outcome = _send(platform, tenant, attempt)
        _settle(platform, tenant, attempt, outcome)
        sent, failed = sent + outcome.delivered, failed + (not outcome.delivered)
    with platform.db.transaction() as cur:
        return RelayReport(sent, failed, outbox.counts(cur, tenant))


def go_live(platform: Platform, tenant: str, *, who: str) -> bool:
    """End the first load of a tenant by hand; whether it was not over yet.

    Raises:
        UsageError: no such tenant.
    """
    with platform.db.transaction() as cur:
        if not tenants.tenant_exists(cur, tenant):
            raise UsageError(f"tenant {tenant!r} does not exist: see `spv tenant list`")
        ended = outbox.end_first_load(cur, tenant, quiet_s=None)
        if ended:
            outbox.gather(cur, tenant, DIGEST)
            audit.write(cur, who, "notifications live", tenant, "first load ended by hand")
    return ended


def revive(platform: Platform, tenant: str, *, who: str) -> int:
    """Let the dead messages of a tenant be tried again; how many."""
    with platform.db.transaction() as cur:
        revived = outbox.revive(cur, tenant)
        audit.write(cur, who, "notifications retry", tenant, f"{revived} messages")
    return revived


def tenants_due(platform: Platform) -> list[str]:
    """Tenants that a relay has something to do for."""
    with platform.db.transaction() as cur:
        return outbox.tenants_due(cur, quiet_s=platform.settings.first_load_quiet_s)


def notifications(platform: Platform, tenant: str | None = None) -> list[dict[str, Any]]:
    """News with its state, of one tenant or of all, without the person that it is about."""
    with platform.db.transaction() as cur:
        rows = outbox.notification_rows(cur, tenant)
    return [{name: value for name, value in row.items() if name not in ("treated_by", "person")} for row in rows]


def show(platform: Platform, tenant: str, event_id: str, *, who: str) -> list[dict[str, Any]]:
    """What an event's id stands for: the person and the organisations that treated the person; of a digest, each one.

    Raises:
        UsageError: the tenant has no such event.
    """
    try:
        event_id = str(uuid.UUID(event_id.rpartition("/")[2]))
    except ValueError:
        raise UsageError("the id of an event is a UUID, or the link that ends with it: copy it again") from None
    with platform.db.transaction() as cur:
        rows = outbox.notification_rows(cur, tenant, event_id)
        audit.write(cur, who, "notifications show", tenant, event_id)
    if not rows:
        raise UsageError(f"tenant {tenant} has no event {event_id}: see `spv notifications list --tenant {tenant}`")
    return [row | {"treated_by": _told(platform, row)} for row in rows]


def _told(platform: Platform, row: dict[str, Any]) -> list[str]:
    found = organizations_of(platform, row["tenant"], row["event"], row["treated_by"])
    return [f"{source}/{organization}" for source, organization, _ in found]


def _end_first_load(platform: Platform, cur: Any, tenant: str) -> None:
    if outbox.end_first_load(cur, tenant, quiet_s=platform.settings.first_load_quiet_s):
        outbox.gather(cur, tenant, DIGEST)


def _send(platform: Platform, tenant: str, attempt: Attempt) -> Outcome:
    settings = platform.settings
    try:
        secret = open_secret(platform, tenant, attempt.practice, attempt.secret)
    except PermanentError as error:
        return Outcome(error.reason)
    outcome = post(
        attempt.url,
        secret,
        attempt.event_id,
        body(attempt.kind, attempt.event_id, attempt.created_at, settings.notification_link, count=attempt.gathers),
        connect_s=settings.webhook_connect_s,
        total_s=settings.webhook_total_s,
    )
    faults.point("after_post")
    return outcome


def _settle(platform: Platform, tenant: str, attempt: Attempt, outcome: Outcome) -> None:
    with platform.db.transaction() as cur:
        if outcome.delivered:
            outbox.delivered(cur, attempt.event_id, outcome.status)
            return
        spent = attempt.attempts >= platform.settings.webhook_max_attempts
        outbox.failed(cur, attempt, outcome.status, again_after_s=None if spent else _back_off_s(attempt, outcome))
        if outcome.gone:
            practices.disable(cur, tenant, attempt.practice)
        else:
            practices.pause(cur, tenant, attempt.practice, _PAUSE_S)


def _back_off_s(attempt: Attempt, outcome: Outcome) -> float:
    pause = min(_BACK_OFF_S * 4 ** (attempt.attempts - 1), _BACK_OFF_MOST_S)
    # Spread, so that messages that failed together do not all come back together.
    return max(pause * random.uniform(0.8, 1.2), outcome.retry_after_s)  # noqa: S311
