"""A receiver of notifications, for demonstrations, drills and tests: what a practice would run, in small.

It verifies signatures, takes each event once, however often it is sent, and can be asked what it got. Listens on the
loopback address only.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from spv_platform.notify.signing import ID, is_authentic

_BODY_MAX_BYTES = 64 * 1024
_READ_WITHIN_S = 10.0


@dataclass
class Inbox:
    """What one practice got: the messages by event id, and how many requests there were for each."""

    secret: str | None = None
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: dict[str, int] = field(default_factory=dict)
    refused: int = 0


class Receiver:
    """A server with an inbox for each practice, under `url(practice)`.

    The secret is known only after the practice was added with its URL, so it is told later, with `trust`; until then
    every message is refused.
    """

    def __init__(self, port: int = 0) -> None:
        self._inboxes: dict[str, Inbox] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def start(self) -> None:
        """Listen, in a thread of this process."""
        self._thread.start()

    def stop(self) -> None:
        """Listen no more; what it got can still be read."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, practice: str) -> str:
        """Where the messages to a practice go."""
        return f"http://127.0.0.1:{self._server.server_port}/{practice}"

    def trust(self, practice: str, secret: str) -> None:
        """Take messages to a practice that are signed with this secret."""
        with self._lock:
            self._inboxes.setdefault(practice, Inbox()).secret = secret

    def inbox(self, practice: str) -> Inbox:
        """What a practice got so far."""
        with self._lock:
            return self._inboxes.setdefault(practice, Inbox())

    def notified(self) -> int:
        """Distinct events that were told, to all practices; a digest counts for each that it tells."""
        with self._lock:
            messages = [message for inbox in self._inboxes.values() for message in inbox.messages.values()]
        data = [message["data"] for message in messages if message["type"].startswith("patient.")]
        return sum(item.get("count", 1) for item in data)

    def answer(self, practice: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str]]:
        """Take or refuse one request.

        Returns:
            The status and the headers of the response.
        """
        inbox = self.inbox(practice)
        with self._lock:
            if inbox.secret is None or not is_authentic(inbox.secret, headers, body):
                inbox.refused += 1
                return HTTPStatus.UNAUTHORIZED, {}
            event_id = headers[ID]
            inbox.requests[event_id] = inbox.requests.get(event_id, 0) + 1
            inbox.messages.setdefault(event_id, json.loads(body))
        return HTTPStatus.NO_CONTENT, {}


@contextmanager
def receiving(receiver: Receiver) -> Iterator[Receiver]:
    """Let a receiver listen as long as the block lasts."""
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _READ_WITHIN_S

        def do_POST(self) -> None:
            length = self.headers.get("content-length", "")
            if not length.isdigit() or int(length) > _BODY_MAX_BYTES:
                self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                return
            body = self.rfile.read(int(length))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, further = receiver.answer(self.path.strip("/"), headers, body)
            self.send_response(status)
            for name, value in further.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            return

    return Handler
