"""The door: which sealed format an object is in, and its opening by whoever knows that format.

What belongs here: detection and the choice. What does not: how a format works (one module each).
"""

from spv_platform.envelope.container import MAGIC, Opened, open_sealed
from spv_platform.envelope.keys import TenantKeys
from spv_platform.errors import PermanentError

#: Formats that a feed can be in.
FORMATS = ("spv",)

#: How many bytes `detect` wants to see.
PREFIX_BYTES = 16


def detect(prefix: bytes) -> str:
    """The sealed format that begins with these bytes, one of `FORMATS`; empty when it is none of them."""
    return "spv" if prefix and MAGIC.startswith(prefix[: len(MAGIC)]) else ""


def open_object(
    sealed: bytes,
    *,
    keys: TenantKeys,
    tenant: str,
    bucket: str,
    key: str,
    feed_format: str,
    max_bytes: int,
    max_ratio: int,
) -> Opened:
    """Open a sealed object of a feed; in no other format than the feed's own.

    Args:
        sealed: the whole sealed object.
        keys: the tenant's keys.
        tenant: whose it is.
        bucket: where it was found.
        key: under which key it was found.
        feed_format: what the feed is agreed to send, one of `FORMATS`.
        max_bytes: most bytes of the payload.
        max_ratio: most payload bytes per sealed byte.

    Raises:
        PermanentError: see `container.open_sealed`; `not_sealed` also when the object is in another format.
    """
    if not sealed:
        raise PermanentError("empty_object")
    if detect(sealed[:PREFIX_BYTES]) != feed_format:
        raise PermanentError("not_sealed")
    return open_sealed(
        sealed, kek=keys.kek, tenant=tenant, bucket=bucket, key=key, max_bytes=max_bytes, max_ratio=max_ratio
    )
