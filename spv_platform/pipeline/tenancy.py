"""Tenants: adding one with its keys, feeds and contracts, removing it, and bringing it back.

The landing sensor makes and removes the partitions in Dagster by what the ledger says.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from spv_platform import strict_yaml
from spv_platform.envelope.formats import FORMATS
from spv_platform.errors import UsageError
from spv_platform.ledger import audit, contracts, objects, removal, tenants
from spv_platform.ledger.contracts import FeedContract
from spv_platform.ledger.removal import Removal
from spv_platform.pipeline.platform import Platform

#: The feed of a new tenant for which none is named.
FIRST_FEED = "emr"
CONTRACT_MAX_BYTES = 64 * 1024


@dataclass(frozen=True)
class Addition:
    """What adding a tenant came to: batches that go on, and objects that were refused before and wait now."""

    tenant: str
    feeds: list[str]
    released_batches: int
    admitted_objects: int


def add_tenant(
    platform: Platform,
    tenant: str,
    feeds: Iterable[str] = (),
    contracts_of: Mapping[str, FeedContract] | None = None,
    *,
    time_zone: str = "",
    who: str = "spv",
) -> Addition:
    """Register a tenant, or add feeds and contracts to it; one that was removed comes back.

    Keys come first, then the ledger, so that no object is taken in that nobody could open. What landed before its
    tenant or feed was there waits from now on. Doing it twice changes nothing.

    Args:
        platform: the installation.
        tenant: 1 to 63 of a-z, 0-9 and hyphen.
        feeds: its feeds; `emr` if it has none and none are named. A feed that is there keeps its contract.
        contracts_of: contracts of some of the feeds, in place of those in force.
        time_zone: IANA name of the zone by whose days ages and windows count; left out it stays, at first UTC.
        who: for the audit trail.

    Raises:
        UsageError: a name cannot be part of a path, there is no such zone, or the tenant's keys were destroyed.
    """
    terms = contracts_of or {}
    wanted = list(dict.fromkeys([*feeds, *terms]))
    tenants.check_name("tenant", tenant)
    for feed in wanted:
        tenants.check_name("feed", feed)
    if time_zone:
        with platform.db.transaction() as cur:
            tenants.check_time_zone(cur, time_zone)
    platform.keys.create_tenant(tenant)
    with platform.db.transaction() as cur:
        released = removal.bring_back(cur, tenant)
        tenants.add_tenant(cur, tenant)
        if time_zone:
            tenants.set_time_zone(cur, tenant, time_zone)
        there = {feed.feed for feed in tenants.feeds(cur, tenant)}
        for feed in wanted or ([] if there else [FIRST_FEED]):
            if feed not in there:
                tenants.add_feed(cur, tenant, feed, FeedContract().format)
            if feed in terms:
                contracts.put_contract(cur, tenant, feed, terms[feed])
        admitted = objects.admit_refused(cur, tenant)
        named = [feed.feed for feed in tenants.feeds(cur, tenant)]
        zone = f", time zone {time_zone}" if time_zone else ""
        audit.write(cur, who, "tenant add", tenant, f"feeds {', '.join(named)}{zone}")
    return Addition(tenant, named, released, admitted)


def remove_tenant(platform: Platform, tenant: str, *, who: str) -> Removal:
    """Stop working for a tenant. Nothing is deleted: what waits stays in the ledger, and what is published can be read.

    Raises:
        UsageError: no such tenant.
    """
    with platform.db.transaction() as cur:
        removed = removal.remove(cur, tenant)
        audit.write(cur, who, "tenant remove", tenant, f"{removed.set_aside} batches set aside")
    return removed


def destroy_keys(platform: Platform, tenant: str, *, who: str) -> None:
    """Destroy the keys of a removed tenant: its objects, lake, person states and history are unreadable for good.

    Raises:
        UsageError: the tenant is not removed.
    """
    with platform.db.transaction() as cur:
        if tenant not in tenants.removed(cur):
            raise UsageError(f"tenant {tenant!r} is not removed: remove it before its keys are destroyed")
        # Before the act: a record of what did not happen is better than none of what did.
        audit.write(cur, who, "tenant destroy keys", tenant, "all keys")
    platform.keys.destroy_tenant(tenant)


def read_contract(file: Path) -> FeedContract:
    """The contract in a YAML file.

    Raises:
        UsageError: it cannot be read, or says something that no contract can; with file, field and what to do.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: cannot be read ({type(error).__name__}): check the path and the file") from None
    contract = contracts.parse_contract(strict_yaml.load(text, str(file), max_bytes=CONTRACT_MAX_BYTES), str(file))
    if contract.format not in FORMATS:
        raise UsageError(f"{file}: format: not one of {', '.join(FORMATS)}: correct it")
    return contract


def tenant_list(platform: Platform) -> list[dict[str, Any]]:
    """Every tenant for display: its state, its feeds with their contracts, and what waits."""
    with platform.db.transaction() as cur:
        rows = tenants.tenant_rows(cur)
        for row in rows:
            names = [feed.feed for feed in tenants.feeds(cur, row["tenant"])]
            row["feeds"] = {
                feed: msgspec.structs.asdict(contracts.contract_of(cur, row["tenant"], feed)) for feed in names
            }
    return [
        {
            "tenant": row["tenant"],
            "state": _state(platform, row),
            "time_zone": row["time_zone"],
            "feeds": row["feeds"],
            "waiting": row["waiting"],
            "open_batches": row["open_batches"],
            "set_aside_batches": row["set_aside_batches"],
            "created_at": row["created_at"],
        }
        for row in rows
    ]


def _state(platform: Platform, row: dict[str, Any]) -> str:
    if platform.keys.is_destroyed(row["tenant"]):
        return "keys destroyed"
    return "removed" if row["removed_at"] else "active"
