"""The receiver takes what is signed for it, each event once."""

import http.client
from urllib.parse import urlsplit

import pytest

from spv_platform.notify.message import body
from spv_platform.notify.post import Outcome, post
from spv_platform.notify.receiver import Receiver, receiving
from spv_platform.notify.signing import new_secret

LIMITS = {"connect_s": 20.0, "total_s": 20.0}


def news(event_id: str, kind: str = "potentially_eligible", count: int | None = None) -> bytes:
    from datetime import UTC, datetime

    return body(kind, event_id, datetime(2026, 6, 1, tzinfo=UTC), "urn:uuid:", count=count)


def test_an_event_that_comes_twice_is_one():
    secret = new_secret()
    with receiving(Receiver()) as receiver:
        receiver.trust("lakeside", secret)
        for event_id in ("e-1", "e-1", "e-2"):
            assert post(receiver.url("lakeside"), secret, event_id, news(event_id), **LIMITS).delivered
    inbox = receiver.inbox("lakeside")
    assert inbox.requests == {"e-1": 2, "e-2": 1}
    assert inbox.messages["e-1"]["data"] == {"id": "e-1", "link": "urn:uuid:e-1"}
    assert receiver.notified() == 2


def test_a_digest_counts_for_what_it_tells_and_a_test_for_nothing():
    secret = new_secret()
    with receiving(Receiver()) as receiver:
        receiver.trust("lakeside", secret)
        post(receiver.url("lakeside"), secret, "d-1", news("d-1", "digest", 5), **LIMITS)
        post(receiver.url("lakeside"), secret, "t-1", news("t-1", "test"), **LIMITS)
    assert receiver.notified() == 5


@pytest.mark.parametrize("trusted", [True, False])
def test_what_is_signed_with_another_secret_is_refused(trusted):
    with receiving(Receiver()) as receiver:
        if trusted:
            receiver.trust("lakeside", new_secret())
        outcome = post(receiver.url("lakeside"), new_secret(), "e-1", news("e-1"), **LIMITS)
    assert outcome == Outcome("401")
    inbox = receiver.inbox("lakeside")
    assert (inbox.messages, inbox.refused) == ({}, 1)


@pytest.mark.parametrize("length", ["", "much", str(2**30)])
def test_a_request_without_a_usable_length_is_not_read(length):
    with receiving(Receiver()) as receiver:
        address = urlsplit(receiver.url("lakeside"))
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
        connection.putrequest("POST", "/lakeside")
        if length:
            connection.putheader("content-length", length)
        connection.endheaders()
        assert connection.getresponse().status == 413
        connection.close()
