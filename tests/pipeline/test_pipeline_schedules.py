"""Whatever the schedule of deliveries, deaths, take-overs, compactions and replays: the result is the same.

The oracle is an installation that was given the same objects in the same order and was left in peace.
"""

import secrets
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline_bundles import at, bundle, deletes, patient, result
from pipeline_faults import fed
from pipeline_world import TENANT, World, everything

from spv_platform.errors import SpvError
from spv_platform.lake import compact
from spv_platform.ledger import batches
from spv_platform.ledger.objects import FoundObject
from spv_platform.ledger.replays import Stretch, replay
from spv_platform.pipeline import claims, history
from spv_platform.pipeline.claims import hold
from spv_platform.pipeline.landing.discover import discover, form_batches
from spv_platform.pipeline.prepare import prepare
from spv_platform.pipeline.publish import publish_batch
from spv_platform.pipeline.stage import stage_batch
from spv_platform.pipeline.upkeep.compact import compact_batch, form_compactions
from spv_platform.pipeline.upkeep.reprocess import reprocess
from spv_platform.pipeline.upkeep.retention import retain
from spv_platform.sample import bundles

MRN = "http://hospital.example.org/mrn"
EXTRA = (
    bundle(patient("ann", mrn="M-1"), result("r", "ann", 1), result("gone", "ann", 1)),
    bundle(result("r", "ann", 2), at("2026-01-02T00:00:00Z", result("dated", "ann", 2))),
    bundle({**result("asks", "x", 3), "subject": {"reference": f"Patient?identifier={MRN}|M-2"}}),
    deletes("Observation/gone", "Observation/not-yet"),
    bundle(result("r", "ann", 1), at("2026-01-01T00:00:00Z", result("dated", "ann", 1)), result("not-yet", "ann", 1)),
    bundle(patient("ben", mrn="M-2"), {"resourceType": "Observation", "id": "no-status"}),
    bundle(patient("ann-too", ssn="999-12-3456", mrn="M-1")),
)
FILES = [(file.data, file.content_type) for file in bundles()] + [(plain, "application/fhir+json") for plain in EXTRA]

#: What can happen next. `die` and `hang` are about the run that began last; a hung run goes on after it lost its batch.
ACTIONS = (
    *("deliver", "deliver", "deliver", "repeat", "look", "stage", "stage", "prepare", "publish", "publish"),
    *("die", "hang", "wake", "time passes", "compact", "retain", "replay", "reprocess", "drain"),
)


