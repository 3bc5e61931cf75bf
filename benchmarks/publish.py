"""Seconds to carry one small batch into a lake that holds many rows already: staging, fold, matching, commit.

In one process without Dagster, on the embedded stores. The cost must not grow with what is there. The peer is the usual
way to keep a table current, a Delta MERGE into a table that holds as many rows, a million at most.
"""

import time
from collections.abc import Callable, Iterator
from itertools import count

import click

from benchmarks.figures import Figure, percentile
from benchmarks.fill import fill, frames
from benchmarks.generate import qualifying
from benchmarks.homes import SEED, fresh_home, put_trials
from spv_platform.lake.tables import OBSERVATION
from spv_platform.local import stack
from spv_platform.pipeline.criteria import refresh_criteria
from spv_platform.pipeline.drain import drain
from spv_platform.pipeline.landing.send import BUNDLE, send
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.setup import FIRST_FEED, FIRST_TENANTS

OPTIONS = [
    click.Option(
        ["--rows"],
        type=click.IntRange(min=1),
        multiple=True,
        default=(100_000, 1_000_000),
        show_default=True,
        help="Resource rows in the lake before the batches; may be given several times.",
    ),
    click.Option(["--batches"], type=click.IntRange(min=1), default=20, show_default=True, help="Batches to carry."),
    SEED,
]
TENANT = FIRST_TENANTS[0]
_MERGED_ROWS = 1_000
_MERGES = 3
#: The table that is merged into is made in one piece, in memory.
_MOST_MERGED_INTO = 1_000_000


def measure(say: Callable[[str], None], rows: tuple[int, ...], batches: int, seed: int) -> Iterator[Figure]:
    """Measure with each number of rows, in installations of their own."""
    for filled in rows:
        with fresh_home() as home:
            say("starting the stores")
            platform = Platform(stack.start(home, dagster=False))
            fill(platform, TENANT, filled, seed=seed, say=say)
            put_trials(platform)
            refresh_criteria(platform)
            drain(platform)
            say(f"carrying {batches} batches")
            seconds = _carried(platform, batches, seed)
            say("merging, for comparison")
            peer_rows = min(filled, _MOST_MERGED_INTO)
            merged = _merged(platform, peer_rows, seed)
        yield Figure(
            f"publish: one batch of one patient into {filled} rows, p50 of {batches}",
            percentile(seconds, 0.5),
            "s",
            peers={f"Delta MERGE of {_MERGED_ROWS} rows into {peer_rows}": percentile(merged, 0.5)},
        )


def _carried(platform: Platform, batches: int, seed: int) -> list[float]:
    numbers = count()
    seconds = []
    for _ in range(batches + 1):
        send(platform, "", qualifying(next(numbers), seed), BUNDLE, tenant=TENANT, feed=FIRST_FEED)
        began = time.monotonic()
        drain(platform)
        seconds.append(time.monotonic() - began)
    return seconds[1:]  # the first one opens connections and logs


def _merged(platform: Platform, rows: int, seed: int) -> list[float]:
    from deltalake import DeltaTable, write_deltalake

    url = platform.settings.lake_url(TENANT, "bench", OBSERVATION.name)
    options = platform.lake.storage_options(TENANT)
    write_deltalake(url, frames(0, rows, seed)[OBSERVATION.name].to_arrow(), storage_options=options)
    seconds = []
    for number in range(_MERGES):
        new = frames(rows - _MERGED_ROWS // 2 + number, _MERGED_ROWS, seed)[OBSERVATION.name]
        table = DeltaTable(url, storage_options=options)
        began = time.monotonic()
        (
            table.merge(new.to_arrow(), "old.resource_id = new.resource_id", source_alias="new", target_alias="old")
            .when_matched_update_all()
            .when_not_matched_insert_all()
            .execute()
        )
        seconds.append(time.monotonic() - began)
    return seconds
