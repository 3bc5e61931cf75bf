"""Working through everything that waits in one process, without Dagster: for drills, benchmarks and tests.

`python -m spv_platform.pipeline.drain` works through what waits in the home that `$SPV_HOME` names.
"""

import time
import uuid

from spv_platform.errors import SpvError
from spv_platform.ledger import batches
from spv_platform.pipeline.claims import hold
from spv_platform.pipeline.landing.discover import form_batches
from spv_platform.pipeline.landing.sweep import sweep
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.publish import publish_batch
from spv_platform.pipeline.upkeep.compact import compact_batch
from spv_platform.settings import load_settings


def drain(platform: Platform) -> int:
    """Sweep, and process batches until none waits or is held by anybody; how many were published.

    A batch that is held by another worker, dead or alive, is waited for.
    """
    published = 0
    sweep(platform)
    while True:
        found = form_batches(platform)
        for due in found:
            published += process(platform, due)
        if found:  # what was published may have made further objects wait
            continue
        with platform.db.transaction() as cur:
            states = {row["state"] for row in batches.batch_rows(cur)}
        if not states & {"formed", "claimed", "staged"}:
            return published
        time.sleep(0.05)


def process(platform: Platform, due: batches.DueBatch) -> bool:
    """Carry one batch through all stages; whether it was published."""
    run_id = str(uuid.uuid4())
    try:
        with hold(platform, run_id, due.tenant, due.batch_id) as holding:
            if holding is None:
                return False
            if due.kind == "compact":
                compact_batch(platform, holding)
            else:
                publish_batch(platform, holding)
            return True
    except SpvError:  # the ledger knows what becomes of the batch
        return False


if __name__ == "__main__":
    drain(Platform(load_settings()))
