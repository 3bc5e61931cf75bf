"""Posting one signed message to a receiver, within limits, following no redirect.

An outcome is a short code: neither what the receiver wrote nor the text of an error goes anywhere.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from spv_platform import __version__
from spv_platform.errors import UsageError
from spv_platform.notify.signing import ID, signed_headers

_RETRY_AFTER_MOST_S = 86_400


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt.

    Attributes:
        status: the HTTP status, or `timeout`, `not_reachable`, `tls_failed`, `not_http`, `redirected 302`.
        delivered: the receiver took it, with any 2xx.
        gone: the receiver wants no more messages, 410.
        retry_after_s: what the receiver asked for, 0 if it did not.
    """

    status: str
    delivered: bool = False
    gone: bool = False
    retry_after_s: int = 0


def check_url(url: str) -> None:
    """Refuse an address that messages must not go to.

    Raises:
        UsageError: it is neither https nor http on this host, or has a user, a fragment or no host.
    """
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0 and url.isascii() and url.isprintable() and " " not in url
    except ValueError:
        usable = False
    if not usable or parts.username is not None or parts.fragment:
        raise UsageError("the URL of a webhook is https://HOST[:PORT]/PATH, without user and fragment: correct it")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        raise UsageError("the URL of a webhook must be https; http is for receivers on this host: correct it")


def post(url: str, secret: str, message_id: str, body: bytes, *, connect_s: float, total_s: float) -> Outcome:
    """Sign a message and post it once.

    Args:
        url: as `check_url` lets it pass.
        secret: signs the message; empty: it goes unsigned.
        connect_s: how long the receiver may take to accept the connection.
        total_s: how long all of it may take; a receiver that answers slowly, byte by byte, is cut off then.
    """
    headers = {
        **(signed_headers(secret, message_id, body) if secret else {ID: message_id}),
        "content-type": "application/json",
        "user-agent": f"spv_platform/{__version__}",
    }
    parts = urlsplit(url)
    connection = _connection(parts, connect_s)
    too_late = threading.Event()
    deadline = threading.Timer(total_s, lambda: _cut_off(connection, too_late))
    deadline.daemon = True
    deadline.start()
    try:
        connection.connect()
        connection.sock.settimeout(total_s)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, headers)
        response = connection.getresponse()
        # A response that ends early looks like one without further headers.
        return Outcome("timeout") if too_late.is_set() else _outcome(response)
    except TimeoutError:
        return Outcome("timeout")
    except ssl.SSLError:
        return Outcome("timeout" if too_late.is_set() else "tls_failed")
    except OSError:
        return Outcome("timeout" if too_late.is_set() else "not_reachable")
    except (http.client.HTTPException, ValueError):
        return Outcome("timeout" if too_late.is_set() else "not_http")
    finally:
        deadline.cancel()
        connection.close()


def _connection(parts: SplitResult, connect_s: float) -> http.client.HTTPConnection:
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=connect_s, context=context)
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=connect_s)


def _cut_off(connection: http.client.HTTPConnection, too_late: threading.Event) -> None:
    too_late.set()
    opened = connection.sock
    if opened is None:
        return
    try:
        opened.shutdown(socket.SHUT_RDWR)
    except OSError:  # it was closed in the same moment
        return


def _outcome(response: http.client.HTTPResponse) -> Outcome:
    status = response.status
    if 200 <= status < 300:
        return Outcome(str(status), delivered=True)
    if 300 <= status < 400:
        return Outcome(f"redirected {status}")
    asked = response.headers.get("retry-after", "")
    wait_s = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 9 else 0
    return Outcome(str(status), gone=status == http.client.GONE, retry_after_s=min(wait_s, _RETRY_AFTER_MOST_S))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
