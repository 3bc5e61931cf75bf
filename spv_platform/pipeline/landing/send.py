"""Sealing files as a sender would, and landing them."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from spv_platform.envelope.container import seal
from spv_platform.errors import UsageError
from spv_platform.ledger.layouts import SENT, beginning
from spv_platform.pipeline.platform import Platform

BUNDLE = "application/fhir+json"
NDJSON = "application/fhir+ndjson"


@dataclass(frozen=True)
class Landed:
    """One sealed object: `object` is `bucket/key@version`, as the ledger names it."""

    file: str
    object: str
    plain_bytes: int
    sealed_bytes: int


def read_plain(file: Path) -> tuple[bytes, str]:
    """A file's content, decompressed if it is gzip, and its content type by name (`.ndjson`, else a bundle).

    Raises:
        UsageError: the file cannot be read.
    """
    import gzip

    try:
        data = file.read_bytes()
        plain = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, gzip.BadGzipFile) as error:
        raise UsageError(f"{file}: cannot be read ({type(error).__name__}): check the path and the file") from None
    is_ndjson = ".ndjson" in file.suffixes or ".jsonl" in file.suffixes
    return plain, NDJSON if is_ndjson else BUNDLE


def send(
    platform: Platform, name: str, plain: bytes, content_type: str, *, tenant: str, feed: str, compression: str = "zstd"
) -> Landed:
    """Seal one file with the tenant's key and land it.

    The object's key says the tenant, the feed and the day, never the file's own name: names of files hold names of
    people.
    """
    bucket = platform.settings.landing_bucket
    # Stores keep times to the second: the name puts objects of one second in the order of sending.
    now = datetime.now(UTC)
    key = f"{tenant}/{feed}/{beginning(SENT, now)}{now:%f}-{uuid.uuid4().hex[:12]}.spv"
    sealed = seal(
        plain,
        kek=platform.tenant_keys(tenant).kek,
        tenant=tenant,
        bucket=bucket,
        key=key,
        content_type=content_type,
        compression=compression,
    )
    version = platform.s3.put_object(Bucket=bucket, Key=key, Body=sealed)["VersionId"]
    return Landed(name, f"{bucket}/{key}@{version}", len(plain), len(sealed))
