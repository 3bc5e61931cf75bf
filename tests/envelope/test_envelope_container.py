import base64
import gzip
import hashlib
import hmac
import os

import pytest
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from spv_platform.envelope import container
from spv_platform.envelope.container import CHUNK_BYTES, Opened, open_sealed, seal
from spv_platform.errors import PermanentError, UsageError
from spv_platform.reasons import REASONS

KEK = bytes(range(32))
PLACE = {"tenant": "north", "bucket": "landing", "key": "north/emr/a.spv"}
LIMITS = {"max_bytes": 2**24, "max_ratio": 1000}
CANARY = b"CANARY-Zyxwvut"
SMALL = seal(CANARY * 3, kek=KEK, content_type="application/fhir+json", **PLACE)
# Made by the first version of the format: objects sealed then must open for ever.
GOLDEN = (
    "U1BWMQBkAAR6c3RkAAp0ZXh0L3BsYWluAAjCxwP+Huu99QA8BQa9T0Qx/sJmvjNTkwvSfTqGmvjI5kdh/7Ed"  # pragma: allowlist secret
    "B8YgMhsS3pELhptkauEgUL8cPkWte42NcxunNJZVRaCdAAgAAAAAAAAAJ0FSX3dU2fBJ8ACPqK0IT9t1IaWn"  # pragma: allowlist secret
    "ILcPL7CwW5bqAjvh/wPOJ84U8dl4H6Y57myTXj8PDAjcqP70oaU8MQM3tnzARuYZHLK8+w3v6PHOC8Zb5D8q"  # pragma: allowlist secret
    "ovFNKA=="  # pragma: allowlist secret
)


def sealed(plain=b"payload", compression="zstd", **changed):
    return seal(plain, **{"kek": KEK, "content_type": "text/plain", **PLACE, **changed}, compression=compression)


def opened(data, **changed):
    return open_sealed(data, **{"kek": KEK, **PLACE, **LIMITS, **changed})


def reason(data, **changed):
    with pytest.raises(PermanentError) as caught:
        opened(data, **changed)
    assert caught.value.reason in REASONS
    assert CANARY.decode() not in str(caught.value)
    return caught.value.reason


def header_end(data):
    return 6 + int.from_bytes(data[4:6], "big")


@pytest.fixture
def evil(monkeypatch):
    """Seals bytes as if they were the output of a compression, which any holder of the key can do."""

    def make(payload, compression):
        with monkeypatch.context() as patch:
            patch.setattr(container, "compress", lambda plain, _: plain)
            return sealed(payload, compression)

    return make


@given(plain=st.binary(min_size=1, max_size=2000), compression=st.sampled_from(["zstd", "gzip", "none"]))
@settings(max_examples=60, deadline=None)
def test_what_was_sealed_opens_to_the_same_bytes(plain, compression):
    assert opened(sealed(plain, compression)) == Opened("text/plain", plain)


