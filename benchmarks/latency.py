"""Seconds from a sealed file that has landed to the approval that is committed.

A home of its own with the embedded stack and the real Dagster daemon. Sealed bundles land one after another, each with
one new invented patient who qualifies for a trial; the clock runs from when the store has answered until the approval
row is in PostgreSQL. On an empty lake, and on one with many rows. The peers are Dagster alone on the same stack, from a
drop to an empty asset's materialization: behind a sensor that goes on looking, as ours does, and behind a usual one.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path

import click

from benchmarks import bare
from benchmarks.figures import Figure, percentile
from benchmarks.fill import fill
from benchmarks.generate import qualifying
from benchmarks.homes import ROOT, SEED, PeakMemory, fresh_home, put_trials
from benchmarks.parts import parts
from spv_platform.errors import UsageError
from spv_platform.local import daemon, orchestrator, stack
from spv_platform.local.home import choose_ports, load_state, save_state
from spv_platform.local.process import launch, wait_until_ready
from spv_platform.pipeline.landing.send import BUNDLE, send
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.setup import FIRST_FEED, FIRST_TENANTS, prepare_home
from spv_platform.pipeline.waiting import wait_for
from spv_platform.settings import load_settings, update_settings

OPTIONS = [
    click.Option(
        ["--rows"],
        type=click.IntRange(min=0),
        multiple=True,
        default=(0, 1_000_000),
        show_default=True,
        help="Resource rows in the lake before the drops; may be given several times.",
    ),
    click.Option(["--drops"], type=click.IntRange(min=1), default=20, show_default=True, help="Files to land."),
    SEED,
]
TENANT = FIRST_TENANTS[0]
_POLL_S = 0.02
_PATIENCE_S = 120.0
#: The daemon starts the ticks of a sensor every five seconds. Pauses spread the drops over that time, so that they do
#: not all meet the same moment of it.
_SPREAD_S = 5.0
_GOLDEN = 0.618

_STATISTICS: Mapping[str, Callable[[list[float]], float]] = {
    "p50": lambda values: percentile(values, 0.5),
    "p95": lambda values: percentile(values, 0.95),
    "min": min,
    "max": max,
}
_APPROVED = "SELECT count(*) FROM ops.approval WHERE status = 'approved'"
_MATERIALIZED = "SELECT count(*) FROM event_logs WHERE dagster_event_type = 'ASSET_MATERIALIZATION'"


def measure(say: Callable[[str], None], rows: tuple[int, ...], drops: int, seed: int) -> Iterator[Figure]:
    """Measure Dagster alone, then the platform with each number of rows.

    Raises:
        UsageError: something did not come out within two minutes.
    """
    peers = _dagster_alone(say, drops)
    for filled in rows:
        seconds, spent, peak_mb = _platform(say, filled, drops, seed)
        for name, statistic in _STATISTICS.items():
            yield Figure(
                f"latency: landed to approved, {filled} rows in the lake, {name} of {drops}",
                statistic(seconds),
                "s",
                peak_mb=peak_mb,
                peers={peer: statistic(values) for peer, values in peers.items()},
            )
        for part, values in spent.items():
            yield Figure(f"latency: of that, {filled} rows in the lake, {part}, p50", percentile(values, 0.5), "s")


def _platform(
    say: Callable[[str], None], rows: int, drops: int, seed: int
) -> tuple[list[float], dict[str, list[float]], float]:
    with fresh_home() as home:
        say("starting the stores")
        platform = Platform(stack.start(home, dagster=False))
        fill(platform, TENANT, rows, seed=seed, say=say)
        put_trials(platform)
        stack.start(home, progress=say)
        wait_for(platform, [], criteria=True, timeout_s=_PATIENCE_S)

        numbers = count()

        def drop() -> None:
            send(platform, "", qualifying(next(numbers), seed), BUNDLE, tenant=TENANT, feed=FIRST_FEED)

        # Not measured: it warms up, and outlives the run that matched what was there.
        _timed(say, platform, drop, _APPROVED, 1)
        with PeakMemory(home, orchestrator.WORKERS) as peak:
            seconds = _timed(say, platform, drop, _APPROVED, drops)
        return seconds, parts(platform, seconds), peak.mb


def _dagster_alone(say: Callable[[str], None], drops: int) -> dict[str, list[float]]:
    """The same servers and instance, with the definitions of `bare`, Dagster's own daemon, and a process a run."""
    with fresh_home() as home:
        say("starting Dagster alone, for comparison")
        platform = _start_bare(home)

        def timed(prefix: str) -> list[float]:
            numbers = count()

            def drop() -> None:
                key = f"{prefix}/{next(numbers):06d}"
                platform.s3.put_object(Bucket=platform.settings.landing_bucket, Key=key, Body=b"-")

            _timed(say, platform, drop, _MATERIALIZED, 1)
            return _timed(say, platform, drop, _MATERIALIZED, drops)

        return {
            "Dagster alone, sensor that goes on looking": timed(bare.LOOKING),
            "Dagster alone, usual sensor": timed(bare.USUAL),
        }


def _start_bare(home: Path) -> Platform:
    settings = stack.start_servers(home, ["s3", "postgres"])
    prepare_home(settings)
    state = load_state(home)
    choose_ports(state, {"code_server": orchestrator.PORTS["code_server"]})
    save_state(home, state)
    # Without our workers, so with Dagster's own launcher.
    update_settings(home, {"code_server_port": state.ports["code_server"], "workers": 0})
    settings = load_settings(home)
    orchestrator.configure(settings)
    orchestrator.make_tables(settings)
    environment = {
        "PYTHONPATH": str(ROOT),
        bare.BUCKET: settings.landing_bucket,
        bare.ENDPOINT: settings.s3_endpoint,
    }
    # And with Dagster's own daemon.
    instead = {orchestrator.MODULE: bare.__name__, daemon.__name__: daemon.STOCK}
    ours = {service.name: service for service in orchestrator.services(settings)}
    services = [
        replace(
            ours[name],
            command=[instead.get(part, part) for part in ours[name].command],
            env={**ours[name].env, **environment},
        )
        for name in (orchestrator.CODE_SERVER, orchestrator.DAEMON)
    ]
    for service in services:
        launch(home, service)
    for service in services:
        wait_until_ready(home, service)
    return Platform(settings)


def _timed(
    say: Callable[[str], None], platform: Platform, drop: Callable[[], None], done: str, drops: int
) -> list[float]:
    """Seconds from each drop until the statement counts one more."""
    seconds = []
    for number in range(drops):
        time.sleep(_SPREAD_S * (number * _GOLDEN % 1))
        before = _count(platform, done)
        drop()
        began = time.perf_counter()
        while _count(platform, done) == before:
            if time.perf_counter() - began > _PATIENCE_S:
                raise UsageError(f"a drop did not come out in {_PATIENCE_S:.0f} s: is the machine overloaded?")
            time.sleep(_POLL_S)
        seconds.append(time.perf_counter() - began)
        say(f"{number + 1} of {drops}: {seconds[-1]:.2f} s")
    return seconds


def _count(platform: Platform, statement: str) -> int:
    with platform.db.transaction() as cur:
        cur.execute(statement)
        ((found,),) = cur.fetchall()
    return found
