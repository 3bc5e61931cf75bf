"""The replica: the sealed objects, an export of the ledger, and what was published from them, as hashes.

    landing/<sequence>   a sealed object version, as it landed
    feeds/<key>          trial criteria and registry studies
    ledger.jsonl         {"table": …, "row": …}, table by table
    manifest.json        bucket, time, hashes by tenant
    keys/                the key files, only if asked for: keep them apart from the rest

Everything else is made anew from these. What belongs here: writing a replica, reading it into an empty installation.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spv_platform.errors import PermanentError, UsageError
from spv_platform.lake.store import store_errors
from spv_platform.ledger import publications, tenants
from spv_platform.ledger.batches import DueBatch
from spv_platform.ledger.db import Cursor
from spv_platform.pipeline.history import behind, feed
from spv_platform.pipeline.opening import read_sealed
from spv_platform.pipeline.platform import Platform
from spv_platform.recovery.contents import Content, contents

Row = dict[str, Any]

FORMAT = "spv-replica/1"
#: Parents before children. Derived rows, leases and counters are not here: they are made anew.
_TABLES = {
    "tenant": "TRUE",
    "feed": "TRUE",
    "criteria_version": "TRUE",
    "opt_out": "TRUE",
    "practice": "TRUE",
    "outbox": "TRUE",
    "batch": "kind = 'load' AND state IN ('published', 'set_aside', 'rejected')",
    "object": "TRUE",
    "entry_quarantine": "state = 'discarded'",
    "audit": "TRUE",
}
_SERIALS = (("object", "seq"), ("criteria_version", "version"), ("entry_quarantine", "id"), ("audit", "id"))
_PAGE = 5_000
_TRIES = 3


@dataclass(frozen=True)
class Manifest:
    """What a replica says of itself."""

    landing_bucket: str
    exported_at: datetime
    newest_landed_at: datetime | None
    contents: dict[str, dict[str, Content]]


def export(platform: Platform, folder: Path, *, progress: Callable[[str], None] = lambda _: None) -> Manifest:
    """Write a replica into an empty folder; sealed objects that are gone are left out.

    Raises:
        UsageError: the folder is not empty, or the platform kept publishing meanwhile.
        TransientError: a store did not answer.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty: name a new folder")
    (folder / "landing").mkdir(parents=True, mode=0o700)
    folder.chmod(0o700)
    for _ in range(_TRIES):
        before = _newest(platform)
        held = {}
        for tenant in before:
            progress(f"hashing what is published of {tenant}")
            while behind(platform, tenant):
                feed(platform, tenant)
            held[tenant] = contents(platform, tenant)
        progress("exporting the ledger")
        objects = _export_ledger(platform, folder / "ledger.jsonl")
        if _newest(platform) == before:
            break
    else:
        raise UsageError("batches are published all the time: stop the daemon for the export, or try at a quiet time")
    _copy_feeds(platform, folder / "feeds")
    for number, row in enumerate(objects):
        progress(f"copying sealed objects: {number + 1} of {len(objects)}")
        try:
            sealed = read_sealed(platform, row["bucket"], row["key"], row["version"])
        except PermanentError:
            continue
        (folder / "landing" / str(row["seq"])).write_bytes(sealed)
    newest = max((row["landed_at"] for row in objects), default=None)
    manifest = Manifest(
        platform.settings.landing_bucket,
        datetime.now(UTC),
        datetime.fromisoformat(newest) if newest else None,
        held,
    )
    (folder / "manifest.json").write_text(_manifest_text(manifest))
    return manifest


def copy_keys(platform: Platform, folder: Path) -> None:
    """Copy the key files beside a replica, closed to others."""
    shutil.copytree(platform.settings.keys_dir, folder / "keys")
    (folder / "keys").chmod(0o700)


def read_manifest(folder: Path) -> Manifest:
    """What the replica in a folder says of itself.

    Raises:
        UsageError: there is none, or none that this version can read.
    """
    try:
        document = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError):
        raise UsageError(f"{folder} holds no replica: make one with `spv dr export`") from None
    if document.get("format") != FORMAT:
        raise UsageError(f"{folder}: this version reads replicas of format {FORMAT} only")
    newest = document["newest_landed_at"]
    return Manifest(
        document["landing_bucket"],
        datetime.fromisoformat(document["exported_at"]),
        datetime.fromisoformat(newest) if newest else None,
        {
            tenant: {name: Content(*value) for name, value in held.items()}
            for tenant, held in document["contents"].items()
        },
    )


def restore(platform: Platform, folder: Path, *, progress: Callable[[str], None] = lambda _: None) -> list[DueBatch]:
    """Read a replica into an installation with an empty ledger and empty buckets.

    What was published waits again in the batches that it came in, with their waivers; what was set aside or rejected by
    a person stays so. What had not been processed is left out: see `restore_waiting`.

    Returns:
        The batches to carry, in order.

    Raises:
        UsageError: the ledger is not empty.
    """
    feeds = folder / "feeds"
    for file in sorted(path for path in feeds.rglob("*") if path.is_file()):
        key = file.relative_to(feeds).as_posix()
        platform.s3.put_object(Bucket=platform.settings.feeds_bucket, Key=key, Body=file.read_bytes())
    with platform.db.transaction() as cur:
        cur.execute("SELECT EXISTS (SELECT FROM ops.tenant)")
        if cur.fetchone() == (True,):
            raise UsageError("this installation has tenants already: restore into a new home")
        known: dict[str, bool] = {}
        there: set[int] = set()
        for table, row in _rows(folder / "ledger.jsonl"):
            if table == "batch":
                row = _batch(row, known)
            if table == "object":
                if _waits(row):
                    continue
                there.add(row["seq"])
                progress(f"landing sealed objects: {len(there)}")
                row = _landed(platform, folder, row, known)
            if table == "entry_quarantine" and row["object_seq"] not in there:
                continue
            _insert(cur, table, row)
        for table, column in _SERIALS:
            cur.execute(
                f"SELECT setval(pg_get_serial_sequence('ops.{table}', '{column}'),"  # noqa: S608  (names of ours)
                f" greatest(max({column}), 1)) FROM ops.{table}"
            )
        cur.execute(
            "SELECT batch_id, tenant, kind, attempt FROM ops.batch JOIN ops.tenant USING (tenant)"
            " WHERE state = 'formed' AND removed_at IS NULL ORDER BY batch.created_at, batch_id"
        )
        return [DueBatch(*row) for row in cur.fetchall()]


