"""A worker that is stopped or doubled leaves nothing behind that an undisturbed run would not."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pipeline_bundles import bundle, deletes, patient
from pipeline_world import TENANT, World, approved, everything, go_on, stopped, tables_of

from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.reading import reader
from spv_platform.sample import bundles

STOPPING_WORKER = str(Path(__file__).with_name("pipeline_stopping_worker.py"))
#: Where a worker stands still until another one has taken over.
STOPS = ("after_staging", "before_files_added")
FURTHER = bundle(patient("later", mrn="later"))

Started = tuple[World, subprocess.Popen[bytes]]


def landed(new_world: Callable[..., World]) -> World:
    """The sample in two batches, with a file that comes twice and a deletion; nothing is processed yet."""
    # a busy machine may lose a lease of its own accord; that must not use up the attempts
    world = new_world(lease_s=2.0, max_attempts=50, batch_max_objects=4)
    world.put_criteria()
    world.drain()
    first, *others = bundles()
    world.land(first.name, first.data, content_type=first.content_type)
    world.land("again", first.data, content_type=first.content_type)
    for file in others:
        world.land(file.name, file.data, content_type=file.content_type)
    world.land("deletion", deletes("Observation/sample-fern-anc"))
    return world


@pytest.fixture(scope="module")
def workers(new_world: Callable[..., World]) -> Iterator[dict[str, Started]]:
    """Workers in an installation each, started at once since starting takes long, that come to stand still."""
    started: dict[str, Started] = {}
    for point in ("after_claim", *STOPS):
        world = landed(new_world)
        started[point] = world, world.worker(STOPPING_WORKER, point)
    yield started
    for _, process in started.values():
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def undisturbed(new_world: Callable[..., World], workers: dict[str, Started]) -> World:
    world = landed(new_world)
    world.drain()
    return world


@pytest.fixture(scope="module")
def expected(undisturbed: World) -> dict[str, Any]:
    return everything(undisturbed)


def finished(process: subprocess.Popen[bytes]) -> int:
    _, errors = process.communicate(timeout=120)
    sys.stderr.buffer.write(errors)
    return process.returncode


def restarted(world: World) -> World:
    """The installation as a new process sees it."""
    return World(Platform(world.settings))


def test_the_undisturbed_run_approves_its_patient_and_balances(undisturbed, expected):
    (aster,) = undisturbed.read("patient_view").filter(name="Sample-Aster, Testina")["person_id"]
    assert approved(undisturbed) == [(aster, "NCT00000001", "lung")]
    assert len(expected["outbox"]) == 1
    objects = [row for row in expected["ledger"] if "balances" in row]
    assert [(row["state"], row["balances"]) for row in objects] == [("published", True)] * 8
    assert [row["duplicates"] == row["entries"] for row in objects] == [False, True, *[False] * 6]
    assert not any("sample-fern-anc" in line for line in expected["tables"]["observation"])


def test_two_workers_at_once_come_to_what_one_does(workers, expected):
    world, other = workers["after_claim"]
    stopped(other)
    go_on(other)
    restarted(world).drain()
    assert finished(other) == 0
    assert everything(world) == expected


@pytest.mark.parametrize("point", STOPS)
def test_a_worker_that_lost_its_lease_changes_nothing_any_more(workers, expected, point):
    world, worker = workers[point]
    stopped(worker)
    try:
        restarted(world).drain()
        published = publications(world)
        assert everything(world) == expected
    finally:
        go_on(worker)
    assert finished(worker) == 0
    assert publications(world) == published
    assert everything(world) == expected
    # what it added to Delta logs without being allowed to is not adopted by the next publication either
    assert unpinned(world) == (point == "before_files_added")
    world.land("further", FURTHER)
    world.drain()
    added = rows_added(world, expected)
    assert added.keys() == {"patient", "patient_view", "cohort_verdict", "criterion_result"}
    assert (added["patient"], added["patient_view"], added["cohort_verdict"]) == (1, 1, 3)


def publications(world: World) -> list[tuple[Any, ...]]:
    return world.rows("SELECT tenant, seq, batch_id, tables::text FROM ops.publication ORDER BY 1, 2")


def unpinned(world: World) -> bool:
    """Whether the Delta log of patients goes on behind what the newest publication pins."""
    pinned = reader(world.platform, TENANT).publication.tables["patient"]["log"]
    return world.platform.lake.open(TENANT, "log", "patient").version() > pinned


def rows_added(world: World, expected: dict[str, Any]) -> dict[str, int]:
    now, before = tables_of(world), expected["tables"]
    assert all(set(before[name]) <= set(now[name]) for name in before)
    return {name: len(now[name]) - len(before[name]) for name in now if len(now[name]) != len(before[name])}
