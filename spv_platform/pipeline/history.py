"""Feeding the history from the publications, behind the pipeline: no batch waits for it, none fails by it.

A cursor per tenant says up to which publication the documents are. Feeding reads what later publications wrote, stores
what changed, and moves the cursor; broken off anywhere, it does the same again.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from spv_platform import faults
from spv_platform.envelope.keys import mac
from spv_platform.errors import LeaseLostError, TransientError, UsageError
from spv_platform.history.documents import Changes, Document, changes, unsealed
from spv_platform.history.schema import APPROVAL_EVENT, PERSON, PERSON_VERSION
from spv_platform.history.store import HistoryStore, Refused, answers, drop_tenant
from spv_platform.ledger import audit, history, tenants
from spv_platform.ledger.history import Turn
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.reading import TenantReader, reader

#: Tables whose rows become documents.
_TABLES = ("patient_view", "cohort_verdict", "approved_patients")
#: Most rows that are read at once, unless one publication has more.
_STRETCH_ROWS = 20_000
#: Persons whose documents are made and stored at once: well under what the turn lasts.
_CHUNK_PERSONS = 500
_HOLD_S = 25.0
#: How long batches leave a MongoDB alone that was away.
_PAUSE_S = 30.0


@dataclass(frozen=True)
class FeedReport:
    """What one feeding came to.

    Attributes:
        had_turn: false: somebody else feeds, or MongoDB is left alone; nothing was done.
        publications: how many were fed.
        behind: how many are not yet.
    """

    had_turn: bool
    publications: int
    documents: int
    refused: int
    behind: int


def feed(platform: Platform, tenant: str, *, for_s: float | None = None, despite_pause: bool = True) -> FeedReport:
    """Bring a tenant's history up to its newest publication.

    Args:
        for_s: begin no further stretch after so many seconds.
        despite_pause: ask MongoDB even if it was away a moment ago.

    Raises:
        TransientError: a store was away; what was fed stays fed.
        PermanentError: `unknown_tenant`, or `history_key_unusable`.
        LeaseLostError: this process hung for too long, another one feeds.
    """
    if not behind(platform, tenant):
        return FeedReport(had_turn=True, publications=0, documents=0, refused=0, behind=0)
    with platform.db.transaction() as cur:
        turn = history.take(cur, tenant, hold_s=_HOLD_S, despite_pause=despite_pause)
    if turn is None:
        return FeedReport(had_turn=False, publications=0, documents=0, refused=0, behind=behind(platform, tenant))
    return _feed(platform, turn, for_s)


def rebuild(platform: Platform, tenant: str, *, who: str) -> FeedReport:
    """Make a tenant's documents anew from all publications; broken off, the next feeding goes on with it.

    Raises:
        UsageError: no such tenant, or its history is being fed now.
        TransientError: a store was away.
    """
    with platform.db.transaction() as cur:
        tenants.require_tenant(cur, tenant)
        turn = history.take(cur, tenant, hold_s=_HOLD_S, despite_pause=True)
        if turn is None:
            raise UsageError(f"the history of {tenant} is being fed: try again in {_HOLD_S:.0f} seconds at most")
        history.begin_again(cur, turn)
        audit.write(cur, who, "history rebuild", tenant, "all documents")
    return _feed(platform, turn._replace(seq=0, empty_first=True), None)


def forget(platform: Platform, tenant: str) -> bool:
    """Remove a tenant's history for good: documents, data key, cursor. Needs no key of the tenant.

    Returns:
        False while the history is being fed: nothing was removed.

    Raises:
        TransientError: MongoDB was away; what is left is removed the next time.
    """
    with platform.db.transaction() as cur:
        turn = history.take(cur, tenant, hold_s=_HOLD_S, despite_pause=True)
    if turn is None:
        return False
    try:
        drop_tenant(platform.mongo, platform.settings.mongo_database, tenant)
        with platform.db.transaction() as cur:
            history.forget(cur, turn)
    finally:
        with platform.db.transaction() as cur:
            history.let_go(cur, turn)
    return True


def forget_destroyed(platform: Platform) -> list[str]:
    """Remove what is in the clear of tenants whose keys were destroyed; whose history is gone now.

    Raises:
        TransientError: MongoDB was away.
    """
    with platform.db.transaction() as cur:
        fed = history.tenants(cur)
    return [tenant for tenant in fed if platform.keys.is_destroyed(tenant) and forget(platform, tenant)]


def behind(platform: Platform, tenant: str) -> int:
    """Publications that are not in the tenant's history yet."""
    with platform.db.transaction() as cur:
        return sum(row["behind"] for row in history.status_rows(cur) if row["tenant"] == tenant)


def status(platform: Platform) -> list[dict[str, Any]]:
    """Per tenant how far its history is, how many documents were refused, and how many there are.

    `documents` is None while MongoDB does not answer.
    """
    up = answers(platform.mongo)
    with platform.db.transaction() as cur:
        rows = history.status_rows(cur)
    for row in rows:
        row["documents"] = None
        if up:
            with open_store(platform, row["tenant"]) as store:
                row["documents"] = store.counts()
    return rows


