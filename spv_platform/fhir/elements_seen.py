"""Which elements the resources of an object have, as a sample tells: the paths, never a value.

Of each lot the first resources are looked at, and then each so many. A path is that of FHIR, so it names
nobody: what FHIR does not know has been refused.
"""

import re
from collections import defaultdict
from typing import Any

import msgspec

from spv_platform.fhir.lot import Lot

FIRST = 2
THEN_EACH = 16
#: A string that is a value is passed over: braces and quotes in it are no structure.
_STRUCTURE = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"(?!:)|("\w+":|[{}])')
_NO_STRUCTURE = bytes(set(range(256)) - set(b'{}":'))
#: Structures whose paths are remembered; when there are so many, they are forgotten together.
_MOST_KNOWN = 5_000

#: Reads a number as its text, so that no number is out of range.
_decode = msgspec.json.Decoder(float_hook=str).decode
_known: dict[tuple[str, bytes], frozenset[str]] = {}


class ElementsSeen:
    """Collects the paths of one object's resources."""

    def __init__(self) -> None:
        self._found: defaultdict[str, set[frozenset[str]]] = defaultdict(set)

    @property
    def paths(self) -> set[tuple[str, str]]:
        """(resource type, dotted path) of every element seen."""
        return {(resource_type, path) for resource_type, found in self._found.items() for path in set().union(*found)}

    def look_at(self, lot: Lot) -> None:
        """Look at some resources of a lot, whose elements FHIR knows."""
        numbers = range(len(lot.texts))
        sample = [*numbers[:FIRST], *numbers[FIRST + THEN_EACH - 1 :: THEN_EACH]]
        found = self._found[lot.type]
        if lot.lenient:
            found.update(_paths_of(lot.texts[number], "") for number in sample)
            return
        found.add(frozenset(lot.names) - {"resourceType"})
        for place, (name, (values, codes)) in enumerate(zip(lot.names, lot.columns, strict=True)):
            if not lot.parts[0][place].startswith((b"{", b"[")):
                continue
            for code, number in dict(zip(codes[sample].tolist(), sample, strict=True)).items():
                element = values[code]
                if element.paths is None:
                    element.paths = _paths_of(lot.parts[number][place], name)
                found.add(element.paths)


def _paths_of(text: bytes, at: str) -> frozenset[str]:
    if at and not text.startswith((b"{", b"[")):
        return frozenset((at,))
    # names and braces in their order tell the paths: most of the work is done once a process
    structure = at, _structure(text)
    found = _known.get(structure)
    if found is not None:
        return found
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    try:
        found = frozenset(_paths(_decode(text), at))
    except msgspec.ValidationError:
        return frozenset()  # a whole number of thousands of digits, which Python does not read
    _known[structure] = found
    return found


def _structure(text: bytes) -> bytes:
    if b"\\" in text:
        return b"".join(_STRUCTURE.findall(text))
    between, strings = (parts := text.split(b'"'))[::2], parts[1::2]
    names = [string for string, after in zip(strings, between[1:], strict=True) if after.startswith(b":")]
    return b'"'.join([b'"'.join(between).translate(None, _NO_STRUCTURE), *names])


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
