"""References between objects: what the resources of a batch can be found by, and what open references mean.

A Patient, an organisation and the like (`fhir.references.SOUGHT_TYPES`) is known by the fullUrl of its entry and by its
identifiers, to the references of the same feed. What belongs here: from rows to targets, and from references to keys.
What does not: resolving (`fhir.references`), and what is staged again when a target comes (`ledger.references`).
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from spv_platform.envelope.keys import TenantKeys, mac, open_state, seal_state
from spv_platform.fhir.references import SOUGHT_TYPES
from spv_platform.ledger import references
from spv_platform.ledger.references import Target, Waiting
from spv_platform.pipeline.platform import Platform

if TYPE_CHECKING:
    import polars as pl

    from spv_platform.fhir.parse import QueuedReference

_TABLES = ("patient", "other_resource")
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


def look_up(
    platform: Platform, tenant: str, source: str, asked: "Iterable[QueuedReference]"
) -> dict[tuple[str, str], list[str]]:
    """What is known of the targets of open references: keys by (type or "", target); targets of nothing left out."""
    keys = platform.tenant_keys(tenant)
    wanted = {(each.target_type or "", each.reference_text): target_mac(keys, each.reference_text) for each in asked}
    if not wanted:
        return {}
    with platform.db.transaction() as cur:
        found = references.find_targets(cur, tenant, source, set(wanted.values()))
    known: dict[tuple[str, str], list[str]] = {}
    for (type_, text), sought in wanted.items():
        meant = [each for each in found if each.target == sought and type_ in ("", each.resource_type)]
        if meant:
            known[type_, text] = [open_state(keys.state, each.key, each.target).decode() for each in meant]
    return known


def queued(
    keys: TenantKeys, asked: "Iterable[QueuedReference]", known: Mapping[tuple[str, str], list[str]]
) -> list[Waiting]:
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
