"""What an installation holds, as hashes by which two installations are compared.

A hash is over a set: the sum of the SHA-256 of its members modulo 2^256, so the order of rows does not matter and
memory stays flat. Left out is what says only how or when the platform came by a row: columns that begin with an
underscore, days of evaluation, numbers and times of publications.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import polars as pl

from spv_platform.envelope.keys import open_state
from spv_platform.history.documents import unsealed
from spv_platform.history.schema import PERSON
from spv_platform.pipeline.catalog import UNOWNED_VERSION
from spv_platform.pipeline.history import open_store
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.reading import reader

_OWN = ("_", "as_of")
_OF_PUBLICATIONS = ("seq", "since_seq", "published_at", "digest")
_MODULUS = 2**256
_SLICE = 10_000


class Content(NamedTuple):
    """One set: how many members, and their hash in hex."""

    members: int
    sha256: str


def contents(platform: Platform, tenant: str) -> dict[str, Content]:
    """Every current table of a tenant, its person states, approvals in force, news, and the history's persons.

    Raises:
        TransientError: a store did not answer.
    """
    published = reader(platform, tenant)
    found = {}
    for table in published.tables():
        if table != UNOWNED_VERSION.name:  # which versions were without a patient for a while depends on the order
            found[f"table {table}"] = _of(_lines(published.current(table)))
    found["person states"] = _of(_states(platform, tenant))
    with platform.db.transaction() as cur:
        for name, query in _LEDGER.items():
            cur.execute(query, (tenant,))
            found[name] = _of(json.dumps(row, sort_keys=True).encode() for (row,) in cur.fetchall())
    with open_store(platform, tenant) as store:
        found["history persons"] = _of(_documents(store.documents(PERSON, {})))
    return found


_LEDGER = {
    "approvals": "SELECT jsonb_build_array(person_id, trial, cohort, event_id) FROM ops.approval"
    " WHERE tenant = %s AND status = 'approved'",
    "news": "SELECT to_jsonb(event_id) FROM ops.outbox WHERE tenant = %s",
}


def _of(members: Iterable[bytes]) -> Content:
    count = total = 0
    for member in members:
        count += 1
        total = (total + int.from_bytes(hashlib.sha256(member).digest())) % _MODULUS
    return Content(count, f"{total:064x}")


def _lines(rows: pl.LazyFrame) -> Iterator[bytes]:
    names = [name for name in rows.collect_schema() if not name.startswith(_OWN)]
    # One line of JSON a row: written by Polars, hashed here one by one since the order is not given.
    for part in rows.select(names).collect(engine="streaming").iter_slices(_SLICE):
        yield from part.write_ndjson().encode().splitlines()


def _states(platform: Platform, tenant: str) -> Iterator[bytes]:
    key, last = platform.tenant_keys(tenant).state, b""
    while True:
        with platform.db.transaction() as cur:
            cur.execute(
                "SELECT record, person_id, state FROM ops.record_state WHERE tenant = %s AND record > %s"
                " ORDER BY record LIMIT %s",
                (tenant, last, _SLICE),
            )
            rows = cur.fetchall()
        if not rows:
            return
        for record, person_id, state in rows:
            yield b"\x00".join((record, (person_id or "").encode(), open_state(key, state, record)))
        last = rows[-1][0]


def _documents(documents: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    for document in documents:
        shown = {name: value for name, value in unsealed(document).items() if name not in _OF_PUBLICATIONS}
        shown["approvals"] = [
            {name: value for name, value in each.items() if name not in _OF_PUBLICATIONS}
            for each in shown.get("approvals", [])
        ]
        yield json.dumps(shown, sort_keys=True, default=str).encode()
