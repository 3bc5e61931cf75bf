"""Workers that are disturbed, what they work on, and all that is compared with an undisturbed run."""

import itertools
import multiprocessing
import os
import random
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any

import pytest
from pipeline_bundles import bundle, deletes, patient, result
from pipeline_practices import add, go_live, put_trials, visit
from pipeline_world import TENANT, World, everything

from spv_platform import faults
from spv_platform.errors import LeaseLostError, TransientError
from spv_platform.history.schema import COLLECTIONS, PERSON
from spv_platform.notify.receiver import Receiver, receiving
from spv_platform.pipeline import claims, history
from spv_platform.pipeline.drain import drain
from spv_platform.pipeline.landing.discover import discover
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.telling import notifying
from spv_platform.pipeline.upkeep import compact
from spv_platform.pipeline.upkeep.retention import retain
from spv_platform.settings import Settings

#: A server that has imported what workers need, and forks them: starting one from nothing takes seconds.
_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(
    [
        *("spv_platform.pipeline.drain", "spv_platform.pipeline.history", "spv_platform.pipeline.telling.notifying"),
        "spv_platform.pipeline.upkeep.retention",
        *("spv_platform.fhir.parse", "spv_platform.lake.stage", "spv_platform.quality.expectations"),
        *("great_expectations", "deltalake", "boto3", "pymongo", "bson"),
    ]
)


def files(of: str = "") -> tuple[bytes | None, ...]:
    """What lands; None is no sealed object. No two are one person, whose approvals would tell how the work was cut.

    Args:
        of: makes the ids others.
    """
    ann, ben, cam = f"ann{of}", f"ben{of}", f"cam{of}"
    return (
        bundle(patient(ann, family="Ann", mrn=f"M-{ann}", gender="female"), visit(ann), result(f"r-{ann}", ann, 1)),
        bundle(patient(ben, family="Ben", mrn=f"M-{ben}", gender="male"), visit(ben), result(f"r-{ben}", ben, 1)),
        bundle(result(f"r-{ann}", ann, 2)),
        deletes(f"Observation/r-{ben}"),
        bundle(patient(cam, family="Cam", mrn=f"M-{cam}"), {"resourceType": "Observation", "id": f"no-status{of}"}),
        None,
    )


FILES = files()
#: Of these there is a copy under another name.
TWICE = 0


@dataclass(frozen=True)
class Disturbed:
    """An installation with everything landed and nothing found, and the receiver of its practice."""

    world: World
    receiver: Receiver

    def let_time_pass(self) -> None:
        """Let time pass for every lease, turn, pause, request and attempt of everything."""
        self.world.let_time_pass(1e6)
        self.world.rows(
            "WITH o AS (UPDATE ops.outbox SET next_attempt_at = next_attempt_at - interval '10 minutes'),"
            " p AS (UPDATE ops.practice SET paused_until = paused_until - interval '10 minutes')"
            " UPDATE ops.history_cursor SET until = until - interval '10 minutes',"
            " paused_until = paused_until - interval '10 minutes' RETURNING 1"
        )

    def start(self, fault: str = "") -> BaseProcess:
        """A process that does all the work there is, and dies at the fault, if any."""
        process = _FORKED.Process(target=_work, args=(self.world.settings, fault))
        process.start()
        return process

    def go_on(self) -> None:
        """Do all the work there is in this process, as one that has just been started."""
        all_the_work(Platform(self.world.settings))

    def found(self) -> dict[str, Any]:
        """All that must be equal to that of an undisturbed run."""
        return {**everything(self.world), **fed(self.world), "told": told(self.receiver)}


def all_the_work(platform: Platform, do: Callable[[Callable[[], object]], object] = lambda step: step()) -> None:
    """Load what landed, compact twice, tell the practices, feed the history, delete what nothing needs any more.

    Args:
        platform: the installation.
        do: does one step; the steps are such as may be repeated.
    """
    do(lambda: discover(platform))
    do(lambda: drain(platform))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compact, "should_compact", lambda **_: True)
        for _ in range(2):
            do(lambda: compact.form_compactions(platform))
            do(lambda: drain(platform))
    do(lambda: notifying.relay(platform, TENANT))
    do(lambda: history.feed(platform, TENANT))
    do(lambda: retain(platform, dry_run=False, whole=True))


def _work(settings: Settings, fault: str) -> None:
    if fault:
        os.environ["SPV_FAULT"] = fault
    all_the_work(Platform(settings))


class Patient:
    """A worker that stands still at a point, once, and goes on through any outage of a store until the work is done.

    Args:
        settings: of the installation.
        place: the point; with `@3` at the end the third time that it is passed.
        stop: stop as by SIGSTOP, with all threads; otherwise only its work stands still.
    """

    def __init__(self, settings: Settings, place: str, *, stop: bool = False) -> None:
        self._reached, self._proceed = _FORKED.Event(), _FORKED.Event()
        self._stop = stop
        arguments = (settings, place, self._reached, None if stop else self._proceed)
        self.process = _FORKED.Process(target=_persist, args=arguments)
        self.process.start()

    def wait_until_there(self) -> None:
        assert self._reached.wait(120)

    def go_on(self) -> None:
        self._proceed.set()
        if self._stop:
            os.kill(self.process.pid or 0, signal.SIGCONT)


def at_point(place: str, do: Callable[[], object]) -> Callable[..., None]:
    """What stands in for `faults.point` to do something once, at a point `NAME` or its third pass `NAME@3`."""
    wanted, _, occurrence = place.partition("@")
    passed = itertools.count(1)

    def point(name: str, qualifier: object = "") -> None:
        if name == wanted and next(passed) == int(occurrence or 1):
            do()

    return point


