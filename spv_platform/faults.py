"""Named points at which a test can end the process as a power cut would.

`SPV_FAULT=NAME` makes the process kill itself with SIGKILL at that point; `NAME:QUALIFIER` only where it is about that
table, gate or object; with `@3` at the end only the third time. Without the variable a point costs one dictionary
look-up.
"""

import itertools
import os
import signal

#: In the order in which a batch and what follows it pass them.
POINTS = (
    "listed",  # a page of the landing bucket is read, nothing of it is in the ledger
    "entered",  # it is in the ledger
    "batches_formed",  # in a transaction that is not committed
    "batches_requested",  # committed, and nobody has been asked to run them
    "after_claim",
    "downloaded",  # each object
    "opened",  # each object
    "parsed",  # each object
    "file_staged",  # each table
    "after_staging",
    "gate_passed",  # each gate
    "before_files_added",
    "table_added",  # each table
    "after_files_added",
    "before_commit",
    "after_commit",
    "base_files_written",  # each table that is compacted, and its version is not made
    "base_written",  # each table
    "bases_pinned",
    "attempt_counted",  # of a notification, which is not sent
    "after_post",
    "history_stored",  # and the cursor has not moved
    "file_deleted",  # each file of an abandoned attempt, or that the retention deletes
)

_passed = itertools.count(1)


def point(name: str, qualifier: object = "") -> None:
    """Die here if the environment says so."""
    wanted = os.environ.get("SPV_FAULT")
    if wanted is None:
        return
    place, _, occurrence = wanted.partition("@")
    if place in (name, f"{name}:{qualifier}") and next(_passed) == int(occurrence or 1):
        os.kill(os.getpid(), signal.SIGKILL)
