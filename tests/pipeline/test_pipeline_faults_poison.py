"""One bad thing among many good ones: an entry that cannot be read, an object that kills whoever opens it."""

import json
import multiprocessing
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest
from pipeline_bundles import result
from pipeline_faults import Bench, ended, without_publications
from pipeline_world import World, reasons

from spv_platform.ledger import batches
from spv_platform.pipeline import deciding
from spv_platform.pipeline.drain import drain
from spv_platform.pipeline.landing.send import NDJSON
from spv_platform.pipeline.platform import Platform
from spv_platform.settings import Settings


@pytest.fixture(scope="module")
def bench(installations: Callable[..., AbstractContextManager[World]], mongo_url: str) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(installations, mongo_url, stack)


@pytest.mark.slow
def test_an_object_that_kills_its_workers_is_set_aside_alone_and_can_be_tried_again(bench):
    expected, _ = bench.undisturbed()
    disturbed = bench.disturbed(max_attempts=3)
    world = disturbed.world
    # in the order of landing the second of its batch
    poison, deaths = "downloaded:2", 0
    while (code := ended(disturbed.start(poison))) == -signal.SIGKILL:
        deaths += 1
        assert deaths <= 5
        disturbed.let_time_pass()
    assert code == 0
    found = reasons(world)
    assert found.pop("01") == ("set_aside", "attempts_exhausted")
    assert set(found.values()) == {("published", None), ("quarantined", "not_sealed")}
    with world.platform.db.transaction() as cur:
        (row,) = batches.batch_rows(cur, state="set_aside")
    deciding.release(world.platform, row["batch_id"], who="test")
    disturbed.go_on()
    assert without_publications(disturbed.found()) == without_publications(expected)


def _drain(settings: Settings, told: Any) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    drain(Platform(settings))
    told.send((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)


def check_poison_entry(world: World, count: int, most_bytes_per_byte: float) -> None:
    """One of so many results has no code: it is set aside, and memory stays in proportion to the object."""
    world.tolerate_quarantine()
    lines = [json.dumps(result(f"r-{number}", f"p-{number % 1000}", number)) for number in range(count)]
    bad = count // 3
    lines[bad] = json.dumps({"resourceType": "Observation", "id": f"r-{bad}", "status": "final"})
    plain = "\n".join(lines).encode()
    world.land("many", plain, content_type=NDJSON)
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("forkserver").Process(target=_drain, args=(world.settings, there))
    process.start()
    assert ended(process) == 0
    assert here.recv() < most_bytes_per_byte * len(plain)
    assert world.rows("SELECT state, entries, accepted, quarantined FROM ops.object") == [
        ("published", count, count - 1, 1)
    ]
    assert world.rows("SELECT entry, reason FROM ops.entry_quarantine") == [(bad, "missing_element")]
    read = world.read("observation")
    assert read.height == count - 1
    assert read.filter(resource_id=f"r-{bad}").is_empty()


def test_one_bad_entry_among_thousands_is_set_aside_alone(world):
    check_poison_entry(world, 5_000, 200)


@pytest.mark.slow
def test_one_bad_entry_among_a_hundred_thousand_is_set_aside_alone_and_memory_stays_bounded(world):
    check_poison_entry(world, 100_000, 40)
