"""Where FHIR R4 is stricter than the models of `fhir.resources`: a walk over a resource along its type's elements.

The list is closed: `RULES` names every difference, and a test holds the two against each other. What belongs here:
rules that the models do not know. What does not: what they know already (names, cardinality, the form of dates).
"""

import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from spv_platform.fhir.elements import MODEL_ONLY, Element, by_name


class Problem(NamedTuple):
    """Why a resource was refused: a reason code, and a JSON pointer from the resource's root that names no value."""

    reason: str
    pointer: str


#: Each difference between this contract and the models, with where FHIR R4 says so.
RULES: dict[str, str] = {
    "nul_character": "A text has the character U+0000, written out or escaped (Data Types, string).",
    "repeated_key": "A name comes twice in one object (JSON representation; RFC 8259, 4).",
    "null_value": "A property is null; only lists of primitives have nulls, beside an extension (JSON representation).",
    "empty_element": "An object, a list or a text is empty (JSON representation).",
    "wrong_json_type": "A number or boolean stands as a string, a number for a text, 7.0 for a whole number (JSON"
    " representation).",
    "not_in_value_set": "A code is none of the required value set that the models list (Terminologies).",
    "wrong_reference_target": "A reference points to a type that the element does not take (References).",
    "id_too_long": "An id has more than 64 characters (Data Types, id).",
    "value_and_extensions": "An extension has a value and extensions (ext-1).",
    "nested_contained": "A contained resource contains another (dom-2).",
    "several_choices": "Two types are chosen for one element, as valueString beside valueInteger or _valueInteger"
    " (Formats, [x]).",
    "unknown_element": "An element is called `fhir_comments` or `resource_type`, as only the models do.",
    "unknown_resource_type": "A resource is of an abstract type, or of one that R4B added (Resource Index of R4).",
    "primitive_extension": "The value of an extension has an id or extensions, with a value or without, or a required"
    " choice has only these (JSON representation, primitive elements). The models have no place for it: it is taken.",
    "r4_only_type": "A type of R4 without a usable model is taken by its shape; the rules without a model hold.",
}

_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "decimal": (int, Decimal),
    "integer": (int,),
    "positiveInt": (int,),
    "unsignedInt": (int,),
}
_TEXT = (str,)
_VALUE = re.compile("value(?!Set$)")
_MAX_ID = 64
_EMPTY: tuple[object, ...] = ({}, [], "")
_TARGET = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.\-]*://.*/)?([A-Z][A-Za-z]+)(?:\?.*|/[A-Za-z0-9\-.]{1,64}(?:/_history/.*)?)", re.DOTALL
)


def broken(model: Any, resource: dict[str, Any], base: str = "") -> Iterator[Problem]:
    """The rules that a resource or an element breaks.

    Args:
        model: of its type; None: a type of R4 without one.
        resource: as read, with a `Decimal` for every number that has a point or an exponent.
        base: JSON pointer of it.
    """
    elements = by_name(model) if model else {}
    for name, value in resource.items():
        if name in MODEL_ONLY:
            yield Problem("unknown_element", base)
            continue
        element = elements.get(name)
        # the name of what no type has is the sender's, and may say something
        at = f"{base}/{name}" if element else base
        if value is None:
            yield Problem("null_value", at)
        elif value in _EMPTY:
            yield Problem("empty_element", at)
        elif element is None:
            yield from _shapeless(value, base)
        elif element.many and isinstance(value, list):
            yield from _many(element, value, resource, at)
        else:
            yield from _one(element, value, at)
    is_extension = resource.get("url") if model is None else model.__name__ == "Extension"
    if is_extension and "extension" in resource and any(map(_VALUE.match, resource)):
        yield Problem("value_and_extensions", base)
    chosen = Counter(
        element.choice
        for name in {name.removeprefix("_") for name in resource}
        if (element := elements.get(name)) and element.choice
    )
    for choice, number in chosen.items():
        if number > 1:
            yield Problem("several_choices", f"{base}/{choice}[x]")


def _shapeless(value: Any, base: str) -> Iterator[Problem]:
    """Of what has no model only the rules of JSON are known."""
    if isinstance(value, dict):
        yield from broken(None, value, base)
    elif isinstance(value, list):
        for part in value:
            yield from _shapeless(part, base)


def _many(element: Element, values: list[Any], parent: dict[str, Any], at: str) -> Iterator[Problem]:
    beside = parent.get(element.name[1:] if element.name.startswith("_") else f"_{element.name}")
    others = beside if isinstance(beside, list) else []
    if element.gaps and others and len(others) != len(values):
        yield Problem("null_value", at)
    for number, value in enumerate(values):
        place = f"{at}/{number}"
        if value is None:
            if not element.gaps or number >= len(others) or others[number] is None:
                yield Problem("null_value", place)
        elif value in _EMPTY:
            yield Problem("empty_element", place)
        else:
            yield from _one(element, value, place)


