"""What is deleted since nothing asks for it any more: files of abandoned attempts, replaced bases, old commits, output.

Everything here may be done beside stagers, publishes, compactions and readers, and be broken off anywhere: it first
lists, then asks the ledger what is needed, and what the ledger needs no more it never needs again.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from spv_platform.errors import SpvError
from spv_platform.lake.store import LakeFile, store_errors
from spv_platform.ledger import retention, tenants
from spv_platform.ledger.retention import Fate, Pins
from spv_platform.pipeline.platform import Platform

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

#: How long after its last step a batch is still looked after, for workers that wake up late.
_LOOK_BACK_DAYS = 30.0
_BATCHES_AT_ONCE = 500
_STAGED = re.compile(r"log/(?P<table>[^/]+)/(?P<path>(?P<batch>[^/]+)/(?P<attempt>\d+)-\d+\.parquet)")
_COMMIT = re.compile(r"(?P<version>\d{20})(?P<checkpoint>\.checkpoint\.parquet|\.json)")
#: Where Dagster's compute log manager keeps the output of runs in the bucket for logs.
_OUTPUT_PREFIX = "dagster/"


@dataclass
class RetentionReport:
    """What was deleted, or would be.

    Attributes:
        staged_files: files of attempts that were not published.
        base_files: compacted files of versions that no kept publication pins.
        commits: commits and checkpoints of Delta logs from before all kept publications.
        unknown_files: files of batches that the ledger does not know; they are left alone.
        outputs: files with the output of old runs.
        rows: rows of the ledger that belong to attempts, runs and alerts that are over.
        failed_tenants: tenants whose part of the lake could not be looked at, with a reason code.
    """

    staged_files: int = 0
    staged_bytes: int = 0
    base_files: int = 0
    base_bytes: int = 0
    commits: int = 0
    unknown_files: int = 0
    outputs: int = 0
    rows: int = 0
    failed_tenants: str = ""

    def as_row(self) -> dict[str, int | str]:
        """For display."""
        return asdict(self)


def retain(
    platform: Platform,
    *,
    dry_run: bool,
    whole: bool = False,
    progress: Callable[[str], None] = lambda tenant: None,
) -> RetentionReport:
    """Delete what the settings do not keep.

    Args:
        platform: the installation.
        dry_run: only report.
        whole: list the whole log of each table for files of abandoned attempts, not only where the ledger says that
            there can be some.
        progress: called with each tenant's name before its part.

    Raises:
        TransientError: the ledger did not answer; what is deleted stays deleted.
    """
    settings, report = platform.settings, RetentionReport()
    with platform.db.transaction() as cur:
        collect = retention.cutoff(cur, settings.collect_after_hours)
        forget = retention.cutoff(cur, settings.keep_runs_days * 24)
        names = tenants.tenants(cur)
    failed = []
    for tenant in names:
        progress(tenant)
        try:
            _staged(platform, tenant, collect, report, dry_run=dry_run, whole=whole)
            _bases(platform, tenant, collect, report, dry_run=dry_run)
        except SpvError as error:  # one tenant's trouble must not keep the files of all others
            failed.append(f"{tenant}: {error.reason}")
    report.failed_tenants = ", ".join(failed)
    report.outputs = _outputs(platform, collect, forget, dry_run=dry_run)
    with platform.db.transaction() as cur:
        report.rows = sum(retention.clear(cur, collect=collect, forget=forget, dry_run=dry_run).values())
    return report


def _staged(
    platform: Platform, tenant: str, collect: datetime, report: RetentionReport, *, dry_run: bool, whole: bool
) -> None:
    """Files of attempts that are over and were not published."""
    found: dict[str, list[tuple[LakeFile, re.Match[str]]]] = defaultdict(list)
    for file in _log_files(platform, tenant, whole=whole):
        named = _STAGED.fullmatch(file.path)
        if named and file.modified < collect:
            found[named["batch"]].append((file, named))
    # The ledger is asked after the listing: what it calls over now was over then, or is younger than the listing.
    batch_ids = sorted(found)
    for start in range(0, len(batch_ids), _BATCHES_AT_ONCE):
        some = batch_ids[start : start + _BATCHES_AT_ONCE]
        with platform.db.transaction() as cur:
            known = retention.fates(cur, tenant, some)
        garbage = []
        for batch_id in some:
            fate = known.get(batch_id)
            if fate is None:
                report.unknown_files += len(found[batch_id])
                continue
            garbage += [file for file, named in found[batch_id] if not _needed(fate, named)]
        report.staged_files += len(garbage)
        report.staged_bytes += sum(file.bytes for file in garbage)
        if not dry_run:
            platform.lake.delete_files(tenant, garbage)


def _log_files(platform: Platform, tenant: str, *, whole: bool) -> Iterator[LakeFile]:
    if whole:
        yield from platform.lake.files(tenant, "log")
        return
    with platform.db.transaction() as cur:
        batch_ids = retention.troubled(cur, tenant, retention.cutoff(cur, _LOOK_BACK_DAYS * 24))
    for batch_id in batch_ids:
        for spec in platform.lake.specs:
            yield from platform.lake.files(tenant, "log", spec.name, batch_id)


def _needed(fate: Fate, named: re.Match[str]) -> bool:
    # A greater attempt than the ledger's is one that began after the ledger was asked.
    if fate.current is not None and int(named["attempt"]) >= fate.current:
        return True
    return (named["table"], named["path"]) in fate.published


def _bases(platform: Platform, tenant: str, collect: datetime, report: RetentionReport, *, dry_run: bool) -> None:
    """Files of replaced bases, and commits of both Delta logs that no kept publication needs."""
    settings = platform.settings
    listed = _by_table(platform.lake.files(tenant, "current"))
    # Asked after the listing: a compaction that ended since has pinned its files, one that began has none in the list.
    with platform.db.transaction() as cur:
        oldest = retention.oldest_kept(
            cur, tenant, days=settings.keep_publications_days, count=settings.keep_publications
        )
        pins = retention.pins_from(cur, tenant, oldest)
        compacting = retention.compacting(cur, tenant)
        if not dry_run:
            retention.let_bases_go(cur, tenant, oldest)
    garbage: list[LakeFile] = []
    commits: list[LakeFile] = []
    for table, pinned in pins.items():
        old = [file for file in listed[table] if file.modified < collect]
        if pinned.bases:
            commits += _old_commits(old, min(pinned.bases))
            garbage += [] if compacting else _replaced(platform, tenant, table, old, pinned)
        logged = platform.lake.files(tenant, "log", table, "_delta_log")
        commits += _old_commits([file for file in logged if file.modified < collect], pinned.log)
    report.base_files += len(garbage)
    report.base_bytes += sum(file.bytes for file in garbage)
    report.commits += len(commits)
    if not dry_run:
        platform.lake.delete_files(tenant, garbage + commits)


def _replaced(platform: Platform, tenant: str, table: str, old: list[LakeFile], pinned: Pins) -> list[LakeFile]:
    """Files of a base's versions that are older than the newest pinned one, unless they are pinned too."""
    files = {file.path.rpartition("/")[2]: file for file in old if file.path.endswith(".parquet")}
    files = {name: file for name, file in files.items() if "/_delta_log/" not in file.path}
    if not files:
        return []
    with store_errors(f"table {table}"):
        head = platform.lake.open(tenant, "current", table)
        # What is newer than all pins may be pinned next.
        for version in {*pinned.bases, *range(max(pinned.bases), head.version() + 1)}:
            head.load_as_version(version)
            for path in head.get_add_actions(flatten=True).column("path").to_pylist():
                files.pop(path, None)
    return list(files.values())


