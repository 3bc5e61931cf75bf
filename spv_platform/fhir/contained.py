"""Resources inside of others: FHIR R4, "References", contained resources.

One has no identity outside of its container: it comes and goes with it. Its row says so (`container`), and has the id
`container#own`, the container's times and its digest.
"""

from typing import NamedTuple

import msgspec

from spv_platform.fhir.datatypes import Concept
from spv_platform.fhir.frames import Row
from spv_platform.fhir.kinds import codings_of
from spv_platform.fhir.problems import refused
from spv_platform.fhir.project import Version
from spv_platform.fhir.structs import Inside, Resource
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
    """A resource inside of another.

    Attributes:
        name: how its container calls it (`#id`); None: not.
        resource: as read; None: it was not.
    """

    name: str | None
    version: Version
    text: bytes
    resource: Resource | None


def parts_of(version: Version, text: bytes, resource: Resource | None) -> list[Part]:
    """The resources inside of one that keeps the contract.

    Args:
        version: the container's.
        text: its JSON text.
        resource: as `contract.read` gave it; None: it did not.

    Raises:
        EntryRefusedError: one is a Bundle, or two have one id.
    """
    if resource is None:
        raws = _container_decoder.decode(text).contained if b'"contained"' in text or b"\\" in text else []
        found = [Inside(head.type, head.id, bytes(raw), None) for raw in raws if (head := _head_decoder.decode(raw))]
    elif "contained" in resource.names:
        found = resource.elements[resource.names.index("contained")].value
    else:
        return []
    ids = {each.id for each in found}
    seen: set[str] = set()
    parts = []
    for number, (type_, id_, inside, read) in enumerate(found):
        if type_ == "Bundle":
            # as one row its entries would be lost
            raise refused("nested_bundle", f"/contained/{number}/resourceType")
        named = id_ or str(number)
        while not id_ and named in ids:
            named += ".0"
        if named in seen:
            # which of them a reference means cannot be said
            raise refused("invalid_resource", f"/contained/{number}/id")
        seen.add(named)
        own = msgspec.structs.replace(
            version,
            resource_type=type_,
            resource_id=f"{version.resource_id}#{named}",
            container=version.name,
            profiles=None,
        )
        parts.append(Part(f"#{id_}" if id_ else None, own, inside, read))
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
    stated = {column: cell for column, cell in zip(row.columns, row.cells, strict=True) if cell}
    _, key, _ = stated.get(_DRUG, (None, None, None))
    text = drugs.get(key or "")
    if text is None or _CODE in stated or _TEXT in stated:
        return row
    code = _drug_decoder.decode(text).code
    if code is None:
        return row
    columns, cells = (*stated, _CODE, _TEXT), (*stated.values(), (codings_of(code),), (code.text,))
    *systems, candidates = row.systems
    # so that of equal versions the one counts that came with its drug
    return Row((*systems, (candidates or 0) + 1), columns, cells)
