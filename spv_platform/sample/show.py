"""The demo: lives the sample world through in a running platform, and holds what came out against the truth.

What belongs here: landing, waiting, counting, comparing. What does not: the world and its truth (`sample.world`).
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from spv_platform.errors import UsageError
from spv_platform.ledger import criteria, objects, publications
from spv_platform.ledger import quarantine as entries
from spv_platform.notify.receiver import Receiver, receiving
from spv_platform.pipeline import history
from spv_platform.pipeline.landing.send import send
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.reading import reader
from spv_platform.pipeline.telling import notifying
from spv_platform.pipeline.telling.practices import add_practice
from spv_platform.pipeline.tenancy import add_tenant
from spv_platform.pipeline.waiting import wait_for
from spv_platform.sample.world import FEEDS, World, practices, world
from spv_platform.settings import Settings
from spv_platform.trials.explain import explain

#: The whole cast of both tenants is in a world of this size; the rest has little on record.
PATIENTS = 120
SEED = 7
PATIENCE_S = 150.0
_CATCH_UP_S = 60.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What the demo came to.

    Attributes:
        rows: one per tenant, for a table.
        lines: sentences about a patient who qualifies and one who lacks a test.
        differences: where it is not the truth; empty when all is well.
        summary: the counts, for `--json`.
    """

    rows: list[dict[str, Any]]
    lines: list[str]
    differences: list[str]
    summary: dict[str, Any]


def run_demo(settings: Settings, say: Say) -> Outcome:
    """Land the sample world in a running platform with nothing in it, wait for the daemon's work, and compare.

    Raises:
        UsageError: the platform did not finish in time.
    """
    platform = Platform(settings)
    sample = world(SEED, PATIENTS, today=datetime.now(UTC).date())
    with _practices(platform) as receiver:
        sent = _live_through(platform, sample, say)
        say("waiting for notifications and history, which follow behind")
        _catch_up(platform, sample, receiver)
        return _outcome(platform, sample, receiver, sent)


@contextmanager
def _practices(platform: Platform) -> Iterator[Receiver]:
    """The world's tenants and feeds, and its practices with a receiver that checks signatures."""
    with receiving(Receiver()) as receiver:
        for tenant, feeds in FEEDS.items():
            add_tenant(platform, tenant, feeds)
            for name, organizations in practices().items():
                inbox = f"{tenant}-{name}"
                added = add_practice(platform, tenant, name, receiver.url(inbox), organizations, who="demo")
                receiver.trust(inbox, added.secret or "")
        yield receiver


def _live_through(platform: Platform, sample: World, say: Say) -> dict[str, datetime]:
    """Land each day's files once the day before is worked off; when each object had landed."""
    sent: dict[str, datetime] = {}
    for day, (drops, files) in enumerate(zip(sample.drops, sample.feeds, strict=True)):
        version = _criteria_version(platform)
        for file in files:
            platform.s3.put_object(Bucket=platform.settings.feeds_bucket, Key=file.name, Body=file.data)
        if files:
            _wait_for_criteria(platform, after=version)
        for drop in drops:
            landed = send(platform, drop.name, drop.data, drop.content_type, tenant=drop.tenant, feed=drop.feed)
            sent[landed.object] = datetime.now(UTC)
        say(f"day {day + 1}: {len(drops)} sealed files and {len(files)} trial files landed; the sensors see them")
        wait_for(platform, list(sent), timeout_s=PATIENCE_S)
        if day == 0:
            for tenant in FEEDS:
                notifying.go_live(platform, tenant, who="demo")
    return sent


def _catch_up(platform: Platform, sample: World, receiver: Receiver) -> None:
    def done() -> bool:
        told = sum(len(inbox.messages) for inbox in _inboxes(receiver).values())
        return told >= sample.truth.notified and not any(history.behind(platform, tenant) for tenant in FEEDS)

    # What is late shows as a difference; the comparison says it better than a time-out.
    deadline = time.monotonic() + _CATCH_UP_S
    while not done() and time.monotonic() < deadline:
        time.sleep(0.2)


