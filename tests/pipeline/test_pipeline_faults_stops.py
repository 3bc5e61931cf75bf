"""Workers that stand still past all their leases, wherever they are, and go on when others have done their work."""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack

import pytest
from pipeline_faults import Bench, Patient, any_pass, ended, without_publications
from pipeline_world import World


@pytest.fixture(scope="module")
def bench(installations: Callable[..., AbstractContextManager[World]], mongo_url: str) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(installations, mongo_url, stack)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 31))
def test_a_worker_that_is_stopped_at_any_moment_and_goes_on_after_the_work_is_done_changes_nothing(bench, seed):
    expected, passed = bench.undisturbed(seed)
    disturbed = bench.disturbed(seed)
    worker = Patient(disturbed.world.settings, any_pass(passed, random.Random(seed)), stop=True)  # noqa: S311
    try:
        worker.wait_until_there()
        disturbed.let_time_pass()
        disturbed.go_on()
        assert without_publications(disturbed.found()) == without_publications(expected)
    finally:
        worker.go_on()
    assert ended(worker.process) == 0
    assert without_publications(disturbed.found()) == without_publications(expected)
