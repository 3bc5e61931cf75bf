"""The criteria language as a JSON Schema, for editors; derived from the structs that read it."""

from typing import Any

import msgspec

from spv_platform.trials.criteria import MAX_CRITERIA
from spv_platform.trials.model import KINDS, TIMELESS, Criterion
from spv_platform.trials.questions import Site

ID = "https://json-schema.org/draft/2020-12/schema"
_LISTED = {"type": "string"}


def json_schema() -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) of a criteria file.

    It knows keys, types and values; what only the reader can know (codes, protein changes, ids that stand twice) it
    lets pass: `spv trials lint` has the last word.
    """
    (criterion, site), parts = msgspec.json.schema_components([Criterion, Site], ref_template="#/$defs/{name}")
    parts = {name: _closed(part) for name, part in parts.items()}
    name = criterion["$ref"].rpartition("/")[2]
    asked = parts[name]["properties"]
    for kind in KINDS:
        if kind not in TIMELESS:
            _allow_window(asked[kind], parts)
    parts[name]["oneOf"] = [{"required": [kind]} for kind in KINDS]
    node = {"oneOf": [criterion, *({"$ref": f"#/$defs/{op}"} for op in ("all", "any", "none", "at_least"))]}
    nodes = {"type": "array", "items": {"$ref": "#/$defs/node"}, "minItems": 1, "maxItems": MAX_CRITERIA}
    groups = {op: _object({op: nodes}, op) for op in ("all", "any", "none")}
    counted = _object({"n": {"type": "integer", "minimum": 1}, "of": nodes}, "n", "of")
    status = {"enum": ["open", "closed"]}
    cohort = _object(
        {
            "id": _LISTED,
            "title": _LISTED,
            "status": status,
            "level": {"enum": ["step", "arm", "dose"]},
            "level_id": _LISTED,
            "criteria": {"$ref": "#/$defs/node"},
        },
        *("id", "criteria"),
    )
    top = _object(
        {
            "trial": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9-]{2,39}$"},
            "title": _LISTED,
            "version": {"type": "integer", "minimum": 1},
            "status": status,
            "sites": {"type": "array", "items": site},
            "cohorts": {"type": "array", "items": cohort, "minItems": 1},
            "ctml": {"type": "object"},
        },
        *("trial", "cohorts"),
    )
    definitions = {**parts, **groups, "at_least": _object({"at_least": counted}, "at_least"), "node": node}
    return {"$schema": ID, "title": "Trial criteria of spv_platform", **top, "$defs": dict(sorted(definitions.items()))}


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _closed(part: dict[str, Any]) -> dict[str, Any]:
    """A struct, with lists of text where one text may stand."""
    return {key: value for key, value in part.items() if key != "title"}


def _allow_window(asked: dict[str, Any], parts: dict[str, dict[str, Any]]) -> None:
    """A window may stand inside of the question too."""
    for choice in asked.get("anyOf", [asked]):
        if "$ref" in choice:
            parts[choice["$ref"].rpartition("/")[2]]["properties"]["within_days"] = {"type": "integer", "minimum": 0}
