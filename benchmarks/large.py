"""A worker's most memory at one large file: a Bundle of so many entries, and an NDJSON export of so many bytes.

Each in a home of its own, by one worker without Dagster (`python -m spv_platform.pipeline.drain`); the export is landed
in parts, as `spv send` does. The time includes the start of the worker.
"""

import re
from collections.abc import Callable, Iterator
from itertools import islice

import click
import msgspec

from benchmarks.figures import Figure
from benchmarks.generate import bundles
from benchmarks.homes import SEED, fresh_home, run_measured
from benchmarks.ingest import DRAIN, MB, TENANT, require_published, start
from spv_platform.pipeline.landing.send import read_parts, send
from spv_platform.pipeline.setup import FIRST_FEED

OPTIONS = [
    click.Option(
        ["--entries"], type=click.IntRange(min=1), default=100_000, show_default=True, help="Entries of the Bundle."
    ),
    click.Option(
        ["--mb"], type=click.IntRange(min=1), default=4_295, show_default=True, help="The export, in 10^6 bytes."
    ),
    SEED,
]
_EVER = 2**63
_URN = re.compile(rb"urn:uuid:([0-9a-f-]{36})")


def measure(say: Callable[[str], None], entries: int, mb: int, seed: int) -> Iterator[Figure]:
    """Write each file, send it, and let a worker work through it.

    Raises:
        UsageError: the worker failed or left something undone.
    """
    yield _worked(say, f"a Bundle of {entries} entries", "bundle.json", lambda: _bundle(entries, seed))
    yield _worked(say, f"an NDJSON export of {mb} MB", "export.ndjson", lambda: _export(mb, seed))


def _worked(say: Callable[[str], None], what: str, name: str, parts: Callable[[], Iterator[bytes]]) -> Figure:
    with fresh_home() as home:
        say(f"{what}: writing and sending")
        platform = start(home)
        file = home / name
        with file.open("wb") as out:
            out.writelines(parts())
        size = file.stat().st_size
        for plain, content_type in read_parts(file):
            send(platform, "", plain, content_type, tenant=TENANT, feed=FIRST_FEED)
            del plain
        file.unlink()
        say(f"{size / MB:.0f} MB of plain FHIR landed; work begins")
        worked = run_measured(DRAIN, home)
        require_published(platform)
    return Figure(f"large: {what}", size / MB / worked.seconds, "MB/s", peak_mb=worked.peak_mb)


def _bundle(entries: int, seed: int) -> Iterator[bytes]:
    found = (entry for data in bundles(_EVER, seed) for entry in msgspec.json.decode(data, type=_Bundle).entry)
    yield b'{"resourceType":"Bundle","type":"transaction","entry":['
    for number, entry in enumerate(islice(found, entries)):
        yield b"," * bool(number) + bytes(entry)
    yield b"]}"


def _export(mb: int, seed: int) -> Iterator[bytes]:
    """Resources as a server hands them out: line by line, with relative references."""
    left = mb * MB
    for data in bundles(_EVER, seed):
        resources = [entry["resource"] for entry in msgspec.json.decode(data)["entry"]]
        names = {each["id"]: f"{each['resourceType']}/{each['id']}" for each in resources}
        lines = b"".join(msgspec.json.encode(each) + b"\n" for each in resources)
        lines = _URN.sub(lambda urn, names=names: names[urn[1].decode()].encode(), lines)
        yield lines
        left -= len(lines)
        if left <= 0:
            return


class _Bundle(msgspec.Struct):
    entry: list[msgspec.Raw]
