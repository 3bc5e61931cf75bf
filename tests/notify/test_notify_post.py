"""One message is posted within limits, whatever the receiver does."""

import socket
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus

import pytest

from spv_platform.errors import UsageError
from spv_platform.notify.post import Outcome, check_url, post
from spv_platform.notify.receiver import Receiver, receiving
from spv_platform.notify.signing import new_secret

CANARY = "zqxcanaryqxz"
#: Far more than any test needs, unless the test is about the limit.
PATIENT = {"connect_s": 20.0, "total_s": 20.0}


class Answering(Receiver):
    """A receiver that takes what it gets and answers what it was told to."""

    def __init__(self, status: int, headers: dict[str, str] | None = None) -> None:
        super().__init__()
        self.status, self.headers = status, headers or {}

    def answer(self, practice: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str]]:
        super().answer(practice, headers, body)
        return self.status, self.headers


def answered(status: int, headers: dict[str, str] | None = None) -> Outcome:
    with receiving(Answering(status, headers)) as receiver:
        return post(receiver.url("x"), new_secret(), "e-1", b"{}", **PATIENT)


@pytest.fixture
def raw() -> Iterator[Callable[[bytes], str]]:
    """Makes a server that answers with bytes and then says no more; its URL."""
    opened: list[socket.socket] = []

    def make(answer: bytes) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        opened.append(server)

        def serve() -> None:
            connection, _ = server.accept()
            opened.append(connection)
            connection.recv(65536)
            connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        return f"http://127.0.0.1:{server.getsockname()[1]}/"

    yield make
    for item in opened:
        item.close()


@pytest.mark.parametrize("status", [200, 202, 204])
def test_any_2xx_is_a_delivery(status):
    assert answered(status) == Outcome(str(status), delivered=True)


@pytest.mark.parametrize("status", [400, 401, 404, 500, 503])
def test_any_other_answer_is_none(status):
    assert answered(status) == Outcome(str(status))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status):
    with receiving(Answering(200)) as elsewhere:
        outcome = answered(status, {"location": elsewhere.url("x")})
        assert elsewhere.inbox("x").refused == 0
    assert outcome == Outcome(f"redirected {status}")


def test_a_receiver_that_is_gone_says_so():
    assert answered(HTTPStatus.GONE) == Outcome("410", gone=True)


@pytest.mark.parametrize(
    ("asked", "wait_s"), [("120", 120), ("99999999", 86_400), ("-1", 0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0), ("²", 0)]
)
def test_the_time_that_a_receiver_asks_for_is_heeded_within_bounds(asked, wait_s, raw):
    url = raw(f"HTTP/1.1 503 x\r\nretry-after: {asked}\r\n\r\n".encode("latin-1"))
    assert post(url, new_secret(), "e-1", b"{}", **PATIENT) == Outcome("503", retry_after_s=wait_s)


def test_a_receiver_that_is_down_is_not_reachable():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert post(f"http://127.0.0.1:{port}/", new_secret(), "e-1", b"{}", **PATIENT) == Outcome("not_reachable")


def test_a_receiver_that_says_nothing_is_cut_off(raw):
    outcome = post(raw(b""), new_secret(), "e-1", b"{}", connect_s=20, total_s=0.2)
    assert outcome == Outcome("timeout")


def test_a_receiver_that_begins_an_answer_and_ends_it_never_is_cut_off(raw):
    outcome = post(raw(b"HTTP/1.1 200 OK\r\nx: y\r\n"), new_secret(), "e-1", b"{}", connect_s=20, total_s=0.2)
    assert outcome == Outcome("timeout")


def test_what_is_no_http_is_told_without_its_words(raw):
    assert post(raw(f"{CANARY}\r\n\r\n".encode()), new_secret(), "e-1", b"{}", **PATIENT) == Outcome("not_http")


def test_a_receiver_without_a_certificate_gets_nothing(raw):
    url = raw(b"").replace("http:", "https:")
    outcome = post(url, new_secret(), "e-1", b"{}", connect_s=0.5, total_s=20)
    assert outcome.status in ("tls_failed", "timeout", "not_reachable")
    assert not outcome.delivered


@pytest.mark.parametrize(
    "url",
    [
        "https://x.example.org",
        "https://x.example.org:8443/a?b=c",
        "http://localhost:1/",
        "http://127.0.0.9/",
        "http://[::1]:9/",
    ],
)
def test_https_is_usable_and_http_on_this_host(url):
    check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://x.example.org/",
        "http://10.0.0.1/",
        "http://localhost.example.org/",
        "http://127.0.0.1@x.example.org/",
        "ftp://x.example.org/",
        "file:///etc/passwd",
        f"https://user:{CANARY}@x.example.org/",
        "https://x.example.org/#part",
        "https://",
        "https://x.example.org:0/",
        "https://x.example.org:port/",
        "https://x.example.org/a b",
        "https://x.example.org/\r\nhost: y",
        "https://[::1/",
        "",
    ],
)
def test_other_addresses_are_refused_without_being_repeated(url):
    with pytest.raises(UsageError, match="URL of a webhook") as caught:
        check_url(url)
    assert CANARY not in str(caught.value)