class Schedule:
    """One installation that is disturbed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.delivered = 0
        self.runs: list[tuple[str, str]] = []
        self.hung: list[tuple[str, str]] = []

    def act(self, action: str, pick: int) -> None:
        """Do one thing; what goes wrong for a run is its own affair."""
        with suppress(SpvError):
            getattr(self, f"_{action.replace(' ', '_')}")(pick)

    def end(self) -> None:
        """Let every run die, deliver what is left, and let a last worker finish."""
        while self.runs:
            self._die(0)
        while self.delivered < len(FILES):
            self._deliver(0)
        self.world.let_time_pass()
        self.world.drain()
        while self.hung:
            with suppress(SpvError):
                self._wake(0)
        self.world.drain()

    def _deliver(self, pick: int) -> None:
        if self.delivered < len(FILES):
            plain, content_type = FILES[self.delivered]
            self.world.land(f"{self.delivered:02}", plain, content_type=content_type)
            self.delivered += 1

    def _repeat(self, pick: int) -> None:
        """What was found is found again, once or more."""
        query = (
            "SELECT bucket, key, version, size_bytes, etag, landed_at FROM ops.object"
            " WHERE seq > %s ORDER BY seq LIMIT %s"
        )
        for found in self.world.rows(query, pick % len(FILES), 1 + pick % 5) * 2:
            self.world.enter(FoundObject(*found))

    def _look(self, pick: int) -> None:
        discover(self.world.platform)
        form_batches(self.world.platform)

    def _stage(self, pick: int) -> None:
        run = str(uuid.uuid4())
        with hold(self.world.platform, run, TENANT, None) as holding:
            if holding:
                self.runs.append((run, holding.claim.batch_id))
                stage_batch(self.world.platform, holding)

    def _prepare(self, pick: int) -> None:
        # The publish lease is one for all: a second run would wait for it here for ever.
        if self.runs and not any(holding.token for holding in claims._holdings.values()):
            with hold(self.world.platform, self.runs[-1][0], TENANT, None) as holding:
                if holding:
                    prepare(self.world.platform, holding)

    def _publish(self, pick: int) -> None:
        if not self.runs:
            self._stage(pick)
        holders = [run for run, holding in claims._holdings.items() if holding.token]
        runs = [each for each in self.runs if not holders or each[0] in holders]
        if runs:
            run = runs[pick % len(runs)]
            self.runs.remove(run)
            with hold(self.world.platform, run[0], TENANT, run[1]) as holding:
                if holding:
                    publish_batch(self.world.platform, holding)

    def _die(self, pick: int) -> None:
        """A run's process is gone: nothing is given back, its leases run on."""
        if self.runs:
            run, _ = self.runs.pop()
            if holding := claims._holdings.pop(run, None):
                holding.heartbeat.stop()
                self.world.let_time_pass(0)

    def _hang(self, pick: int) -> None:
        """A run stands still, without a heartbeat, past all its leases."""
        if self.runs:
            run = self.runs.pop()
            if holding := claims._holdings.get(run[0]):
                holding.heartbeat.stop()
                self.hung.append(run)
                self.world.let_time_pass()

    def _wake(self, pick: int) -> None:
        """A run that stood still goes on as if nothing had happened."""
        if self.hung:
            run = self.hung.pop()
            if holding := claims._holdings.get(run[0]):
                publish_batch(self.world.platform, holding)

    def _time_passes(self, pick: int) -> None:
        self.world.let_time_pass()

    def _compact(self, pick: int) -> None:
        form_compactions(self.world.platform)
        with self.world.platform.db.transaction() as cur:
            due = [each for each in batches.due(cur, retry_after_s=30) if each.kind == "compact"]
        for each in due:
            with hold(self.world.platform, str(uuid.uuid4()), TENANT, each.batch_id) as holding:
                if holding:
                    compact_batch(self.world.platform, holding)

    def _retain(self, pick: int) -> None:
        retain(self.world.platform, dry_run=False, whole=bool(pick % 2))

    def _replay(self, pick: int) -> None:
        with self.world.platform.db.transaction() as cur:
            replay(cur, 1 + pick % len(FILES))

    def _reprocess(self, pick: int) -> None:
        reprocess(self.world.platform, Stretch(TENANT), dry_run=False, who="test")

    def _drain(self, pick: int) -> None:
        if not self.runs:
            self.world.let_time_pass()
            self.world.drain()


Installations = Callable[..., AbstractContextManager[World]]


@pytest.fixture(scope="module")
def in_peace(installations: Installations, mongo_url: str) -> dict[str, Any]:
    with prepared(installations, mongo_url) as world:
        Schedule(world).end()
        return found(world)


@contextmanager
def prepared(installations: Installations, mongo_url: str) -> Iterator[World]:
    """An installation for as long as the block lasts: hundreds would have more connections than the stores give."""
    kept = {"collect_after_hours": 0.0, "keep_publications_days": 0.0, "keep_publications": 1}
    database = f"schedules_{secrets.token_hex(4)}"
    with installations(batch_max_objects=3, mongo_url=mongo_url, mongo_database=database, **kept) as world:
        world.tolerate_quarantine()
        world.put_criteria()
        world.drain()
        yield world
        world.platform.mongo.drop_database(database)


def found(world: World) -> dict[str, Any]:
    """All that must be equal, with the persons in the history; its versions tell how the work was cut."""
    history.feed(world.platform, TENANT)
    return {**everything(world), "persons": fed(world)["persons"]}


STEPS = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 99)), max_size=16)
_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large]


def check(installations: Installations, mongo_url: str, in_peace: dict[str, Any], steps: list[tuple[str, int]]) -> None:
    with prepared(installations, mongo_url) as world, pytest.MonkeyPatch.context() as patch:
        schedule = Schedule(world)
        patch.setattr(compact, "_LEAST_TAIL_ROWS", 1)
        patch.setattr(compact, "_TAIL_SHARE", 0)
        for action, pick in steps:
            schedule.act(action, pick)
        schedule.end()
        assert found(world) == in_peace


@given(steps=STEPS)
@settings(max_examples=1, deadline=None, suppress_health_check=_QUIET)
def test_any_schedule_gives_what_an_undisturbed_run_gives(
    installations: Installations, mongo_url: str, in_peace: dict[str, Any], steps: list[tuple[str, int]]
) -> None:
    check(installations, mongo_url, in_peace, steps)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@given(steps=STEPS)
@settings(max_examples=150, deadline=None, suppress_health_check=_QUIET)
def test_any_of_many_schedules_gives_what_an_undisturbed_run_gives(
    installations: Installations, mongo_url: str, in_peace: dict[str, Any], steps: list[tuple[str, int]]
) -> None:
    check(installations, mongo_url, in_peace, steps)
