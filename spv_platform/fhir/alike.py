"""Entries of one object that are called alike: which are several resources, and which are versions of one.

Of several resources each gets an id of its own; of several versions one wins.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Container, Mapping
from datetime import datetime
from operator import attrgetter

from msgspec.structs import replace

from spv_platform.fhir.identify import id_of_content, id_of_url, id_of_urn
from spv_platform.fhir.references import Identified, base_of
from spv_platform.fhir.split import Split
from spv_platform.fhir.version import Version

#: (type, id) of a version.
_key = attrgetter("resource_type", "resource_id")
#: What names a resource beside its type and id, see `_claim`: kind and text.
_Claim = tuple[str, str]
_PLACE: _Claim = ("place", "")
_UUID = re.compile(r"(?i)urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def tell_apart(parts: Split, versions: list[Version], names: list[Identified]) -> None:
    """Give each of several resources that have one type and id an id of its own, in its version and its name.

    Who takes a POST gives the id (FHIR R4, RESTful API, create): the one that it came with means nothing. What has no
    request is its fullUrl (Bundle, resource URL and uniqueness rules). By type and id alone two patients would be one.
    A history is one server's.

    Args:
        parts: the object.
        versions: of its entries.
        names: beside the versions.
    """
    if parts.kind == "history" or _are_distinct(versions):
        return
    places: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for place, version in enumerate(versions):
        places[_key(version)].append(place)
    named = Counter(
        (type_, id_of_urn(url)) for type_, url in {(each.resource_type, each.full_url) for each in versions}
    )
    for key, alike in places.items():
        if len(alike) == 1:
            continue
        claims = _claims(parts, [versions[place] for place in alike])
        if len(set(claims)) == 1:
            continue
        ids = _ids(set(claims), key, places.keys(), named)
        for place, claim in zip(alike, claims, strict=True):
            if ids[claim] != key[1]:
                versions[place].resource_id = ids[claim]
                names[place] = replace(names[place], resource_id=ids[claim], shared_key="/".join(key))


def _are_distinct(versions: list[Version]) -> bool:
    return len(set(map(_key, versions))) == len(versions)


def winners_of(versions: list[Version], *, newest_first: bool) -> tuple[list[Version], int]:
    """The winning version of each key, and how many entries repeat an earlier one.

    The rule is that of `lake.winners` for versions that land one by one: versioned before unversioned, then the later
    time, then, if unversioned, the later entry, then (here only) what the status says, then the digest. Of what a
    history says nothing else of, the earlier entry is the newer version (FHIR R4, history). Equal contents are one
    version, at its first entry, with the latest time. A deletion without a time wins over versions that have one if it
    comes after the best of them. What is to be created only if it is not there repeats whatever else is there.
    """
    if _are_distinct(versions):
        return versions, 0
    there = {_key(version) for version in versions if not (version.if_absent or version.deleted)}
    counted = [version for version in versions if not version.if_absent or _key(version) not in there]
    duplicates = len(versions) - len(counted)
    distinct: dict[tuple[str, str], dict[tuple[str, bool], Version]] = {}
    for version in counted:
        same = distinct.setdefault(_key(version), {}).setdefault((version.digest, _is_undated_delete(version)), version)
        if same is version:
            continue
        duplicates += 1
        same.version_time = max(filter(None, (same.version_time, version.version_time)), default=None)
    return [_winner(list(rivals.values()), newest_first) for rivals in distinct.values()], duplicates


def _winner(rivals: list[Version], newest_first: bool) -> Version:
    best = max(rivals, key=_rank_of_history if newest_first else _rank)
    undated = next(filter(_is_undated_delete, rivals), None)
    if undated is None or best.version_time is None:
        return best
    return undated if (undated.entry < best.entry) is newest_first else best


def _is_undated_delete(version: Version) -> bool:
    return version.deleted and version.version_time is None


def _rank(version: Version) -> tuple[bool, datetime, int, int, str]:
    time = version.version_time
    return (time is not None, time or datetime.min, -1 if time else version.entry, version.standing, version.digest)


def _rank_of_history(version: Version) -> tuple[bool, datetime, int]:
    time = version.version_time
    return (time is not None, time or datetime.min, -version.entry)


def _claims(parts: Split, versions: list[Version]) -> list[_Claim]:
    """What names each of the versions of one type and id; equal claims are one resource."""
    unasked = [place for place, version in enumerate(versions) if parts.entries[version.entry].method is None]
    claims = [_claim(parts, version) for version in versions]
    servers = {_server_of(version) for version in versions if not version.condition} - {""}
    for place in unasked if len(servers) == 1 else ():
        if claims[place][0] == "server":
            claims[place] = _PLACE
    # under one fullUrl are versions of one resource (bdl-7)
    there = {version.full_url for version, claim in zip(versions, claims, strict=True) if claim == _PLACE} - {None}
    for place, version in enumerate(versions):
        if claims[place][0] in ("url", "server") and version.full_url in there:
            claims[place] = _PLACE
    if len(set(claims)) > 1 or claims[0][0] == "url":
        _weigh_contents(claims, versions, unasked, [_content_id(parts, version) for version in versions])
    return claims


def _weigh_contents(claims: list[_Claim], versions: list[Version], unasked: list[int], contents: list[str]) -> None:
    """Let contents decide where fullUrls mean nothing.

    Args:
        claims: to be changed.
        versions: beside the claims.
        unasked: places of those that have no request.
        contents: beside the claims.
    """
    # a fullUrl that is all that names several contents is a placeholder
    named = {claim for version, claim in zip(versions, claims, strict=True) if version.own_id or claim[0] != "url"}
    for place, content in enumerate(contents):
        if claims[place] not in named:
            claims[place] = "content", content
    # what is sent under several addresses, and is the same, is sent twice
    first: dict[str, _Claim] = {}
    for place in unasked:
        first[contents[place]] = min(claims[place], first.get(contents[place], claims[place]))
    for place in unasked:
        claims[place] = first[contents[place]]


def _claim(parts: Split, version: Version) -> _Claim:
    """What names a resource: a search, a server, another fullUrl, its content, or its type and id alone."""
    method, url = parts.entries[version.entry].method, version.full_url
    if version.condition:
        return "search", version.condition
    if method not in (None, "POST"):
        return _PLACE
    if url is None:
        return _PLACE if method is None and version.own_id else ("content", _content_id(parts, version))
    if method is None and url.removeprefix("/") == version.name:
        return _PLACE
    if _UUID.fullmatch(url) and id_of_urn(url) == version.own_id:
        return _PLACE
    server = _server_of(version)
    return ("server", server) if server else ("url", url)


def _server_of(version: Version) -> str:
    """The server whose resource of its type and id it is, by its fullUrl; empty: none says so."""
    url = version.full_url or ""
    return base_of(url).partition("://")[2] if url.endswith(f"/{version.name}") else ""


def _ids(
    claims: set[_Claim],
    key: tuple[str, str],
    keys: Container[tuple[str, str]],
    named: Mapping[tuple[str, str | None], int],
) -> dict[_Claim, str]:
    """An id for each of several claims to one key; none is that of another key of the object.

    Args:
        claims: to the key.
        key: (type, id).
        keys: all of the object.
        named: how many urns of the object give a type and id.
    """
    resource_type, shared = key
    found = {}
    for kind, text in claims:
        own = id_of_urn(text) if kind == "url" else None
        held = _PLACE in claims if own == shared else (resource_type, own) in keys
        if kind == "place":
            found[kind, text] = shared
        elif kind == "content":
            found[kind, text] = text
        elif kind == "server":
            found[kind, text] = id_of_url(f"{text}{resource_type}/{shared}")
        elif own and named[resource_type, own] == 1 and not held:
            found[kind, text] = own
        else:
            found[kind, text] = id_of_url(text)
    return found


def _content_id(parts: Split, version: Version) -> str:
    content = parts.entries[version.entry].content
    return id_of_content(content) if content else ""
