"""Rows, tables and an independent, slow reading of the winner's rule for the tests of the lake."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import polars as pl
from hypothesis import strategies as st

from spv_platform.lake.describe import CODINGS, SYSTEM_COLUMNS
from spv_platform.lake.spec import RESOURCE_KEY, TableSpec

THING = TableSpec(
    "thing",
    {**SYSTEM_COLUMNS, "value": pl.String(), "number": pl.Float64(), "codes": CODINGS},
    RESOURCE_KEY,
    "resource",
)
VIEW = TableSpec(
    "view",
    {"person_id": pl.String(), "deleted": pl.Boolean(), "value": pl.String(), "_seq": pl.Int64()},
    ("person_id",),
    "seq",
)
TOMBSTONE = "t"


def lake_key(tenant: str) -> bytes:
    """A lake key of its own for each tenant."""
    return hashlib.sha256(f"lake key of {tenant}".encode()).digest()


def row(
    resource_id: str = "r1",
    digest: str = "a",
    time: int | None = None,
    landing: int = 1,
    entry: int = 0,
    source_object: str = "o1",
    batch_id: str = "b1",
    candidates: int | None = None,
) -> dict[str, Any]:
    """One version; a time makes it versioned, the digest `t` a tombstone."""
    deleted = digest == TOMBSTONE
    return {
        "source": "ehr",
        "resource_type": "Thing",
        "resource_id": resource_id,
        "patient_id": "p1",
        "deleted": deleted,
        "versioned": time is not None,
        "version_time": None if time is None else datetime(2024, 1, time),
        "digest": digest,
        "source_object": source_object,
        "source_entry": entry,
        "_landing_seq": landing,
        "_batch_id": batch_id,
        "_candidates": candidates,
        "value": None if deleted else f"content {digest}",
        "codes": None if deleted else [{"system": "s", "code": digest, "display": None}],
    }


def frame(rows: Iterable[dict[str, Any]], spec: TableSpec = THING) -> pl.DataFrame:
    """Rows as a frame with exactly the table's columns."""
    return pl.DataFrame(list(rows), schema=spec.schema)


def rows_strategy(max_size: int = 14) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Lists of versions that often share keys, contents, times and landings."""
    return st.lists(
        st.builds(
            row,
            resource_id=st.sampled_from(["r1", "r2"]),
            digest=st.sampled_from(["a", "b", "c", TOMBSTONE]),
            time=st.sampled_from([None, None, 1, 2, 3]),
            landing=st.integers(1, 4),
            entry=st.integers(0, 1),
            source_object=st.sampled_from(["o1", "o2"]),
            batch_id=st.sampled_from(["b1", "b2"]),
            candidates=st.sampled_from([None, 0, 1]),
        ),
        max_size=max_size,
    )


def expected(rows: Iterable[dict[str, Any]], *, keep_deleted: bool = False) -> list[dict[str, Any]]:
    """The winners by the written rule, one key at a time."""
    keys: dict[tuple[str, ...], dict[tuple[str, bool], list[dict[str, Any]]]] = {}
    for item in rows:
        key, content = tuple(item[k] for k in RESOURCE_KEY), (item["digest"], _undated_delete(item))
        keys.setdefault(key, {}).setdefault(content, []).append(item)
    won = []
    for by_content in keys.values():
        ranked = sorted((_version(same) for same in by_content.values()), key=_rank, reverse=True)
        best = ranked[0] | {"decided_by": _decided_by(ranked)}
        for version in ranked:
            if _undated_delete(version) and best["versioned"] and version["_landing_seq"] > best["_landing_seq"]:
                best = version | {"decided_by": "landing"}
        if keep_deleted or not best["deleted"]:
            won.append(best)
    return canonical(won)


def canonical(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows in one order and with the columns that the tests fill, so that two results can be compared."""
    names = (*row(), "decided_by")
    return sorted(({n: r[n] for n in names} for r in rows), key=lambda r: tuple(r[k] for k in RESOURCE_KEY))


def _version(same: list[dict[str, Any]]) -> dict[str, Any]:
    best = min(same, key=_representative)
    dated_alike = [item for item in same if item["version_time"] == best["version_time"]]
    return best | {"_landing_seq": min(item["_landing_seq"] for item in dated_alike)}


def _undated_delete(item: dict[str, Any]) -> bool:
    return item["deleted"] and not item["versioned"]


def _representative(item: dict[str, Any]) -> tuple[Any, ...]:
    time, candidates = item["version_time"], item["_candidates"]
    order = (item["source_object"], item["source_entry"], item["_batch_id"], item["_landing_seq"])
    return (
        not item["versioned"],
        -time.timestamp() if time else 0,
        -1 if candidates is None else -2 - candidates,
        *order,
    )


def _rank(item: dict[str, Any]) -> tuple[Any, ...]:
    if item["versioned"]:
        return (True, item["version_time"], 0, 0, item["deleted"], item["digest"])
    return (False, datetime.min, item["_landing_seq"], item["source_entry"], item["deleted"], item["digest"])


def _decided_by(ranked: list[dict[str, Any]]) -> str:
    if len(ranked) == 1:
        return "only"
    first, second = _rank(ranked[0]), _rank(ranked[1])
    if first[:2] != second[:2]:
        return "version"
    if first[2:4] != second[2:4]:
        return "landing"
    return "version" if first[4] != second[4] else "digest"
