"""What the extensions of resources say: their urls, and which elements they stand for."""

import json
from typing import Any

import msgspec

from spv_platform.fhir.lot import NO_EXTENSIONS, Lot, Resource
from spv_platform.fhir.structs import EXTENSIONS
from spv_platform.fhir.texts import may_extend
from spv_platform.lake.describe import MODIFIER

#: Reads a number as its text, so that no number is out of range.
_any_decoder = msgspec.json.Decoder(float_hook=str)

_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"

#: What extensions say, see `extensions_of`.
Extensions = tuple[list[str] | None, list[tuple[str, str]] | None]
NOTHING_SAID: Extensions = (None, None)


def extensions_in(lot: Lot) -> list[Extensions]:
    """What the extensions of each resource of a lot say, see `extensions_of`."""
    if lot.lenient:
        return [extensions_of(text) for text in lot.texts]
    if all(value.extensions is NO_EXTENSIONS for column in lot.columns for value in column.values):
        return [NOTHING_SAID] * len(lot.texts)
    return [extensions_of(text, lot.resource(number)) for number, text in enumerate(lot.texts)]


def extensions_of(text: bytes, resource: Resource | None = None) -> Extensions:
    """What the extensions of a resource say, at any depth; None when there is nothing.

    Args:
        text: its JSON text.
        resource: as `contract.read` gave it; None: it did not.

    Returns:
        Every url, sorted, with repetitions; the elements that are absent for a reason: JSON pointer and reason, sorted.
    """
    if not may_extend(text):
        return NOTHING_SAID
    urls: list[str] = []
    absent: list[tuple[str, str]] = []
    if resource is None:
        _collect(_read_any(text), "", urls, absent)
    else:
        for name, part, element in zip(resource.names, resource.texts, resource.elements, strict=True):
            if element.extensions is None:
                element.extensions = [], []
                if name in EXTENSIONS or may_extend(part):
                    _collect({name: _read_any(part)}, "", *element.extensions)
            urls += element.extensions[0]
            absent += element.extensions[1]
    return sorted(urls) or None, sorted(absent) or None


def _read_any(text: bytes) -> Any:
    try:
        return _any_decoder.decode(text)
    except msgspec.ValidationError:  # a whole number of more digits than Python reads
        return json.loads(text, parse_int=str, parse_float=str)


def _collect(value: Any, at: str, urls: list[str], absent: list[tuple[str, str]]) -> None:
    if isinstance(value, list):
        for number, part in enumerate(value):
            _collect(part, f"{at}/{number}", urls, absent)
    elif isinstance(value, dict):
        for name, part in value.items():
            if name in EXTENSIONS and isinstance(part, list):
                for one in part:
                    if isinstance(one, dict) and isinstance(url := one.get("url"), str):
                        urls.append(url if name == "extension" else f"{MODIFIER}{url}")
                        if url == _ABSENT and isinstance(reason := one.get("valueCode"), str):
                            absent.append((at, reason))
            _collect(part, f"{at}/{name.removeprefix('_')}", urls, absent)
