"""From published rows to documents: what changed for a person, given what the history knows already.

Pure: no server, no keys. A document leaves here with its `sealed` part and its `identifier_keys` in plain; the store
encrypts both before anything is sent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from spv_platform.lake.describe import DerivedColumn, Phi
from spv_platform.view.tables import COLUMNS, FACT

Document = dict[str, Any]

#: Fields of a fact that only the client can read: ids of other systems, and text that somebody wrote.
SEALED_FACT_FIELDS = ("resource_id", "value_text")
#: The person's enterprise id is the document's own.
DIRECT = tuple(column.name for column in COLUMNS if column.phi is Phi.DIRECT)
CLEAR: tuple[DerivedColumn, ...] = tuple(
    column for column in COLUMNS if column.phi is not Phi.DIRECT and column.name != "person_id"
)


def is_facts(column: DerivedColumn) -> bool:
    """Whether a column is a list of facts."""
    inner = column.dtype.inner if isinstance(column.dtype, pl.List) else None
    return isinstance(inner, pl.Struct) and {name for name, _ in inner} >= set(FACT)


_FACT_COLUMNS = tuple(column.name for column in CLEAR if is_facts(column))


@dataclass(frozen=True)
class Before:
    """What the history knows of some persons before the publications at hand.

    Attributes:
        digests: of the newest version of each person's view.
        approvals: per person, (trial, cohort) -> (status, publication) of the newest event.
    """

    digests: Mapping[str, str]
    approvals: Mapping[str, Mapping[tuple[str, str], tuple[str, int]]]


@dataclass(frozen=True)
class Changes:
    """New documents, by collection."""

    versions: list[Document] = field(default_factory=list)
    events: list[Document] = field(default_factory=list)
    persons: list[Document] = field(default_factory=list)


def changes(
    views: Sequence[Mapping[str, Any]],
    verdicts: Sequence[Mapping[str, Any]],
    before: Before,
    *,
    published: Mapping[int, datetime],
    digest: Callable[[Mapping[str, Any]], str],
) -> Changes:
    """The documents that rows of some publications add.

    A row that says what the history knows already adds nothing: a re-match writes every person again.

    Args:
        views: rows of `patient_view` with tombstones, of whole persons.
        verdicts: rows of `cohort_verdict` with tombstones, of the same persons, with the titles of approvals.
        before: what is known of them up to the first of these publications.
        published: time of each publication.
        digest: keyed hash of a view, since a plain one would confirm guesses of what it holds.
    """
    made = Changes()
    by_person: dict[str, tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]] = {}
    for place, rows in enumerate((views, verdicts)):
        for row in sorted(rows, key=lambda row: row["_seq"]):
            by_person.setdefault(row["person_id"], ([], []))[place].append(row)
    for person_id, (its_views, its_verdicts) in sorted(by_person.items()):
        known = before.digests.get(person_id)
        changed = 0
        for row in its_views:
            now = digest(row)
            if now == known:
                continue
            known, changed = now, row["_seq"]
            made.versions.append({"_id": f"{person_id}/{row['_seq']}", "person_id": person_id, **_view(row, now)})
            made.versions[-1]["published_at"] = published[row["_seq"]]
        approvals = dict(before.approvals.get(person_id, {}))
        for row in its_verdicts:
            event = _event(row, approvals, published)
            if event:
                approvals[row["trial"], row["cohort"]] = (event["status"], row["_seq"])
                made.events.append(event)
                changed = max(changed, row["_seq"])
        if changed and its_views:
            made.persons.append(_person(its_views[-1], str(known), changed, approvals, published[changed]))
    return made


def _person(
    row: Mapping[str, Any],
    digest: str,
    changed: int,
    approvals: Mapping[tuple[str, str], tuple[str, int]],
    at: datetime,
) -> Document:
    document = {"_id": row["person_id"], **_view(row, digest), "seq": changed, "published_at": at}
    document["approvals"] = [
        {"trial": trial, "cohort": cohort, "since_seq": seq}
        for (trial, cohort), (status, seq) in sorted(approvals.items())
        if status == "approved"
    ]
    return document


def _view(row: Mapping[str, Any], digest: str) -> Document:
    """The parts of a document that come from the view. One who is no person any more keeps only the fact of it."""
    head = {"seq": row["_seq"], "digest": digest, "retired": bool(row["deleted"])}
    if row["deleted"]:
        return head
    clear: Document = {}
    texts: dict[str, list[Document]] = {}
    for column in CLEAR:
        value = row[column.name]
        if value is None or value == []:
            continue
        if column.name in _FACT_COLUMNS:
            clear[column.name] = [_filled(fact, SEALED_FACT_FIELDS) for fact in value]
            texts[column.name] = [_filled({name: fact[name] for name in SEALED_FACT_FIELDS}) for fact in value]
        else:
            clear[column.name] = value
    direct = {name: row[name] for name in DIRECT if row[name] is not None}
    return {
        **head,
        **clear,
        "sealed": {"direct": direct, "facts": texts},
        "identifier_keys": identifier_keys(row["identifiers"]),
    }


def identifier_keys(identifiers: Sequence[Mapping[str, Any]] | None) -> list[str]:
    """What a person is found by: `system|value` of each business identifier, once."""
    found = {f"{item['system'] or ''}|{item['value']}" for item in identifiers or () if item["value"]}
    return sorted(found)


def unsealed(document: Document) -> Document:
    """A document as its view was: the opened `sealed` part back in its places."""
    kept = {name: value for name, value in document.items() if name not in ("sealed", "identifier_keys")}
    sealed = document.get("sealed")
    if not sealed:
        return kept
    for column, texts in sealed["facts"].items():
        kept[column] = [{**fact, **text} for fact, text in zip(kept[column], texts, strict=True)]
    return {**kept, **sealed["direct"]}


def _event(
    row: Mapping[str, Any], known: Mapping[tuple[str, str], tuple[str, int]], published: Mapping[int, datetime]
) -> Document | None:
    """What a verdict changes: an approval given or withdrawn; None if it changes nothing."""
    status, _ = known.get((row["trial"], row["cohort"]), ("withdrawn", 0))
    now = "approved" if row["approved"] and not row["deleted"] else "withdrawn"
    if now == status:
        return None
    told = ("trial_title", "cohort_title", "trial_version", "verdict", "reasons", "missing")
    return {
        "_id": f"{row['person_id']}/{row['trial']}/{row['cohort']}/{row['_seq']}",
        "person_id": row["person_id"],
        "trial": row["trial"],
        "cohort": row["cohort"],
        "status": now,
        "seq": row["_seq"],
        "published_at": published[row["_seq"]],
        **_filled({"as_of": row["as_of"].isoformat() if row["as_of"] else None}),
        **_filled({name: row[name] for name in told}),
    }


def _filled(values: Mapping[str, Any], without: Sequence[str] = ()) -> Document:
    return {name: value for name, value in values.items() if name not in without and value is not None and value != []}
