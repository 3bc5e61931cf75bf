"""Versions of the trial criteria that matching has used; the newest one is in force."""

from typing import Any, NamedTuple

from psycopg2.extras import Json

from spv_platform.ledger.db import Cursor


class CriteriaVersion(NamedTuple):
    """All trials and studies as they stood together; `digest` says what the content is."""

    version: int
    digest: str
    documents: dict[str, Any]


def newest(cur: Cursor) -> CriteriaVersion | None:
    """The version in force; None before the first."""
    cur.execute("SELECT version, digest, documents FROM ops.criteria_version ORDER BY version DESC LIMIT 1")
    row = cur.fetchone()
    return CriteriaVersion(*row) if row else None


def newest_digest(cur: Cursor) -> tuple[int, str] | None:
    """Version and digest of what is in force, without the documents, which are large; None before the first."""
    cur.execute("SELECT version, digest FROM ops.criteria_version ORDER BY version DESC LIMIT 1")
    row = cur.fetchone()
    return (row[0], row[1]) if row else None


def at(cur: Cursor, version: int) -> CriteriaVersion | None:
    """One version."""
    cur.execute("SELECT version, digest, documents FROM ops.criteria_version WHERE version = %s", (version,))
    row = cur.fetchone()
    return CriteriaVersion(*row) if row else None


def lock(cur: Cursor) -> None:
    """Let no one else bring criteria in force until the transaction ends."""
    cur.execute("LOCK TABLE ops.criteria_version IN SHARE ROW EXCLUSIVE MODE")


def read_from(cur: Cursor) -> str | None:
    """The digest of the files that what is in force was read from last; None: not known."""
    cur.execute("SELECT feeds_digest FROM ops.criteria_version ORDER BY version DESC LIMIT 1")
    row = cur.fetchone()
    return row[0] if row else None


def put_version(cur: Cursor, digest: str, documents: dict[str, Any], feeds_digest: str | None = None) -> int:
    """Bring a content in force; what is in force already stays as it is. Going back makes a new version.

    Args:
        cur: the transaction.
        digest: of the content.
        documents: the content.
        feeds_digest: of the files that it was read from.

    Returns:
        The version in force.
    """
    # Two writers at once would otherwise both see the old version and both make a new one.
    lock(cur)
    current = newest(cur)
    if current and current.digest == digest:
        cur.execute(
            "UPDATE ops.criteria_version SET feeds_digest = %s WHERE version = %s AND feeds_digest IS DISTINCT FROM %s",
            (feeds_digest, current.version, feeds_digest),
        )
        return current.version
    cur.execute(
        "INSERT INTO ops.criteria_version (digest, documents, feeds_digest) VALUES (%s, %s, %s) RETURNING version",
        (digest, Json(documents), feeds_digest),
    )
    ((version,),) = cur.fetchall()
    return version
