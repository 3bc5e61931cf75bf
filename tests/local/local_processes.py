"""What of a home still runs."""

from pathlib import Path

import psutil

from spv_platform.local.process import MARK


def left_of(home: Path) -> list[int]:
    """Live processes whose command, folder or environment names the home."""
    found = []
    for process in psutil.process_iter():
        try:
            told = [*process.cmdline(), process.cwd(), process.environ().get(MARK, "")]
            if any(str(home) in text for text in told) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found
