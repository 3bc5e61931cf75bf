"""Several times what the platform can carry, for minutes: what it carries then, its memory, and compaction's share.

A home of its own with the whole stack, the Dagster daemon included. First some files are landed and worked off, which
is the peer: what the machine carries when it is not overloaded. Then files land at a multiple of that speed for so many
minutes, whatever becomes of them, and nothing lands any more until all is published. The sender works on the same
cores.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from math import ceil
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import zstandard

from benchmarks.figures import Figure
from benchmarks.generate import bundle
from benchmarks.homes import SEED, PeakMemory, fresh_home, put_trials
from spv_platform.errors import UsageError
from spv_platform.local import orchestrator, stack
from spv_platform.pipeline.landing.send import BUNDLE, send
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.setup import FIRST_FEED, FIRST_TENANTS
from spv_platform.pipeline.waiting import wait_for

OPTIONS = [
    click.Option(["--minutes"], type=click.FloatRange(min=0.05), default=10.0, show_default=True, help="Of overload."),
    click.Option(
        ["--times"], type=click.FloatRange(min=0.1), default=3.0, show_default=True, help="What it can carry, so often."
    ),
    click.Option(
        ["--mb"], type=click.IntRange(min=1), default=100, show_default=True, help="Plain FHIR that tells what it can."
    ),
    SEED,
]
TENANT = FIRST_TENANTS[0]
_MB = 1_000_000
_LOOK_S = 0.2
_SAY_EVERY_S = 60.0
_PATIENCE_S = 120.0
#: Of the time it was overloaded, that it may take to work off what is left, for each multiple.
_DRAIN = 3.0
#: Patients differ in size: so many times what is needed is invented.
_SPARE = 1.05
_DONE = (
    "SELECT count(*) FILTER (WHERE state = 'published'),"
    " count(*) FILTER (WHERE state IN ('quarantined', 'set_aside')) FROM ops.object"
)
#: Seconds between a batch's first claim and its end, by kind; pauses between attempts count too.
_WORK = """
    SELECT kind, sum(seconds), count(*) FROM ops.batch JOIN (
        SELECT batch_id, extract(epoch FROM max(at) - min(at) FILTER (WHERE step = 'claimed')) AS seconds
        FROM ops.batch_step GROUP BY batch_id
    ) AS spans USING (batch_id) WHERE state = 'published' AND created_at >= %s GROUP BY kind
"""


def measure(say: Callable[[str], None], minutes: float, times: float, mb: int, seed: int) -> Iterator[Figure]:
    """Find out what the machine carries, overload it, and let it work off the rest.

    Raises:
        UsageError: something was set aside, or did not come out in time.
    """
    with fresh_home() as home:
        say("starting the platform")
        platform = Platform(stack.start(home, dagster=False))
        put_trials(platform)
        stack.start(home, progress=say)
        wait_for(platform, [], criteria=True, timeout_s=_PATIENCE_S)

        load = _Load(platform, seed)
        load.land()
        load.wait(_PATIENCE_S)  # what comes first also warms up
        began, warm = time.monotonic(), load.mb
        while load.mb < warm + mb:
            load.land()
        load.wait(_PATIENCE_S + mb)
        usual = (load.mb - warm) / (time.monotonic() - began)
        say(f"it carries {usual:.1f} MB/s; inventing what lands in {minutes:g} minutes at {times:g} times that")
        load.make(usual * times * minutes * 60, home / "bench")
        say("overloading")

        ((start,),) = _rows(platform, "SELECT clock_timestamp()")
        before, peaks = load.mb, []
        began = time.monotonic()
        for half in (1, 2):
            with PeakMemory(home, orchestrator.WORKERS) as peak:
                until = began + minutes * 60 * half / 2
                while (now := time.monotonic()) < until:
                    if load.mb - before < usual * times * (now - began):
                        load.land()
                    else:
                        time.sleep(0.01)
            peaks.append(peak.mb)
            say(f"{load.mb - before:.0f} MB landed, {load.left()} objects wait; a worker had at most {peak.mb:.0f} MB")
        landed, overloaded, backlog = load.mb - before, time.monotonic() - began, load.left()
        with PeakMemory(home, orchestrator.WORKERS) as peak:
            load.wait(_PATIENCE_S + _DRAIN * times * overloaded, say)
        peaks.append(peak.mb)
        seconds = time.monotonic() - began
        work = {kind: (float(spent), batches) for kind, spent, batches in _rows(platform, _WORK, start)}

    of = f"up to {times:g} times as much for {minutes:g} min"
    peers = {"before, not overloaded": usual}
    yield Figure(f"load: landed, {of}", landed / overloaded, "MB/s", peers=peers)
    yield Figure(f"load: published meanwhile and until nothing was left, {of}", landed / seconds, "MB/s", peers=peers)
    yield Figure(
        f"load: until nothing was left of {backlog} objects, {of}",
        seconds - overloaded,
        "s",
        peers={"what the usual speed would take": (landed - usual * overloaded) / usual},
    )
    for name, value in zip(("first half", "second half", "afterwards"), peaks, strict=True):
        yield Figure(
            f"load: most memory of a worker, {name}, {of}", value, "MB", peak_mb=value, peers={"first half": peaks[0]}
        )
    total = sum(spent for spent, _ in work.values())
    spent, batches = work.get("compact", (0.0, 0))
    yield Figure(
        f"load: share of {batches} compactions in the time of all batches, {of}",
        spent / total,
        "of 1",
        peers={f"{work['load'][1]} batches of files": work["load"][0] / total},
    )


class _Load:
    """Lands bundles and knows what became of them.

    Attributes:
        mb: plain FHIR landed, 10^6 bytes.
    """

    def __init__(self, platform: Platform, seed: int) -> None:
        self.mb = 0.0
        self._platform, self._seed, self._sent = platform, seed, 0
        self._made: dict[int, Path] = {}

    def make(self, mb: float, folder: Path) -> None:
        """Invent the patients who land next, so many 10^6 bytes of them, so that to land them costs little."""
        folder.mkdir()
        count = ceil(mb / (self.mb / self._sent) * _SPARE)
        paths = {number: folder / f"{number}.zst" for number in range(self._sent, self._sent + count)}
        with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
            list(pool.map(_make, paths.values(), paths, repeat(self._seed), chunksize=16))
        self._made = paths

    def land(self) -> None:
        made = self._made.pop(self._sent, None)
        data = zstandard.decompress(made.read_bytes()) if made else bundle(self._sent, self._seed)
        send(self._platform, "", data, BUNDLE, tenant=TENANT, feed=FIRST_FEED)
        self._sent += 1
        self.mb += len(data) / _MB

    def left(self) -> int:
        """How many objects are not published yet."""
        ((published, bad),) = _rows(self._platform, _DONE)
        if bad:
            raise UsageError(f"{bad} objects were set aside: the figures would mean nothing")
        return self._sent - published

    def wait(self, seconds: float, say: Callable[[str], None] = lambda _: None) -> None:
        """Wait until every object is published."""
        until, said = time.monotonic() + seconds, time.monotonic()
        while left := self.left():
            if time.monotonic() > until:
                raise UsageError(f"{left} objects are left after {seconds:.0f} s: is the machine overloaded?")
            if time.monotonic() > said + _SAY_EVERY_S:
                said = time.monotonic()
                say(f"{left} objects are left")
            time.sleep(_LOOK_S)


def _make(path: Path, number: int, seed: int) -> None:
    path.write_bytes(zstandard.compress(bundle(number, seed), 1))


def _rows(platform: Platform, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with platform.db.transaction() as cur:
        cur.execute(statement, values)
        return cur.fetchall()
