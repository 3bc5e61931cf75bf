"""Pseudonyms, shifts of dates, and the store's key: three keys from the tenant's analytics key.

The key of the store is handed to analysts. It is derived beside the others, so it tells nothing about them, and an
analyst who knows a person's enterprise id cannot find the person.
"""

import hmac
from base64 import b32encode
from dataclasses import dataclass

import polars as pl

from spv_platform.envelope.keys import KEY_BYTES, derive, mac

#: Dates are moved to earlier days by 1 to this many days, all dates of a person by the same number.
MOST_SHIFT_DAYS = 364


@dataclass(frozen=True, repr=False)
class AnalystKeys:
    """What the analyst tables of one tenant are made with.

    Attributes:
        store: encrypts the tables (SSE-C); analysts have it.
        pseudonym: keys the pseudonyms.
        shift: keys the shifts of dates.
    """

    store: bytes
    pseudonym: bytes
    shift: bytes


def analyst_keys(analytics_key: bytes) -> AnalystKeys:
    """The keys that follow from `TenantKeys.analytics`."""
    store, pseudonym, shift = (
        derive(analytics_key, f"spv analytics {name} 1".encode(), KEY_BYTES) for name in ("store", "pseudonym", "shift")
    )
    return AnalystKeys(store, pseudonym, shift)


def disguises(keys: AnalystKeys, person_ids: list[str]) -> pl.DataFrame:
    """`person_id`, `person_key` and `shift_days` of every person; the same for the same person in every build."""
    # One HMAC per person and purpose: hashing with a key has no vectorised form.
    return pl.DataFrame(
        {
            "person_id": person_ids,
            "person_key": [_pseudonym(keys.pseudonym, person_id) for person_id in person_ids],
            "shift_days": [_shift_days(keys.shift, person_id) for person_id in person_ids],
        },
        schema={"person_id": pl.String, "person_key": pl.String, "shift_days": pl.Int32},
    )


def _pseudonym(key: bytes, person_id: str) -> str:
    return "a-" + b32encode(mac(key, "person", person_id)).decode().rstrip("=").lower()


def _shift_days(key: bytes, person_id: str) -> int:
    return 1 + int.from_bytes(hmac.digest(key, person_id.encode(), "sha256")[:8]) % MOST_SHIFT_DAYS
