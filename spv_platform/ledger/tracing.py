"""The story of one object: where it came from, what happened to its batch, what came of it, and what to do next."""

from typing import Any

from spv_platform.errors import UsageError
from spv_platform.ledger import objects, quarantine, references
from spv_platform.ledger.db import Cursor, rows_as_dicts
from spv_platform.ledger.objects import LedgerObject
from spv_platform.reasons import REASONS

#: So many names are listed when a name is not unique.
_NAMED = 5


def find(cur: Cursor, name: str) -> LedgerObject:
    """The object of a landing sequence, or of a name `[bucket/]key[@version]` that ends in what is given.

    Raises:
        UsageError: there is none, or there are several.
    """
    if name.isdecimal():
        return objects.get(cur, int(name))
    cur.execute(
        "SELECT seq, bucket || '/' || key || '@' || version FROM ops.object"
        " WHERE right(key, length(%(name)s)) = %(name)s OR bucket || '/' || key || '@' || version = %(name)s"
        " OR key || '@' || version = %(name)s ORDER BY seq",
        {"name": name},
    )
    found = cur.fetchall()
    if not found:
        raise UsageError(f"no object is called {name!r}: look at `spv ledger` for what there is")
    if len(found) > 1:
        some = ", ".join(f"{seq} ({full})" for seq, full in found[:_NAMED])
        raise UsageError(f"{len(found)} objects are called {name!r}: give the number of one, for example {some}")
    return objects.get(cur, found[0][0])


def trace(cur: Cursor, item: LedgerObject) -> dict[str, Any]:
    """All that the ledger knows of an object; codes, places, counts and times, no data."""
    problems = quarantine.list_entries(cur, object_seq=item.seq)
    waiting = references.queue_of(cur, item.tenant, item.seq)
    known = REASONS.get(item.reason or "")
    return {
        "object": item._asdict() | {"balances": item.balances},
        "meaning": known.meaning if known else None,
        "next_step": known.next_step if known else None,
        "same_as": item.same_as,
        "steps": _steps(cur, item),
        "files": _files(cur, item),
        "problems": [
            {name: row[name] for name in ("id", "entry", "pointer", "reason", "contract", "state")} for row in problems
        ],
        "references_waiting": sum(each.waiting for each in waiting if each.candidates != 1),
    }


def _steps(cur: Cursor, item: LedgerObject) -> list[dict[str, Any]]:
    cur.execute("SELECT found_at FROM ops.object WHERE seq = %s", (item.seq,))
    ((found_at,),) = cur.fetchall()
    cur.execute(
        "SELECT at, step, batch_id, attempt, run_id, lease_until, reason, counts FROM ops.batch_step"
        " WHERE batch_id = %s ORDER BY at",
        (item.batch_id,),
    )
    nothing = dict.fromkeys(("batch_id", "attempt", "run_id", "lease_until", "reason"))
    # The first time is by the store's clock, the others by the database's.
    landed = nothing | {"counts": {"sealed_bytes": item.size_bytes, "etag": item.etag}}
    before = [{"at": item.landed_at, "step": "landed"} | landed, {"at": found_at, "step": "found"} | landed]
    return before + rows_as_dicts(cur)


def _files(cur: Cursor, item: LedgerObject) -> list[dict[str, Any]]:
    """The files of its batch: the object's rows are in them, with those of the batch's other objects."""
    cur.execute(
        'SELECT table_name AS "table", path, rows, seq AS publication FROM ops.staged_file'
        " WHERE batch_id = %s AND seq IS NOT NULL ORDER BY table_name, path",
        (item.batch_id,),
    )
    return rows_as_dicts(cur)
