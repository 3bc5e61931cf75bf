"""Resources inside of others: FHIR R4, "References", contained resources.

One has no identity outside of its container: it comes and goes with it. Its row says so (`container`), and has the id
`container#own`, the container's times and its digest.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from spv_platform.fhir.datatypes import Concept
from spv_platform.fhir.kinds import codings_of
from spv_platform.fhir.project import Version
from spv_platform.lake.tables import MEDICATION


class _Head(msgspec.Struct, gc=False):
    type: str = msgspec.field(name="resourceType")
    id: str | None = None


class _Container(msgspec.Struct, gc=False):
    contained: list[msgspec.Raw] = []


class _Drug(msgspec.Struct, gc=False):
    code: Concept | None = None


_head_decoder = msgspec.json.Decoder(_Head)
_container_decoder = msgspec.json.Decoder(_Container)
_drug_decoder = msgspec.json.Decoder(_Drug)
_COLUMNS = list(MEDICATION.schema)
_CODE, _TEXT, _DRUG = (_COLUMNS.index(name) for name in ("code", "code_text", "medication_key"))


class Part(NamedTuple):
    """A resource inside of another: how its container calls it (`#id`), its version, its JSON text."""

    name: str
    version: Version
    text: bytes


def parts_of(version: Version, text: bytes, resource: Any) -> list[Part]:
    """The resources inside of one that keeps the contract.

    Args:
        version: the container's.
        text: its JSON text.
        resource: as `contract.read` gave it; None: it did not.
    """
    if resource is None:
        raws = _container_decoder.decode(text).contained if b'"contained"' in text else []
    else:
        raws = getattr(resource, "contained", None) or []
    parts = []
    for number, raw in enumerate(raws):
        head = _head_decoder.decode(raw)
        own = replace(
            version,
            resource_type=head.type,
            resource_id=f"{version.resource_id}#{head.id or number}",
            container=f"{version.resource_type}/{version.resource_id}",
            profiles=None,
        )
        parts.append(Part(f"#{head.id}", own, bytes(raw)))
    return parts


def names_of(version: Version, parts: list[Part]) -> dict[str, str]:
    """The keys that references inside of a container mean, by their text."""
    inside = {part.name: f"{part.version.resource_type}/{part.version.resource_id}" for part in parts}
    return {"#": f"{version.resource_type}/{version.resource_id}", **inside}


def with_drug(row: tuple[Any, ...], drugs: dict[str, bytes | msgspec.Raw]) -> tuple[Any, ...]:
    """A row of table `medication` with the codes of the Medication that it refers to, if it states none itself.

    Args:
        row: in the order of the table's schema.
        drugs: JSON text of the Medications that are known, by key.
    """
    text = drugs.get(row[_DRUG] or "")
    if text is None or row[_CODE] or row[_TEXT]:
        return row
    code = _drug_decoder.decode(text).code
    if code is None:
        return row
    filled = list(row)
    filled[_CODE], filled[_TEXT] = codings_of(code), code.text
    return tuple(filled)
