"""Having objects opened, checked and staged again: what was set aside, or whole stretches of what landed.

An object keeps its landing sequence, so its versions win and lose as they would have, and rows that are there already
change nothing. It is tried under the FHIR contract and the feed contract in force; the one that refused it is in the
ledger. What belongs here: choosing objects. What does not: the batches that carry them, which are ordinary ones.
"""

from dataclasses import dataclass
from datetime import datetime

from spv_platform.errors import UsageError
from spv_platform.ledger import audit, objects, quarantine, replays, tenants
from spv_platform.ledger.replays import Stretch
from spv_platform.pipeline.platform import Platform

#: The contract that this installation has, whichever it is.
CURRENT = "current"


@dataclass(frozen=True)
class Reprocessed:
    """What was, or would be, tried again.

    Attributes:
        objects: how many objects.
        bytes: their sealed size.
        left: objects that are left alone: on their way already, or decided about.
        contract: version of the FHIR contract in force, under which they are tried.
        refused_under: versions that refused what is replayed; empty for objects that no contract was asked about.
    """

    objects: int
    bytes: int
    left: int
    contract: str
    refused_under: str = ""


def reprocess(platform: Platform, stretch: Stretch, *, dry_run: bool, who: str) -> Reprocessed:
    """Let a tenant's objects be processed again.

    Args:
        platform: the installation.
        stretch: which ones.
        dry_run: only say what would be.
        who: for the audit trail.

    Raises:
        UsageError: there is no such tenant, or a time has no zone.
    """
    _check_zone(stretch.since, stretch.until)
    with platform.db.transaction() as cur:
        tenants.require_tenant(cur, stretch.tenant)
        count, size, left = replays.replayable(cur, stretch)
        if not dry_run:
            replays.replay_all(cur, stretch)
            place = "/".join(filter(None, (stretch.tenant, stretch.feed)))
            audit.write(cur, who, "reprocess", stretch.tenant, f"{count} objects of {place}")
    return Reprocessed(count, size, left, _contract())


def replay(
    platform: Platform,
    *,
    item: str | None = None,
    tenant: str | None = None,
    feed: str | None = None,
    reason: str | None = None,
    since: datetime | None = None,
    contract: str = CURRENT,
    dry_run: bool,
    who: str,
) -> Reprocessed:
    """Let what was set aside be tried again: one item, or all open ones that match.

    Args:
        platform: the installation.
        item: `object-N` or `entry-N`; an item that was discarded is open again, one that waits already is left alone.
        tenant: whose.
        feed: only this feed's.
        reason: only of this reason.
        since: only what was set aside from then on, with a time zone.
        contract: the version of the FHIR contract to try it under; an installation has one.
        dry_run: only say what would be.
        who: for the audit trail.

    Raises:
        UsageError: there is no such item, the time has no zone, or the installation has not this contract.
    """
    _check_zone(since)
    in_force = _contract()
    if contract not in (CURRENT, in_force):
        raise UsageError(
            f"this installation has the contract {in_force} and no {contract}: leave --contract out, or replay with the"
            " release that has it"
        )
    with platform.db.transaction() as cur:
        number = quarantine.number_of(item, "object") if item else None
        if number is not None and objects.get(cur, number).state not in ("quarantined", "rejected"):
            return Reprocessed(0, 0, 1, in_force)
        state = None if item else "open"
        found = quarantine.items(cur, tenant, feed=feed, reason=reason, since=since, state=state, name=item)
        chosen = {row["seq"] for row in found}
        if not dry_run and item and (entry := quarantine.number_of(item, "entry")):
            quarantine.reopen_entry(cur, entry)
        waiting = replays.replay(cur, *chosen, dry_run=dry_run)
        if not dry_run:
            what = item or ", ".join(filter(None, (feed, reason))) or "all that was open"
            audit.write(cur, who, "quarantine replay", tenant, f"{what}: {len(waiting)} objects")
    refused_under = ", ".join(sorted({row["contract"] for row in found if row["contract"]}))
    return Reprocessed(len(waiting), sum(waiting.values()), len(chosen) - len(waiting), in_force, refused_under)


def discard(platform: Platform, item: str, *, who: str) -> bool:
    """Take an item for settled, for good; whether it was open.

    Raises:
        UsageError: there is no such item.
    """
    with platform.db.transaction() as cur:
        (row,) = quarantine.items(cur, name=item)
        entry = quarantine.number_of(item, "entry")
        done = quarantine.discard_entry(cur, entry) if entry else replays.discard(cur, row["seq"])
        if done:
            audit.write(cur, who, "quarantine discard", row["tenant"], f"{item} ({row['reason']})")
    return done


def _check_zone(*times: datetime | None) -> None:
    if any(time and time.tzinfo is None for time in times):
        raise UsageError("the time has no zone: write it as 2026-11-25T08:00:00Z")


def _contract() -> str:
    from spv_platform.fhir.contract import CONTRACT_VERSION

    return CONTRACT_VERSION
