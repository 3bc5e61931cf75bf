"""Having objects opened, checked and staged again: what was set aside, or whole stretches of what landed.

An object keeps its landing sequence, so its versions win and lose as they would have, and rows that are there already
change nothing. It is tried under the FHIR contract and the feed contract in force; the one that refused it is in the
ledger. What belongs here: choosing objects. What does not: the batches that carry them, which are ordinary ones.
"""

from dataclasses import dataclass

from spv_platform.errors import UsageError
from spv_platform.ledger import audit, objects, quarantine, replays, tenants
from spv_platform.ledger.replays import Stretch
from spv_platform.pipeline.platform import Platform


@dataclass(frozen=True)
class Reprocessed:
    """What was, or would be, tried again.

    Attributes:
        objects: how many objects.
        bytes: their sealed size.
        left: objects that are left alone: on their way already, or decided about.
        contract: version of the FHIR contract in force.
    """

    objects: int
    bytes: int
    left: int
    contract: str


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
    if any(time and time.tzinfo is None for time in (stretch.since, stretch.until)):
        raise UsageError("the time has no zone: write it as 2026-11-25T08:00:00Z")
    with platform.db.transaction() as cur:
        known = tenants.tenants(cur)
        if stretch.tenant not in known:
            raise UsageError(f"there is no tenant {stretch.tenant}: choose one of {', '.join(known) or 'none yet'}")
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
    dry_run: bool,
    who: str,
) -> Reprocessed:
    """Let what was set aside be tried again: one item, or all open ones that match.

    Args:
        platform: the installation.
        item: `object-N` or `entry-N`; an item that was discarded is open again.
        tenant: whose.
        feed: only this feed's.
        reason: only of this reason.
        dry_run: only say what would be.
        who: for the audit trail.

    Raises:
        UsageError: there is no such item.
    """
    with platform.db.transaction() as cur:
        found = quarantine.items(cur, tenant, feed=feed, reason=reason, state=None if item else "open", name=item)
        chosen = [objects.get(cur, seq) for seq in sorted({row["seq"] for row in found})]
        waiting = chosen
        if not dry_run:
            for row in found:
                if row["level"] == "entry":
                    quarantine.reopen_entry(cur, int(row["item"].removeprefix("entry-")))
            waiting = [each for each in chosen if replays.replay(cur, each.seq)]
            what = item or ", ".join(filter(None, (feed, reason))) or "all that was open"
            audit.write(cur, who, "quarantine replay", tenant, f"{what}: {len(waiting)} objects")
    size = sum(each.size_bytes for each in waiting)
    return Reprocessed(len(waiting), size, len(chosen) - len(waiting), _contract())


def discard(platform: Platform, item: str, *, who: str) -> bool:
    """Take an item for settled, for good; whether it was open.

    Raises:
        UsageError: there is no such item.
    """
    with platform.db.transaction() as cur:
        (row,) = quarantine.items(cur, name=item)
        number = int(item.partition("-")[2])
        done = replays.discard(cur, number) if row["level"] == "object" else quarantine.discard_entry(cur, number)
        if done:
            audit.write(cur, who, "quarantine discard", row["tenant"], f"{item} ({row['reason']})")
    return done


def _contract() -> str:
    from spv_platform.fhir.contract import CONTRACT_VERSION

    return CONTRACT_VERSION
