"""Which elements the resources of an object have, as a sample tells: the paths, never a value.

Of each type the first resources of an object are looked at, and then each so many. A path is that of FHIR, so it names
nobody: what FHIR does not know has been refused.
"""

import re
from collections import Counter
from typing import Any

import msgspec

_FIRST = 10
_THEN_EACH = 8
#: A string that is a value is passed over: braces and quotes in it are no structure.
_STRUCTURE = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"(?!:)|("\w+":|[{}])')
#: Structures whose paths are remembered; when there are so many, they are forgotten together.
_MOST_KNOWN = 5_000

# numbers as text: none is out of range
_decode = msgspec.json.Decoder(float_hook=str).decode
_known: dict[bytes, frozenset[str]] = {}


class ElementsSeen:
    """Collects the paths of one object's resources."""

    def __init__(self) -> None:
        self._found: set[tuple[str, frozenset[str]]] = set()
        self._counts: Counter[str] = Counter()

    @property
    def paths(self) -> set[tuple[str, str]]:
        """(resource type, dotted path) of every element seen."""
        return {(resource_type, path) for resource_type, paths in self._found for path in paths}

    def look(self, resource_type: str, text: bytes) -> None:
        """Look at a resource, or pass it over.

        Args:
            resource_type: of R4, with elements that FHIR knows.
            text: its compact JSON.
        """
        count = self._counts[resource_type]
        self._counts[resource_type] = count + 1
        if count >= _FIRST and count % _THEN_EACH:
            return
        # names and braces in their order tell the paths: most of the work is done once a process
        structure = b"".join(_STRUCTURE.findall(text))
        found = _known.get(structure)
        if found is None:
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            found = _known[structure] = frozenset(_paths(_decode(text), ""))
        self._found.add((resource_type, found))


def _paths(value: Any, at: str) -> set[str]:
    if isinstance(value, list):
        return set().union(*(_paths(part, at) for part in value))
    if not isinstance(value, dict):
        return {at}
    found = {at} if at else set()
    for name, part in value.items():
        if at or name != "resourceType":
            found |= _paths(part, f"{at}.{name}" if at else name)
    return found
