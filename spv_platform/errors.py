"""The failure classes of the platform. Which class an error has decides what happens next.

`PermanentError` never heals by itself: quarantine it, or fail the run once. `TransientError` is worth another try.
Messages carry codes, places and counts, never data: an exception's text ends up in logs and event stores.
"""

from collections.abc import Mapping
from typing import Any


class SpvError(Exception):
    """Base of all errors that the platform raises on purpose.

    Args:
        reason: a code of `spv_platform.reasons.REASONS`.
        place: where, without data: an object's ledger number, an entry, a JSON pointer.
    """

    #: What the ledger keeps beside the reason: codes, places and counts.
    details: Mapping[str, Any] | None = None

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(f"{reason} at {place}" if place else reason)
        self.reason = reason
        self.place = place


class PermanentError(SpvError):
    """Trying again gives the same result."""


class TransientError(SpvError):
    """Trying again may work: an outside system was away or slow."""


class LeaseLostError(SpvError):
    """Another worker has taken over; stop without writing anything."""

    def __init__(self, place: str = "") -> None:
        super().__init__("lease_lost", place)


class UsageError(Exception):
    """The user asked for something that cannot be done; the text says what was wrong, where, and what to do."""
