"""What a practice is told: a thin message with the event's id and a link, and nothing about the person.

Not even the platform's own id of the person: it is the same in all messages about the person, so whoever keeps or
overhears messages could tell how many trials concern one and the same. What the id stands for is looked up behind a
login, where the access is audited (`spv notifications show`).
"""

import json
import uuid
from datetime import datetime

from spv_platform.envelope.keys import mac

POTENTIALLY_ELIGIBLE = "potentially_eligible"
DIGEST = "digest"
TEST = "test"

#: Kind in the outbox -> event type by Standard Webhooks: full-stop delimited.
_TYPES = {
    POTENTIALLY_ELIGIBLE: "patient.potentially_eligible",
    DIGEST: "patient.potentially_eligible.digest",
    TEST: "practice.test",
}


def news_id(index_key: bytes, person_id: str, trial: str) -> str:
    """The name of the news that a person is approved for a trial: the same for ever, and opaque without the key.

    Args:
        index_key: `TenantKeys.index`.
    """
    # Shaped as version 5, the only version for hashed names that Python's uuid can make.
    return str(uuid.UUID(bytes=mac(index_key, "notification", person_id, trial), version=5))


def body(kind: str, event_id: str, at: datetime, link_base: str, *, count: int | None = None) -> bytes:
    """The body of a message, the same at every attempt.

    Args:
        kind: one of the constants of this module.
        at: when the event occurred.
        link_base: what the link begins with; the event's id follows.
        count: how many events a digest stands for.
    """
    data = {"id": event_id, "link": f"{link_base}{event_id}"} | ({} if count is None else {"count": count})
    document = {"type": _TYPES[kind], "timestamp": at.isoformat(), "data": data}
    return json.dumps(document, separators=(",", ":")).encode()
