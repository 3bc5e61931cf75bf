"""Logical column types: from the values at a path to the values of the physical columns.

One function for each type of `lake.tables.PHYSICAL`, giving a tuple in that order. Structs of nested columns are
tuples in the order of their fields: Arrow builds those a hundred times faster than dicts. Functions are called with at
least one value. A value that is not what FHIR says raises a ValueError that does not repeat it.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from spv_platform.fhir.datatypes import Concept, Quantity
from spv_platform.fhir.references import EntryReferences
from spv_platform.fhir.scalars import moment, number

#: Of the values; those of `RESOLVING` need what resolves references.
Convert = Callable[[list[Any], Any], tuple[Any, ...]]

_NO_QUANTITY = (None,) * 7
_GEOLOCATION = "http://hl7.org/fhir/StructureDefinition/geolocation"


def _first(values: list[Any], _: Any) -> tuple[Any, ...]:
    return (values[0],)


def _strings(values: list[Any], _: Any) -> tuple[Any, ...]:
    return (values,)


def _decimal(values: list[Any], _: Any) -> tuple[Any, ...]:
    raw = bytes(values[0])
    return number(raw) if raw else (None, None, None)


def _time(values: list[Any], _: Any) -> tuple[Any, ...]:
    return moment(values[0])


def _period(values: list[Any], _: Any) -> tuple[Any, ...]:
    start, end = _ends(values[0])
    return (
        start and start.text,
        end and end.text,
        start and start.start,
        end and end.end,
        start and start.precision,
        end and end.precision,
    )


def _ends(period: Any) -> tuple[Any, Any]:
    return period.start and moment(period.start), period.end and moment(period.end)


def _codings(values: list[Any], _: Any) -> tuple[Any, ...]:
    return (_all_codings(values),)


def worded_codings(values: list[Any], _: Any) -> tuple[Any, ...]:
    """For a column of codings that has no column for words beside it: words alone stand for a display."""
    return (_all_codings(values, words=True),)


def _reference(values: list[Any], resolve: EntryReferences) -> tuple[Any, ...]:
    return resolve(values[0]) or (None, None, None)


def _references(values: list[Any], resolve: EntryReferences) -> tuple[Any, ...]:
    return ([resolved for value in values if (resolved := resolve(value))] or None,)


def _links(values: list[Any], resolve: EntryReferences) -> tuple[Any, ...]:
    return ([resolved for value in values if (resolved := resolve.link(value))] or None,)


def _quantity(values: list[Any], _: Any) -> tuple[Any, ...]:
    return _parts(values[0])


def _components(values: list[Any], _: Any) -> tuple[Any, ...]:
    return (
        [
            (
                codings_of(component.code),
                codings_of(component.value_codeable_concept),
                *_parts(component.value_quantity),
                component.value_string,
                component.value_integer,
                component.value_boolean,
                component.value_date_time or component.value_time,
                codings_of(component.data_absent_reason, words=True),
                _all_codings(component.interpretation or [], words=True),
            )
            for component in values
        ],
    )


def _component_values(values: list[Any], _: Any) -> tuple[Any, ...]:
    found = [_further(component) for component in values]
    return (found if any(each is not None for each in found) else None,)


def _further(component: Any) -> tuple[Any, ...] | None:
    """What a component has for a value or for words of its code if that is not in `_components`."""
    between, ratio, period = component.value_range, component.value_ratio, component.value_period
    samples, code = component.value_sampled_data, component.code
    words = code.text if code and not code.coding else None
    if not (between or ratio or period or samples or words):
        return None
    return (
        between and _whole(between.low),
        between and _whole(between.high),
        ratio and _whole(ratio.numerator),
        ratio and _whole(ratio.denominator),
        period and period.start,
        period and period.end,
        *_samples(samples),
        words,
    )


def _samples(samples: Any) -> tuple[Any, ...]:
    if samples is None:
        return (None,) * 7
    numbers = (samples.period, samples.factor, samples.lower_limit, samples.upper_limit)
    return (
        samples.data,
        _whole(samples.origin),
        *((number(bytes(each))[1] if bytes(each) else None) for each in numbers),
        samples.dimensions,
    )


def _whole(quantity: Quantity | None) -> tuple[Any, ...] | None:
    return None if quantity is None else _parts(quantity)


def _identifiers(values: list[Any], _: Any) -> tuple[Any, ...]:
    return ([(value.use, _first_code(value.type), value.system, value.value) for value in values],)


def _names(values: list[Any], _: Any) -> tuple[Any, ...]:
    return ([(name.use, name.family, name.given, name.suffix, name.text) for name in values],)


def _addresses(values: list[Any], _: Any) -> tuple[Any, ...]:
    return (
        [
            (address.use, address.line, address.city, address.state, address.postal_code, address.country)
            for address in values
        ],
    )


def _places(values: list[Any], _: Any) -> tuple[Any, ...]:
    return ([_place(address) for address in values],)


def _place(address: Any) -> tuple[Any, ...]:
    inside = {
        part.url: part for each in address.extension or () if each.url == _GEOLOCATION for part in each.extension or ()
    }
    point = tuple(
        _degrees(inside[name].value_decimal) if name in inside else None for name in ("latitude", "longitude")
    )
    named = (address.use, address.type, address.state, address.postal_code, address.country)
    start, end = _ends(address.period) if address.period else (None, None)
    return (*named, *(point if None not in point else (None, None)), start and start.start, end and end.end)


def _degrees(value: Any) -> float | None:
    """A number as it was read, or as its text."""
    if isinstance(value, msgspec.Raw):
        return number(bytes(value))[0] if bytes(value) else None
    return float(value) if value is not None else None


def _telecoms(values: list[Any], _: Any) -> tuple[Any, ...]:
    return ([(contact.use, contact.system, contact.value) for contact in values],)


CONVERT: dict[str, Convert] = {
    "string": _first,
    "strings": _strings,
    "boolean": _first,
    "integer": _first,
    "decimal": _decimal,
    "time": _time,
    "period": _period,
    "codings": _codings,
    "reference": _reference,
    "references": _references,
    "links": _links,
    "quantity": _quantity,
    "components": _components,
    "component_values": _component_values,
    "identifiers": _identifiers,
    "names": _names,
    "addresses": _addresses,
    "places": _places,
    "telecoms": _telecoms,
}
#: Those whose value depends on the object that they stand in.
RESOLVING = frozenset({_reference, _references, _links})


def codings_of(concept: Concept | None, *, words: bool = False) -> list[tuple[Any, ...]] | None:
    """The codings of a concept; if it has none, and its words are asked for, these stand for a display."""
    return _all_codings([concept], words=words) if concept else None


def _all_codings(concepts: list[Concept], *, words: bool = False) -> list[tuple[Any, ...]] | None:
    found: list[tuple[Any, ...]] = []
    for concept in concepts:
        if concept.coding:
            found += [(coding.system, coding.code, coding.display) for coding in concept.coding]
        elif concept.code or concept.system or concept.display:
            found.append((concept.system, concept.code, concept.display))
        elif words and concept.text:
            found.append((None, None, concept.text))
    return found or None


def _first_code(concept: Concept | None) -> str | None:
    return next((coding.code for coding in (concept.coding or ()) if coding.code), None) if concept else None


def _parts(quantity: Quantity | None) -> tuple[Any, ...]:
    if quantity is None:
        return _NO_QUANTITY
    raw = bytes(quantity.value)
    value, text, scale = number(raw) if raw else (None, None, None)
    return (value, text, scale, quantity.comparator, quantity.unit, quantity.system, quantity.code)
