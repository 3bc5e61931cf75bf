"""Object-created messages of the landing bucket, from a queue that speaks the SQS API.

Taken as they come: more than once, in any order, or not at all. A message is deleted when what it names is in the
ledger; one that cannot be read stays, for the queue's own redrive to its dead-letter queue. What got lost is for the
sweep to find.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

import msgspec

from spv_platform.errors import TransientError
from spv_platform.ledger import objects
from spv_platform.ledger.objects import FoundObject
from spv_platform.pipeline.platform import Platform

log = logging.getLogger(__name__)

#: The queue holds its answer back so long while it is empty.
WAIT_S = 1
#: No message is asked for when taking them has gone on so long.
TAKE_S = 2.0
_MOST_MESSAGES = 10  # that SQS gives or deletes at once


class MalformedEventError(ValueError):
    """The message is no event of an object store, or lacks what the ledger needs. Says nothing of what is in it."""


@dataclass
class Received:
    """What came: object versions that were new, and messages that could not be read."""

    new: int = 0
    malformed: int = 0


def receive(platform: Platform) -> Received:
    """Take messages until there is none or the time for it is over, and enter what they name into the ledger.

    Raises:
        TransientError: the queue or the ledger did not answer; what was not deleted comes again.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return _receive(platform)
    except (BotoCoreError, ClientError):
        raise TransientError("store_unavailable", "landing queue") from None


def _receive(platform: Platform) -> Received:
    queue, sqs, received = platform.settings.landing_queue_url, platform.sqs, Received()
    until, wait_s = time.monotonic() + TAKE_S, WAIT_S
    while time.monotonic() < until:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=_MOST_MESSAGES, WaitTimeSeconds=wait_s)
        messages = answer.get("Messages", [])
        if not messages:
            break
        wait_s = 0
        found, readable = _read(messages, platform.settings.landing_bucket)
        received.malformed += len(messages) - len(readable)
        if found:
            with platform.db.transaction() as cur:
                received.new += objects.discover(cur, found)
        if readable:
            entries = [
                {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                for number, message in enumerate(readable)
            ]
            sqs.delete_message_batch(QueueUrl=queue, Entries=entries)
    if received.malformed:
        log.warning("malformed_event: %d messages are left to the queue's redrive", received.malformed)
    return received


def _read(messages: list[dict[str, Any]], bucket: str) -> tuple[list[FoundObject], list[dict[str, Any]]]:
    """What the messages name, and those of them that could be read."""
    found: list[FoundObject] = []
    readable = []
    for message in messages:
        try:
            found += parse(message["Body"], bucket)
        except MalformedEventError:
            continue
        readable.append(message)
    return found, readable


def parse(body: str, bucket: str) -> list[FoundObject]:
    """The object versions that a message says were created in the bucket; of other events none.

    Understands S3's own notification, the same inside an SNS envelope, and EventBridge's event.

    Raises:
        MalformedEventError: it is none of these.
    """
    try:
        event = msgspec.json.decode(body)
        if event.get("Type") == "Notification":
            event = msgspec.json.decode(event["Message"])
        if "detail-type" in event:
            found = [_of_event_bridge(event)] if event["detail-type"] == "Object Created" else []
        elif event.get("Event") == "s3:TestEvent":
            return []
        else:
            created = [each for each in event["Records"] if "ObjectCreated:" in each["eventName"]]
            found = [_of_record(each) for each in created]
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError, ValueError):
        raise MalformedEventError from None
    return [each for each in found if each.bucket == bucket]


def _of_record(record: Mapping[str, Any]) -> FoundObject:
    named = record["s3"]["object"]
    return FoundObject(
        bucket=_text(record["s3"]["bucket"]["name"]),
        key=_text(unquote_plus(named["key"], errors="strict")),
        version=_text(named["versionId"]),
        size_bytes=_size(named["size"]),
        etag=_text(named["eTag"]),
        landed_at=_time(record["eventTime"]),
    )


def _of_event_bridge(event: Mapping[str, Any]) -> FoundObject:
    named = event["detail"]["object"]
    return FoundObject(
        bucket=_text(event["detail"]["bucket"]["name"]),
        key=_text(named["key"]),  # as it is: only S3's own notifications are URL-encoded
        version=_text(named["version-id"]),
        size_bytes=_size(named["size"]),
        etag=_text(named["etag"]),
        landed_at=_time(event["time"]),
    )


def _text(value: Any) -> str:
    # As long as S3 lets a key be: the ledger's index takes no longer ones.
    if not isinstance(value, str) or not 0 < len(value.encode()) <= 1024 or "\0" in value:
        raise ValueError
    return value


def _size(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError
    return value


def _time(value: Any) -> datetime:
    at = datetime.fromisoformat(_text(value))
    if at.tzinfo is None:
        raise ValueError
    return at
