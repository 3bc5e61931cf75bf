"""Keys of tenants in files, and the small sealed values made with them.

What belongs here: how keys are made, wrapped, derived and destroyed; keyed hashes (`mac`) and sealed documents
(`seal_state`). What does not: sealing whole objects (`container`).

One root key wraps one master key per tenant; each purpose has its own key, derived from the master by HKDF-SHA256
(RFC 5869), so that no key serves two algorithms. Without the tenant's file nothing of the tenant can be read again.
"""

import base64
import hmac
import json
import os
import re
import secrets
from dataclasses import dataclass, fields
from pathlib import Path

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from spv_platform.errors import PermanentError, UsageError

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
MAC_BYTES = 16
#: Most bytes of one sealed state, opened.
STATE_MAX_BYTES = 256 * 2**20

_ROOT_FORMAT = "spv-root-key/1"
_TENANT_FORMAT = "spv-tenant-key/1"
_DESTROYED_FORMAT = "spv-destroyed-key/1"
_STATE_VERSION = b"\x01"
_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True, repr=False)
class TenantKeys:
    """The keys of one tenant, 32 bytes each.

    Attributes:
        kek: wraps the data keys of sealed objects.
        lake: encrypts the tenant's part of the lake (SSE-C).
        state: seals person states.
        index: keys the hashes under which persons are found.
        history: wraps the data key of the history.
        analytics: what the analyst tables are made with, and their own key of the store.

    Raises:
        ValueError: a key is not 32 bytes long.
    """

    kek: bytes
    lake: bytes
    state: bytes
    index: bytes
    history: bytes
    analytics: bytes

    def __post_init__(self) -> None:
        if any(len(getattr(self, field.name)) != KEY_BYTES for field in fields(self)):
            raise ValueError(f"every key must have {KEY_BYTES} bytes")

    def __repr__(self) -> str:
        return "TenantKeys()"