@pytest.mark.parametrize("size", [1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_payloads_around_the_chunk_size_open_whole(size):
    plain = os.urandom(size)
    for compression in ("zstd", "none"):
        assert opened(sealed(plain, compression)).plain == plain


def test_sealing_twice_gives_unrelated_objects():
    first, second = sealed(b"same", "none"), sealed(b"same", "none")
    assert first[header_end(first) :] != second[header_end(second) :]


def test_the_layout_is_the_documented_one():
    plain = os.urandom(CHUNK_BYTES + 5)
    data = sealed(plain, "none")
    end = header_end(data)
    fields, rest = [], data[6:end]
    while rest:
        size = int.from_bytes(rest[:2], "big")
        fields.append(rest[2 : 2 + size])
        rest = rest[2 + size :]
    place = b"spv place 1" + b"".join(len(p).to_bytes(2, "big") + p.encode() for p in PLACE.values())
    data_key = AESGCM(KEK).decrypt(fields[3][:12], fields[3][12:], place)
    binding = hashlib.sha256(place + data[:end]).digest()
    extracted = hmac.digest(bytes(32), data_key, "sha256")
    content_key = hmac.digest(extracted, b"spv container 1" + binding + b"\x01", "sha256")
    commitment = hmac.digest(extracted, content_key + b"spv container 1" + binding + b"\x02", "sha256")
    body = data[end + 32 :]
    first = AESGCM(content_key).decrypt(bytes(12), body[: CHUNK_BYTES + 16], binding)
    last = AESGCM(content_key).decrypt(bytes(10) + b"\x01\x01", body[CHUNK_BYTES + 16 :], binding)
    assert fields[:2] == [b"none", b"text/plain"]
    assert int.from_bytes(fields[4], "big") == len(plain)
    assert data[end : end + 32] == commitment
    assert first + last == plain


def test_an_object_of_the_first_version_still_opens():
    assert opened(base64.b64decode(GOLDEN)).plain == b"sealed once, readable for ever"


@pytest.mark.parametrize("changed", [{"kek": bytes(32)}, {"tenant": "south"}, {"bucket": "b"}, {"key": "north/emr/b"}])
def test_another_key_or_place_does_not_open_it(changed):
    assert reason(SMALL, **changed) == "wrong_key"


def test_parts_of_the_place_do_not_run_together():
    data = sealed(tenant="ab", bucket="c")
    assert reason(data, tenant="a", bucket="bc") == "wrong_key"


def test_a_cut_at_any_byte_is_refused_as_truncated():
    reasons = {reason(SMALL[:size]) for size in range(1, len(SMALL))}
    assert reasons == {"truncated"}


def test_a_flipped_bit_anywhere_is_refused():
    for at in range(len(SMALL)):
        flipped = bytearray(SMALL)
        flipped[at] ^= 1 << (at % 8)
        assert reason(bytes(flipped)) in {"tampered", "wrong_key", "not_sealed", "truncated"}


def test_a_flipped_bit_after_the_wrapped_key_is_refused_as_tampered():
    end = header_end(SMALL)
    for at in (end - 1, end, end + 31, end + 32, len(SMALL) - 1):
        flipped = bytearray(SMALL)
        flipped[at] ^= 1
        assert reason(bytes(flipped)) == "tampered"


def test_a_changed_content_type_is_refused():
    data = SMALL.replace(b"application/fhir+json", b"application/fhir+xml!")
    assert reason(data) == "tampered"


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_any_damage_ends_in_a_reason_and_never_in_content(data):
    damaged = bytearray(SMALL)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(SMALL) - 1))
        damaged[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))
    if bytes(damaged) != SMALL:
        assert reason(bytes(damaged)) in REASONS


