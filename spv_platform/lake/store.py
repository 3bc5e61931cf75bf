"""Where a tenant's tables are in the object store, and the key and options that open them.

Every byte of a tenant's part of the lake is encrypted by the store with the tenant's lake key (SSE-C), which the
store does not keep: without the key nothing can be read, and destroying it makes the tenant's lake unreadable.

What belongs here: addresses, credentials, encryption, opening a Delta log. What does not: what is in a table.
"""

import base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import polars as pl

from spv_platform import aws, faults
from spv_platform.errors import TransientError, UsageError
from spv_platform.lake.spec import RESOURCE_TABLES, TableSpec
from spv_platform.settings import Settings

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

#: `log` holds every published row, `current` the compacted rows of one moment.
Kind = Literal["log", "current"]

#: Versions that a publication pins must stay readable, so the log is never cleaned up by itself.
_CONFIGURATION: dict[str, str | None] = {"delta.enableExpiredLogCleanup": "false", "delta.checkpointInterval": "25"}

#: Opened logs that one process keeps.
_MOST_HANDLES = 64
_DELETED_AT_ONCE = 100


class LakeFile(NamedTuple):
    """An object of a tenant's part of the lake; `path` begins with its kind, `modified` is by the store's clock."""

    path: str
    bytes: int
    modified: datetime


