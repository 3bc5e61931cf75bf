"""Seconds until a file is published all the same, although the worker that had it was killed, or stood still.

A home of its own with the whole stack, the Dagster daemon included, and all leases as in production. One file lands
at a time; as soon as a worker has claimed it, the worker is killed (SIGKILL), or stopped (SIGSTOP) and let go on when
another one has published the file. Nobody does anything else. The peer is the same file when nobody is disturbed.
"""

import signal
import time
from collections.abc import Callable, Iterator

import click
import psutil

from benchmarks.figures import Figure, percentile
from benchmarks.generate import bundle
from benchmarks.homes import SEED, fresh_home
from spv_platform.errors import UsageError
from spv_platform.local import orchestrator, stack
from spv_platform.local.process import read_record
from spv_platform.pipeline.landing.send import BUNDLE, send
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.setup import FIRST_FEED, FIRST_TENANTS

OPTIONS = [
    click.Option(
        ["--times"], type=click.IntRange(min=1), default=5, show_default=True, help="Each disturbance, so often."
    ),
    SEED,
]
TENANT = FIRST_TENANTS[0]
DISTURBANCES = {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP}
_LOOK_S = 0.01
_PATIENCE_S = 300.0
#: A worker that is replaced has loaded the code by then, so that each disturbance meets as many workers.
_REST_S = 15.0


def measure(say: Callable[[str], None], times: int, seed: int) -> Iterator[Figure]:
    """Measure without a disturbance, then with each.

    Raises:
        UsageError: a file did not come out within five minutes.
    """
    with fresh_home() as home:
        say("starting the platform")
        platform = Platform(stack.start(home, progress=say))
        numbers = iter(range(times * (len(DISTURBANCES) + 1) + 1))

        def carried(signal_: signal.Signals | None = None) -> float:
            number = next(numbers)
            send(platform, "", bundle(number, seed), BUNDLE, tenant=TENANT, feed=FIRST_FEED)
            began = time.monotonic()
            if signal_ is None:
                _until(platform, "published", number + 1)
                return time.monotonic() - began
            _until(platform, "claimed", 1)
            worker = _worker(platform)
            worker.send_signal(signal_)
            began = time.monotonic()
            _until(platform, "published", number + 1)
            seconds = time.monotonic() - began
            if signal_ == signal.SIGSTOP and worker.is_running():
                worker.send_signal(signal.SIGCONT)
            time.sleep(_REST_S)
            return seconds

        carried()  # warms up
        peers = {"undisturbed, from landed to published": percentile([carried() for _ in range(times)], 0.5)}
        for name, signal_ in DISTURBANCES.items():
            seconds = []
            for number in range(times):
                seconds.append(carried(signal_))
                say(f"{name} {number + 1} of {times}: {seconds[-1]:.1f} s")
            for word, value in (("p50", percentile(seconds, 0.5)), ("longest", max(seconds))):
                yield Figure(f"recovery: worker {name} to file published, {word} of {times}", value, "s", peers=peers)


def _until(platform: Platform, state: str, count: int) -> None:
    until = time.monotonic() + _PATIENCE_S
    while True:
        with platform.db.transaction() as cur:
            cur.execute("SELECT count(*) FROM ops.object WHERE state = %s", (state,))
            if cur.fetchall() == [(count,)]:
                return
        if time.monotonic() > until:
            raise UsageError(f"a file was not {state} within {_PATIENCE_S:.0f} s: is the machine overloaded?")
        time.sleep(_LOOK_S)


def _worker(platform: Platform) -> psutil.Process:
    """The process that carries the run of the batch at work."""
    with platform.db.transaction() as cur:
        cur.execute("SELECT worker FROM ops.run_queue JOIN ops.batch USING (run_id) WHERE state = 'claimed'")
        ((name,),) = cur.fetchall()
    record = read_record(platform.settings.home, orchestrator.WORKERS)
    keeper = record.process() if record else None
    found = [each for each in keeper.children() if name in each.cmdline()] if keeper else []
    if len(found) != 1:
        raise UsageError("the worker of the batch was not found: it ended by itself")
    return found[0]
