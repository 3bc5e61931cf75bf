"""Megabytes of plain FHIR a second, from landed to published, in worker processes.

Lands sealed bundles of invented patients, or those of a folder, in a home of its own, and lets one worker or more
(`python -m spv_platform.pipeline.drain`, no Dagster) work through them: open, check as FHIR R4, project, stage, quality
gate, fold, match, publish. The time includes the start of the workers. The peers do a part of the work on the same
bytes in the same run: full validation by `fhir.resources` alone, parsing by `orjson` alone, splitting into entries by
`msgspec` alone.
PyFlink, where there is one, reads the resources as JSON and sums them up by patient.
"""

import gc
import gzip
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import click

from benchmarks.figures import Figure
from benchmarks.generate import bundles
from benchmarks.homes import SEED, fresh_home, put_trials, run_measured
from spv_platform.envelope.container import seal
from spv_platform.envelope.formats import open_object
from spv_platform.errors import UsageError
from spv_platform.ledger import batches, objects
from spv_platform.ledger.contracts import FeedContract
from spv_platform.local import stack
from spv_platform.pipeline.criteria import refresh_criteria
from spv_platform.pipeline.landing.send import BUNDLE, send
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.setup import FIRST_FEED, FIRST_TENANTS, prepare_home

T = TypeVar("T")

OPTIONS = [
    click.Option(
        ["--mb"], type=click.IntRange(min=1), default=100, show_default=True, help="Plain FHIR, in 10^6 bytes."
    ),
    click.Option(
        ["--folder"],
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Bundles to take instead of invented ones: *.json and *.json.gz.",
    ),
    click.Option(["--workers"], type=click.IntRange(min=1), default=1, show_default=True, help="At work together."),
    click.Option(
        ["--flink"],
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A Python that has apache-flink, which is then a peer.",
    ),
    SEED,
]
TENANT = FIRST_TENANTS[0]
MB = 1_000_000
#: Bundles with which parts of the work are measured by themselves.
_SAMPLE = 16
DRAIN = ["-m", "spv_platform.pipeline.drain"]


def measure(
    say: Callable[[str], None], mb: int, folder: Path | None, workers: int, flink: Path | None, seed: int
) -> Iterator[Figure]:
    """Work through the bundles; then do the same bytes with the peers.

    Raises:
        UsageError: a worker failed or left something undone, or there is nothing in the folder.
    """

    def content() -> Iterator[bytes]:
        return _read(folder) if folder else bundles(mb * MB, seed)

    with fresh_home() as home:
        say("starting the stores")
        platform = start(home)
        # Made one by one, and made again below: the bundles must not fill the memory while the workers have their peak.
        size = sum(send(platform, "", data, BUNDLE, tenant=TENANT, feed=FIRST_FEED).plain_bytes for data in content())
        say(f"{size / MB:.0f} MB of plain FHIR landed; work begins")
        spent = _Spent(platform)
        with ThreadPoolExecutor(workers) as threads:
            others = [threads.submit(run_measured, DRAIN, home) for _ in range(workers - 1)]
            worked = [run_measured(DRAIN, home, spent.look), *(each.result() for each in others)]
        require_published(platform)
        say("published; now the peers on the same bytes")
        plain = list(content())
        peers = {name: _speed(work, plain, plain) for name, work in _peers().items()}
        if flink:
            peers |= _flink(flink, home, plain)
        speed = size / MB / max(each.seconds for each in worked)
        peak = max(each.peak_mb for each in worked)
        yield Figure(f"ingest: landed to published, workers: {workers}", speed, "MB/s", peak_mb=peak, peers=peers)
        yield Figure("ingest: until a worker has its first batch", spent.seconds["waiting"], "s")
        if workers == 1:  # of several the stages overlap
            yield Figure("ingest: open, check, project, stage", spent.seconds["claimed"], "s")
            yield Figure("ingest: gate, fold, match, publish", spent.seconds["staged"], "s")
        yield from _parts(platform, plain[:_SAMPLE])


def _read(folder: Path) -> Iterator[bytes]:
    files = sorted([*folder.glob("*.json"), *folder.glob("*.json.gz")])
    if not files:
        raise UsageError(f"{folder}: there is no *.json or *.json.gz")
    for file in files:
        yield gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()


def start(home: Path) -> Platform:
    """The stores without Dagster, ready for tenants, with the sample's trials in force."""
    settings = stack.start_servers(home, ["s3", "postgres"])
    prepare_home(settings)
    platform = Platform(settings)
    put_trials(platform)
    refresh_criteria(platform)
    return platform


