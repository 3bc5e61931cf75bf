"""Whether a resource is FHIR R4: one seam, whose inside may change while reasons and pointers stay.

Inside are the models of `fhir.resources` for R4B, the nearest set it has, behind structs derived from them (`structs`)
that take what is surely valid a hundred times as fast; the models judge the rest. What that means:

- Types of R4 that R4B dropped or changed beyond recognition (`BY_SHAPE`) are taken by their shape: an object of a known
  type. Types that R4B added are refused, R4 has none such.
- Contained resources are checked one by one; handed over inside their container, a type without a model is a KeyError.
- A property that is null is absent: refused where it is required, else taken.
- Required value sets and numbers sent as strings are not checked here; projection refuses a wrong JSON type in any
  column that is read.
"""

import json
import re
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple, NoReturn

from spv_platform.fhir.structs import Takers

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

#: Changes whenever the verdict on any resource may change.
CONTRACT_VERSION = "r4b-models-1"

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
        "SubstanceSpecification",
    }
)
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


class Problem(NamedTuple):
    """Why a resource was refused: a reason code, and a JSON pointer from the resource's root that names no value."""

    reason: str
    pointer: str


class _RefusedError(Exception):
    """JSON that FHIR does not allow: a repeated key, or a number that is none."""


def is_known(resource_type: str) -> bool:
    """Whether FHIR R4 has such a resource type."""
    return resource_type in BY_SHAPE or _model(resource_type) is not None


def check(resource_type: str, raw: bytes) -> list[Problem]:
    """All that is wrong with one resource, at most `MAX_PROBLEMS`; empty when it is valid.

    Args:
        resource_type: the resource's own resourceType.
        raw: its JSON text, nested less deep than `structure.MAX_DEPTH`.
    """
    return [] if _takers.take(resource_type, raw) else check_by_models(resource_type, raw)


def check_by_models(resource_type: str, raw: bytes) -> list[Problem]:
    """As `check`, without the structs."""
    try:
        resource = json.loads(
            raw, parse_float=Decimal, parse_constant=_refuse_constant, object_pairs_hook=_without_repetition
        )
    except _RefusedError:
        return [Problem("invalid_resource", "")]
    except ValueError:
        return [Problem("entry_not_json", "")]
    if not isinstance(resource, dict):
        return [Problem("entry_not_object", "")]
    if b"u0000" in raw and _NUL.search(raw):  # the plain search is sixty times faster
        return [Problem("invalid_resource", "")]
    return _check(resource_type, resource, "")[:MAX_PROBLEMS]


def _check(resource_type: str, resource: dict[str, Any], base: str) -> list[Problem]:
    if resource_type in BY_SHAPE:
        return []
    model = _model(resource_type)
    if model is None:
        return [Problem("unknown_resource_type", base)]
    problems = _check_contained(resource.pop("contained", None), f"{base}/contained")
    from pydantic import ValidationError

    try:
        model.model_validate(resource)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        problems.extend(Problem("invalid_resource", base + _pointer(detail)) for detail in details)
    except Exception:
        # the models raise whatever their validators meet (KeyError, TypeError): it is this resource that is wrong
        problems.append(Problem("invalid_resource", base))
    return problems


def _check_contained(contained: Any, base: str) -> list[Problem]:
    if contained is None:
        return []
    if not isinstance(contained, list):
        return [Problem("invalid_resource", base)]
    problems: list[Problem] = []
    for number, resource in enumerate(contained):
        resource_type = resource.get("resourceType") if isinstance(resource, dict) else None
        if isinstance(resource_type, str):
            problems += _check(resource_type, resource, f"{base}/{number}")
        else:
            problems.append(Problem("invalid_resource", f"{base}/{number}"))
    return problems


@cache
def _models() -> dict[str, Any]:
    from fhir.resources.R4B import fhirtypes, get_fhir_model_class

    return {"types": fhirtypes, "get": get_fhir_model_class, "resource": get_fhir_model_class("Resource")}


_found: dict[str, Any] = {}


def _model(resource_type: str) -> Any:
    if resource_type in _found:
        return _found[resource_type]
    models = _models()
    if not hasattr(models["types"], f"{resource_type}Type") or resource_type in _NOT_R4:
        return None
    try:
        model = models["get"](resource_type)
    except ValueError:
        return None
    if not issubclass(model, models["resource"]):
        return None
    _found[resource_type] = model
    return model


_takers = Takers(_model)


def _pointer(detail: Any) -> str:
    parts = detail["loc"]
    if detail["type"] == "extra_forbidden" or parts[-1:] == ("root",):
        # the last part is a name that the sender made up, or one that the models did
        parts = parts[:-1]
    return "".join(f"/{part}" for part in parts)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RefusedError
    if None in found.values():
        # the models take a null for a required element; without it they see that it is missing
        return {name: value for name, value in found.items() if value is not None}
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise _RefusedError
