"""Stores that are restarted in the middle of the work."""

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest
from pipeline_faults import Bench, Patient, any_pass, ended, without_publications
from pipeline_world import World, installation

from spv_platform.local import stack
from spv_platform.local.process import end
from spv_platform.settings import Settings

#: A store, and where the worker is when it goes away.
RESTARTS = (
    ("postgres", "after_claim"),
    ("postgres", "before_commit"),
    ("postgres", "after_post"),
    ("postgres", "history_stored"),
    ("s3", "listed"),
    ("s3", "downloaded"),
    ("s3", "before_files_added"),
    ("s3", "base_written"),
    ("mongo", "after_claim"),
    ("mongo", "history_stored"),
)


@pytest.fixture(scope="module")
def own_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A stack that no other test works with."""
    home = tmp_path_factory.mktemp("restarted")
    yield stack.start_servers(home)
    stack.stop(home)


@pytest.fixture(scope="module")
def bench(own_servers: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with ExitStack() as opened:
        place = tmp_path_factory.mktemp("worlds")

        def installations(**changes: Any) -> AbstractContextManager[World]:
            home = place / f"home-{len(list(place.iterdir()))}"
            return installation(own_servers, home, place / "keys", **changes)

        yield Bench(installations, own_servers.mongo_url, opened)


def check(bench: Bench, own_servers: Settings, service: str, place: str, seed: int = 0) -> None:
    expected, _ = bench.undisturbed(seed)
    disturbed = bench.disturbed(seed, lease_s=3.0)
    worker = Patient(disturbed.world.settings, place)
    worker.wait_until_there()
    end(own_servers.home, [service])
    worker.go_on()
    stack.start_servers(own_servers.home, [service])
    assert ended(worker.process) == 0
    disturbed.world.platform.db.close()  # connections of before the restart
    disturbed.let_time_pass()  # who fed the history could not say that it is done, so nobody else does for 25 seconds
    disturbed.go_on()
    assert without_publications(disturbed.found()) == without_publications(expected)


@pytest.mark.slow
@pytest.mark.parametrize(("service", "place"), RESTARTS)
def test_a_store_that_is_restarted_in_the_middle_of_the_work_changes_nothing(bench, own_servers, service, place):
    check(bench, own_servers, service, place)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
@pytest.mark.parametrize("service", ["postgres", "s3", "mongo"])
def test_a_store_that_is_restarted_at_any_moment_changes_nothing(bench, own_servers, service, seed):
    _, passed = bench.undisturbed(seed)
    place = any_pass(passed, random.Random(f"{service}{seed}"))  # noqa: S311
    check(bench, own_servers, service, place, seed)