class _Spent:
    """Where the worker's batches are at each look, and how long they have been there.

    The worker takes one batch at a time: `claimed` is the time in which its files are made, `staged` the rest of its
    way; `waiting` is the time before the first batch, `between` what lies between batches.
    """

    def __init__(self, platform: Platform) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._platform = platform
        self._last = time.perf_counter()
        self._state = "waiting"

    def look(self) -> None:
        with self._platform.db.transaction() as cur:
            states = {row["state"] for row in batches.batch_rows(cur)}
        now = time.perf_counter()
        self.seconds[self._state] += now - self._last
        self._last = now
        at_work = states & {"claimed", "staged"}
        self._state = at_work.pop() if at_work else "waiting" if self._state == "waiting" else "between"


def require_published(platform: Platform) -> None:
    """Refuse to tell the speed of work that was not done.

    Raises:
        UsageError: an object was not published, or not all of it.
    """
    with platform.db.transaction() as cur:
        rows = objects.ledger_rows(cur, TENANT)
    undone = [row for row in rows if row["state"] != "published" or row["quarantined"] or not row["balances"]]
    if undone or not rows:
        raise UsageError(
            f"{len(undone)} of {len(rows)} objects were not published whole: the figures would mean nothing"
        )


def _speed(work: Callable[[T], object], items: Sequence[T], plain: Sequence[bytes]) -> float:
    """10^6 bytes of plain FHIR a second at which the work goes through the items."""
    began = time.perf_counter()
    for item in items:
        work(item)
    return sum(map(len, plain)) / MB / (time.perf_counter() - began)


def _peers() -> dict[str, Callable[[bytes], object]]:
    import msgspec
    import orjson
    from fhir.resources.R4B import get_fhir_model_class

    class Entry(msgspec.Struct):
        resource: msgspec.Raw

    class Bundle(msgspec.Struct):
        entry: list[Entry]

    def validate(data: bytes) -> None:
        for entry in orjson.loads(data)["entry"]:
            resource = entry["resource"]
            get_fhir_model_class(resource["resourceType"]).model_validate(resource)

    # What the first use of a type costs is not part of the speed, and what this process holds by now must not slow
    # down a peer that makes many objects.
    validate(next(bundles(1)))
    gc.collect()
    gc.freeze()
    return {
        "fhir.resources alone": validate,
        "orjson alone": orjson.loads,
        "msgspec, split only": msgspec.json.Decoder(Bundle).decode,
    }


def _flink(python: Path, home: Path, plain: list[bytes]) -> dict[str, float]:
    """What PyFlink makes of the same resources, with its start and without: an empty file is what a start takes."""
    import msgspec

    seconds = []
    for number, bundles_ in enumerate(([], plain)):
        file = home / f"flink-{number}.json"
        with file.open("wb") as lines:
            for data in bundles_:
                for entry in msgspec.json.decode(data)["entry"]:
                    lines.write(msgspec.json.encode(entry["resource"]) + b"\n")
        done = subprocess.run(
            [python, Path(__file__).with_name("flink.py"), file], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise UsageError(f"{python} could not run Flink: has it apache-flink, and is there a Java?")
        seconds.append(float(done.stdout.split()[-1]))
    empty, whole = seconds
    mb = sum(map(len, plain)) / MB
    return {"PyFlink, two slots, with its start": mb / whole, "PyFlink without its start": mb / (whole - empty)}


def _parts(platform: Platform, plain: list[bytes]) -> Iterator[Figure]:
    """Opening and parsing by themselves, in this process."""
    from spv_platform.fhir.parse import parse_object

    settings, keys = platform.settings, platform.tenant_keys(TENANT)
    bucket, key = settings.landing_bucket, f"{TENANT}/{FIRST_FEED}/bench"
    sealed = [
        seal(data, kek=keys.kek, tenant=TENANT, bucket=bucket, key=key, content_type=BUNDLE, compression="zstd")
        for data in plain
    ]

    def open_(data: bytes) -> object:
        return open_object(
            data,
            keys=keys,
            tenant=TENANT,
            bucket=bucket,
            key=key,
            feed_format=FeedContract().format,
            max_bytes=settings.object_max_bytes,
            max_ratio=settings.max_ratio,
        )

    def parse(data: bytes) -> object:
        return parse_object(
            data,
            content_type=BUNDLE,
            source=FIRST_FEED,
            landing_seq=1,
            source_object="0" * 64,
            batch_id="bench",
            max_entries=settings.max_entries,
        )

    parse(plain[0])
    yield Figure("ingest: decrypt and decompress alone", _speed(open_, sealed, plain), "MB/s")
    yield Figure("ingest: check and project alone", _speed(parse, plain, plain), "MB/s")
