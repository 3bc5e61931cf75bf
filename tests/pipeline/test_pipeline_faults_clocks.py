"""This host's clock decides nothing: it may be an hour behind or a day ahead."""

import random
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime, timedelta, tzinfo

import dagster as dg
import pytest
from pipeline_faults import Bench, all_the_work, any_pass, at_point, without_publications
from pipeline_world import TENANT, World

from spv_platform import faults
from spv_platform.errors import LeaseLostError, TransientError
from spv_platform.ledger import batches, leases
from spv_platform.pipeline import drain, stage
from spv_platform.pipeline.claims import hold, let_go
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.telling import notifying
from spv_platform.resources.platform import PlatformResource
from spv_platform.sensors.notifications import notifications_sensor

SHIFTS = {"an hour back": -3600, "a day ahead": 86_400}


@pytest.fixture(scope="module")
def bench(installations: Callable[..., AbstractContextManager[World]], mongo_url: str) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(installations, mongo_url, stack)


def shift(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Set the clock of this process, as far as the platform looks at it."""
    true_s = time.time

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=seconds)

    patch.setattr(time, "time", lambda: true_s() + seconds)
    for name, module in list(sys.modules.items()):
        if name.startswith("spv_platform") and getattr(module, "datetime", None) is datetime:
            patch.setattr(module, "datetime", Shifted)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIFTS)
def test_work_on_a_host_whose_clock_is_wrong_comes_to_the_same(bench, monkeypatch, name):
    expected, _ = bench.undisturbed()  # first, so that everything is imported when the clock is set
    disturbed = bench.disturbed()
    with monkeypatch.context() as patch:
        shift(patch, SHIFTS[name])
        all_the_work(Platform(disturbed.world.settings))
    assert disturbed.found() == expected


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
@pytest.mark.parametrize("name", SHIFTS)
def test_a_clock_that_is_set_wrong_at_any_moment_changes_nothing(bench, monkeypatch, name, seed):
    expected, passed = bench.undisturbed(seed)
    disturbed = bench.disturbed(seed)
    place = any_pass(passed, random.Random(f"{name}{seed}"))  # noqa: S311
    with monkeypatch.context() as patch:
        patch.setattr(faults, "point", at_point(place, lambda: shift(patch, SHIFTS[name])))
        all_the_work(Platform(disturbed.world.settings))
        assert abs(time.time() - time.clock_gettime(time.CLOCK_REALTIME)) > 1000
    assert without_publications(disturbed.found()) == without_publications(expected)


@pytest.mark.parametrize("name", SHIFTS)
def test_a_host_whose_clock_is_wrong_takes_nothing_over_before_its_time(world, monkeypatch, name):
    world.land("more", b"{}")
    batch = world.form(10)
    run_id = str(uuid.uuid4())
    with hold(world.platform, run_id, TENANT, batch.batch_id) as holding, monkeypatch.context() as patch:
        assert holding
        with world.platform.db.transaction() as cur:
            assert leases.acquire(cur, TENANT, "first", 30)
        shift(patch, SHIFTS[name])
        with world.platform.db.transaction() as cur:
            assert batches.due(cur, retry_after_s=30) == []
            assert leases.acquire(cur, TENANT, "second", 30) is None
        with pytest.raises(LeaseLostError), world.platform.db.transaction() as cur:
            batches.claim(cur, batch.batch_id, "second", 30)
    let_go(world.platform, run_id)


@pytest.mark.parametrize("name", SHIFTS)
def test_a_batch_that_such_a_host_gives_back_waits_no_longer_for_it(world, monkeypatch, name):
    world.land("more", b"{}")
    batch = world.form(10)

    def away(*_: object) -> None:
        raise TransientError("store_unavailable", "landing")

    with monkeypatch.context() as patch:
        patch.setattr(stage, "open_item", away)
        shift(patch, SHIFTS[name])
        assert not drain.process(world.platform, batch)
    ((pause_s,),) = world.rows(
        "SELECT extract(epoch FROM not_before - clock_timestamp())::float FROM ops.batch WHERE batch_id = %s",
        batch.batch_id,
    )
    assert pause_s <= 30


def test_a_clock_that_is_set_back_makes_no_run_key_come_again(bench, monkeypatch):
    """Dagster runs a key once for ever: after the clock was set back, nothing would be requested for an hour."""
    disturbed = bench.disturbed()
    disturbed.world.drain()
    assert notifying.tenants_due(disturbed.world.platform) == [TENANT]

    class Opened(PlatformResource):
        def open(self) -> Platform:
            return disturbed.world.platform

    def key() -> int:
        with dg.instance_for_test() as instance:
            context = dg.build_sensor_context(instance=instance, resources={"platform": Opened()})
            (request,) = notifications_sensor(context).run_requests
        return int(request.run_key.rpartition(":")[2])

    before = key()
    with monkeypatch.context() as patch:
        shift(patch, -3600)
        assert key() >= before
