"""Waiting until a running platform has worked through what landed; for the demo, benchmarks and end-to-end tests."""

import time
from collections.abc import Callable, Collection

from spv_platform.errors import UsageError
from spv_platform.ledger import batches, objects
from spv_platform.ledger.criteria import newest as newest_criteria
from spv_platform.pipeline.platform import Platform

#: Object states that end the platform's work on an object, until a person decides otherwise.
FINAL = frozenset({"published", "quarantined", "set_aside", "rejected"})
_OPEN = frozenset({"formed", "claimed", "staged"})


def wait_for(
    platform: Platform,
    landed: Collection[str],
    *,
    timeout_s: float,
    criteria: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Wait until all objects are in a final state and no batch is open.

    Args:
        landed: objects as the ledger names them, `bucket/key@version`.
        timeout_s: patience.
        criteria: wait also until trial criteria have been read.
        progress: called with the number of objects that are final.

    Raises:
        UsageError: not within the time; says how many are missing and where to look.
    """
    wanted = set(landed)
    deadline = time.monotonic() + timeout_s
    while True:
        with platform.db.transaction() as cur:
            states = {row["object"]: row["state"] for row in objects.ledger_rows(cur)}
            read = not criteria or newest_criteria(cur) is not None
            open_batches = [row for row in batches.batch_rows(cur) if row["state"] in _OPEN]
        final = sum(states.get(name) in FINAL for name in wanted)
        progress(final)
        if final == len(wanted) and read and not open_batches:
            return
        if time.monotonic() > deadline:
            raise UsageError(
                f"after {timeout_s:.0f} s {len(wanted) - final} of {len(wanted)} objects and {len(open_batches)}"
                f" batches are not done: look at `spv ledger`, the Dagster UI, and {platform.settings.home / 'logs'}"
            )
        time.sleep(0.2)
