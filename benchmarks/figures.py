"""What a benchmark says: one figure, with its unit, the machine, and the peers measured in the same run."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        figure: what was measured, in words.
        unit: of the value and of the peers' values.
        cores: of the machine.
        peak_mb: most resident memory of the process that did the work, 10^6 bytes; None where it was not looked at.
        peers: other ways to do the work, or a part of it, by name.
    """

    figure: str
    value: float
    unit: str
    cores: int = field(default_factory=cores)
    peak_mb: float | None = None
    peers: Mapping[str, float] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """For print: every number to four digits that count; nothing here is known better."""
        peak_mb = None if self.peak_mb is None else round(self.peak_mb)
        peers = {name: _rounded(value) for name, value in self.peers.items()}
        return {**asdict(self), "value": _rounded(self.value), "peak_mb": peak_mb, "peers": peers}


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of the values do not exceed (nearest rank); no interpolation between measurements.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("no values")
    rank = max(1, -int(-share * len(values) // 1))
    return sorted(values)[rank - 1]


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
