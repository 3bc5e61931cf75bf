"""Messages are signed by the Standard Webhooks specification, and only such are taken."""

import base64

import pytest

from spv_platform.errors import UsageError
from spv_platform.notify.signing import ID, SIGNATURE, TIMESTAMP, TOLERANCE_S, is_authentic, new_secret, signed_headers

#: The example of the reference libraries: secret, id, time, body and what they must come to.
KNOWN_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # pragma: allowlist secret
KNOWN_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
KNOWN_AT_S = 1614265330
KNOWN_BODY = b'{"test": 2432232314}'
KNOWN_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_known_message_gets_the_known_signature():
    headers = signed_headers(KNOWN_SECRET, KNOWN_ID, KNOWN_BODY, KNOWN_AT_S)
    assert headers == {ID: KNOWN_ID, TIMESTAMP: str(KNOWN_AT_S), SIGNATURE: KNOWN_SIGNATURE}


def test_secrets_are_fresh_and_long_enough():
    one, other = new_secret(), new_secret()
    assert one != other
    assert 24 <= len(base64.b64decode(one.removeprefix("whsec_"))) <= 64


def test_a_signed_message_is_authentic_and_one_signature_of_several_is_enough():
    secret = new_secret()
    headers = signed_headers(secret, "e-1", b"{}", 1000)
    assert is_authentic(secret, headers, b"{}", 1000)
    among = headers | {SIGNATURE: f"v1a,other v1,AAAA {headers[SIGNATURE]}"}
    assert is_authentic(secret, among, b"{}", 1000)


@pytest.mark.parametrize(
    ("changed", "body", "now_s"),
    [
        ({ID: "e-2"}, b"{}", 1000),
        ({TIMESTAMP: "1001"}, b"{}", 1000),
        ({SIGNATURE: "v1,AAAA"}, b"{}", 1000),
        ({SIGNATURE: "v1,\u00fc"}, b"{}", 1000),
        ({SIGNATURE: ""}, b"{}", 1000),
        ({ID: ""}, b"{}", 1000),
        ({TIMESTAMP: "soon"}, b"{}", 1000),
        ({TIMESTAMP: "\u00b2"}, b"{}", 1000),
        ({}, b"{ }", 1000),
        ({}, b"{}", 1001 + TOLERANCE_S),
        ({}, b"{}", 999 - TOLERANCE_S),
    ],
)
def test_whatever_is_changed_or_repeated_late_is_refused(changed, body, now_s):
    secret = new_secret()
    headers = signed_headers(secret, "e-1", b"{}", 1000) | changed
    assert not is_authentic(secret, headers, body, now_s)


def test_another_secret_signs_nothing_for_this_receiver():
    assert not is_authentic(new_secret(), signed_headers(new_secret(), "e-1", b"{}", 1000), b"{}", 1000)


def test_a_secret_that_was_copied_badly_is_refused_without_showing_it():
    with pytest.raises(UsageError, match="copy it again") as caught:
        signed_headers("whsec_not base64", "e-1", b"{}")
    assert "not base64" not in str(caught.value)