class Lake:
    """The tables of all tenants.

    Args:
        settings: the installation.
        keys: gives the 32-byte lake key of a tenant.
        tables: every table that the lake may hold.
    """

    def __init__(
        self, settings: Settings, keys: Callable[[str], bytes], tables: Iterable[TableSpec] = RESOURCE_TABLES
    ) -> None:
        self.settings = settings
        self._keys = keys
        self._specs = {spec.name: spec for spec in tables}
        # Opened logs with what they were opened with; the oldest first.
        self._handles: dict[tuple[str, Kind, str], tuple[dict[str, str], DeltaTable]] = {}

    @property
    def specs(self) -> tuple[TableSpec, ...]:
        """All tables, in the order given."""
        return tuple(self._specs.values())

    def spec(self, table: str) -> TableSpec:
        """The description of a table.

        Raises:
            UsageError: there is no such table.
        """
        if table not in self._specs:
            raise UsageError(f"there is no table {table}: choose one of {', '.join(self._specs)}")
        return self._specs[table]

    def url(self, tenant: str, kind: Kind, table: str, *parts: str) -> str:
        """URL of a table, or of a file under it."""
        return self.settings.lake_url(tenant, kind, table, *parts)

    def storage_options(self, tenant: str) -> dict[str, str]:
        """Options for Delta and Polars that reach the store and open the tenant's part of the lake."""
        settings = self.settings
        options = {
            "aws_access_key_id": settings.s3_access_key_id,
            "aws_secret_access_key": settings.s3_secret_access_key,
            "aws_region": settings.s3_region,
            "aws_conditional_put": "etag",
            "aws_server_side_encryption": "sse-c",
            "aws_sse_customer_key_base64": base64.b64encode(self._keys(tenant)).decode(),
        }
        if settings.s3_endpoint:
            options["aws_endpoint_url"] = settings.s3_endpoint
        if settings.s3_endpoint.startswith("http://"):
            options["aws_allow_http"] = "true"
        return options

    def open(self, tenant: str, kind: Kind, table: str, version: int | None = None) -> "DeltaTable":
        """The Delta log of an existing table, at its head or at a version.

        Raises:
            deltalake.exceptions.TableNotFoundError: there is none.
        """
        from deltalake import DeltaTable

        url = self.url(tenant, kind, table)
        return DeltaTable(url, version=version, storage_options=self._delta_options(tenant))

    def ensure_table(self, tenant: str, kind: Kind, table: str, expected: int | None = None) -> "DeltaTable":
        """The Delta log of a table at its head; an empty table is created as version 0 where there is none.

        Args:
            tenant: whose table.
            kind: log or current.
            table: its name.
            expected: the version that the head should be. If this process had the log open before, and what was
                committed since leads to that version, the log is not read again, which takes ten times as long.
        """
        options = self._delta_options(tenant)
        # Taken out while it is in use, so that no other thread has it too.
        opened_with, handle = self._handles.pop((tenant, kind, table), (None, None))
        if handle is None or expected is None or opened_with != options or not _leads_to(handle, expected):
            handle = self._open_or_create(tenant, kind, table, options)
        while len(self._handles) >= _MOST_HANDLES:
            self._handles.pop(next(iter(self._handles)), None)
        self._handles[tenant, kind, table] = options, handle
        return handle

    def _open_or_create(self, tenant: str, kind: Kind, table: str, options: dict[str, str]) -> "DeltaTable":
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        try:
            return self.open(tenant, kind, table)
        except TableNotFoundError:
            return DeltaTable.create(
                self.url(tenant, kind, table),
                self.delta_schema(kind, table),
                mode="ignore",
                name=table,
                configuration=_CONFIGURATION,
                storage_options=options,
            )

    def schema(self, kind: Kind, table: str) -> dict[str, pl.DataType]:
        """The columns that a table has today."""
        spec = self.spec(table)
        return spec.schema if kind == "log" else spec.base_schema

    def delta_schema(self, kind: Kind, table: str) -> Any:
        """The same as a `deltalake.Schema`."""
        from deltalake import Schema

        return Schema.from_arrow(pl.Schema(self.schema(kind, table)))

    def put(self, tenant: str, url: str, data: BytesIO) -> int:
        """Write an object under the tenant's key; an object of that name is replaced.

        Returns:
            Its bytes, as the store reports them.
        """
        data.seek(0)
        with store_errors("lake"):
            self._s3.put_object(Body=data, **self._address(tenant, url))
        size = self.size(tenant, url)
        if size != data.getbuffer().nbytes:
            raise TransientError("store_unavailable", "lake: a file was not stored whole")
        return size

    def size(self, tenant: str, url: str) -> int:
        """Bytes of an object of the tenant."""
        with store_errors("lake"):
            return self._s3.head_object(**self._address(tenant, url))["ContentLength"]

    def delete(self, tenant: str, url: str) -> None:
        """Delete an object of the tenant; nothing to do where there is none."""
        address = self._address(tenant, url)
        with store_errors("lake"):
            self._s3.delete_object(Bucket=address["Bucket"], Key=address["Key"])

    def files(self, tenant: str, *folder: str) -> Iterator[LakeFile]:
        """What lies in a folder of the tenant's part, whether a table refers to it or not."""
        root = f"{tenant}/"
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.settings.lake_bucket, Prefix=root + "".join(f"{name}/" for name in folder)
        )
        with store_errors("lake"):
            for page in pages:
                for each in page.get("Contents", []):
                    yield LakeFile(each["Key"].removeprefix(root), each["Size"], each["LastModified"])

    def delete_files(self, tenant: str, files: Sequence[LakeFile]) -> None:
        """Delete what `files` gave; what is gone already is no error.

        Raises:
            TransientError: `store_unavailable`, also when some of them were not deleted.
        """
        for start in range(0, len(files), _DELETED_AT_ONCE):
            names: list[ObjectIdentifierTypeDef] = [
                {"Key": f"{tenant}/{file.path}"} for file in files[start : start + _DELETED_AT_ONCE]
            ]
            with store_errors("lake"):
                answer = self._s3.delete_objects(
                    Bucket=self.settings.lake_bucket, Delete={"Objects": names, "Quiet": True}
                )
            if answer.get("Errors"):
                raise TransientError("store_unavailable", "lake: a file was not deleted")
            faults.point("file_deleted", files[start].path)

    def _address(self, tenant: str, url: str) -> dict[str, Any]:
        bucket, _, key = url.removeprefix("s3://").partition("/")
        return {
            "Bucket": bucket,
            "Key": key,
            "SSECustomerAlgorithm": "AES256",
            "SSECustomerKey": self._keys(tenant),
        }

    def _delta_options(self, tenant: str) -> dict[str, str]:
        # Without these a store that is away holds a caller for three minutes, longer than its lease. Polars reads
        # the same names as numbers, so they are not part of the common options.
        limits = {"max_retries": "3", "retry_timeout": "10s", "connect_timeout": "5s", "timeout": "15s"}
        return {**self.storage_options(tenant), **limits}

    @cached_property
    def _s3(self) -> "S3Client":
        return aws.client(self.settings, "s3", self.settings.s3_endpoint)


def _leads_to(handle: "DeltaTable", version: int) -> bool:
    """Bring an opened log to its head; whether that is the version."""
    from deltalake.exceptions import DeltaError

    try:
        handle.update_incremental()
    except DeltaError:  # whatever it is, reading the log anew will tell
        return False
    return handle.version() == version


@contextmanager
def store_errors(place: str) -> Iterator[None]:
    """Turn what the store's clients raise into a `TransientError`; a lost race for a Delta version passes through."""
    from botocore.exceptions import BotoCoreError, ClientError
    from deltalake.exceptions import CommitFailedError, DeltaError

    try:
        yield
    except CommitFailedError:
        raise
    except (OSError, DeltaError, BotoCoreError, ClientError) as error:
        raise TransientError("store_unavailable", place) from error