def find(platform: Platform, tenant: str, identifier: str, *, who: str) -> list[dict[str, Any]]:
    """Persons with an identifier `SYSTEM|VALUE`, now or formerly: current document, versions, approval events.

    Raises:
        UsageError: no such tenant, or this is no identifier.
        TransientError: MongoDB was away.
        PermanentError: `history_key_unusable`.
    """
    if "|" not in identifier:
        raise UsageError("an identifier has the form SYSTEM|VALUE: name the system too")
    with platform.db.transaction() as cur:
        tenants.require_tenant(cur, tenant)
    found: list[dict[str, Any]] = []
    with open_store(platform, tenant) as store:
        for person_id in store.find(identifier):
            (current,) = store.documents(PERSON, {"_id": person_id}) or [{"_id": person_id}]
            of_person = {"person_id": person_id}
            versions = [unsealed(item) for item in store.documents(PERSON_VERSION, of_person)]
            events = store.documents(APPROVAL_EVENT, of_person)
            found.append({"person": unsealed(current), "versions": versions, "events": events})
    with platform.db.transaction() as cur:
        audit.write(cur, who, "history find", tenant, ", ".join(item["person"]["_id"] for item in found) or "nobody")
    return found


def open_store(platform: Platform, tenant: str) -> HistoryStore:
    """A tenant's collections; to be closed.

    Raises:
        PermanentError: `unknown_tenant`.
    """
    key = platform.tenant_keys(tenant).history
    return HistoryStore(platform.mongo, platform.settings.mongo_database, tenant, key)


def _feed(platform: Platform, turn: Turn, for_s: float | None) -> FeedReport:
    deadline = None if for_s is None else time.monotonic() + for_s
    fed = documents = refused = 0
    pause_s = 0.0
    try:
        with open_store(platform, turn.tenant) as store:
            if turn.empty_first:
                _empty(platform, store, turn)
            store.ensure()
            seq = turn.seq
            while deadline is None or time.monotonic() < deadline:
                with platform.db.transaction() as cur:
                    stretch = history.next_stretch(cur, turn.tenant, seq, _TABLES, _STRETCH_ROWS)
                if not stretch:
                    break
                stored, not_stored = _feed_stretch(platform, store, turn, seq, stretch)
                documents, refused = documents + stored, refused + not_stored
                faults.point("history_stored")
                seq, fed = max(stretch), fed + len(stretch)
                with platform.db.transaction() as cur:
                    history.advance(cur, turn, seq)
    except TransientError:
        pause_s = _PAUSE_S
        raise
    finally:
        with platform.db.transaction() as cur:
            history.let_go(cur, turn, pause_s=pause_s)
    return FeedReport(
        had_turn=True, publications=fed, documents=documents, refused=refused, behind=behind(platform, turn.tenant)
    )


def _empty(platform: Platform, store: HistoryStore, turn: Turn) -> None:
    with platform.db.transaction() as cur:
        history.keep(cur, turn, hold_s=_HOLD_S)
    store.drop_documents()
    try:
        with platform.db.transaction() as cur:
            history.emptied(cur, turn)
    except LeaseLostError:
        # this process hung, and what it dropped may be what another one had stored since
        with platform.db.transaction() as cur:
            history.empty_again(cur, turn.tenant)
        raise


@contextmanager
def _kept(platform: Platform, turn: Turn) -> Iterator[None]:
    """Keep the turn while something takes as long as it takes."""
    done = threading.Event()

    def keep() -> None:
        while not done.wait(_HOLD_S / 3):
            with suppress(TransientError, LeaseLostError), platform.db.transaction() as cur:
                history.keep(cur, turn, hold_s=_HOLD_S)

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _feed_stretch(
    platform: Platform, store: HistoryStore, turn: Turn, after: int, stretch: dict[int, datetime]
) -> tuple[int, int]:
    """Store what some publications changed; how many documents are stored, and how many refused."""
    with _kept(platform, turn):  # one publication may be all persons
        views, verdicts = _rows(reader(platform, turn.tenant, max(stretch)), after)
    persons = pl.concat([views["person_id"], verdicts["person_id"]]).unique().sort()
    digest = _digest(platform.tenant_keys(turn.tenant).index)
    stored = not_stored = 0
    for start in range(0, len(persons), _CHUNK_PERSONS):
        with platform.db.transaction() as cur:
            history.keep(cur, turn, hold_s=_HOLD_S)
        chunk = persons.slice(start, _CHUNK_PERSONS)
        concerned = pl.col("person_id").is_in(chunk.implode())
        made = changes(
            views.filter(concerned).to_dicts(),
            verdicts.filter(concerned).to_dicts(),
            store.before(chunk.to_list(), after),
            published=stretch,
            digest=digest,
        )
        refused = store.write(made)
        _note(platform, turn.tenant, made, refused)
        not_stored += len(refused)
        stored += len(made.versions) + len(made.events) + len(made.persons) - len(refused)
    return stored, not_stored


def _rows(opened: TenantReader, after: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that publications after one added: of the view, and the verdicts with what approvals are called."""
    views, verdicts, approvals = (opened.added(table, after).collect() for table in _TABLES)
    key = ["person_id", "trial", "cohort", "_seq"]
    titles = approvals.filter(~pl.col("deleted")).select(*key, "trial_title", "cohort_title", "trial_version")
    return views, verdicts.join(titles, on=key, how="left")


def _digest(index_key: bytes) -> Callable[[Mapping[str, Any]], str]:
    def digest(row: Mapping[str, Any]) -> str:
        content = {name: value for name, value in row.items() if name != "_seq"}
        return mac(index_key, "history view", json.dumps(content, sort_keys=True, default=str)).hex()

    return digest


def _note(platform: Platform, tenant: str, made: Changes, refused: list[Refused]) -> None:
    """Enter the documents that were refused, and take out those persons' that have been stored now."""
    with platform.db.transaction() as cur:
        history.clear_refused(cur, tenant, PERSON, _ids(made.persons))
        history.note_refused(cur, tenant, refused)


def _ids(documents: list[Document]) -> list[str]:
    return [document["_id"] for document in documents]
