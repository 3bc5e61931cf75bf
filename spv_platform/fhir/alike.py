"""Entries of one object that are called alike: which are several resources, and which are versions of one.

Of several resources each gets an id of its own; of several versions one wins.
"""

from collections.abc import Container
from datetime import datetime
from operator import attrgetter

import msgspec
from msgspec.structs import replace

from spv_platform.fhir.identify import id_of_content, id_of_url, id_of_urn
from spv_platform.fhir.references import Identified, base_of
from spv_platform.fhir.split import Split
from spv_platform.fhir.version import Version

#: (type, id) of a version.
_key = attrgetter("resource_type", "resource_id")


def tell_apart(parts: Split, versions: list[Version], names: list[Identified], conditional: Container[int]) -> None:
    """Give each of several resources that have one type and id an id of its own, in its version and its name.

    Args:
        parts: the object.
        versions: of its entries.
        names: beside the versions.
        conditional: entries that name their resource by a search.
    """
    if not _are_distinct(versions):
        _separate(parts, versions, names, conditional)
        _set_apart(parts, versions, names, conditional)


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


def _separate(parts: Split, versions: list[Version], names: list[Identified], conditional: Container[int]) -> None:
    """Give resources that are created under one id, but are several, ids of their fullUrls or else their contents.

    Who takes a POST gives the id (FHIR R4, RESTful API, create): the one that it came with means nothing, and by it two
    patients would be one. Under one fullUrl are versions of one resource (bdl-7), unless it is all that names them.
    """
    created = [version.entry not in conditional and _is_created(parts, version) for version in versions]
    for places in _by_key(versions, created):
        urls = {versions[place].full_url or place for place in places}
        named = any(versions[place].own_id for place in places)
        if len(urls) < 2 and (named or _are_equal(parts, versions, places)):
            continue
        for place in places:
            url = versions[place].full_url if len(urls) > 1 else None
            own = id_of_urn(url) if url else id_of_content(_content(parts, versions[place]))
            versions[place].resource_id = own or versions[place].resource_id
            names[place] = replace(names[place], resource_id=versions[place].resource_id)


def _is_created(parts: Split, version: Version) -> bool:
    """Whether its id means nothing beyond its object: it came with a POST, or has none and no history names it."""
    method = parts.entries[version.entry].method
    return method == "POST" or (method is None and not version.own_id and parts.kind != "history")


def _set_apart(parts: Split, versions: list[Version], names: list[Identified], conditional: Container[int]) -> None:
    """Give resources of one type and id by several servers ids of their fullUrls: as one they mixed two patients.

    A history is one server's, and what is put somewhere is called by that place.
    """
    if parts.kind == "history":
        return
    bases = [base_of(version.full_url).partition("://")[2] for version in versions]
    stated = [
        bool(base) and parts.entries[version.entry].method in (None, "POST") and version.entry not in conditional
        for base, version in zip(bases, versions, strict=True)
    ]
    for places in _by_key(versions, stated):
        if len({bases[place] for place in places}) < 2 or _are_equal(parts, versions, places):
            continue
        for place in places:
            version = versions[place]
            shared, version.resource_id = version.name, id_of_url(f"{bases[place]}{version.name}")
            names[place] = replace(names[place], resource_id=version.resource_id, shared_key=shared)


def _by_key(versions: list[Version], wanted: list[bool]) -> list[list[int]]:
    """The places of the wanted versions that are called alike, of each name that several have."""
    places: dict[tuple[str, str], list[int]] = {}
    for place, version in enumerate(versions):
        if wanted[place]:
            places.setdefault(_key(version), []).append(place)
    return [each for each in places.values() if len(each) > 1]


def _are_equal(parts: Split, versions: list[Version], places: list[int]) -> bool:
    return len({id_of_content(_content(parts, versions[place])) for place in places}) < 2


def _content(parts: Split, version: Version) -> bytes | msgspec.Raw:
    return parts.entries[version.entry].content or b""