def restore_waiting(platform: Platform, folder: Path) -> int:
    """Land the objects that had not been processed when the replica was made; how many. They wait for a batch."""
    count = 0
    with platform.db.transaction() as cur:
        for table, row in _rows(folder / "ledger.jsonl"):
            if table == "object" and _waits(row):
                _insert(cur, table, _landed(platform, folder, row, {}))
                count += 1
    return count


def _waits(row: Row) -> bool:
    return row["state"] in ("landed", "claimed", "staged") and not _was_published(row)


def _was_published(row: Row) -> bool:
    """Whether rows of the object are published, also while it is processed again."""
    return bool(row.get("was_published", row["entries"] is not None))


def _newest(platform: Platform) -> dict[str, int]:
    with platform.db.transaction() as cur:
        found = {tenant: publications.newest(cur, tenant) for tenant in tenants.tenants(cur)}
    return {tenant: newest.seq if newest else 0 for tenant, newest in found.items()}


def _export_ledger(platform: Platform, file: Path) -> list[dict[str, Any]]:
    objects = []
    with platform.db.transaction() as cur, file.open("w") as out:
        cur.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        for table, condition in _TABLES.items():
            order = "seq" if table == "object" else "1"
            cur.execute(
                f"SELECT to_jsonb(found) FROM ops.{table} AS found WHERE {condition} ORDER BY {order}"  # noqa: S608
            )
            while rows := cur.fetchmany(_PAGE):
                for (row,) in rows:
                    out.write(json.dumps({"table": table, "row": row}) + "\n")
                    if table == "object":
                        objects.append({name: row[name] for name in ("seq", "bucket", "key", "version", "landed_at")})
    return objects


def _rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with file.open() as lines:
        for line in lines:
            item = json.loads(line)
            yield item["table"], item["row"]


def _batch(row: Row, known: dict[str, bool]) -> Row:
    """A batch as it was before its first try, if it was published, which is noted."""
    fresh: Row = {
        "attempt": 1,
        "budget_from": 1,
        "excused": 0,
        "open_from": 1,
        "gated_attempt": None,
        "lease_until": None,
    }
    fresh |= {"requested_at": None, "not_before": None}
    known[row["batch_id"]] = row["state"] == "published"
    if known[row["batch_id"]]:
        fresh |= {"state": "formed", "run_id": None}
    return row | fresh


def _landed(platform: Platform, folder: Path, row: Row, known: dict[str, bool]) -> Row:
    """The object in the new bucket, and its row: in its batch, settled, or waiting.

    Args:
        platform: the new installation.
        folder: the replica.
        row: of the object.
        known: whether each batch that is there was published.
    """
    sealed = folder / "landing" / str(row["seq"])
    if sealed.exists():
        body = sealed.read_bytes()
        stored = platform.s3.put_object(Bucket=platform.settings.landing_bucket, Key=row["key"], Body=body)
        row["version"] = stored["VersionId"]
    row["was_published"] = _was_published(row)
    settled = row["state"] in ("set_aside", "rejected") and not row["was_published"]
    if settled or row["reason"] in ("unknown_tenant", "unknown_feed", "empty_object"):
        return row | {"batch_id": row["batch_id"] if row["batch_id"] in known else None, "same_as": None}
    in_batch = row["batch_id"] if known.get(row["batch_id"]) else None
    counts = ("plain_digest", "plain_bytes", "entries", "accepted", "tombstones", "duplicates", "superseded")
    nothing = dict.fromkeys((*counts, "quarantined", "contained", "same_as", "contract", "reason"))
    return row | nothing | {"state": "landed", "batch_id": in_batch, "attempt": 0}


def _copy_feeds(platform: Platform, folder: Path) -> None:
    bucket = platform.settings.feeds_bucket
    with store_errors("feeds"):
        for page in platform.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for item in page.get("Contents", []):
                file = folder / item["Key"]
                if not file.resolve().is_relative_to(folder.resolve()):
                    raise UsageError(f"a trial file in the bucket {bucket} has a name that leads out of its folder")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(platform.s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read())


def _insert(cur: Cursor, table: str, row: Row) -> None:
    cur.execute(
        f"INSERT INTO ops.{table} SELECT * FROM jsonb_populate_record(NULL::ops.{table}, %s::jsonb)",  # noqa: S608
        (json.dumps(row),),
    )


def _manifest_text(manifest: Manifest) -> str:
    newest = manifest.newest_landed_at
    document = {
        "format": FORMAT,
        "landing_bucket": manifest.landing_bucket,
        "exported_at": manifest.exported_at.isoformat(),
        "newest_landed_at": newest.isoformat() if newest else None,
        "contents": manifest.contents,
    }
    return json.dumps(document, indent=1) + "\n"