def _old_commits(files: Iterable[LakeFile], oldest: int) -> list[LakeFile]:
    """Commits and checkpoints that are needed for no version from the oldest one on.

    A version is read from the last checkpoint up to it, and the commits after that.
    """
    found = [(_COMMIT.fullmatch(file.path.rpartition("/")[2]), file) for file in files if "/_delta_log/" in file.path]
    versions = [(int(named["version"]), named["checkpoint"] != ".json", file) for named, file in found if named]
    first = max((version for version, checkpoint, _ in versions if checkpoint and version <= oldest), default=0)
    return [file for version, _, file in versions if version < first]


def _by_table(files: Iterable[LakeFile]) -> dict[str, list[LakeFile]]:
    found: dict[str, list[LakeFile]] = defaultdict(list)
    for file in files:
        found[file.path.split("/")[1]].append(file)
    return found


def _outputs(platform: Platform, collect: datetime, forget: datetime, *, dry_run: bool) -> int:
    """Output of runs: in the store by age of the runs; on this host, where it only passes through, earlier."""
    bucket = platform.settings.logs_bucket
    count = 0
    with store_errors("logs"):
        pages = platform.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=_OUTPUT_PREFIX)
        for page in pages:
            contents = page.get("Contents", [])
            old: list[ObjectIdentifierTypeDef] = [
                {"Key": each["Key"]} for each in contents if each["LastModified"] < forget
            ]
            count += len(old)
            if old and not dry_run:
                platform.s3.delete_objects(Bucket=bucket, Delete={"Objects": old, "Quiet": True})
    for file in _files_under(platform.settings.home / "dagster" / "compute_logs"):
        if file.stat().st_mtime < collect.timestamp():
            count += 1
            if not dry_run:
                file.unlink(missing_ok=True)
    return count


def _files_under(folder: Path) -> list[Path]:
    return [place for place in folder.rglob("*") if place.is_file()] if folder.is_dir() else []
