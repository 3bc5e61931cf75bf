"""Opening the master copy of an object: read from the landing bucket, opened in memory under its feed's contract."""

from typing import TYPE_CHECKING

from spv_platform.envelope.formats import open_object
from spv_platform.errors import PermanentError
from spv_platform.ledger.contracts import FeedContract
from spv_platform.ledger.objects import LedgerObject
from spv_platform.pipeline.platform import Platform

if TYPE_CHECKING:
    from spv_platform.envelope.container import Opened


def read_sealed(platform: Platform, bucket: str, key: str, version: str) -> bytes:
    """The bytes of one object version.

    Raises:
        PermanentError: `object_gone`.
        TransientError: the store did not answer.
    """
    from botocore.exceptions import ClientError

    from spv_platform.lake.store import store_errors

    with store_errors("landing"):
        try:
            return platform.s3.get_object(Bucket=bucket, Key=key, VersionId=version)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchVersion", "404", "MethodNotAllowed"):
                raise PermanentError("object_gone") from None
            raise


def open_item(platform: Platform, item: LedgerObject, contract: FeedContract) -> "Opened":
    """Read and open one object of the ledger, in memory.

    Raises:
        PermanentError: the object is gone or cannot be opened, or is over a limit; the reason says which.
    """
    limits = contract.limits(platform.settings)
    return open_object(
        read_sealed(platform, item.bucket, item.key, item.version),
        keys=platform.tenant_keys(item.tenant),
        tenant=item.tenant,
        bucket=item.bucket,
        key=item.key,
        feed_format=contract.format,
        max_bytes=limits.max_object_bytes,
        max_ratio=limits.max_ratio,
    )
