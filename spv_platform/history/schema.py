"""What a tenant's collections accept, and what they are searched by; made from the description of the view.

The validators refuse a field that is not described, and a sealed field in plain: a mistake of ours cannot leave a name
readable in the store.
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from spv_platform.history.documents import CLEAR, SEALED_FACT_FIELDS

PERSON = "person"
PERSON_VERSION = "person_version"
APPROVAL_EVENT = "approval_event"

_STRING: dict[str, Any] = {"bsonType": "string"}
_WHOLE: dict[str, Any] = {"bsonType": ["int", "long"]}
_DATE: dict[str, Any] = {"bsonType": "date"}
_SECRET: dict[str, Any] = {"bsonType": "binData"}


@dataclass(frozen=True)
class Collection:
    """One collection of a tenant: the fields of its documents, those they must have, and its indexes."""

    name: str
    fields: dict[str, Any]
    required: tuple[str, ...]
    indexes: tuple[tuple[str, ...], ...]

    @property
    def validator(self) -> dict[str, Any]:
        """Its `$jsonSchema`."""
        schema = {
            "bsonType": "object",
            "required": ["_id", *self.required],
            "additionalProperties": False,
            "properties": {"_id": _STRING, **self.fields},
        }
        return {"$jsonSchema": schema}


def _type(dtype: Any) -> dict[str, Any]:
    if isinstance(dtype, pl.List):
        return {"bsonType": "array", "items": _type(dtype.inner)}
    if isinstance(dtype, pl.Struct):
        fields = {field.name: _type(field.dtype) for field in dtype.fields if field.name not in SEALED_FACT_FIELDS}
        return {"bsonType": "object", "additionalProperties": False, "properties": fields}
    return {pl.String: _STRING, pl.Boolean: {"bsonType": "bool"}, pl.Float64: {"bsonType": "double"}, pl.Int64: _WHOLE}[
        dtype.base_type()
    ]


_VIEW = {
    "seq": _WHOLE,
    "published_at": _DATE,
    "digest": _STRING,
    "retired": {"bsonType": "bool"},
    "sealed": _SECRET,
    "identifier_keys": {"bsonType": "array", "items": _SECRET},
    **{column.name: _type(column.dtype) for column in CLEAR},
}
_APPROVAL = {
    "bsonType": "object",
    "required": ["trial", "cohort", "since_seq"],
    "additionalProperties": False,
    "properties": {"trial": _STRING, "cohort": _STRING, "since_seq": _WHOLE},
}
_STRINGS = {"bsonType": "array", "items": _STRING}
_ALWAYS = ("seq", "published_at", "digest", "retired")

COLLECTIONS: tuple[Collection, ...] = (
    Collection(
        PERSON,
        {**_VIEW, "approvals": {"bsonType": "array", "items": _APPROVAL}},
        (*_ALWAYS, "approvals"),
        (
            ("identifier_keys",),
            ("cancers.codes",),
            ("variants.genes",),
            ("medications.codes",),
            ("approvals.trial", "approvals.cohort"),
        ),
    ),
    Collection(
        PERSON_VERSION,
        {**_VIEW, "person_id": _STRING},
        ("person_id", *_ALWAYS),
        (("person_id", "seq"), ("identifier_keys",)),
    ),
    Collection(
        APPROVAL_EVENT,
        {
            "person_id": _STRING,
            "trial": _STRING,
            "cohort": _STRING,
            "status": {"enum": ["approved", "withdrawn"]},
            "seq": _WHOLE,
            "published_at": _DATE,
            "as_of": _STRING,
            "trial_title": _STRING,
            "cohort_title": _STRING,
            "trial_version": _WHOLE,
            "verdict": _STRING,
            "reasons": _STRINGS,
            "missing": _STRINGS,
        },
        ("person_id", "trial", "cohort", "status", "seq", "published_at"),
        (("person_id", "seq"), ("trial", "cohort", "seq")),
    ),
)
