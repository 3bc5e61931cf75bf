"""Who an entry is: resource type, id, version, before anything else of it is read."""

import re
from datetime import datetime
from hashlib import sha256

import msgspec

from spv_platform.fhir.contract import is_known
from spv_platform.fhir.datatypes import Identifier
from spv_platform.fhir.digest import EMPTY, compact, digest
from spv_platform.fhir.problems import pointer_of, refused
from spv_platform.fhir.project import Version
from spv_platform.fhir.references import CONDITIONAL, ID, SOUGHT_TYPES
from spv_platform.fhir.scalars import instant
from spv_platform.fhir.split import RawEntry

_ID = re.compile(ID)
_TARGET = re.compile(rf"([A-Z][A-Za-z]+)/({ID})")
_RESTFUL_TAIL = re.compile(rf".*/([A-Z][A-Za-z]+)/({ID})")
_URN = re.compile(rf"urn:uuid:({ID})")


class _Meta(msgspec.Struct, gc=False, rename="camel"):
    version_id: str | None = None
    last_updated: str | None = None
    profile: list[str | None] | None = None


class _Head(msgspec.Struct, gc=False, rename="camel"):
    resource_type: str | None = None
    id: str | None = None
    meta: _Meta | None = None


class _Identified(msgspec.Struct, gc=False):
    identifier: list[Identifier] | None = None


_identified_decoder = msgspec.json.Decoder(_Identified)
_head_decoder = msgspec.json.Decoder(_Head)
_REASONS = {"/resourceType": "no_resource_type", "/id": "invalid_id"}


def identify(entry: RawEntry, kind: str, stated: datetime | None) -> Version:
    """Name the resource version that an entry holds.

    The id is `resource.id`; else the `Type/id` of a PUT; else one made from the search of a conditional PUT or POST;
    else that of the entry's fullUrl (its uuid, or `…/Type/id`); else one made from the content. What is made is the
    same whenever the same comes again.

    Args:
        entry: as split.
        kind: of the object it stands in.
        stated: Bundle.timestamp, for resources that state no time of their own.

    Raises:
        EntryRefusedError: it has no readable resource, type or id, or a time that is none.
    """
    if entry.problem:
        raise refused(entry.problem)
    if entry.method == "DELETE":
        return _tombstone(entry, kind, stated)
    raw = entry.content
    if raw is None or (entry.method == "PATCH" and kind != "history"):
        # what a PATCH carries is a change, not a resource
        raise refused("no_resource")
    try:
        head = _head_decoder.decode(raw)
    except msgspec.ValidationError as error:
        pointer = pointer_of(error)
        raise refused(_REASONS.get(pointer, "invalid_resource"), pointer) from None
    resource_type = head.resource_type
    if not resource_type:
        raise refused("no_resource_type", "/resourceType")
    if not is_known(resource_type):
        raise refused("unknown_resource_type", "/resourceType")
    if resource_type == "Bundle":
        # as one row its entries would be lost
        raise refused("nested_bundle", "/resourceType")
    if head.id is not None and not _ID.fullmatch(head.id):
        raise refused("invalid_id", "/id")
    resource_id = head.id or _id_of(entry, resource_type) or _made_id(digest(compact(raw)))
    version = Version(entry.index, resource_type, resource_id, full_url=entry.full_url, version_time=stated)
    meta = head.meta
    if meta is not None:
        version.version_time = _time(meta.last_updated, "/meta/lastUpdated") or stated
        version.version_id = meta.version_id
        version.profiles = [profile for profile in meta.profile or () if profile] or None
    return version


def _tombstone(entry: RawEntry, kind: str, stated: datetime | None) -> Version:
    target = _TARGET.fullmatch(entry.url or "")
    if target is None or entry.content is not None:
        raise refused("invalid_delete")
    if not is_known(target[1]):
        raise refused("unknown_resource_type")
    # a history says when each change was; its own timestamp is only when it was asked for
    own = _time(entry.last_modified, "") if kind == "history" else None
    return Version(
        entry.index, target[1], target[2], EMPTY, full_url=entry.full_url, deleted=True, version_time=own or stated
    )


def identifiers_of(version: Version, entry: RawEntry) -> tuple[str, ...]:
    """What references by identifier may ask for (`references.target_of`), of the types that they ask for."""
    if version.resource_type not in SOUGHT_TYPES or version.deleted or entry.content is None:
        return ()
    try:
        found = _identified_decoder.decode(entry.content).identifier or ()
    except msgspec.ValidationError:
        return ()
    return tuple(f"identifier={each.system or ''}|{each.value}" for each in found if each.value)


def condition_of(entry: RawEntry, resource_type: str) -> str | None:
    """The search, as `Type?search`, that a conditional create or update names its resource by."""
    if entry.method == "POST" and entry.if_none_exist:
        return f"{resource_type}?{entry.if_none_exist.partition('?')[2] or entry.if_none_exist}"
    conditional = CONDITIONAL.fullmatch(entry.url or "") if entry.method == "PUT" else None
    return conditional[0] if conditional and conditional[1] == resource_type else None


def _made_id(digits: str) -> str:
    return f"sha256-{digits[:40]}"


def _id_of(entry: RawEntry, resource_type: str) -> str | None:
    target = _TARGET.fullmatch(entry.url or "") if entry.method == "PUT" else None
    if target is None and (search := condition_of(entry, resource_type)):
        return _made_id(sha256(search.encode("utf-8", "surrogatepass")).hexdigest())
    target = target or _RESTFUL_TAIL.fullmatch(entry.full_url or "")
    if target and target[1] == resource_type:
        return target[2]
    urn = _URN.fullmatch(entry.full_url or "")
    return urn[1] if urn else None


def _time(text: str | None, pointer: str) -> datetime | None:
    if text is None:
        return None
    try:
        return instant(text)
    except ValueError:
        raise refused("invalid_resource", pointer) from None
