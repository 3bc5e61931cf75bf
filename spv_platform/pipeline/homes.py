"""Which records hold versions of which resources, so that a batch finds the record that it takes a resource from.

A resource names its patient, its key does not: when a later version names another one, or nobody, the record that had
it has to hear of that. All pairs (resource, record) of a tenant are known by keyed hashes of eight bytes, in one frame
that a process keeps and that grows with the publications: looking up a batch costs some milliseconds for ten million
resources. A pair that is known in vain does no harm: what a record holds is said by its state.
"""

from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO

import numpy as np
import polars as pl

from spv_platform.envelope.keys import TenantKeys, mac, open_state, seal_state
from spv_platform.identity.link import record_id
from spv_platform.lake.spec import RESOURCE_KEY
from spv_platform.ledger import homes
from spv_platform.pipeline.platform import Platform

#: Bytes of a record's name that a pair has.
BEGINNING = 8
#: Pairs that a process keeps of all tenants together (16 bytes each); the tenant of longest ago goes first.
MOST_KEPT = 32_000_000
_PAIR = ["key", "home"]
_MOST_CHUNKS = 64


@dataclass(frozen=True)
class Kept:
    """The pairs of a tenant up to a publication; `first` is the first publication that they come from."""

    first: int
    upto: int
    pairs: pl.DataFrame


def known(platform: Platform, tenant: str) -> pl.DataFrame:
    """All pairs that were published: `key`, `home`, 64-bit numbers."""
    kept = platform.homes.pop(tenant, None)
    with platform.db.transaction() as cur:
        first = homes.first(cur, tenant)
        if kept is None or kept.first != first:
            kept = Kept(first, 0, pl.DataFrame(schema=dict.fromkeys(_PAIR, pl.UInt64)))
        found = homes.after(cur, tenant, kept.upto)
    if found:
        keys = platform.tenant_keys(tenant)
        pairs = pl.concat([kept.pairs, *(_open(keys, tenant, each) for each in found)])
        pairs = pairs.rechunk() if pairs.n_chunks() > _MOST_CHUNKS else pairs
        kept = Kept(first, found[-1].seq, pairs)
    platform.homes[tenant] = kept
    while len(platform.homes) > 1 and sum(each.pairs.height for each in platform.homes.values()) > MOST_KEPT:
        platform.homes.pop(next(iter(platform.homes)))
    return kept.pairs


def pairs_of(keys: TenantKeys, rows: pl.DataFrame) -> pl.DataFrame:
    """The distinct keys and patients of rows, with the numbers `key` and `home`; `home` is null without a patient."""
    distinct = rows.select(*RESOURCE_KEY, "patient_id").unique()
    texts = distinct.select(pl.concat_str(RESOURCE_KEY, separator="\x1f").cast(pl.Binary)).to_series()
    # A loop over the keys: hashing with a key has no vectorised form. To take in the key is half of the work.
    keyed = blake2b(key=keys.index, digest_size=8, person=b"resource home")

    def hash_of(text: bytes) -> bytes:
        begun = keyed.copy()
        begun.update(text)
        return begun.digest()

    hashed = b"".join(map(hash_of, texts.to_list()))
    records = distinct.select("source", "patient_id").drop_nulls().unique()
    begin = [record_id(lambda *parts: mac(keys.index, *parts), *pair)[:BEGINNING] for pair in records.iter_rows()]
    records = records.with_columns(home=pl.Series([int.from_bytes(each) for each in begin], dtype=pl.UInt64))
    return distinct.with_columns(key=pl.Series(np.frombuffer(hashed, ">u8").astype(np.uint64))).join(
        records, on=["source", "patient_id"], how="left"
    )


def seal(keys: TenantKeys, tenant: str, seq: int, pairs: pl.DataFrame, part: int = 0) -> list[bytes]:
    """Pairs as the ledger keeps them, numbered from a part on."""
    distinct = pairs.select(_PAIR).unique()
    if distinct.is_empty():
        return []
    document = BytesIO()
    distinct.write_ipc(document)
    return [seal_state(keys.state, document.getvalue(), _place(tenant, seq, part))]


def _open(keys: TenantKeys, tenant: str, found: homes.Pairs) -> pl.DataFrame:
    document = open_state(keys.state, found.pairs, _place(tenant, found.seq, found.part))
    return pl.read_ipc(BytesIO(document))


def _place(tenant: str, seq: int, part: int) -> bytes:
    return f"homes {tenant} {seq} {part}".encode()