def _one(element: Element, value: Any, at: str) -> Iterator[Problem]:
    if element.primitive:
        yield from _primitive(element, value, at)
    elif element.model and isinstance(value, dict):
        yield from broken(element.model, value, at)
        if element.targets and not _points_right(value, element.targets):
            yield Problem("wrong_reference_target", f"{at}/reference")


def _primitive(element: Element, value: Any, at: str) -> Iterator[Problem]:
    kinds = _JSON_TYPES.get(element.primitive or "", _TEXT)
    if type(value) not in kinds:
        yield Problem("wrong_json_type", at)
        return
    if element.codes and value not in element.codes:
        yield Problem("not_in_value_set", at)
    if element.primitive == "id" and len(value) > _MAX_ID:
        yield Problem("id_too_long", at)


def _points_right(reference: dict[str, Any], targets: frozenset[str]) -> bool:
    text = reference.get("reference")
    target = _TARGET.fullmatch(text) if isinstance(text, str) else None
    return target is None or target[1] in targets


def page() -> str:
    """The documentation of the contract, as Markdown."""
    rules = "\n".join(f"| `{code}` | {meaning} |" for code, meaning in RULES.items())
    return _PAGE.format(rules=rules)


_PAGE = """# The contract

Made by `spv docs contract` from the code; `make docs` writes it anew.

Every resource must be FHIR R4. What that means is read off the models of `fhir.resources` for R4B, the nearest set they
have: which elements a type has, how often, of which type, what is required, which types of one element exclude each
other, which codes and which targets of references are possible, and the form of dates, ids and codes.

It is checked twice. Structs derived from the models take what is surely valid, at the speed of a JSON parser. What they
do not take goes to the models themselves, which say what is wrong: a reason code (`docs/reason-codes.md`) and a JSON
pointer, never a value. A name that FHIR does not know is a value too: the pointer ends before it.

What is set aside is the entry; its neighbours are not touched. `spv quarantine list` has it.

What is wrong with a Bundle itself sets aside the whole object: no JSON to its end, a name that Bundles do not have or
that comes twice, a timestamp that is no time. Texts of `uri`, `url`, `uuid`, `base64Binary` and `xhtml` are checked as
far as the models do, which is little; types without a model by their shape only.

## Where FHIR is not what the models say

The models take some things that FHIR refuses, and lack some types of R4. This list is closed. Beside it, what R4B has
beyond R4 is taken (extensions with a RatioRange or a CodeableReference), and what its models lack is not (`valueMeta`).
Extensions of a Bundle and of its entries, which are no part of a resource, are not kept, and `implicitRules` says
nothing here.

| rule | what it is, and where FHIR says so |
|---|---|
{rules}

Tests hold structs and models against each other on the official examples, on Synthea, on mCODE and on resources that
are spoiled at random: what the structs take, the second opinion takes.

## Official examples that break it

Of the 699 official examples of R4 these are set aside; the others land, but for the Bundles below.

| example | why |
|---|---|
| DeviceMetric-example | `wrong_reference_target` at `/parent/reference` |
| DeviceUseStatement-example | `wrong_reference_target` at `/reasonReference/0/reference` |
| MedicationRequest-medrx0301 | `wrong_reference_target` at `/dispenseRequest/performer/reference` |
| Observation-clinical-gender | `wrong_reference_target` at `/performer/0/reference` |
| OrganizationAffiliation-orgrole1 | `wrong_reference_target` at `/network/0/reference` |
| Questionnaire-qs1 | `missing_element` at `/item/0/item/0/linkId` |

| Bundle | why it, or some of its entries, are set aside |
|---|---|
| Bundle-72ac8493-52ac-41bd-8d5d-7258c289b5ea | `nested_bundle`: every entry is a Bundle itself |
| Bundle-bundle-request-medsallergies | `no_resource`: every entry asks for something |
| Bundle-bundle-request-simplesummary | `no_resource`: every entry asks for something |
| Bundle-bundle-response | `unsupported_bundle_type`: it answers a transaction |
| Bundle-bundle-response-medsallergies | `unsupported_bundle_type`: it answers a batch |
| Bundle-bundle-response-simplesummary | `unsupported_bundle_type`: it answers a batch |
| Bundle-bundle-transaction | `invalid_delete`, `no_resource`: a delete by a search, two entries that ask |
"""
