"""The platform's own sealed container: one compressed, encrypted payload, bound to its tenant and place.

What belongs here: the format, sealing and opening. What does not: where keys come from (`keys`), other formats
(`formats`).

Layout; integers are big-endian, a field is a 2-byte length and that many bytes:

    "SPV1"  header (a field that holds 5 fields)  commitment (32)  chunk …
    header: compression | content type | id of the tenant's key (8) | wrapped data key (60) | payload size (8)

- Every object has its own random data key, wrapped by the tenant's key with AES-256-GCM; associated data is the place
  (tenant, bucket, key). The key id says which version of the tenant's key that was.
- Content key and commitment are HKDF-SHA256 outputs of the data key; their info binds place and header. AES-GCM does
  not commit to its key: without the commitment an evil sender could make one object that opens differently for two
  tenants (Albertini et al., "How to Abuse and Fix Authenticated Encryption Without Key Commitment", 2022).
- The payload is encrypted in chunks of 1 MiB by the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár, "Online
  Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015): the nonce is an 11-byte counter and a byte
  that is 1 in the last chunk. A chunk cannot be moved, left out, repeated, or taken from another object.
"""

import hashlib
import hmac
import io
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from spv_platform.envelope.compression import compress, decompress
from spv_platform.envelope.keys import KEY_BYTES, NONCE_BYTES, TAG_BYTES, derive
from spv_platform.errors import PermanentError, UsageError

MAGIC = b"SPV1"
CHUNK_BYTES = 2**20

_COMMITMENT_BYTES = 32
_KEY_ID_BYTES = 8
_WRAPPED_BYTES = NONCE_BYTES + KEY_BYTES + TAG_BYTES
_SIZE_BYTES = 8
_LENGTH_BYTES = 2
_CONTENT_TYPE_MAX_BYTES = 255


@dataclass(frozen=True, repr=False)
class Opened:
    """An opened object. Its text form shows sizes only.

    Attributes:
        content_type: what the sender said the payload is, verified to be unchanged.
        plain: the payload, decrypted and decompressed.
    """

    content_type: str
    plain: bytes

    def __repr__(self) -> str:
        return f"Opened({len(self.plain)} bytes)"


@dataclass(frozen=True, repr=False)
class _Header:
    """The parsed header; `raw` is all bytes from the magic up to the commitment."""

    raw: bytes
    compression: str
    content_type: str
    key_id: bytes
    wrapped_key: bytes
    payload_bytes: int


def seal(
    plain: bytes, *, kek: bytes, tenant: str, bucket: str, key: str, content_type: str, compression: str = "zstd"
) -> bytes:
    """Seal a payload for one place of one tenant.

    Args:
        plain: the payload.
        kek: the tenant's key-encryption key, 32 bytes.
        tenant: whose it is.
        bucket: where it will lie.
        key: under which key it will lie; it opens nowhere else.
        content_type: MIME type of the payload, visible in the sealed object; at most 255 ASCII characters.
        compression: zstd, gzip or none.

    Raises:
        UsageError: unknown compression, or a content type that is not one.
    """
    if not content_type or len(content_type) > _CONTENT_TYPE_MAX_BYTES or not _printable(content_type):
        raise UsageError(f"content type: use 1 to {_CONTENT_TYPE_MAX_BYTES} printable ASCII characters")
    payload = compress(plain, compression)
    place = _place(tenant, bucket, key)
    data_key, nonce = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(NONCE_BYTES)
    fields = (
        compression.encode(),
        content_type.encode(),
        _key_id(kek),
        nonce + AESGCM(kek).encrypt(nonce, data_key, place),
        len(payload).to_bytes(_SIZE_BYTES, "big"),
    )
    header = MAGIC + _field(b"".join(map(_field, fields)))
    binding, content_key, commitment = _content_keys(data_key, place, header)
    cipher = AESGCM(content_key)
    out = io.BytesIO()
    out.write(header + commitment)
    view = memoryview(payload)
    for start, end, chunk_nonce in _chunks(len(payload)):
        out.write(cipher.encrypt(chunk_nonce, view[start:end], binding))
    return out.getvalue()


def open_sealed(
    sealed: bytes, *, kek: bytes, tenant: str, bucket: str, key: str, max_bytes: int, max_ratio: int
) -> Opened:
    """Open what `seal` made. Nothing is returned before every byte has been verified.

    Args:
        sealed: the whole sealed object.
        kek: the tenant's key-encryption key, 32 bytes.
        tenant: whose it is.
        bucket: where it was found.
        key: under which key it was found.
        max_bytes: most bytes of the payload.
        max_ratio: most payload bytes per sealed byte.

    Raises:
        PermanentError: `empty_object`, `not_sealed`, `wrong_key` (also: sealed for another place), `truncated`,
            `tampered`, `bad_compression`, `too_large`, `ratio_exceeded`, `empty_payload`.
    """
    header = _parse(sealed)
    place = _place(tenant, bucket, key)
    data_key = _unwrap(header, kek, place)
    binding, content_key, commitment = _content_keys(data_key, place, header.raw)
    body_start = len(header.raw) + _COMMITMENT_BYTES
    found = sealed[len(header.raw) : body_start]
    if len(found) < _COMMITMENT_BYTES:
        raise PermanentError("truncated")
    if not hmac.compare_digest(found, commitment):
        raise PermanentError("tampered")
    # From here on the header is known to be the sealer's.
    payload = _decrypt(memoryview(sealed)[body_start:], header.payload_bytes, AESGCM(content_key), binding)
    plain = decompress(payload, header.compression, max_bytes=max_bytes, max_ratio=max_ratio, sealed_bytes=len(sealed))
    if not plain:
        raise PermanentError("empty_payload")
    return Opened(header.content_type, plain)


