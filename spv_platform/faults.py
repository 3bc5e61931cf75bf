"""Named points at which a test can end the process as a power cut would.

`SPV_FAULT=NAME` makes the process kill itself with SIGKILL at that point. Without the variable a point costs one
dictionary look-up.
"""

import os
import signal

POINTS = ("after_claim", "after_staging", "before_files_added", "after_files_added", "after_commit")
#: Points outside of a batch.
RELAY_POINTS = ("after_post",)


def point(name: str) -> None:
    """Die here if the environment says so."""
    if os.environ.get("SPV_FAULT") == name:
        os.kill(os.getpid(), signal.SIGKILL)
