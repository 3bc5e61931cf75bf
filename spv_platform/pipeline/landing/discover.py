"""Finding what has landed, and turning it into batches.

The ledger knows an object by (bucket, key, version), so two objects in one second, an overwritten key and a key that
sorts before the last one are each found once: nothing depends on the order of finding. Messages of the store, where a
queue is configured, and looks at its listing are the quick ways; the sweep finds whatever they miss.
"""

import logging
import time

from spv_platform import faults
from spv_platform.errors import TransientError
from spv_platform.ledger import admission, batches
from spv_platform.ledger.batches import DueBatch
from spv_platform.pipeline.landing import events
from spv_platform.pipeline.platform import Platform

log = logging.getLogger(__name__)

#: Open batches of one tenant beyond which what lands waits and makes the next batch larger: that is the back-pressure.
MAX_OPEN_BATCHES = 2
#: Beside the messages of a queue the bucket is looked at so often.
LIST_EVERY_S = 20.0


def discover(platform: Platform) -> int:
    """Enter what has landed into the ledger, as much of it as one look finds; how many object versions were new.

    Raises:
        TransientError: the store or the ledger did not answer.
    """
    new = 0
    if platform.settings.landing_queue_url:
        try:
            new = events.receive(platform).new
        except TransientError as error:
            log.warning("%s: the bucket is looked at instead", error)
        else:
            if time.monotonic() < platform.looks.listed_s + LIST_EVERY_S:
                return new
    return new + platform.looks.look()


def form_batches(platform: Platform) -> list[DueBatch]:
    """Form batches of what waits, and list every batch that is to be requested from Dagster now.

    A tenant's next batch is formed once few of its batches are open, so batches grow with the backlog; and no tenant
    has all places, so each has its turn. A batch is committed before anybody is asked to run it; one whose run never
    claimed it, or died, is listed again with a higher attempt.
    """
    settings = platform.settings
    with platform.db.transaction() as cur:
        admission.form_in_turn(
            cur,
            max_open=settings.max_open_batches,
            max_open_per_tenant=max(1, min(MAX_OPEN_BATCHES, settings.max_open_batches - 1)),
            max_objects=settings.batch_max_objects,
            max_bytes=settings.batch_max_bytes,
        )
        due = batches.due(cur, retry_after_s=settings.lease_s, max_attempts=settings.max_attempts)
        for batch in due:
            batches.mark_requested(cur, batch.batch_id)
        if due:
            faults.point("batches_formed")
    if due:
        faults.point("batches_requested")
    return due
