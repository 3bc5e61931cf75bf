"""The elements of FHIR's types, read off the models of `fhir.resources`: the one place that knows how those say it.

What belongs here: which elements a type has, how often, of which type, from which value set, pointing to what. What
does not: what is done with a resource that does not keep to it.
"""

from functools import cache
from types import NoneType
from typing import Annotated, Any, NamedTuple, get_args, get_origin

#: Fields of the models that stand in no resource.
MODEL_ONLY = frozenset({"fhir_comments", "resource_type"})
_UNFINISHED = "+"
#: The value sets of R4 that the models break off after some codes, by type and element.
_FINISHED: dict[tuple[str, str], frozenset[str]] = {
    (type_, element): frozenset(codes.split())
    for types, element, codes in (
        (
            "DetectedIssue Observation RiskAssessment",
            "status",
            "registered preliminary final amended corrected cancelled entered-in-error unknown",
        ),
        (
            "DiagnosticReport",
            "status",
            "registered partial preliminary final amended corrected appended cancelled entered-in-error unknown",
        ),
        (
            "Encounter EncounterStatusHistory",
            "status",
            "planned arrived triaged in-progress onleave finished cancelled entered-in-error unknown",
        ),
        ("DeviceUseStatement", "status", "active completed entered-in-error intended stopped on-hold"),
        ("DeviceUdiCarrier", "entryType", "barcode rfid manual card self-reported unknown"),
        ("SupplyRequest", "status", "draft active suspended cancelled completed entered-in-error unknown"),
        (
            "Task",
            "status",
            "draft requested received accepted rejected ready cancelled in-progress on-hold failed completed"
            " entered-in-error",
        ),
    )
    for type_ in types.split()
}
#: Value sets that the models lack, or list although others may be used (none).
_OTHERWISE: dict[tuple[str, str], frozenset[str]] = {
    ("CapabilityStatement", "format"): frozenset(),
    ("Expression", "language"): frozenset(),
    **{
        (type_, "comparator"): frozenset({"<", "<=", ">=", ">"})
        for type_ in ("Age", "Count", "Distance", "Duration", "Quantity")
    },
}


class Element(NamedTuple):
    """One element of a type.

    Attributes:
        name: as in JSON.
        many: whether it is a list.
        gaps: whether that list may hold nulls, which keep the place of a primitive that has extensions only.
        primitive: FHIR's name of the primitive type; None: it is no primitive.
        model: of the type; None: a primitive, or any resource (`contained`).
        required: whether it must be there, or for a primitive its extension.
        choice: name of the choice that it belongs to; None: of none.
        chosen: whether one of that choice must be there.
        codes: the value set that its codes must be of; None: it has none that is known.
        targets: the resource types that a reference may point to; None: any.
    """

    name: str
    many: bool
    gaps: bool
    primitive: str | None
    model: Any
    required: bool
    choice: str | None
    chosen: bool
    codes: frozenset[str] | None
    targets: frozenset[str] | None


@cache
def elements_of(model: Any) -> tuple[Element, ...]:
    """All elements of a type, without `resourceType`."""
    found = []
    for field, info in model.model_fields.items():
        if field in MODEL_ONLY:
            continue
        extra = info.json_schema_extra or {}
        many, gaps, primitive, type_ = _type_of(info.annotation)
        codes = frozenset(extra.get("enum_values", ()))
        if _UNFINISHED in codes:
            codes = _FINISHED.get((model.__name__, field), frozenset())
        codes = _OTHERWISE.get((model.__name__, field), codes)
        targets = frozenset(extra.get("enum_reference_types", ()))
        found.append(
            Element(
                name=info.alias or field,
                many=many,
                gaps=gaps,
                primitive=primitive,
                model=type_,
                required=info.is_required() or bool(extra.get("element_required")),
                choice=extra.get("one_of_many"),
                chosen=bool(extra.get("one_of_many_required")),
                codes=codes or None,
                targets=None if "Resource" in targets else targets or None,
            )
        )
    if model.__name__ == "Extension":
        found += _beside_values(found)
    return tuple(found)


@cache
def by_name(model: Any) -> dict[str, Element]:
    """All elements of a type by their names."""
    return {element.name: element for element in elements_of(model)}


def _beside_values(found: list[Element]) -> list[Element]:
    """What may stand beside the primitive values of an Extension: the models have it for every type but this one."""
    from fhir.resources.R4B.fhirprimitiveextension import FHIRPrimitiveExtension

    values = [element for element in found if element.choice and element.primitive]
    return [
        element._replace(name=f"_{element.name}", primitive=None, model=FHIRPrimitiveExtension, choice=None, codes=None)
        for element in values
    ]


@cache
def names_below(model: Any) -> frozenset[str]:
    """The names of all elements at any depth of a type: what of a sender's names says nothing of a person."""
    names, seen, open_ = set[str](), set[Any](), [model]
    while open_:
        each = open_.pop()
        if each in seen:
            continue
        seen.add(each)
        for element in elements_of(each):
            names.add(element.name)
            if element.model:
                open_.append(element.model)
    return frozenset(names)


def _type_of(annotation: Any) -> tuple[bool, bool, str | None, Any]:
    """Whether many, whether with gaps, the primitive type, the model."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        named = [part.__visit_name__ for part in parts if hasattr(part, "__visit_name__")]
        return False, False, named[0] if named else "", None
    if origin is list:
        _, _, primitive, model = _type_of(parts[0])
        return True, NoneType in get_args(parts[0]), primitive, model
    if parts:
        (annotation,) = (part for part in parts if part is not NoneType)
        return _type_of(annotation)
    if annotation is bool:
        return False, False, "boolean", None
    if not hasattr(annotation, "get_model_klass") or annotation._model_klass.endswith((".Resource", ".Element")):
        return False, False, None, None
    return False, False, None, annotation.get_model_klass()