def _persist(settings: Settings, place: str, reached: Any, proceed: Any) -> None:
    def stand_still() -> None:
        reached.set()
        if proceed:
            proceed.wait(120)
        else:
            os.kill(os.getpid(), signal.SIGSTOP)

    faults.point = at_point(place, stand_still)
    claims.BACK_OFF_MOST_S = 0.1
    persist(Platform(settings))


def persist(platform: Platform, meanwhile: Callable[[], object] = lambda: time.sleep(0.1)) -> None:
    """Do all the work there is, each step again whenever a store fails, as the sensors do."""

    def do(step: Callable[[], object]) -> object:
        for _ in range(500):
            try:
                return step()
            except (TransientError, LeaseLostError):
                meanwhile()
        raise AssertionError("the work is never done")

    all_the_work(platform, do)


def told(receiver: Receiver) -> list[str]:
    """The distinct ids of the messages that came, to whichever practice."""
    return sorted({event for inbox in receiver._inboxes.values() for event in inbox.messages})


def fed(world: World) -> dict[str, Any]:
    """The documents of the history.

    Its versions depend on how the work was cut into publications: they have to be what these say, however fed.
    """
    documents = documents_of(world)
    history.rebuild(world.platform, TENANT, who="test")
    assert documents_of(world) == documents
    return {"history": documents, "persons": persons_of(world)}


def documents_of(world: World) -> dict[str, list[str]]:
    """The documents of the history as lines, without when they were published."""
    with history.open_store(world.platform, TENANT) as opened:
        return {item.name: _lines(opened.documents(item.name, {}), "published_at") for item in COLLECTIONS}


def persons_of(world: World) -> list[str]:
    """The current documents of persons as lines, without which publications made them so."""
    with history.open_store(world.platform, TENANT) as opened:
        found = opened.documents(PERSON, {})
    for person in found:
        person["approvals"] = [(each["trial"], each["cohort"]) for each in person["approvals"]]
    return _lines(found, "published_at", "seq")


def without_publications(found: dict[str, Any]) -> dict[str, Any]:
    """What is equal too if the work was cut into other batches, or these were published in another order.

    Of two objects with equal entries, the one that is published first brings them.
    """
    ledger = [dict(row) for row in found["ledger"]]
    for row in ledger:
        if row.get("entries") is not None:
            row["taken"] = sum(row.pop(name) for name in ("accepted", "duplicates", "superseded"))
    return {**{name: value for name, value in found.items() if name != "history"}, "ledger": ledger}


def _lines(documents: list[dict[str, Any]], *without: str) -> list[str]:
    return sorted(repr({name: value for name, value in each.items() if name not in without}) for each in documents)


@contextmanager
def counted() -> Any:
    """How often each point is passed, by its name and, where it has one, its qualifier."""
    passed: Counter[str] = Counter()

    def count(name: str, qualifier: object = "") -> None:
        passed[name] += 1
        if qualifier:
            passed[f"{name}:{qualifier}"] += 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faults, "point", count)
        yield passed


class Bench:
    """Makes installations with the same files in the same order for the same seed.

    Each takes the place of the one before: hundreds would have more connections and volumes than the stores give.

    Args:
        installations: makes empty ones.
        mongo_url: where the history goes.
        stack: ends what is begun here.
    """

    def __init__(
        self, installations: Callable[..., AbstractContextManager[World]], mongo_url: str, stack: ExitStack
    ) -> None:
        self._installations, self._mongo_url = installations, mongo_url
        self._present = stack.enter_context(ExitStack())
        self._undisturbed: dict[int, tuple[dict[str, Any], Counter[str]]] = {}

    def disturbed(self, seed: int = 0, **changes: Any) -> Disturbed:
        """A fresh installation, the only one; the seed decides the order of the files and the size of the batches."""
        pick = random.Random(seed)  # noqa: S311
        size = pick.choice((2, 3, 4, 5)) if seed else 4
        # As if an hour had passed: nothing is too young to be deleted.
        kept = {"collect_after_hours": -1.0, "keep_publications": 1, "keep_publications_days": 0.0}
        changes = {"batch_max_objects": size, "max_attempts": 1000, **kept, **changes}
        self._present.close()
        database = f"faults_{secrets.token_hex(4)}"
        made = self._installations(mongo_url=self._mongo_url, mongo_database=database, **changes)
        world = self._present.enter_context(made)
        self._present.callback(world.platform.mongo.drop_database, database)
        receiver = self._present.enter_context(receiving(Receiver()))
        world.tolerate_quarantine()
        put_trials(world)
        go_live(world)
        add(world, receiver)
        order = [*range(len(FILES)), TWICE]
        if seed:
            pick.shuffle(order)
        for number, file in enumerate(order):
            plain, key = FILES[file], world.key(f"{number:02}")
            world.put(key, world.sealed(f"{number:02}", plain) if plain else b"no sealed object")
        return Disturbed(world, receiver)

    def undisturbed(self, seed: int = 0) -> tuple[dict[str, Any], Counter[str]]:
        """What comes of it in peace, and how often each point is passed; made once."""
        if seed not in self._undisturbed:
            made = self.disturbed(seed)
            with counted() as passed:
                made.go_on()
            self._undisturbed[seed] = made.found(), passed
        return self._undisturbed[seed]


def any_pass(passed: Counter[str], chance: random.Random, among: Sequence[str] = faults.POINTS) -> str:
    """A pass of one of the points, by chance."""
    point = chance.choice(among)
    return f"{point}@{chance.randint(1, passed[point])}"


def ended(process: BaseProcess) -> int:
    """How the process ended, once it has."""
    process.join(120)
    sys.stderr.flush()
    assert process.exitcode is not None
    return process.exitcode
