"""Who an entry is: resource type, id, version, before anything else of it is read."""

import re
from datetime import datetime
from hashlib import sha256
from urllib.parse import parse_qsl

import msgspec

from spv_platform.fhir.contract import is_known
from spv_platform.fhir.datatypes import Identifier
from spv_platform.fhir.digest import EMPTY, compact, digest
from spv_platform.fhir.problems import pointer_of, refused
from spv_platform.fhir.references import ID
from spv_platform.fhir.scalars import instant
from spv_platform.fhir.split import RawEntry
from spv_platform.fhir.version import Version

_ID = re.compile(ID)
_SERVER = r"(?:/|[A-Za-z][A-Za-z0-9+.\-]*://[^?#]+/)?"
#: What a PUT or a DELETE is for, also as an address of a server.
_TARGET = re.compile(rf"{_SERVER}([A-Z][A-Za-z]+)/({ID})")
_PUT_BY_SEARCH = re.compile(rf"{_SERVER}([A-Z][A-Za-z]+)\?(.+)", re.DOTALL)
_RESTFUL_TAIL = re.compile(rf".*/([A-Z][A-Za-z]+)/({ID})")
_URN = re.compile(rf"urn:(?:uuid|oid):({ID})")
#: What a history says was deleted: as the server calls it, also with its base and its version.
_DELETED = re.compile(rf"(?:.*/)?([A-Z][A-Za-z]+)/({ID})(?:/_history/{ID})?")


_ABSENT = msgspec.Raw()


class _Meta(msgspec.Struct, gc=False, rename="camel"):
    version_id: str | None = None
    last_updated: str | None = None
    profile: list[str | None] | None = None


class _Head(msgspec.Struct, gc=False, rename="camel"):
    resource_type: str | None = None
    id: str | None = None
    meta: _Meta | None = None
    status: msgspec.Raw = _ABSENT
    verification_status: msgspec.Raw = _ABSENT


class _Identified(msgspec.Struct, gc=False):
    identifier: list[Identifier] | Identifier | None = None


class _Typed(msgspec.Struct):
    type: str | None = msgspec.field(default=None, name="resourceType")


class _Parameter(msgspec.Struct):
    resource: _Typed | None = None
    part: "list[_Parameter] | None" = None


class _Parameters(msgspec.Struct):
    parameter: list[_Parameter] | None = None


_parameters_decoder = msgspec.json.Decoder(_Parameters)
_identified_decoder = msgspec.json.Decoder(_Identified)
_head_decoder = msgspec.json.Decoder(_Head)
#: Of versions of one time stands what takes back before what corrects, and what is not final yet last.
_STANDING = {
    b'"entered-in-error"': 2,
    **dict.fromkeys((b'"amended"', b'"corrected"', b'"appended"', b'"refuted"', b'"not-taken"', b'"not-done"'), 1),
    **dict.fromkeys((b'"registered"', b'"partial"', b'"preliminary"'), -1),
}
_STANDING_OF_TOMBSTONE = 3
#: Parameters of a search that select nothing (FHIR R4, Search, "Managing Returned Resources"; RESTful API, parameters).
_OF_RESULTS = frozenset(
    {"_contained", "_containedType", "_count", "_elements", "_format", "_include", "_pretty", "_revinclude", "_sort"}
    | {"_summary", "_total"}
)
#: Modifiers of parameters that only leave something out.
_EXCLUDING = (":not", ":missing")
_ALTERNATIVES = re.compile(r"(?<!\\),")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"})
_REASONS = {"/resourceType": "no_resource_type", "/id": "invalid_id"}


def identify(entry: RawEntry, kind: str, stated: datetime | None) -> Version:
    """Name the resource version that an entry holds.

    The id is one made from the search of a conditional POST; else `resource.id`; else the `Type/id` of a PUT; else one
    made from the search of a conditional PUT; else that of the entry's fullUrl (its uuid, or `…/Type/id`); else one
    made from the content. What is made is the same whenever the same comes again. Where it is that of several, see
    `alike`.

    Args:
        entry: as split.
        kind: of the object it stands in.
        stated: Bundle.timestamp, for resources that state no time of their own.

    Raises:
        EntryRefusedError: it has no readable resource, type or id, a time that is none, or is put where another
            resource belongs.
    """
    if entry.problem:
        raise refused(entry.problem)
    if entry.full_url and "\0" in entry.full_url:
        raise refused("nul_character")
    if entry.method is not None and entry.method not in _METHODS:
        raise refused("not_in_value_set")
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
    if resource_type == "Parameters" and _holds_bundle(raw):
        raise refused("nested_bundle", "/parameter")
    if head.id is not None and not _ID.fullmatch(head.id):
        raise refused("invalid_id", "/id")
    put = _TARGET.fullmatch(entry.url or "") if entry.method == "PUT" else None
    if put and (put[1] != resource_type or head.id not in (None, put[2])):
        raise refused("request_mismatch")
    # who tells a history gave the ids
    condition = None if put or kind == "history" else _condition_of(entry, resource_type)
    if_absent = condition is not None and entry.method == "POST"
    resource_id = (
        (None if if_absent else head.id or (put and put[2]))
        or (id_of_url(condition) if condition else _id_of(entry, resource_type))
        or id_of_content(raw)
    )
    version = Version(entry.index, resource_type, resource_id, full_url=entry.full_url)
    version.standing, version.own_id = _standing(head), head.id
    version.condition, version.if_absent = condition, if_absent
    meta = head.meta
    if meta is not None:
        version.version_time = _time(meta.last_updated, "/meta/lastUpdated")
        version.version_id = meta.version_id
        version.profiles = [profile for profile in meta.profile or () if profile] or None
    version.version_time = version.version_time or _changed(entry, kind) or stated
    return version


