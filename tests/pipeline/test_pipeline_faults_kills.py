"""A worker that is killed at any point, or at any time, leaves nothing that an undisturbed run would not."""

import random
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack

import pytest
from pipeline_faults import Bench, ended, without_publications
from pipeline_world import World

from spv_platform import faults

#: In every run of the tests workers are killed at these ten points, two on the way of one installation; the slow ones
#: take each pass of all points.
TEN = (
    ("entered", "table_added@2"),
    ("batches_requested", "before_commit"),
    ("opened", "base_written"),
    ("file_staged:observation", "after_post"),
    ("history_stored", "file_deleted"),
)
SEEDS = range(1, 11)


@pytest.fixture(scope="module")
def bench(installations: Callable[..., AbstractContextManager[World]], mongo_url: str) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(installations, mongo_url, stack)


def test_the_undisturbed_run_passes_every_point_and_has_something_of_everything(bench):
    found, passed = bench.undisturbed()
    assert [point for point in faults.POINTS if not passed[point]] == []
    states = {row["state"] for row in found["ledger"] if "balances" in row}
    assert states == {"published", "quarantined"}
    # nobody has treated one of those who are approved
    assert (len(found["told"]), len(found["outbox"])) == (3, 4)
    assert all(found["history"].values())
    assert any(row.get("duplicates") and row["duplicates"] == row["entries"] for row in found["ledger"])
    assert not any("r-ben" in line for line in found["tables"]["observation"])


def check(bench: Bench, *points: str, seed: int = 0) -> None:
    """Kill a worker at each of these points, one after the other, and let the last one finish."""
    expected, _ = bench.undisturbed(seed)
    disturbed = bench.disturbed(seed)
    for point in points:
        assert ended(disturbed.start(point)) == -signal.SIGKILL
        disturbed.let_time_pass()
    disturbed.go_on()
    found = disturbed.found()
    if len(points) > 1:  # who died twice may have had a batch that was taken apart
        found, expected = without_publications(found), without_publications(expected)
    assert found == expected


@pytest.mark.parametrize("points", TEN, ids=" ".join)
def test_workers_killed_at_named_points_are_made_good_by_the_next_one(bench, points):
    check(bench, *points)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("point", faults.POINTS)
def test_a_worker_killed_at_any_pass_of_any_point_is_made_good_by_the_next_one(bench, point, seed):
    _, passed = bench.undisturbed(seed)
    occurrence = random.Random(f"{point}{seed}").randint(1, passed[point])  # noqa: S311
    check(bench, f"{point}@{occurrence}", seed=seed)


@pytest.mark.slow
def test_a_worker_killed_while_it_clears_up_after_another_is_made_good_by_the_next_one(bench):
    check(bench, "after_staging", "file_deleted@2")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("step", ["table_added", "gate_passed", "file_staged"])
def test_a_worker_killed_at_each_table_and_gate_is_made_good_by_the_next_one(bench, step):
    _, passed = bench.undisturbed()
    points = [point for point in passed if point.startswith(f"{step}:")]
    assert len(points) > 1
    for point in points:
        check(bench, point)


KILLS, OF_ONE_TEST = 200, 20


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(1, KILLS // OF_ONE_TEST + 1))
def test_workers_killed_at_random_times_are_made_good_by_the_last_one(bench, seed):
    expected, _ = bench.undisturbed(seed)
    at, disturbed, kills = random.Random(seed), bench.disturbed(seed), 0  # noqa: S311
    while kills < OF_ONE_TEST:
        worker = disturbed.start()
        worker.join(at.uniform(0.05, 2.5))
        if worker.exitcode is None:
            worker.kill()
            kills += 1
        ended(worker)
        disturbed.let_time_pass()
        if worker.exitcode == 0:  # it was quick: the rest of the kills is for another installation
            assert without_publications(disturbed.found()) == without_publications(expected)
            disturbed = bench.disturbed(seed)
    disturbed.go_on()
    assert without_publications(disturbed.found()) == without_publications(expected)
