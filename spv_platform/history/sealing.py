"""Encryption of fields by the client, with MongoDB's explicit client-side field-level encryption.

Per tenant there is one data key in a key vault collection, wrapped by a key that is derived from the tenant's own:
the server holds nothing that opens it, and without the tenant's key file neither does anybody else. `sealed` is
encrypted at random; `identifier_keys` deterministically, so that one can ask for equal ones. Equal ciphertexts say that
two documents of a tenant have an identifier in common, nothing across tenants.
"""

from typing import Any

from spv_platform.envelope.keys import derive

_KEY_NAME = "history"
#: What MongoDB's `local` key provider takes.
_LOCAL_KEY_BYTES = 96


class FieldCipher:
    """Encrypts and opens single values of one tenant.

    Args:
        client: the connection.
        vault: namespace `database.collection` of the tenant's key vault.
        history_key: `TenantKeys.history`.
    """

    def __init__(self, client: Any, vault: str, history_key: bytes) -> None:
        from bson.codec_options import CodecOptions
        from pymongo.encryption import Algorithm, ClientEncryption

        providers = {"local": {"key": derive(history_key, b"spv mongodb local key 1", _LOCAL_KEY_BYTES)}}
        self._deterministic = Algorithm.AEAD_AES_256_CBC_HMAC_SHA_512_Deterministic
        self._random = Algorithm.AEAD_AES_256_CBC_HMAC_SHA_512_Random
        self._encryption = ClientEncryption(providers, vault, client, CodecOptions(tz_aware=True))
        database, _, collection = vault.partition(".")
        self._vault = client[database][collection]
        self._data_key: Any = None

    def seal(self, value: dict[str, Any]) -> Any:
        """A document that only a holder of the tenant's key can read."""
        return self._encryption.encrypt(value, self._random, self._key())

    def search_key(self, text: str) -> Any:
        """The one value that stands for this text in the tenant's documents."""
        return self._encryption.encrypt(text, self._deterministic, self._key())

    def open(self, value: Any) -> Any:
        """What `seal` or `search_key` was given."""
        return self._encryption.decrypt(value)

    def close(self) -> None:
        """Forget the keys."""
        self._encryption.close()

    def _key(self) -> Any:
        if self._data_key is None:
            self._data_key = self._find_key() or self._make_key()
        return self._data_key

    def _find_key(self) -> Any:
        found = self._encryption.get_key_by_alt_name(_KEY_NAME)
        return found["_id"] if found else None

    def _make_key(self) -> Any:
        from pymongo.errors import DuplicateKeyError, EncryptionError

        # With a second key of that name, equal identifiers would no longer be equal.
        self._vault.create_index("keyAltNames", unique=True, partialFilterExpression={"keyAltNames": {"$exists": True}})
        try:
            return self._encryption.create_data_key("local", key_alt_names=[_KEY_NAME])
        except EncryptionError as error:
            if not isinstance(error.cause, DuplicateKeyError):
                raise
        return self._find_key()
