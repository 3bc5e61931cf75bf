import pytest

from spv_platform.envelope.container import seal
from spv_platform.envelope.formats import FORMATS, detect, open_object
from spv_platform.envelope.keys import TenantKeys
from spv_platform.errors import PermanentError

KEYS = TenantKeys(
    kek=b"k" * 32, lake=b"l" * 32, state=b"s" * 32, index=b"i" * 32, history=b"h" * 32, analytics=b"a" * 32
)
PLACE = {"tenant": "north", "bucket": "landing", "key": "north/emr/a"}
SEALED = seal(b"payload", kek=KEYS.kek, content_type="text/plain", **PLACE)


def opened(data, feed_format="spv"):
    return open_object(data, keys=KEYS, feed_format=feed_format, max_bytes=100, max_ratio=10, **PLACE)


def test_the_container_is_detected_by_its_first_bytes():
    assert detect(SEALED[:16]) == "spv"
    assert detect(SEALED) in FORMATS
    for prefix in (b"", b"PK\x03\x04", b"\x1f\x8b", b"{", b"XSPV1", b"SPV2"):
        assert detect(prefix) == ""


def test_an_object_in_the_feeds_format_opens():
    assert opened(SEALED).plain == b"payload"


@pytest.mark.parametrize(
    ("data", "feed_format", "reason"),
    [
        (b"", "spv", "empty_object"),
        (b"{}", "spv", "not_sealed"),
        (b"{}", "", "not_sealed"),
        (SEALED, "openpgp", "not_sealed"),
        (SEALED[:3], "spv", "truncated"),
        (SEALED[:-1], "spv", "truncated"),
    ],
)
def test_anything_else_is_refused_with_its_reason(data, feed_format, reason):
    with pytest.raises(PermanentError) as caught:
        opened(data, feed_format)
    assert caught.value.reason == reason


def test_the_limits_of_the_feed_reach_the_format():
    big = seal(bytes(101), kek=KEYS.kek, content_type="text/plain", **PLACE)
    with pytest.raises(PermanentError) as caught:
        opened(big)
    assert caught.value.reason == "too_large"
