"""FHIR R4 data types as the columns need them: msgspec structs with the elements that are read, and no others.

A reader skips every element that is not named here. Elements are optional: what must be there is the contract's
business. A wrong JSON type is a `msgspec.ValidationError` that names the place.
"""

from typing import Annotated

import msgspec

Text = str | None
#: A list of primitives may hold nulls where an element has only extensions.
Texts = list[str | None] | None
Integer = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class Coding(msgspec.Struct, gc=False):
    """Coding."""

    system: Text = None
    code: Text = None
    display: Text = None


class Concept(Coding, gc=False):
    """CodeableConcept, or a Coding in its place."""

    coding: list[Coding] | None = None
    text: Text = None


class Quantity(msgspec.Struct, gc=False):
    """Quantity and its profiles. The value keeps its text; empty: none."""

    value: msgspec.Raw = msgspec.Raw()
    comparator: Text = None
    unit: Text = None
    system: Text = None
    code: Text = None


class Period(msgspec.Struct, gc=False):
    """Period."""

    start: Text = None
    end: Text = None


class Range(msgspec.Struct, gc=False):
    """Range."""

    low: Quantity | None = None
    high: Quantity | None = None


class Ratio(msgspec.Struct, gc=False):
    """Ratio."""

    numerator: Quantity | None = None
    denominator: Quantity | None = None


class SampledData(msgspec.Struct, gc=False):
    """SampledData."""

    origin: Quantity | None = None
    data: Text = None
    period: msgspec.Raw = msgspec.Raw()
    factor: msgspec.Raw = msgspec.Raw()
    lower_limit: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="lowerLimit")
    upper_limit: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="upperLimit")
    dimensions: Integer | None = None


class Identifier(msgspec.Struct, gc=False):
    """Identifier."""

    use: Text = None
    type: Concept | None = None
    system: Text = None
    value: Text = None


class Reference(msgspec.Struct, gc=False):
    """Reference."""

    reference: Text = None
    type: Text = None
    identifier: Identifier | None = None
    display: Text = None


class HumanName(msgspec.Struct, gc=False):
    """HumanName."""

    use: Text = None
    family: Text = None
    given: Texts = None
    suffix: Texts = None
    text: Text = None


class Extension(msgspec.Struct, gc=False):
    """Extension with a number, or with extensions. The number keeps its text; empty: none."""

    url: Text = None
    value_decimal: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="valueDecimal")
    extension: "list[Extension] | None" = None


class Address(msgspec.Struct, gc=False):
    """Address."""

    use: Text = None
    type: Text = None
    line: Texts = None
    city: Text = None
    state: Text = None
    postal_code: Text = msgspec.field(default=None, name="postalCode")
    country: Text = None
    period: Period | None = None
    extension: list[Extension] | None = None


class ContactPoint(msgspec.Struct, gc=False):
    """ContactPoint."""

    use: Text = None
    system: Text = None
    value: Text = None


class Component(msgspec.Struct, gc=False, rename="camel"):
    """Observation.component."""

    code: Concept | None = None
    value_codeable_concept: Concept | None = None
    value_quantity: Quantity | None = None
    value_string: Text = None
    value_integer: Integer | None = None
    value_boolean: bool | None = None
    value_time: Text = None
    value_date_time: Text = None
    value_range: Range | None = None
    value_ratio: Ratio | None = None
    value_period: Period | None = None
    value_sampled_data: SampledData | None = None
    data_absent_reason: Concept | None = None
    interpretation: list[Concept] | None = None
