"""Publishing: staged files become part of their Delta tables, exactly on top of the versions last published.

The caller holds the tenant's publish lease and commits the returned versions to the ledger; until that commit nobody
reads them. So whatever a dead or displaced worker left in a log is undone here first: `restore` brings the log to the
pinned version by a further version, and older versions stay readable.

What belongs here: Delta commits to `log/<table>`. What does not: leases and publications (`ledger`).
"""

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from spv_platform import faults
from spv_platform.errors import PermanentError, TransientError
from spv_platform.lake.stage import StagedFile
from spv_platform.lake.store import Kind, Lake, store_errors

if TYPE_CHECKING:
    from deltalake import DeltaTable

_MOST_THREADS = 8
_MOST_TRIES = 5


def adopt(
    lake: Lake, tenant: str, files: Mapping[str, Sequence[StagedFile]], pinned: Mapping[str, int]
) -> dict[str, int]:
    """Add staged files to their tables.

    Doing it again with the same arguments gives new versions with the same content: the pinned version and the files.
    `files` and `pinned` are by table; `pinned` is the version of `log/<table>` that the newest publication pins, and
    a table that was never published is absent from it.

    Returns:
        The new version of every table that has files.

    Raises:
        TransientError: `store_unavailable`, also when others keep committing in between.
        PermanentError: `internal_error`, a log ends before its pinned version.
    """
    tables = sorted(table for table, staged in files.items() if staged)
    if not tables:
        return {}
    with ThreadPoolExecutor(min(_MOST_THREADS, len(tables))) as pool:
        versions = pool.map(lambda table: _adopt_table(lake, tenant, files[table], pinned.get(table, 0)), tables)
        return dict(zip(tables, versions, strict=True))


def commit_files(
    lake: Lake, tenant: str, kind: Kind, handle: "DeltaTable", files: Sequence[StagedFile], mode: str
) -> int:
    """Commit files as the version right after the handle's; mode `append`, or `overwrite` to drop all other files.

    Raises:
        deltalake.exceptions.CommitFailedError: somebody else has committed that version.
    """
    from deltalake.transaction import AddAction

    now_ms = int(time.time() * 1000)
    actions = [
        AddAction(file.path, file.bytes, {}, now_ms, True, json.dumps({"numRecords": file.rows})) for file in files
    ]
    schema = lake.delta_schema(kind, files[0].table)
    handle.create_write_transaction(actions, mode, schema, commit_properties=_one_try())
    return handle.version() + 1


def _adopt_table(lake: Lake, tenant: str, files: Sequence[StagedFile], pinned: int) -> int:
    from deltalake.exceptions import CommitFailedError

    table = files[0].table
    for _ in range(_MOST_TRIES):
        try:
            with store_errors(f"table {table}"):
                handle = lake.ensure_table(tenant, "log", table, expected=pinned)
                _bring_to(handle, pinned, table)
                _add_columns(lake, handle, table)
                version = commit_files(lake, tenant, "log", handle, files, "append")
        except CommitFailedError:
            continue  # a displaced worker committed since the log was opened: undo it and try again
        faults.point("table_added", table)
        return version
    raise TransientError("store_unavailable", f"table {table}: others keep writing to it")


def _bring_to(handle: "DeltaTable", pinned: int, table: str) -> None:
    if handle.version() < pinned:
        raise PermanentError("internal_error", f"table {table}: its log ends before version {pinned}")
    if handle.version() > pinned:
        handle.restore(pinned, commit_properties=_one_try())


def _add_columns(lake: Lake, handle: "DeltaTable", table: str) -> None:
    present = {field.name for field in handle.schema().fields}
    missing = [field for field in lake.delta_schema("log", table).fields if field.name not in present]
    if missing:
        handle.alter.add_columns(missing, commit_properties=_one_try())


def _one_try() -> Any:
    """Commit properties that make a lost race an error; by default Delta would commit on top of the other's files."""
    from deltalake import CommitProperties

    return CommitProperties(max_commit_retries=0)
