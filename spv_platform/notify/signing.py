"""Signatures of webhooks by the Standard Webhooks specification 1.0.0, symmetric scheme (`v1`).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md: HMAC-SHA256 over
`id.timestamp.body`, in base64; secrets are `whsec_` and base64 of 24 to 64 random bytes.
"""

import base64
import binascii
import hmac
import secrets
import time
from collections.abc import Mapping

from spv_platform.errors import UsageError

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
#: How far a receiver lets the sender's clock be away; a message that is older may be a replay.
TOLERANCE_S = 300

_PREFIX = "whsec_"
_SECRET_BYTES = 32


def new_secret() -> str:
    """A fresh secret, as it is handed to the receiver."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def signed_headers(secret: str, message_id: str, body: bytes, at_s: int | None = None) -> dict[str, str]:
    """The three headers of one attempt.

    Args:
        message_id: the same at every attempt; without a full stop.
        at_s: the time of this attempt, Unix seconds; now if not given.
    """
    timestamp = str(int(time.time()) if at_s is None else at_s)
    return {ID: message_id, TIMESTAMP: timestamp, SIGNATURE: _signature(secret, message_id, timestamp, body)}


def is_authentic(secret: str, headers: Mapping[str, str], body: bytes, now_s: float | None = None) -> bool:
    """Whether a message was signed with the secret, a short time ago.

    Args:
        headers: of the request; names are looked up as they are written here.
        now_s: the receiver's time, Unix seconds.
    """
    message_id, timestamp, given = (headers.get(name, "") for name in (ID, TIMESTAMP, SIGNATURE))
    if not message_id or not (timestamp.isascii() and timestamp.isdigit()):
        return False
    if abs((time.time() if now_s is None else now_s) - int(timestamp)) > TOLERANCE_S:
        return False
    expected = _signature(secret, message_id, timestamp, body).encode()
    # A list, so that a sender can change its secret without a gap.
    return any(hmac.compare_digest(expected, item.encode()) for item in given.split(" "))


def _signature(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    content = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(_key(secret), content, "sha256")).decode()


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise UsageError("the webhook secret is not whsec_ and base64: copy it again") from None