def _outcome(platform: Platform, sample: World, receiver: Receiver, sent: dict[str, datetime]) -> Outcome:
    truth, differences = sample.truth, _news_differences(sample, receiver)
    documents = {row["tenant"]: sum((row["documents"] or {}).values()) for row in history.status(platform)}
    rows: list[dict[str, Any]] = []
    lines: list[str] = []
    for tenant in FEEDS:
        with platform.db.transaction() as cur:
            ledger = objects.ledger_rows(cur, tenant)
            broken = entries.list_entries(cur, tenant)
        views = reader(platform, tenant).current("patient_view").collect()
        verdicts = reader(platform, tenant).current("cohort_verdict").collect()
        differences += _differences(tenant, sample, views, verdicts)
        if sorted(row["reason"] for row in broken) != truth.quarantined[tenant]:
            differences.append(f"{tenant}: {len(broken)} entries in quarantine, not {len(truth.quarantined[tenant])}")
        if not all(row["balances"] for row in ledger):
            differences.append(f"{tenant}: an object's counts do not balance")
        inboxes = [inbox for name, inbox in _inboxes(receiver).items() if name.startswith(f"{tenant}-")]
        rows.append(
            {
                "tenant": tenant,
                "objects": len(ledger),
                "resources": sum(row["accepted"] or 0 for row in ledger),
                "quarantined": len(broken),
                "persons": views.height,
                "approved": int(verdicts["approved"].sum()),
                "expected_approved": truth.approved[tenant],
                "notified": sum(len(inbox.messages) for inbox in inboxes),
                "mongo_documents": documents.get(tenant, 0),
            }
        )
        if not lines:
            lines = _told(platform, tenant, verdicts)
    summary = {name: sum(row[name] for row in rows) for name in rows[0] if name != "tenant"}
    summary["trials"] = len({trial for _, _, trial, _ in truth.reasons})
    summary["seconds_landed_to_approved_p50"] = round(statistics.median(_seconds(platform, sent)), 2)
    return Outcome(rows, lines, differences, summary)


def _differences(tenant: str, sample: World, views: pl.DataFrame, verdicts: pl.DataFrame) -> list[str]:
    """Persons and approvals that are not the truth's, without names."""
    truth = sample.truth
    labels = {
        person: {truth.records.get((tenant, record["source"], record["patient_id"]), "") for record in records}
        for person, records in views.select("person_id", "records").iter_rows()
    }
    found = []
    mixed = sum(len(names) != 1 for names in labels.values())
    if views.height != truth.persons[tenant] or mixed:
        found.append(f"{tenant}: {views.height} persons, {mixed} of them mixed, not {truth.persons[tenant]}")
    approved = {
        (tenant, label, trial, cohort)
        for person, trial, cohort in verdicts.filter("approved").select("person_id", "trial", "cohort").iter_rows()
        for label in labels.get(person, ())
    }
    expected = {key for key, reason in truth.reasons.items() if key[0] == tenant and not reason}
    if approved != expected:
        found.append(f"{tenant}: {len(approved - expected)} approvals too many, {len(expected - approved)} missing")
    return found


def _news_differences(sample: World, receiver: Receiver) -> list[str]:
    """Digests and single events that practices got and should not have, or the other way round."""
    found = []
    for name, inbox in _inboxes(receiver).items():
        tenant, _, practice = name.partition("-")
        # Only a digest says for how many it stands.
        counts = [message["data"].get("count") for message in inbox.messages.values()]
        told, events = sum(count for count in counts if count), counts.count(None)
        wanted = sample.truth.digests[tenant, practice], sample.truth.events[tenant, practice]
        if (told, events) != wanted:
            found.append(f"{name}: told of {told} in digests and {events} singly, not {wanted[0]} and {wanted[1]}")
    return found


def _told(platform: Platform, tenant: str, verdicts: pl.DataFrame) -> list[str]:
    """Why one patient qualifies, and what one is a test away from."""
    lines = []
    near = verdicts.filter((pl.col("verdict") == "needs_information") & (pl.col("answers_needed") == 1))
    for cohorts in (verdicts.filter("approved"), near):
        if cohorts.is_empty():
            continue
        cohort = cohorts.sort("person_id", "trial", "cohort").head(1)
        rows = reader(platform, tenant).current("criterion_result")
        mine = rows.join(
            cohort.lazy().select("person_id", "trial", "cohort"), on=["person_id", "trial", "cohort"], how="semi"
        )
        lines += [f"{cohort['person_id'].item()} ({tenant}):", *explain(cohort, mine.collect()), ""]
    return lines


def _seconds(platform: Platform, sent: dict[str, datetime]) -> list[float]:
    """Seconds from landing to the commit of the publication, for each object."""
    with platform.db.transaction() as cur:
        published = publications.published_at(cur)
    return [(published[name] - at).total_seconds() for name, at in sent.items() if name in published]


def _inboxes(receiver: Receiver) -> dict[str, Any]:
    return {f"{tenant}-{name}": receiver.inbox(f"{tenant}-{name}") for tenant in FEEDS for name in practices()}


def _criteria_version(platform: Platform) -> int:
    with platform.db.transaction() as cur:
        newest = criteria.newest(cur)
    return newest.version if newest else 0


def _wait_for_criteria(platform: Platform, after: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while _criteria_version(platform) <= after:
        if time.monotonic() > deadline:
            raise UsageError(f"trial criteria were not read after {PATIENCE_S:.0f} s: look at the Dagster UI")
        time.sleep(0.2)
