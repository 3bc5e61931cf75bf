"""Where the seconds of the latency benchmark go: from the ledger and from Dagster's event log."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

from spv_platform.pipeline.platform import Platform

_BATCHES = """
    SELECT * FROM (
        SELECT batch.run_id, min(object.found_at), publication.published_at
        FROM ops.batch JOIN ops.object USING (batch_id) JOIN ops.publication USING (batch_id)
        GROUP BY batch.batch_id, publication.published_at
        ORDER BY publication.published_at DESC LIMIT %s
    ) AS newest ORDER BY published_at
"""
_EVENTS = """
    SELECT dagster_event_type, coalesce(step_key, ''), timestamp FROM event_logs
    WHERE run_id = %s AND dagster_event_type IN ('PIPELINE_START', 'STEP_START', 'STEP_SUCCESS') ORDER BY id
"""


def parts(platform: Platform, seconds: Sequence[float]) -> dict[str, list[float]]:
    """What each of the newest batches did with its time, by part; the parts of a batch add up to its seconds.

    Args:
        platform: the installation.
        seconds: from landed to approved, of as many batches as were published last, in order.
    """
    with platform.db.transaction() as cur:
        cur.execute(_BATCHES, (len(seconds),))
        batches = cur.fetchall()
    found: dict[str, list[float]] = defaultdict(list)
    for total, (run_id, found_at, published_at) in zip(seconds, batches, strict=True):
        for name, value in _parts(platform, run_id, total, found_at, published_at).items():
            found[name].append(value)
    return dict(found)


def _parts(
    platform: Platform, run_id: str, total: float, found_at: datetime, published_at: datetime
) -> dict[str, float]:
    with platform.db.transaction() as cur:
        cur.execute(_EVENTS, (run_id,))
        events = {(kind, step): at.replace(tzinfo=UTC) for kind, step, at in cur.fetchall()}
    begun = {step: at for (kind, step), at in events.items() if kind == "STEP_START"}
    # The last step publishes; what it does afterwards nobody waits for.
    steps = {
        step: (min(events.get(("STEP_SUCCESS", step), published_at), published_at) - at).total_seconds()
        for step, at in begun.items()
        if at < published_at
    }
    named = {
        "until it is found": total - (published_at - found_at).total_seconds(),
        "until the run starts": (events["PIPELINE_START", ""] - found_at).total_seconds(),
        **steps,
    }
    return {**named, "between the steps": total - sum(named.values())}
