"""What an entry's refusal carries through the package: reason codes and JSON pointers, never values."""

import re
from collections.abc import Iterable

import msgspec

from spv_platform.fhir.contract import Problem

_PLACE = re.compile(r" - at `\$([^`]*)`$")
_PART = re.compile(r"\.(\w+)|\[(\d+)\]")


class EntryRefusedError(Exception):
    """An entry goes to quarantine.

    Args:
        problems: at least one; pointers are relative to the entry's resource, empty for the entry itself.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(", ".join(sorted({problem.reason for problem in self.problems})))


def refused(reason: str, pointer: str = "") -> EntryRefusedError:
    """A refusal for one reason."""
    return EntryRefusedError([Problem(reason, pointer)])


def pointer_of(error: msgspec.ValidationError) -> str:
    """JSON pointer of a msgspec error, whose path has only names of our own structs."""
    place = _PLACE.search(str(error))
    return "".join(f"/{part[1] or part[2]}" for part in _PART.finditer(place[1])) if place else ""
