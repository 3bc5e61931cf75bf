"""Pages of a listing of object versions, and all of them below a prefix."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from spv_platform.ledger.objects import FoundObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: Object versions of one page, as many as S3 gives.
PAGE = 1000


def page_of(
    s3: "S3Client", bucket: str, prefix: str, marker: Mapping[str, str] | None = None, *, delimiter: str = ""
) -> dict[str, Any]:
    """One page.

    Args:
        s3: the object store.
        bucket: whose versions are listed.
        prefix: of the keys.
        marker: after which key and version, as `next_marker` gives it; from the beginning if it is empty.
        delimiter: keys that have it after the prefix are shown as common prefixes.

    Raises:
        TransientError: the store did not answer.
    """
    from spv_platform.lake.store import store_errors

    where: dict[str, Any] = {**(marker or {}), **({"Delimiter": delimiter} if delimiter else {})}
    with store_errors("landing"):
        return dict(s3.list_object_versions(Bucket=bucket, Prefix=prefix, MaxKeys=PAGE, **where))


def next_marker(page: Mapping[str, Any]) -> dict[str, str]:
    """Where the next page begins; empty: there is none."""
    if not page["IsTruncated"]:
        return {}
    marker = {"KeyMarker": page["NextKeyMarker"]}
    version = page.get("NextVersionIdMarker")
    return marker | {"VersionIdMarker": version} if version else marker


def store_time(page: Mapping[str, Any]) -> datetime:
    """The store's clock at the answer, in whole seconds, rounded down."""
    return parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"])


def found_objects(bucket: str, page: Mapping[str, Any]) -> list[FoundObject]:
    """The object versions of a page, of each key the oldest first.

    A listing has the newest first (S3, ListObjectVersions); times are in whole seconds, and version ids say nothing.
    """
    return [
        FoundObject(
            bucket=bucket,
            key=version["Key"],
            version=version["VersionId"],
            size_bytes=version["Size"],
            etag=version["ETag"].strip('"'),
            landed_at=version["LastModified"],
        )
        for version in reversed(page.get("Versions", []))
    ]


def pages_below(s3: "S3Client", bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    """Every object version below a prefix.

    Folder by folder where a folder holds more than one page: SeaweedFS walks folders in the order of their own names
    (`west/`, then `west-2/`) and begins a page by the order of keys (`west-2/` before `west/`), so a listing of several
    folders leaves out those of the second kind whenever a page ends in one of the first.

    Raises:
        TransientError: the store did not answer.
    """
    first = page_of(s3, bucket, prefix)
    if not first["IsTruncated"]:
        yield first
        return
    level = page_of(s3, bucket, prefix, delimiter="/")
    if not level["IsTruncated"]:
        yield level
        for folder in level.get("CommonPrefixes", []):
            yield from pages_below(s3, bucket, folder["Prefix"])
        return
    yield first
    marker = next_marker(first)
    while marker:
        page = page_of(s3, bucket, prefix, marker)
        yield page
        marker = next_marker(page)