def _parse(sealed: bytes) -> _Header:
    if not sealed:
        raise PermanentError("empty_object")
    if not MAGIC.startswith(sealed[: len(MAGIC)]):
        raise PermanentError("not_sealed")
    fields_start = len(MAGIC) + _LENGTH_BYTES
    end = fields_start + int.from_bytes(sealed[len(MAGIC) : fields_start], "big")
    if len(sealed) < max(end, fields_start):
        raise PermanentError("truncated")
    fields = _split_fields(sealed[fields_start:end])
    if len(fields) != 5 or [len(field) for field in fields[2:]] != [_KEY_ID_BYTES, _WRAPPED_BYTES, _SIZE_BYTES]:
        raise PermanentError("tampered")
    try:
        compression, content_type = fields[0].decode("ascii"), fields[1].decode("ascii")
    except UnicodeDecodeError:
        raise PermanentError("tampered") from None
    return _Header(sealed[:end], compression, content_type, fields[2], fields[3], int.from_bytes(fields[4], "big"))


def _split_fields(data: bytes) -> list[bytes]:
    fields = []
    while data:
        end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "big")
        if len(data) < max(end, _LENGTH_BYTES):
            raise PermanentError("tampered")
        fields.append(data[_LENGTH_BYTES:end])
        data = data[end:]
    return fields


def _unwrap(header: _Header, kek: bytes, place: bytes) -> bytes:
    if not hmac.compare_digest(header.key_id, _key_id(kek)):
        raise PermanentError("wrong_key")
    nonce, wrapped = header.wrapped_key[:NONCE_BYTES], header.wrapped_key[NONCE_BYTES:]
    try:
        return AESGCM(kek).decrypt(nonce, wrapped, place)
    except InvalidTag:
        raise PermanentError("wrong_key") from None


def _decrypt(body: memoryview, payload_bytes: int, cipher: AESGCM, binding: bytes) -> bytes:
    expected = payload_bytes + TAG_BYTES * _chunk_count(payload_bytes)
    if len(body) != expected:
        raise PermanentError("truncated" if len(body) < expected else "tampered")
    out = io.BytesIO()
    buffer = memoryview(bytearray(min(CHUNK_BYTES, payload_bytes)))
    at = 0
    try:
        for start, end, nonce in _chunks(payload_bytes):
            size = end - start
            cipher.decrypt_into(nonce, body[at : at + size + TAG_BYTES], binding, buffer[:size])
            out.write(buffer[:size])
            at += size + TAG_BYTES
    except InvalidTag:
        raise PermanentError("tampered") from None
    return out.getvalue()


def _chunk_count(payload_bytes: int) -> int:
    """An empty payload has one empty chunk, so that its end is authenticated too."""
    return max(1, -(-payload_bytes // CHUNK_BYTES))


def _chunks(payload_bytes: int) -> Iterator[tuple[int, int, bytes]]:
    """Start, end and nonce of every chunk."""
    count = _chunk_count(payload_bytes)
    for number in range(count):
        start = number * CHUNK_BYTES
        last = number == count - 1
        nonce = number.to_bytes(NONCE_BYTES - 1, "big") + bytes([last])
        yield start, min(start + CHUNK_BYTES, payload_bytes), nonce


def _content_keys(data_key: bytes, place: bytes, header: bytes) -> tuple[bytes, bytes, bytes]:
    """Associated data of the chunks, content key, and commitment."""
    binding = hashlib.sha256(place + header).digest()
    derived = derive(data_key, b"spv container 1" + binding, KEY_BYTES + _COMMITMENT_BYTES)
    return binding, derived[:KEY_BYTES], derived[KEY_BYTES:]


def _key_id(kek: bytes) -> bytes:
    return derive(kek, b"spv key id 1", _KEY_ID_BYTES)


def _place(tenant: str, bucket: str, key: str) -> bytes:
    return b"spv place 1" + b"".join(_field(part.encode()) for part in (tenant, bucket, key))


def _field(data: bytes) -> bytes:
    return len(data).to_bytes(_LENGTH_BYTES, "big") + data


def _printable(text: str) -> bool:
    return text.isascii() and text.isprintable()
