"""A worker that stands still at a named fault point, once, until it is told to go on.

`python pipeline_stopping_worker.py POINT`
"""

import os
import signal
import sys

from spv_platform import faults
from spv_platform.pipeline.drain import drain
from spv_platform.pipeline.platform import Platform
from spv_platform.settings import load_settings

waiting_for = sys.argv[1:]


def stop_at(name: str, qualifier: object = "") -> None:
    if name in waiting_for:
        waiting_for.remove(name)
        os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    faults.point = stop_at
    drain(Platform(load_settings()))
