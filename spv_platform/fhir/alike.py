"""Entries of one object that are called alike: which are several resources, and which are versions of one.

Of several resources each gets an id of its own; of several versions one wins.
"""

from collections import defaultdict
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
    for alike in places.values():
        if len(alike) > 1:
            _separate(parts, versions, names, alike)


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


def _separate(parts: Split, versions: list[Version], names: list[Identified], places: list[int]) -> None:
    claims = {place: _claim(parts, versions[place]) for place in places}
    if len({text for kind, text in claims.values() if kind == "server"}) == 1:
        claims = {place: _PLACE if claim[0] == "server" else claim for place, claim in claims.items()}
    for claim in set(claims.values()):
        same = [place for place in places if claims[place] == claim]
        unnamed = claim[0] == "url" and not any(versions[place].own_id for place in same)
        # under one fullUrl are versions of one resource (bdl-7), unless it is all that names them
        if unnamed and not _are_equal(parts, versions, same):
            claims |= {place: ("content", _content_id(parts, versions[place])) for place in same}
    if len(set(claims.values())) < 2:
        return
    requested = any(
        kind in ("url", "search") and parts.entries[versions[place].entry].method for place, (kind, _) in claims.items()
    )
    if not requested and _are_equal(parts, versions, places):
        return
    for place, claim in claims.items():
        shared, own = versions[place].name, _id_of(claim, versions[place])
        if own != versions[place].resource_id:
            versions[place].resource_id = own
            names[place] = replace(names[place], resource_id=own, shared_key=shared)


def _claim(parts: Split, version: Version) -> _Claim:
    """What names a resource: a search, a server or another fullUrl, its content, or its type and id on the feed's."""
    method = parts.entries[version.entry].method
    if version.condition:
        return "search", version.condition
    if method not in (None, "POST"):
        return _PLACE
    if version.full_url:
        server = base_of(version.full_url).partition("://")[2]
        return ("server", server) if server else ("url", version.full_url)
    if method is None and version.own_id:
        return _PLACE
    return "content", _content_id(parts, version)


def _id_of(claim: _Claim, version: Version) -> str:
    kind, text = claim
    if kind == "search":
        return id_of_url(text)
    if kind == "server":
        return id_of_url(f"{text}{version.name}")
    if kind == "url":
        return id_of_urn(text) or id_of_url(text)
    return text or version.resource_id


def _are_equal(parts: Split, versions: list[Version], places: list[int]) -> bool:
    return len({_content_id(parts, versions[place]) for place in places}) < 2


def _content_id(parts: Split, version: Version) -> str:
    content = parts.entries[version.entry].content
    return id_of_content(content) if content else ""
