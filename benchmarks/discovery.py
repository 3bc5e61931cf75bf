"""Seconds of a look at the landing bucket and of a sweep, with many objects in the bucket.

A home of its own with the embedded stores. Tiny objects, named by time as senders do, are landed over the last month's
days, and a sweep enters them into the ledger. Then: looks, with nothing new and with a hundred new objects, each with
the batches that it makes, and a sweep that finds all known. The peer is what a look without marks has to do: list the
whole bucket.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from urllib3 import PoolManager

from benchmarks.figures import Figure, percentile
from benchmarks.homes import Worked, fresh_home, run_measured
from spv_platform.ledger import marks
from spv_platform.ledger.layouts import SENT, beginning
from spv_platform.local import stack
from spv_platform.pipeline.landing.discover import discover, form_batches
from spv_platform.pipeline.landing.pages import PAGE
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.setup import FIRST_FEED, FIRST_TENANTS, prepare_home

OPTIONS = [
    click.Option(
        ["--objects"],
        type=click.IntRange(min=PAGE + 1),  # one page is no large bucket
        default=100_000,
        show_default=True,
        help="In the bucket.",
    ),
]
TENANT = FIRST_TENANTS[0]
_DAYS = 30
_LOOKS = 20
_NEW = 100
_THREADS = 10
_SAY_EVERY = 10_000
_SWEEP = ["-c", "from spv_platform.cli import main; main()", "sweep", "--json"]


def measure(say: Callable[[str], None], objects: int) -> Iterator[Figure]:
    """Land the objects, then measure sweeps and looks."""
    with fresh_home() as home:
        say("starting the stores")
        settings = stack.start_servers(home, ["s3", "postgres"])
        prepare_home(settings)
        platform = Platform(settings)
        began = datetime.now(UTC) - timedelta(days=_DAYS + 1)
        for first in range(0, objects, _SAY_EVERY):
            last = min(objects, first + _SAY_EVERY)
            land(platform, [began + timedelta(days=_DAYS) * number / objects for number in range(first, last)])
            say(f"{last} of {objects} objects landed")
        say("sweeping")
        entering = _sweep(home)
        say("looking for the first time")
        first_look = list(_first_looks(platform))
        say("looking")
        quiet = [_look(platform, 0) for _ in range(_LOOKS)]
        busy = [_look(platform, _NEW) for _ in range(_LOOKS)]
        say("sweeping again")
        knowing = _sweep(home)
        say("listing the whole bucket")
        peers = {"list the whole bucket": _list_all(platform)}

    of = f"{objects} objects in the bucket"
    yield Figure(f"discovery: look that finds nothing new, {of}, p50", percentile(quiet, 0.5), "s", peers=peers)
    yield Figure(f"discovery: look that finds {_NEW} new, {of}, p50", percentile(busy, 0.5), "s", peers=peers)
    yield Figure(f"discovery: longest look of all, {of}", max(*quiet, *busy, *first_look), "s", peers=peers)
    yield Figure(f"discovery: looks until a feed was seen through once, {of}", sum(first_look), "s", peers=peers)
    yield Figure(f"discovery: sweep that enters all, {of}", entering.seconds, "s", peak_mb=entering.peak_mb)
    yield Figure(f"discovery: sweep that knows all, {of}", knowing.seconds, "s", peak_mb=knowing.peak_mb, peers=peers)


def land(platform: Platform, moments: list[datetime]) -> None:
    """Put a tiny object for each moment, named by it.

    Forms with one signature for all: to sign a million requests takes longer than to store what they bring.
    """
    post = platform.s3.generate_presigned_post(
        platform.settings.landing_bucket, "${filename}", Conditions=[["starts-with", "$key", TENANT]]
    )
    pool = PoolManager(maxsize=_THREADS, block=True)

    def put(moment: datetime) -> None:
        key = f"{TENANT}/{FIRST_FEED}/{beginning(SENT, moment)}{moment:%f}.spv"
        answer = pool.request("POST", post["url"], fields={**post["fields"], "key": key, "file": ("-", b"-")})
        if answer.status >= 300:
            raise RuntimeError(f"the store refused an object: {answer.status}")

    with pool, ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(put, moments))


def _sweep(home: Path) -> Worked:
    return run_measured(_SWEEP, home)


def _first_looks(platform: Platform) -> Iterator[float]:
    while True:
        yield _look(platform, 0)
        with platform.db.transaction() as cur:
            if any(mark.tenant == TENANT and mark.seen_until for mark in marks.marks(cur)):
                return


def _look(platform: Platform, new: int) -> float:
    land(platform, [datetime.now(UTC) + timedelta(microseconds=number) for number in range(new)])
    began = time.perf_counter()
    found = discover(platform)
    form_batches(platform)
    seconds = time.perf_counter() - began
    if found != new:
        raise RuntimeError(f"a look found {found} objects instead of {new}")
    return seconds


def _list_all(platform: Platform) -> float:
    began = time.perf_counter()
    pages = platform.s3.get_paginator("list_object_versions").paginate(Bucket=platform.settings.landing_bucket)
    sum(len(page.get("Versions", [])) for page in pages)
    return time.perf_counter() - began