@given(garbage=st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_garbage_behind_the_magic_ends_in_a_reason(garbage):
    assert reason(b"SPV1" + garbage) in {"truncated", "tampered", "wrong_key"}


def test_chunks_cannot_be_moved_left_out_repeated_or_added():
    data = sealed(os.urandom(3 * CHUNK_BYTES), "none")
    start, step = header_end(data) + 32, CHUNK_BYTES + 16
    head, chunks = data[:start], [data[start + n * step : start + (n + 1) * step] for n in range(3)]
    assert opened(head + b"".join(chunks))
    assert reason(head + chunks[1] + chunks[0] + chunks[2]) == "tampered"
    assert reason(head + chunks[0] + chunks[0] + chunks[2]) == "tampered"
    assert reason(head + chunks[0] + chunks[1]) == "truncated"
    assert reason(head + chunks[0] + chunks[2]) == "truncated"
    assert reason(head + b"".join(chunks) + chunks[2]) == "tampered"
    assert reason(data + b"\0") == "tampered"


def test_the_chunks_of_another_object_do_not_fit():
    one, other = sealed(b"a" * 100, "none"), sealed(b"b" * 100, "none")
    assert reason(one[: header_end(one) + 32] + other[header_end(other) + 32 :]) == "tampered"


def test_a_key_that_does_not_match_the_commitment_is_not_used(monkeypatch):
    # What an attack on the missing key commitment of AES-GCM comes down to: the unwrapping yields another data key.
    monkeypatch.setattr(container, "_unwrap", lambda *_: bytes(32))
    decrypted = []
    monkeypatch.setattr(container, "_decrypt", lambda *_: decrypted.append(1))
    assert reason(SMALL) == "tampered"
    assert not decrypted


def test_nothing_and_something_else_have_their_own_reasons():
    assert reason(b"") == "empty_object"
    assert reason(b"PK\x03\x04 a zip file") == "not_sealed"
    assert reason(b'{"resourceType": "Bundle"}') == "not_sealed"
    for compression in ("zstd", "gzip", "none"):
        assert reason(sealed(b"", compression)) == "empty_payload"


def test_more_than_the_limit_is_too_large_and_the_limit_itself_is_not():
    for compression in ("zstd", "gzip", "none"):
        data = sealed(os.urandom(5000), compression)
        assert len(opened(data, max_bytes=5000).plain) == 5000
        assert reason(data, max_bytes=4999) == "too_large"


def test_more_than_the_ratio_is_refused_and_the_ratio_itself_is_not():
    for compression in ("zstd", "gzip"):
        data = sealed(bytes(100_000), compression)
        exact = -(-100_000 // len(data))
        assert opened(data, max_ratio=exact)
        assert reason(data, max_ratio=exact - 1) == "ratio_exceeded"


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_a_bomb_is_refused(compression):
    data = sealed(bytes(2**27), compression)
    assert reason(data, max_bytes=2**20, max_ratio=10**9) == "too_large"
    assert reason(data, max_bytes=2**30, max_ratio=10) == "ratio_exceeded"


def test_every_frame_and_member_is_read(evil):
    frames = [b"first ", b"second ", b"third"]
    skippable = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"note"
    assert opened(evil(skippable.join(map(zstandard.compress, frames)), "zstd")).plain == b"".join(frames)
    assert opened(evil(b"".join(map(gzip.compress, frames)), "gzip")).plain == b"".join(frames)


def test_limits_hold_over_all_frames_together(evil):
    assert reason(evil(zstandard.compress(bytes(600)) * 2, "zstd"), max_bytes=1000) == "too_large"
    assert reason(evil(gzip.compress(bytes(600)) * 2, "gzip"), max_bytes=1000) == "too_large"


@pytest.mark.parametrize(("compression", "compress"), [("zstd", zstandard.compress), ("gzip", gzip.compress)])
def test_damaged_compression_is_refused(evil, compression, compress):
    good = compress(os.urandom(3000))
    assert reason(evil(b"", compression)) == "bad_compression"
    assert reason(evil(b"no frame at all", compression)) == "bad_compression"
    assert reason(evil(good + b"trailing", compression)) == "bad_compression"
    assert reason(evil(good + b"\0", compression)) == "bad_compression"
    assert {reason(evil(good[:size], compression)) for size in range(1, len(good), 97)} == {"bad_compression"}


def test_a_gzip_checksum_that_does_not_fit_is_refused(evil):
    broken = bytearray(gzip.compress(b"some text, some text"))
    broken[-6] ^= 1
    assert reason(evil(bytes(broken), "gzip")) == "bad_compression"


def test_an_unknown_compression_of_a_later_version_is_refused(evil):
    assert reason(evil(b"payload", "brotli")) == "bad_compression"


def test_a_sender_is_told_what_is_wrong_with_its_arguments():
    with pytest.raises(UsageError, match="zstd, gzip, none"):
        sealed(compression="lzma")
    for content_type in ("", "text/plain\n", "tëxt/plain", "x" * 256):
        with pytest.raises(UsageError, match="content type"):
            sealed(content_type=content_type)


def test_the_text_form_of_an_opened_object_shows_no_content():
    assert CANARY.decode() not in repr(opened(SMALL))


def test_the_sealed_object_shows_no_content():
    assert CANARY not in sealed(CANARY * 100, "none")
