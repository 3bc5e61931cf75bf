"""Whether a resource is FHIR R4: one seam, whose inside may change while reasons and pointers stay.

Inside are the models of `fhir.resources` for R4B, the nearest set it has, behind structs derived from them (`structs`)
that take what is surely valid a hundred times as fast; the models judge the rest. What that means:

- Types of R4 that R4B dropped or changed beyond recognition (`BY_SHAPE`) are taken by their shape: an object of a known
  type. Types that R4B added are refused, R4 has none such.
- Contained resources are checked one by one; handed over inside their container, a type without a model is a KeyError.
- Where FHIR is stricter than the models, the closed list of `rules` says so.
"""

import json
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, NoReturn

from spv_platform.fhir.elements import by_name, names_below
from spv_platform.fhir.lot import Lot, Resource
from spv_platform.fhir.references import ID
from spv_platform.fhir.rules import Problem, broken
from spv_platform.fhir.structs import Takers

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

#: Changes whenever the verdict on any resource may change.
CONTRACT_VERSION = "r4b-models-8"

#: Most problems told of one resource; the rest say nothing new.
MAX_PROBLEMS = 16

#: R4 types without a usable R4B model.
BY_SHAPE = frozenset(
    {
        "EffectEvidenceSynthesis",
        "Evidence",
        "EvidenceVariable",
        "MedicinalProduct",
        "MedicinalProductAuthorization",
        "MedicinalProductContraindication",
        "MedicinalProductIndication",
        "MedicinalProductIngredient",
        "MedicinalProductInteraction",
        "MedicinalProductManufactured",
        "MedicinalProductPackaged",
        "MedicinalProductPharmaceutical",
        "MedicinalProductUndesirableEffect",
        "RiskEvidenceSynthesis",
        "SubstanceNucleicAcid",
        "SubstancePolymer",
        "SubstanceProtein",
        "SubstanceReferenceInformation",
        "SubstanceSourceMaterial",
        "SubstanceSpecification",
    }
)
#: Kinds of error of the models -> reason codes; others break FHIR in some way that has no code of its own.
_REASONS = {
    "missing": "missing_element",
    "model_field_validation.missing": "missing_element",
    "extra_forbidden": "unknown_element",
    "list_type": "wrong_json_type",
    "string_type": "wrong_json_type",
    "model_validation_format": "wrong_json_type",
}
_NOT_R4 = frozenset(
    {
        "AdministrableProductDefinition",
        "Citation",
        "ClinicalUseDefinition",
        "DomainResource",
        "EvidenceReport",
        "Ingredient",
        "ManufacturedItemDefinition",
        "MedicinalProductDefinition",
        "NutritionProduct",
        "PackagedProductDefinition",
        "RegulatedAuthorization",
        "Resource",
        "SubscriptionStatus",
        "SubscriptionTopic",
        "SubstanceDefinition",
    }
)


_ID = re.compile(ID)
#: Digits up to which a whole number is read as one: Python reads no more than some thousands, and FHIR's have ten.
_MOST_DIGITS = 100


#: By primitive type, a value that stands for one which is absent for a reason; of others a dash.
_SOME: dict[str, Any] = {
    **dict.fromkeys(("date", "dateTime"), "2000"),
    "instant": "2000-01-01T00:00:00Z",
    "time": "00:00:00",
    "boolean": True,
    **dict.fromkeys(("decimal", "integer", "positiveInt", "unsignedInt"), 1),
}


class _RefusedError(Exception):
    """JSON that FHIR does not allow: a repeated key, or a number that is none. Its text is the reason code."""


def is_known(resource_type: str) -> bool:
    """Whether FHIR R4 has such a resource type."""
    return resource_type in BY_SHAPE or model_of(resource_type) is not None


def read(resource_type: str, text: bytes) -> Resource | None:
    """A resource that is surely valid, read: see `read_all`."""
    return _takers.take(resource_type, text)


def read_all(resource_type: str, texts: Sequence[bytes]) -> Iterator[tuple[Lot, list[int]]]:
    """The resources that are surely valid, read, with their numbers: see `structs.Takers.take_all`.

    Of the others ask for the `second_opinion`.

    Args:
        resource_type: the resources' own resourceType.
        texts: their JSON texts; if one has a backslash, without blanks between the tokens.
    """
    return _takers.take_all(resource_type, texts)


def derive(resource_type: str) -> None:
    """Make now what reading a type takes."""
    _takers.derive(resource_type)


def second_opinion(resource_type: str, text: bytes) -> list[Problem]:
    """All that is wrong with one resource, at most `MAX_PROBLEMS`; empty when it is valid.

    Args:
        resource_type: the resource's own resourceType.
        text: its JSON text, nested less deep than `structure.MAX_DEPTH`.
    """
    try:
        resource = json.loads(
            text,
            parse_float=_number,
            parse_int=lambda digits: int(digits) if len(digits) <= _MOST_DIGITS else _number(digits),
            parse_constant=_refuse_constant,
            object_pairs_hook=_without_repetition,
        )
    except _RefusedError as error:
        return [Problem(str(error), "")]
    except ValueError:
        return [Problem("entry_not_json", "")]
    if not isinstance(resource, dict):
        return [Problem("entry_not_object", "")]
    if b"u0000" in text and _NUL.search(text):  # the plain search is sixty times faster
        return [Problem("nul_character", "")]
    return _check(resource_type, resource, "")[:MAX_PROBLEMS]


