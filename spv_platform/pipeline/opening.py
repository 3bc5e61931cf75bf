"""Opening the master copy of an object: read from the landing bucket, opened in memory under its feed's contract."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from spv_platform import faults
from spv_platform.envelope.formats import open_object
from spv_platform.errors import PermanentError
from spv_platform.ledger.contracts import FeedContract
from spv_platform.ledger.objects import LedgerObject
from spv_platform.pipeline.platform import Platform

if TYPE_CHECKING:
    from spv_platform.envelope.container import Opened


T = TypeVar("T")

#: Sealed bytes of an object that may be opened before its turn, so that not two large ones are held.
MOST_AHEAD = 4 * 2**20
#: The client itself repeats a request, but not one whose answer broke off.
_TRIES = 3


def read_sealed(platform: Platform, bucket: str, key: str, version: str) -> bytes:
    """The bytes of one object version, all of them.

    Raises:
        PermanentError: `object_gone`.
        TransientError: the store did not answer, or its answer broke off several times.
    """
    from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError

    from spv_platform.lake.store import store_errors

    with store_errors("landing"):
        for left in reversed(range(_TRIES)):
            try:
                return platform.s3.get_object(Bucket=bucket, Key=key, VersionId=version)["Body"].read()
            except ClientError as error:
                if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchVersion", "404", "MethodNotAllowed"):
                    raise PermanentError("object_gone") from None
                raise
            except (HTTPClientError, IncompleteReadError):
                if not left:
                    raise
    raise AssertionError("unreachable")


def open_item(platform: Platform, item: LedgerObject, contract: FeedContract) -> "Opened":
    """Read and open one object of the ledger, in memory.

    Raises:
        PermanentError: the object is gone or cannot be opened, or is over a limit; the reason says which.
    """
    limits = contract.limits(platform.settings)
    sealed = read_sealed(platform, item.bucket, item.key, item.version)
    faults.point("downloaded", item.seq)
    opened = open_object(
        sealed,
        keys=platform.tenant_keys(item.tenant),
        tenant=item.tenant,
        bucket=item.bucket,
        key=item.key,
        feed_format=contract.format,
        max_bytes=limits.max_object_bytes,
        max_ratio=limits.max_ratio,
    )
    faults.point("opened", item.seq)
    return opened


def opened_ahead(
    open_: Callable[[LedgerObject], T], items: Sequence[LedgerObject]
) -> Iterator[tuple[LedgerObject, Callable[[], T]]]:
    """Each object with what gives it opened: while one is worked on, the next is opened already if it is small.

    Args:
        open_: opens one; what it raises is raised when that one is asked for. It is called in another thread.
        items: the objects, in order.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        ahead = None
        for item, following in zip(items, [*items[1:], None], strict=False):  # a re-match has none
            opened = ahead.result if ahead else partial(open_, item)
            small = following is not None and following.size_bytes <= MOST_AHEAD
            ahead = pool.submit(open_, following) if following and small else None
            yield item, opened
