"""Clients of the object store and of its queue of events.

What belongs here: limits and what keeps a client from waiting for ever. What does not: what is asked of them.
"""

from typing import Any, Literal

from spv_platform.settings import Settings


def client(
    settings: Settings, service: Literal["s3", "sqs"], endpoint: str, *, read_timeout_s: int = 30, attempts: int = 4
) -> Any:
    """A client with the installation's credentials.

    Args:
        settings: the installation.
        service: what it speaks.
        endpoint: the server's URL; AWS's own where it is empty.
        read_timeout_s: seconds until a silent server is given up.
        attempts: how often a request is sent at the most.
    """
    import boto3
    from botocore.config import Config
    from botocore.handlers import add_expect_header

    retries: Any = {"mode": "standard", "total_max_attempts": attempts}
    made = boto3.client(
        service,
        endpoint_url=endpoint or None,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key_id,
        aws_secret_access_key=settings.s3_secret_access_key,
        config=Config(retries=retries, connect_timeout=5, read_timeout=read_timeout_s),
    )
    # Where a connection ends within the answer "100 Continue", botocore reads on for ever. Bodies are in memory: to
    # ask before sending one saves nothing.
    made.meta.events.unregister("before-call.s3", add_expect_header)
    made.meta.events.register("before-parse.s3", _require_whole_head)
    return made


def _require_whole_head(operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
    """Refuse an answer whose head ended early, which botocore takes for one with nothing in it.

    An answer that has something in it says how long that is (RFC 9112, section 6.3); one about a bucket has not.

    Raises:
        HTTPClientError: it does not say so.
    """
    from botocore.exceptions import HTTPClientError

    if response_dict["status_code"] != 200 or operation_model.name == "HeadBucket":
        return
    if not {"content-length", "transfer-encoding"} & {name.lower() for name in response_dict["headers"]}:
        raise HTTPClientError(error="the connection ended within the head of an answer")
