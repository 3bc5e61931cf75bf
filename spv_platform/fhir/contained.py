"""Resources inside of others: FHIR R4, "References", contained resources.

One has no identity outside of its container: it comes and goes with it. Its row says so (`container`), and has the id
`container#own`, the container's times and its digest.
"""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import NamedTuple

import msgspec
import numpy as np

from spv_platform.fhir.datatypes import Concept
from spv_platform.fhir.frames import Cells, Codes
from spv_platform.fhir.kinds import codings_of
from spv_platform.fhir.lot import Inside, Resource
from spv_platform.fhir.problems import refused
from spv_platform.fhir.version import Version
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


class Holder(NamedTuple):
    """What an entry's resource contains.

    Attributes:
        names: the keys that references inside of it mean, by their text.
    """

    names: dict[str, str]
    parts: list[Part]

    @property
    def texts(self) -> dict[str, bytes]:
        """JSON text of each part, by key."""
        return {part.version.name: part.text for part in self.parts}


def inside_of(text: bytes) -> list[Inside]:
    """The resources inside of one that is not read, from its JSON text."""
    raws = _container_decoder.decode(text).contained if b'"contained"' in text or b"\\" in text else []
    heads = map(_head_decoder.decode, raws)
    return [Inside(head.type, head.id, bytes(raw), None) for head, raw in zip(heads, raws, strict=True)]


def parts_of(version: Version, inside: list[Inside]) -> Holder:
    """What is inside of a resource that keeps the contract.

    Args:
        version: the container's.
        inside: as read.

    Raises:
        EntryRefusedError: one is a Bundle, or two have one id.
    """
    ids = {each.id for each in inside}
    free = (made for made in map(str, count()) if made not in ids)
    seen: set[str] = set()
    parts = []
    for number, (type_, id_, text, read) in enumerate(inside):
        if type_ == "Bundle":
            # as one row its entries would be lost
            raise refused("nested_bundle", f"/contained/{number}/resourceType")
        named = id_ or next(free)
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
        parts.append(Part(f"#{id_}" if id_ else None, own, text, read))
    return Holder({"#": version.name, **{part.name: part.version.name for part in parts if part.name}}, parts)


def add_drugs(
    columns: dict[int, Cells], candidates: Codes, drugs: Mapping[str, bytes], within: Sequence[Mapping[str, bytes]]
) -> None:
    """Give rows of table `medication` the codes of the Medication that they refer to, if they state none themselves.

    Args:
        columns: as projected.
        candidates: of each row, see `LotReferences`; a drug that is known is one more, so that of equal versions the
            one counts that came with it.
        drugs: JSON text of the Medications that are known, by key.
        within: of each row those that its resource contains; empty: none contains any.
    """
    if _DRUG not in columns or not (drugs or within):
        return
    references, codes = columns[_DRUG].values, columns[_DRUG].codes
    stated = [columns[column] for column in (_CODE, _TEXT) if column in columns]
    found: dict[int, Concept] = {}
    for row, reference in enumerate(codes.tolist()):
        _, key, _ = (references[reference] if reference >= 0 else None) or (None, None, None)
        text = (within[row].get(key or "") if within else None) or drugs.get(key or "")
        if text is None or any(cells.codes[row] >= 0 and cells.values[cells.codes[row]] for cells in stated):
            continue
        if code := _drug_decoder.decode(text).code:
            found[row] = code
    if not found:
        return
    rows = list(found)
    candidates[rows] = np.maximum(candidates[rows], 0) + 1
    own = np.full(len(codes), -1)
    own[rows] = np.arange(len(rows))
    codings = Cells([(codings_of(code),) for code in found.values()], own)
    texts = Cells([(code.text,) for code in found.values()], own)
    for column, cells in ((_CODE, codings), (_TEXT, texts)):
        columns[column] = cells.first_of(columns[column]) if column in columns else cells