def _holds_bundle(raw: bytes | msgspec.Raw) -> bool:
    try:
        open_ = [_parameters_decoder.decode(raw).parameter or []]
    except msgspec.ValidationError:  # which the contract tells
        return False
    while open_:
        for each in open_.pop():
            if each.resource and each.resource.type == "Bundle":
                return True
            open_.append(each.part or [])
    return False


def _standing(head: _Head) -> int:
    for said in (b'"entered-in-error"', b'"refuted"') if head.verification_status is not _ABSENT else ():
        if said in bytes(head.verification_status):
            return _STANDING[said]
    return _STANDING.get(bytes(head.status), 0) if head.status is not _ABSENT else 0


def _tombstone(entry: RawEntry, kind: str, stated: datetime | None) -> Version:
    target = (_DELETED if kind == "history" else _TARGET).fullmatch(entry.url or "")
    if target is None or entry.content is not None:
        raise refused("invalid_delete")
    if not is_known(target[1]):
        raise refused("unknown_resource_type")
    return Version(
        entry.index,
        target[1],
        target[2],
        EMPTY,
        full_url=entry.full_url,
        deleted=True,
        standing=_STANDING_OF_TOMBSTONE,
        version_time=_changed(entry, kind) or stated,
    )


def _changed(entry: RawEntry, kind: str) -> datetime | None:
    """A history says when each change was; its own timestamp is only when it was asked for."""
    return _time(entry.last_modified, "") if kind == "history" else None


def identifiers_of(version: Version, entry: RawEntry) -> tuple[str, ...]:
    """What references by identifier may ask for (`references.target_of`)."""
    if version.deleted or entry.content is None:
        return ()
    try:
        found = _identified_decoder.decode(entry.content).identifier or []
    except msgspec.ValidationError:
        return ()
    found = found if isinstance(found, list) else [found]
    return tuple(f"identifier={each.system or ''}|{each.value}" for each in found if each.value)


def _condition_of(entry: RawEntry, resource_type: str) -> str | None:
    """The search, as `Type?search`, that a conditional create or update names its resource by.

    Raises:
        EntryRefusedError: it says no value to search for, or another type than that of what comes.
    """
    if entry.method == "POST" and entry.if_none_exist:
        before, _, search = entry.if_none_exist.partition("?")
        return _search_of(resource_type, entry.if_none_exist if "=" in before or not search else search)
    conditional = _PUT_BY_SEARCH.fullmatch(entry.url or "") if entry.method == "PUT" else None
    if conditional is None:
        return None
    if conditional[1] != resource_type:
        raise refused("request_mismatch")
    return _search_of(resource_type, conditional[2])


def _search_of(resource_type: str, search: str) -> str:
    """One text of a search, however its characters are escaped and its parameters are ordered."""
    try:
        found = parse_qsl(search, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        found = []
    said = sorted((name, value) for name, value in found if name not in _OF_RESULTS)
    if not all(map(_says, said)) or all(name.endswith(_EXCLUDING) for name, _ in said):
        # it finds anybody, so by it two patients would be one
        raise refused("invalid_condition")
    return f"{resource_type}?{'&'.join(map('='.join, said))}"


def _says(parameter: tuple[str, str]) -> bool:
    """Whether a parameter of a search says what to look for, in each of its alternatives."""
    name, value = parameter
    wanted = [each.strip() for each in _ALTERNATIVES.split(value)]
    return bool(name.strip()) and all(each and not each.endswith("|") for each in wanted)


def _made_id(digits: str) -> str:
    return f"sha256-{digits[:40]}"


def _id_of(entry: RawEntry, resource_type: str) -> str | None:
    target = _RESTFUL_TAIL.fullmatch(entry.full_url or "")
    if target and target[1] == resource_type:
        return target[2]
    return id_of_urn(entry.full_url)


def id_of_content(content: bytes | msgspec.Raw) -> str:
    """An id that equal resources have."""
    return _made_id(digest(compact(content)))


def id_of_url(url: str) -> str:
    """An id that what is called so has."""
    return _made_id(sha256(url.encode("utf-8", "surrogatepass")).hexdigest())


def id_of_urn(full_url: str | None) -> str | None:
    """The id in a fullUrl that is a urn; None: it is none."""
    urn = _URN.fullmatch(full_url or "")
    return urn[1] if urn else None


def _time(text: str | None, pointer: str) -> datetime | None:
    if text is None:
        return None
    try:
        return instant(text)
    except ValueError:
        raise refused("invalid_resource", pointer) from None