class FileKeyStore:
    """Keys in a folder: `root.key`, and `tenants/<tenant>.json` with the tenant's wrapped master key.

    `tenants/<tenant>.destroyed` says that there was one: what it had sealed is still there, unreadable, so the name
    must not get another key.

    Args:
        keys_dir: the folder; it must not lie inside a data folder, or a backup of the data holds the keys too.
    """

    def __init__(self, keys_dir: Path) -> None:
        self._folder = keys_dir
        self._root_file = keys_dir / "root.key"
        self._tenants_folder = keys_dir / "tenants"

    def create_root(self) -> None:
        """Make the root key if there is none.

        Raises:
            UsageError: there is one, and it cannot be used.
        """
        for folder in (self._folder, self._tenants_folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.chmod(0o700)
        _create(
            self._root_file,
            {"format": _ROOT_FORMAT, "id": secrets.token_hex(8), "key": _text(secrets.token_bytes(KEY_BYTES))},
        )
        self._root()

    def create_tenant(self, tenant: str) -> TenantKeys:
        """The keys of a tenant, made now if there are none.

        Raises:
            UsageError: the name cannot be a tenant's, its keys were destroyed, or the key files cannot be used.
        """
        if not _TENANT.fullmatch(tenant):
            raise UsageError(
                f"tenant {tenant!r}: use 1 to 63 of a-z, 0-9, hyphen and underscore, beginning with a letter or digit"
            )
        if self.is_destroyed(tenant):
            raise UsageError(f"tenant {tenant}: its keys were destroyed, for good: add it under another name")
        root_id, root = self._root()
        nonce = secrets.token_bytes(NONCE_BYTES)
        wrapped = AESGCM(root).encrypt(nonce, secrets.token_bytes(KEY_BYTES), _tenant_context(root_id, tenant))
        document = {"format": _TENANT_FORMAT, "root": root_id, "nonce": _text(nonce), "wrapped": _text(wrapped)}
        _create(self._file(tenant), document)
        return self.tenant(tenant)

    def tenant(self, tenant: str) -> TenantKeys:
        """The keys of a tenant.

        Raises:
            PermanentError: `unknown_tenant`, it never had keys; `keys_destroyed`, it has them no more.
            UsageError: the key files cannot be used.
        """
        if not _TENANT.fullmatch(tenant):
            raise PermanentError("unknown_tenant")
        if self.is_destroyed(tenant):
            raise PermanentError("keys_destroyed", f"tenant {tenant}")
        file = self._file(tenant)
        try:
            document = _load(file, _TENANT_FORMAT)
        except FileNotFoundError:
            raise PermanentError("unknown_tenant") from None
        root_id, root = self._root()
        try:
            nonce, wrapped = base64.b64decode(document["nonce"]), base64.b64decode(document["wrapped"])
            master = AESGCM(root).decrypt(nonce, wrapped, _tenant_context(root_id, tenant))
        except (InvalidTag, KeyError, ValueError):
            raise UsageError(
                f"{file}: not wrapped by the root key in {self._root_file}: restore the pair that belongs together"
            ) from None
        return TenantKeys(**{field.name: _derive(master, field.name) for field in fields(TenantKeys)})

    def destroy_tenant(self, tenant: str) -> None:
        """Make everything of the tenant unreadable for good. Does nothing where there is no key."""
        if not _TENANT.fullmatch(tenant) or not self._file(tenant).exists():
            return
        file = self._file(tenant)
        # First, so that a process killed in between leaves no name without a key that may get another one.
        _create(self._destroyed_file(tenant), {"format": _DESTROYED_FORMAT})
        # Overwriting helps only where the file system writes in place; the name is what must go.
        with file.open("r+b") as stream:
            stream.write(b"\0" * file.stat().st_size)
            stream.flush()
            os.fsync(stream.fileno())
        file.unlink(missing_ok=True)
        _sync(file.parent)

    def is_destroyed(self, tenant: str) -> bool:
        """Whether the tenant's keys were destroyed, or are being destroyed."""
        return bool(_TENANT.fullmatch(tenant)) and self._destroyed_file(tenant).exists()

    def tenants(self) -> list[str]:
        """Names of the tenants that have keys, sorted."""
        return sorted(file.stem for file in self._tenants_folder.glob("*.json") if _TENANT.fullmatch(file.stem))

    def _file(self, tenant: str) -> Path:
        return self._tenants_folder / f"{tenant}.json"

    def _destroyed_file(self, tenant: str) -> Path:
        return self._tenants_folder / f"{tenant}.destroyed"

    def _root(self) -> tuple[str, bytes]:
        try:
            document = _load(self._root_file, _ROOT_FORMAT)
            root_id, key = str(document["id"]), base64.b64decode(document["key"])
        except FileNotFoundError:
            raise UsageError(f"{self._root_file}: no root key: run `spv up`, or restore the keys folder") from None
        except (KeyError, ValueError):
            raise UsageError(f"{self._root_file}: not a root key file: restore it from its backup") from None
        if len(key) != KEY_BYTES:
            raise UsageError(f"{self._root_file}: not a root key file: restore it from its backup")
        return root_id, key


def mac(index_key: bytes, *parts: str) -> bytes:
    """HMAC-SHA256 over the parts, cut to 16 bytes. Every part is length-prefixed: no two lists of parts run together.

    Args:
        index_key: `TenantKeys.index`.
        parts: what the value stands for; the first should say the kind.
    """
    message = bytearray()
    for part in parts:
        # A lone surrogate, possible in JSON text, must neither fail here nor reach an exception's text.
        data = part.encode("utf-8", "surrogatepass")
        message += len(data).to_bytes(8, "big") + data
    return hmac.digest(index_key, bytes(message), "sha256")[:MAC_BYTES]


def seal_state(state_key: bytes, plain: bytes, aad: bytes) -> bytes:
    """Compress and seal one document: version byte, nonce, AES-256-GCM over zstd.

    Nonces are random: one key is good for 2**32 documents (NIST SP 800-38D, section 8.3).

    Args:
        state_key: `TenantKeys.state`.
        plain: at most `STATE_MAX_BYTES`.
        aad: what the document belongs to; opening needs the same.

    Raises:
        PermanentError: `too_large`.
    """
    if len(plain) > STATE_MAX_BYTES:
        raise PermanentError("too_large", "state")
    nonce = secrets.token_bytes(NONCE_BYTES)
    compressed = zstandard.ZstdCompressor(level=3).compress(plain)
    return _STATE_VERSION + nonce + AESGCM(state_key).encrypt(nonce, compressed, _STATE_VERSION + aad)


def open_state(state_key: bytes, sealed: bytes, aad: bytes) -> bytes:
    """Open what `seal_state` made.

    Raises:
        PermanentError: `not_sealed` (no such format), `truncated`, `tampered` (also: another key or `aad`),
            `too_large`.
    """
    if sealed[:1] != _STATE_VERSION:
        raise PermanentError("not_sealed", "state")
    if len(sealed) < 1 + NONCE_BYTES + TAG_BYTES:
        raise PermanentError("truncated", "state")
    nonce, body = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
    try:
        compressed = AESGCM(state_key).decrypt(nonce, body, _STATE_VERSION + aad)
    except InvalidTag:
        raise PermanentError("tampered", "state") from None
    if zstandard.frame_content_size(compressed) > STATE_MAX_BYTES:
        raise PermanentError("too_large", "state")
    return zstandard.ZstdDecompressor().decompress(compressed)


def derive(key: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256 (RFC 5869) without salt: `key` is uniformly random already."""
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(key)


def _derive(master: bytes, purpose: str) -> bytes:
    return derive(master, f"spv tenant {purpose} 1".encode(), KEY_BYTES)


def _tenant_context(root_id: str, tenant: str) -> bytes:
    return f"{_TENANT_FORMAT}\n{root_id}\n{tenant}".encode()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _load(file: Path, expected_format: str) -> dict[str, str]:
    with file.open("rb") as stream:
        if os.fstat(stream.fileno()).st_mode & 0o077:
            raise UsageError(f"{file}: others may read this key file: run `chmod 600 {file}`")
        try:
            document = json.load(stream)
        except ValueError:
            document = None
    if not isinstance(document, dict) or document.get("format") != expected_format:
        raise UsageError(f"{file}: not a file of format {expected_format}: restore it from its backup")
    return document


def _create(file: Path, document: dict[str, str]) -> None:
    """Write a file that is either whole or not there, and never in place of another one."""
    if file.exists():
        return
    draft = file.with_name(f".{secrets.token_hex(8)}.tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            json.dump(document, stream)
            stream.flush()
            os.fsync(stream.fileno())
        # A link, not a rename: of two processes that create the same key, the second must keep the first one's.
        os.link(draft, file)
    except FileExistsError:
        return
    finally:
        draft.unlink(missing_ok=True)
    _sync(file.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