def _check(resource_type: str, resource: dict[str, Any], base: str) -> list[Problem]:
    model = model_of(resource_type)
    if model is None and resource_type not in BY_SHAPE:
        return [Problem("unknown_resource_type", base)]
    contained = resource.get("contained")
    if contained is not None:  # it is for those inside
        del resource["contained"]
    own = {name: value for name, value in resource.items() if name != "resourceType"}
    problems = list(broken(model, own, base))
    problems += _check_contained(contained, f"{base}/contained")
    for pointer, inside in list(_parameters(resource, base)) if resource_type == "Parameters" else ():
        at, each = f"{pointer}/resource", inside.pop("resource")
        problems += _check_inside(each, at) if each not in ({}, [], "") else []  # which has been told
    if model is None:
        return problems
    told = {problem.pointer for problem in problems}
    return problems + [problem for problem in _by_model(model, resource, base) if problem.pointer not in told]


def _by_model(model: Any, resource: dict[str, Any], base: str) -> list[Problem]:
    from pydantic import ValidationError

    problems: list[Problem] = []
    try:
        model.model_validate(_as_models_have_it(model, resource))
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        names = names_below(model)
        problems.extend(
            Problem(_REASONS.get(detail["type"], "invalid_resource"), base + _pointer(detail, names))
            for detail in details
        )
    except Exception:
        # the models raise whatever their validators meet (KeyError, TypeError): it is this resource that is wrong
        problems.append(Problem("invalid_resource", base))
    return problems


def _check_contained(contained: Any, base: str) -> list[Problem]:
    if contained is None:
        return []
    if not isinstance(contained, list):
        return [Problem("wrong_json_type", base)]
    if not contained:
        return [Problem("empty_element", base)]
    problems: list[Problem] = []
    for number, resource in enumerate(contained):
        if isinstance(resource, dict) and "contained" in resource:
            problems.append(Problem("nested_contained", f"{base}/{number}"))
        problems += _check_inside(resource, f"{base}/{number}")
    return problems


def _parameters(resource: dict[str, Any], base: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The parameters that hold a resource, also in parts, with their pointers."""
    for name in ("parameter", "part"):
        parameters = resource.get(name)
        for number, each in enumerate(parameters if isinstance(parameters, list) else ()):
            if isinstance(each, dict):
                if each.get("resource") is not None:
                    yield f"{base}/{name}/{number}", each
                yield from _parameters(each, f"{base}/{name}/{number}")


def _check_inside(resource: Any, base: str) -> list[Problem]:
    """What is wrong with a resource that stands inside of another: the models do not know all types, nor all rules."""
    resource_type = resource.get("resourceType") if isinstance(resource, dict) else None
    if not isinstance(resource_type, str):
        return [Problem("invalid_resource", base)]
    problems = _check(resource_type, resource, base)
    if resource_type in BY_SHAPE and not _is_id(resource.get("id", "-")):
        problems.append(Problem("invalid_id", f"{base}/id"))
    return problems


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


@cache
def _models() -> dict[str, Any]:
    from fhir.resources.R4B import fhirtypes, get_fhir_model_class

    return {"types": fhirtypes, "get": get_fhir_model_class, "resource": get_fhir_model_class("Resource")}


_found: dict[str, Any] = {}


def model_of(resource_type: str) -> Any:
    """The model of a resource type of R4; None: there is none that can be used."""
    if resource_type in _found:
        return _found[resource_type]
    models = _models()
    if not hasattr(models["types"], f"{resource_type}Type") or resource_type in _NOT_R4 | BY_SHAPE:
        return None
    try:
        model = models["get"](resource_type)
    except ValueError:
        return None
    if not issubclass(model, models["resource"]):
        return None
    _found[resource_type] = model
    return model


_takers = Takers(model_of)


def _pointer(detail: Any, names: frozenset[str]) -> str:
    parts = detail["loc"]
    if parts[-1:] == ("root",) or (detail["type"] == "extra_forbidden" and parts[-1] not in names):
        # the last part is a name that the models made up, or that the sender did
        parts = parts[:-1]
    return "".join(f"/{part}" for part in parts)


def _number(text: str) -> Decimal:
    """A number for the models, which would write it out with all its zeros; no rule asks how large a decimal is."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return Decimal()
    return number if abs(number.adjusted()) <= _MOST_DIGITS else Decimal()


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RefusedError("repeated_key")
    return found


def _as_models_have_it(model: Any, value: Any) -> Any:
    """A value of a type, so that the models judge what they have no place for, and see what is missing.

    They take a null for a required element. An Extension has no place beside a primitive value: what stands there goes
    to its own extensions, which the models take beside a value. A required choice is not met by an extension alone: it
    gets a value.
    """
    if isinstance(value, list):
        return [_as_models_have_it(model, part) for part in value]
    if not isinstance(value, dict):
        return value
    elements = by_name(model) if model else {}
    found = {
        name: _as_models_have_it(element.model if (element := elements.get(name)) else None, part)
        for name, part in value.items()
        if part is not None
    }
    if model is not None and model.__name__ == "Extension":
        for name in [name for name in found if name.startswith("_") and name in elements and _is_beside(found[name])]:
            found["extension"] = [*found.get("extension", ()), *found.pop(name).get("extension", ())]
    met = {element.choice for name in found if (element := elements.get(name))}
    for name in [name for name in found if name.startswith("_")]:
        element = elements.get(name[1:])
        if element and element.chosen and element.choice not in met:
            found[name[1:]] = _SOME.get(element.primitive or "", "-")
            met.add(element.choice)
    return found


def _is_beside(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() <= {"id", "extension"} and isinstance(value.get("id", ""), str)


def _refuse_constant(name: str) -> NoReturn:
    raise _RefusedError("wrong_json_type")
