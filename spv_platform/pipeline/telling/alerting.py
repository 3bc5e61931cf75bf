"""Alerts: somebody is told of each incident once, however many attempts fail, and of nothing that is in the data."""

import json
import logging
import time
from dataclasses import dataclass

from spv_platform.errors import UsageError
from spv_platform.ledger import alerts
from spv_platform.ledger.alerts import Alert
from spv_platform.notify.post import Outcome, check_url, post
from spv_platform.pipeline.platform import Platform
from spv_platform.reasons import REASONS
from spv_platform.settings import Settings

log = logging.getLogger(__name__)

#: An attempt whose process died is made again after so long.
_HOLD_S = 60.0
#: The pause after the first failure, twice as long after each further one, up to the second number.
_BACK_OFF_S = (10.0, 3600.0)


@dataclass(frozen=True)
class FailedRun:
    """A run that failed.

    Attributes:
        tenant: whose part of the job's work it was, if it has parts.
        batch_id: which batch it was asked for, if any.
        reason: a code.
        last_success: the job's last run that succeeded before, for this tenant; empty: none.
    """

    run_id: str
    job: str
    tenant: str | None
    batch_id: str | None
    reason: str
    last_success: str


def note_failed_run(platform: Platform, run: FailedRun) -> bool:
    """Note a failed run; whether it is a new incident.

    Raises:
        TransientError: the ledger did not answer.
    """
    with platform.db.transaction() as cur:
        batch_id = alerts.batch_of_run(cur, run.run_id, run.batch_id)
        if batch_id:
            return alerts.note_batch(cur, batch_id, job=run.job, run_id=run.run_id, reason=run.reason)
        return alerts.note_job(cur, run.job, run.tenant, run_id=run.run_id, reason=run.reason, episode=run.last_success)


def tell(platform: Platform, *, for_s: float) -> tuple[int, int]:
    """Note the batches that are set aside, and tell every incident that is due; how many were told, how many not.

    Any number may do this at the same time. Each incident is one line in the log. It is posted too if there is an
    address; if nobody takes it there, it is tried again after a growing pause, as often as a notification is.

    Args:
        platform: the installation.
        for_s: begin with no further one after so many seconds.

    Raises:
        TransientError: the ledger did not answer.
    """
    settings = platform.settings
    deadline = time.monotonic() + for_s
    sent = failed = 0
    with platform.db.transaction() as cur:
        alerts.note_set_aside(cur)
    while time.monotonic() < deadline:
        with platform.db.transaction() as cur:
            alert = alerts.take(cur, hold_s=_HOLD_S + settings.webhook_total_s)
        if alert is None:
            break
        if alert.attempts == 1:
            log.warning("alert %s: %s", alert.alert_id, _line(alert))
        outcome = _post(settings, alert)
        with platform.db.transaction() as cur:
            if outcome.delivered:
                alerts.told(cur, alert.alert_id, outcome.status)
            else:
                alerts.failed(cur, alert.alert_id, outcome.status, again_after_s=_pause_s(settings, alert, outcome))
        sent, failed = sent + outcome.delivered, failed + (not outcome.delivered)
    return sent, failed


def body(settings: Settings, alert: Alert) -> bytes:
    """What is posted: where it happened, why, and what to do."""
    reason = REASONS[alert.reason]
    ui = settings.ui_url.rstrip("/") or f"http://127.0.0.1:{settings.webserver_port}"
    data = {
        "id": alert.alert_id,
        "tenant": alert.tenant,
        "batch": alert.batch_id,
        "reason": alert.reason,
        "meaning": reason.meaning,
        "next_step": reason.next_step,
        "job": alert.job,
        "run": alert.run_id,
        "link": f"{ui}/runs/{alert.run_id}" if alert.run_id else ui,
        "at": alert.at.isoformat(),
    }
    return json.dumps({"type": "platform.incident", "timestamp": data["at"], "data": data}).encode()


def _post(settings: Settings, alert: Alert) -> Outcome:
    if not settings.alert_url:
        return Outcome("logged", delivered=True)
    try:
        check_url(settings.alert_url)
        return post(
            settings.alert_url,
            settings.alert_secret,
            alert.alert_id,
            body(settings, alert),
            connect_s=settings.webhook_connect_s,
            total_s=settings.webhook_total_s,
        )
    except UsageError:
        return Outcome("bad_settings")


def _pause_s(settings: Settings, alert: Alert, outcome: Outcome) -> float | None:
    if alert.attempts >= settings.webhook_max_attempts:
        log.error("alert %s reached nobody (%s): correct SPV_ALERT_URL", alert.alert_id, outcome.status)
        return None
    first, longest = _BACK_OFF_S
    return max(min(first * 2 ** (alert.attempts - 1), longest), outcome.retry_after_s)


def _line(alert: Alert) -> str:
    named = {"tenant": alert.tenant, "batch": alert.batch_id, "job": alert.job, "run": alert.run_id}
    where = ", ".join(f"{name} {value}" for name, value in named.items() if value)
    return f"{alert.reason}: {where}. {REASONS[alert.reason].next_step}"
