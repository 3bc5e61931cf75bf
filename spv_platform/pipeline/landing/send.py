"""Sealing files as a sender would, and landing them."""

import gzip
import json
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from spv_platform.envelope.container import seal
from spv_platform.errors import UsageError
from spv_platform.ledger.layouts import SENT, beginning
from spv_platform.pipeline.platform import Platform

BUNDLE = "application/fhir+json"
NDJSON = "application/fhir+ndjson"
#: NDJSON that is longer is landed in parts of about so many bytes.
PART_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Landed:
    """One sealed object: `object` is `bucket/key@version`, as the ledger names it."""

    file: str
    object: str
    plain_bytes: int
    sealed_bytes: int


def read_parts(file: Path, part_bytes: int = PART_BYTES) -> Iterator[tuple[bytes, str]]:
    """A file's content, decompressed if it is gzip, and its content type by name (`.ndjson`, else a bundle).

    NDJSON comes in parts of whole lines, so that exports of any size can be sent by machines of any size, and be worked
    on by several workers. The same file always has the same parts.

    Raises:
        UsageError: the file cannot be read, or is long and no NDJSON although it says so.
    """
    is_ndjson = ".ndjson" in file.suffixes or ".jsonl" in file.suffixes
    try:
        with file.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(file) if packed else file.open("rb") as content:
            if not is_ndjson:
                yield content.read(), BUNDLE
                return
            part = b"".join(content.readlines(part_bytes))
            following = b"".join(content.readlines(part_bytes))
            if following and not _is_json(part.lstrip().partition(b"\n")[0]):
                raise UsageError(f"{file}: is no NDJSON: its first line is no JSON; name it .json if it is one Bundle")
            yield part, NDJSON
            while following:
                yield following, NDJSON
                following = b"".join(content.readlines(part_bytes))
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{file}: cannot be read ({type(error).__name__}): check the path and the file") from None


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


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
