"""References between objects: what the resources of a batch can be found by, and what open references mean.

A Patient, an organisation and the like (`fhir.references.SOUGHT_TYPES`) is known by the fullUrl of its entry and by its
identifiers, to the references of the same feed. What belongs here: from rows to targets, and from references to keys.
What does not: resolving (`fhir.references`), and what is staged again when a target comes (`ledger.references`).
"""

import re
from collections.abc import Iterable, Mapping, Set
from typing import TYPE_CHECKING

from spv_platform.envelope.keys import TenantKeys, mac, open_state, seal_state
from spv_platform.fhir.references import SOUGHT_TYPES, asked_for
from spv_platform.ledger import references
from spv_platform.ledger.references import Target, Waiting
from spv_platform.pipeline.platform import Platform

if TYPE_CHECKING:
    import polars as pl

    from spv_platform.fhir.parse import QueuedReference

#: Type or "", and target (`fhir.references.target_of`).
Asked = tuple[str, str]

_TABLES = ("patient", "other_resource")
#: A reference by a search, as nearly all that lead out of a transaction are.
_SEARCH = re.compile(rb'"reference"\s*:\s*"([A-Z][A-Za-z]+\?identifier=[^"\\]+)"')
_NAMES = ["source", "resource_type", "key", "target"]


def targets_of(tables: "Mapping[str, pl.DataFrame]", keys: TenantKeys) -> list[Target]:
    """What the resources among the rows can be found by."""
    import polars as pl

    found: list[Target] = []
    for table in _TABLES:
        if table not in tables:
            continue
        rows = (
            tables[table]
            .filter(pl.col("resource_type").is_in(SOUGHT_TYPES) & ~pl.col("deleted") & pl.col("container").is_null())
            .select(
                "source",
                "resource_type",
                "identifier",
                key=pl.concat_str("resource_type", pl.lit("/"), "resource_id"),
                target=pl.col("full_url"),
            )
        )
        identifiers = rows.explode("identifier").unnest("identifier")
        text = pl.concat_str(pl.lit("identifier="), pl.col("system").fill_null(""), pl.lit("|"), "value")
        both = pl.concat([rows.drop("identifier"), identifiers.with_columns(target=text).select(_NAMES)])
        found += [_target(keys, *row) for row in both.select(_NAMES).drop_nulls().unique().iter_rows()]
    return found


def searches_in(plain: bytes) -> set[Asked]:
    """What the references of a content ask for by a search, as far as a look at its text tells."""
    if b"?identifier=" not in plain:
        return set()
    found = (asked_for(text.decode(errors="replace")) for text in set(_SEARCH.findall(plain)))
    return {(type_ or "", target) for type_, target in found if target}


def asked_by(references_: "Iterable[QueuedReference]") -> set[Asked]:
    """What open references ask for."""
    return {(each.target_type or "", each.reference_text) for each in references_}


def look_up(platform: Platform, tenant: str, source: str, asked: Set[Asked]) -> dict[Asked, list[str]]:
    """What is known of what is asked for: the keys; what nothing is known of is left out."""
    keys = platform.tenant_keys(tenant)
    wanted = {each: target_mac(keys, each[1]) for each in asked}
    if not wanted:
        return {}
    with platform.db.transaction() as cur:
        found = references.find_targets(cur, tenant, source, set(wanted.values()))
    known: dict[Asked, list[str]] = {}
    for (type_, text), sought in wanted.items():
        meant = [each for each in found if each.target == sought and type_ in ("", each.resource_type)]
        if meant:
            known[type_, text] = [open_state(keys.state, each.key, each.target).decode() for each in meant]
    return known


def queued(keys: TenantKeys, asked: "Iterable[QueuedReference]", known: Mapping[Asked, list[str]]) -> list[Waiting]:
    """Open references as the ledger keeps them."""
    return [
        Waiting(
            each.target_type or "",
            target_mac(keys, each.reference_text),
            each.how,
            each.count,
            len(known.get((each.target_type or "", each.reference_text), ())),
        )
        for each in asked
    ]


def target_mac(keys: TenantKeys, target: str) -> bytes:
    """The HMAC by which the ledger knows a target."""
    return mac(keys.index, "reference", target)


def _target(keys: TenantKeys, source: str, resource_type: str, key: str, target: str) -> Target:
    sought = target_mac(keys, target)
    return Target(
        source, sought, resource_type, mac(keys.index, "key", key), seal_state(keys.state, key.encode(), sought)
    )
