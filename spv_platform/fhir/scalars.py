"""FHIR's own scalar values: times as intervals, numbers with their text.

Nothing is guessed: a date has no zone, a month has no day, and what was sent stays beside what it means.
Errors are ValueErrors without the value.
"""

import math
import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

_TIME = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T\d\d:\d\d:(\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d))?)?)?", re.ASCII)
#: Beyond it a scale is of no use, and must not be too great for its column.
_MOST_SCALE = 10**6
#: Of an exponent; with more it is beyond all scales.
_MOST_DIGITS = 18
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
#: The last moment that has one behind it: an interval is never empty.
_LATEST = datetime.max - timedelta(microseconds=1)


class Moment(NamedTuple):
    """A date, dateTime or instant.

    Attributes:
        text: as sent; the only place where digits beyond the microsecond are kept.
        start: begin of the half-open interval [start, end) it stands for, naive. With a zone: UTC; a date: calendar
            time, since it has no zone.
        end: end of the interval; clipped to the last microsecond of year 9999.
        precision: year, month, day, second or subsecond.
    """

    text: str
    start: datetime
    end: datetime
    precision: str


@lru_cache(maxsize=4096)  # one visit has one time, at everything that was done in it
def moment(text: str) -> Moment:
    """Read a FHIR R4 date, dateTime or instant.

    A time needs seconds and a zone, as R4 says; 24:00 does not exist; a leap second is the first second of the
    next minute.

    Raises:
        ValueError: it is none of them, or no such day exists.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError("not a FHIR time")
    year, month, day, second, fraction, zone = match.groups()
    if month is None:
        start = datetime(int(year), 1, 1)
        return Moment(text, start, datetime(start.year + 1, 1, 1) if start.year < 9999 else datetime.max, "year")
    if day is None:
        start = datetime(int(year), int(month), 1)
        return Moment(text, start, _next_month(start), "month")
    if second is None:
        start = datetime(int(year), int(month), int(day))
        return Moment(text, start, _shifted(start, _DAY), "day")
    if second == "60":
        start = _shifted(datetime.fromisoformat(f"{text[:17]}59"), _SECOND)
    else:
        start = datetime.fromisoformat(text[:19])
    if zone != "Z":
        start = min(_shifted(start, -_offset(zone)), _LATEST)
    if fraction is None:
        return Moment(text, start, _shifted(start, _SECOND), "second")
    start = _shifted(start, timedelta(microseconds=int(fraction[:6].ljust(6, "0"))))
    step = timedelta(microseconds=10 ** max(0, 6 - len(fraction)))
    return Moment(text, start, _shifted(start, step), "subsecond")


def instant(text: str) -> datetime:
    """Read a FHIR R4 instant: naive UTC.

    Raises:
        ValueError: it is none, or only a date.
    """
    found = moment(text)
    if found.precision not in ("second", "subsecond"):
        raise ValueError("not a FHIR instant")
    return found.start


@lru_cache(maxsize=4096)
def number(raw: bytes) -> tuple[float | None, str, int]:
    """A JSON number as float, as sent, and its scale: of 1.50 it is 2, of 1e3 it is -3.

    The float is None where it would be infinite, or nothing of the number would be left.

    Raises:
        ValueError: not a JSON number.
    """
    if raw[:1] not in b"-0123456789" or not raw:
        raise ValueError("not a number")
    value = float(raw)
    digits, _, exponent = raw.lower().partition(b"e")
    # Python reads no number of thousands of digits
    size = int(exponent or 0) if len(exponent) < _MOST_DIGITS else int(exponent[:1] + b"9" * _MOST_DIGITS)
    scale = len(digits.partition(b".")[2]) - size
    lost = not math.isfinite(value) or (value == 0 and digits.strip(b"-0."))
    return None if lost else value, raw.decode("ascii"), max(-_MOST_SCALE, min(scale, _MOST_SCALE))


def _next_month(start: datetime) -> datetime:
    if start.month < 12:
        return start.replace(month=start.month + 1)
    return datetime(start.year + 1, 1, 1) if start.year < 9999 else datetime.max


@lru_cache(maxsize=256)
def _offset(zone: str) -> timedelta:
    hours, minutes = int(zone[1:3]), int(zone[4:])
    offset = timedelta(hours=hours, minutes=minutes)
    if minutes > 59 or offset > timedelta(hours=14):
        raise ValueError("no such zone")
    return -offset if zone[0] == "-" else offset


def _shifted(start: datetime, by: timedelta) -> datetime:
    try:
        return start + by
    except OverflowError:
        return datetime.max if by > timedelta(0) else datetime.min
