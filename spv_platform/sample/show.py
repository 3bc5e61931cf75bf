"""The demo: lands the sample in a running platform, waits, and holds what came out against the truth."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from spv_platform.ledger import objects
from spv_platform.ledger import quarantine as entries
from spv_platform.pipeline.persons import Person, look_up
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.send import send
from spv_platform.pipeline.setup import FIRST_FEED
from spv_platform.pipeline.waiting import wait_for
from spv_platform.sample import BROKEN, Expected, bundles, expected, trial_files
from spv_platform.settings import Settings
from spv_platform.trials.explain import explain

TENANT = "north"
#: Patients whose reasons are told in full: one who qualifies, one who lacks a test.
TOLD = ("aster", "birch")
PATIENCE_S = 180.0


@dataclass(frozen=True)
class Outcome:
    """What the demo came to.

    Attributes:
        rows: one per patient, for a table.
        lines: sentences about some of them.
        differences: where it is not the truth; empty when all is well.
        summary: the counts, for `--json`.
    """

    rows: list[dict[str, Any]]
    lines: list[str]
    differences: list[str]
    summary: dict[str, Any]


def run_demo(settings: Settings, say: Callable[[str], None]) -> Outcome:
    """Land the sample, wait until the daemon has worked through it, and compare.

    Raises:
        UsageError: the platform did not finish in time.
    """
    platform = Platform(settings)
    for file in trial_files():
        platform.s3.put_object(Bucket=settings.feeds_bucket, Key=file.name, Body=file.data)
    say("trial criteria and registry studies put into the feeds bucket")
    started = time.monotonic()
    files = bundles(TENANT)
    landed = [send(platform, file.name, file.data, file.content_type, tenant=TENANT, feed=FIRST_FEED) for file in files]
    say(f"{len(landed)} sealed files landed for tenant {TENANT}; the sensor sees them by itself")
    wait_for(platform, [item.object for item in landed], criteria=True, timeout_s=PATIENCE_S)
    seconds = time.monotonic() - started
    say(f"done {seconds:.1f} s after landing")
    return _compare(platform, seconds)


def _compare(platform: Platform, seconds: float) -> Outcome:
    truths = [truth for truth in expected() if truth.tenant == TENANT]
    people = {
        name: look_up(platform, TENANT, f"Patient/sample-{name}", source=FIRST_FEED, who="demo")
        for name in dict.fromkeys(truth.patient for truth in truths)
    }
    with platform.db.transaction() as cur:
        ledger = objects.ledger_rows(cur, TENANT)
        set_aside = entries.list_entries(cur, TENANT)
    differences = [text for truth in truths for text in _difference(truth, people[truth.patient])]
    if [row["reason"] for row in set_aside] != [BROKEN.reason]:
        differences.append(f"{len(set_aside)} entries in quarantine, expected 1 ({BROKEN.reason})")
    if not all(row["balances"] for row in ledger):
        differences.append("an object's counts do not balance")
    lines = [
        f"{len(ledger)} sealed objects, {sum(row['entries'] for row in ledger)} entries; every object balances; "
        f"{len(set_aside)} entry in quarantine: {', '.join(row['reason'] for row in set_aside)}"
    ]
    for name in TOLD:
        lines += ["", f"Why {name}:", *explain(*_about(people[name], truths[0].trial))]
    approved = sum(person.cohorts["approved"].sum() for person in people.values())
    summary = {
        "objects": len(ledger),
        "resources": sum(row["accepted"] for row in ledger),
        "quarantined": len(set_aside),
        "persons": len({person.view["person_id"] for person in people.values()}),
        "trials": len({truth.trial for truth in truths}),
        "approved": int(approved),
        "expected_approved": sum(truth.approved for truth in truths),
        "seconds_landed_to_published": round(seconds, 1),
    }
    rows = [_row(name, person) for name, person in people.items()]
    return Outcome(rows, lines, differences, summary)


def _difference(truth: Expected, person: Person) -> list[str]:
    row = person.cohorts.row(by_predicate=_cohort(truth.trial, truth.cohort), named=True)
    if row["approved"] == truth.approved:
        return []
    return [f"{truth.patient} in {truth.trial} {truth.cohort}: approved is {row['approved']}"]


def _row(name: str, person: Person) -> dict[str, Any]:
    best = person.cohorts.sort(pl.col("verdict").replace_strict(_ORDER), "cohort").row(0, named=True)
    return {
        "patient": name,
        "person": person.view["person_id"],
        "trial": best["trial"],
        "cohort": best["cohort"],
        "verdict": best["verdict"],
        "why": ", ".join([*best["reasons"], *(f"not known: {name}" for name in best["missing"])]),
    }


_ORDER = {"potentially_eligible": 0, "needs_information": 1, "not_eligible": 2}


def _about(person: Person, trial: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    cohort = person.cohorts.filter(trial=trial).sort(pl.col("verdict").replace_strict(_ORDER)).head(1)
    return cohort, person.criteria.filter(trial=trial)


def _cohort(trial: str, cohort: str) -> pl.Expr:
    return (pl.col("trial") == trial) & (pl.col("cohort") == cohort)
