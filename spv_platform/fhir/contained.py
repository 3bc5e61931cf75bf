"""Resources inside of others: FHIR R4, "References", contained resources.

One has no identity outside of its container: it comes and goes with it. Its row says so (`container`), and has the id
`container#own`, the container's times and its digest.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from spv_platform.fhir.datatypes import Concept
from spv_platform.fhir.frames import Row
from spv_platform.fhir.kinds import codings_of
from spv_platform.fhir.problems import refused
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
_COLUMNS = [column.name for column in MEDICATION.columns]
_CODE, _TEXT, _DRUG = (_COLUMNS.index(name) for name in ("code", "code_text", "medication"))


class Part(NamedTuple):
    """A resource inside of another: how its container calls it (`#id`; None: not), its version, its JSON text."""

    name: str | None
    version: Version
    text: bytes


def parts_of(version: Version, text: bytes, resource: Any) -> list[Part]:
    """The resources inside of one that keeps the contract.

    Args:
        version: the container's.
        text: its JSON text.
        resource: as `contract.read` gave it; None: it did not.

    Raises:
        EntryRefusedError: one is a Bundle, or two have one id.
    """
    holder = _container_decoder.decode(text) if resource is None else resource
    raws = getattr(holder, "contained", None) or []
    heads = [_head_decoder.decode(raw) for raw in raws]
    ids = {head.id for head in heads}
    seen: set[str] = set()
    parts = []
    for number, (head, raw) in enumerate(zip(heads, raws, strict=True)):
        if head.type == "Bundle":
            # as one row its entries would be lost
            raise refused("nested_bundle", f"/contained/{number}/resourceType")
        id_ = head.id or str(number)
        while not head.id and id_ in ids:
            id_ += ".0"
        if id_ in seen:
            # which of them a reference means cannot be said
            raise refused("invalid_resource", f"/contained/{number}/id")
        seen.add(id_)
        own = replace(
            version,
            resource_type=head.type,
            resource_id=f"{version.resource_id}#{id_}",
            container=version.name,
            profiles=None,
        )
        parts.append(Part(f"#{head.id}" if head.id else None, own, bytes(raw)))
    return parts


def names_of(version: Version, parts: list[Part]) -> dict[str, str]:
    """The keys that references inside of a container mean, by their text."""
    return {"#": version.name, **{part.name: part.version.name for part in parts if part.name}}


def with_drug(row: Row, drugs: dict[str, bytes | msgspec.Raw]) -> Row:
    """A row of table `medication` with the codes of the Medication that it refers to, if it states none itself.

    Args:
        row: as projected.
        drugs: JSON text of the Medications that are known, by key.
    """
    systems, cells = row
    stated = dict(cells)
    _, key, _ = stated.get(_DRUG, (None, None, None))
    text = drugs.get(key or "")
    if text is None or _CODE in stated or _TEXT in stated:
        return row
    code = _drug_decoder.decode(text).code
    return row if code is None else (systems, [*cells, (_CODE, (codings_of(code),)), (_TEXT, (code.text,))])
