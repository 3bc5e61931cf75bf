"""How a sender names objects over time: what tells a look at the landing bucket where new ones are to be expected.

A layout is `any`, or a strftime pattern (UTC) with which every name below `<tenant>/<feed>/` begins, and which sorts by
time. It is a matter of speed only: the sweep finds objects whatever their names.
"""

import re
from datetime import UTC, datetime

ANY = "any"
#: How `spv send` names objects, to the second.
SENT = "%Y/%m/%d/%H%M%S"

_ALLOWED = re.compile(r"(?:[A-Za-z0-9/_.=-]|%[YmdHMSj])+")
#: One after the other; each part of a time grows once while all smaller ones fall.
_SERIES = [
    datetime(*parts, tzinfo=UTC)
    for parts in (
        (2026, 1, 1, 0, 0, 59),
        (2026, 1, 1, 0, 1, 0),
        (2026, 1, 1, 0, 59, 0),
        (2026, 1, 1, 9, 0, 0),
        (2026, 1, 1, 10, 0, 0),
        (2026, 1, 1, 23, 59, 59),
        (2026, 1, 9, 0, 0, 0),
        (2026, 1, 10, 0, 0, 0),
        (2026, 1, 31, 0, 0, 0),
        (2026, 9, 1, 0, 0, 0),
        (2026, 10, 1, 0, 0, 0),
        (2026, 12, 31, 0, 0, 0),
        (2027, 1, 1, 0, 0, 0),
    )
]


def problem(layout: str) -> str | None:
    """What is wrong with a layout, or None."""
    if layout == ANY:
        return None
    if "%Y" not in layout or not _ALLOWED.fullmatch(layout):
        return "neither `any` nor a pattern of %Y %m %d %j %H %M %S, letters, digits and / _ . = -"
    names = [beginning(layout, moment) for moment in _SERIES]
    return None if names == sorted(names) else "names would not sort by time: put the year first and seconds last"


def beginning(layout: str, moment: datetime) -> str:
    """What a name of that moment begins with; of `any`, as `spv send` would name it."""
    return moment.astimezone(UTC).strftime(SENT if layout == ANY else layout)
