"""The connection to PostgreSQL: a small pool, transactions, and the schema.

What belongs here: how a transaction starts, ends and fails. What does not: any statement about a table.
"""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from importlib import resources
from typing import Any

import psycopg2
from psycopg2 import extensions

from spv_platform.errors import PermanentError, TransientError
from spv_platform.settings import Settings

Cursor = extensions.cursor

_SCHEMA_LOCK = 0x5370_764F  # any constant that nobody else on the server uses
#: Beside what the driver calls operational: the server ended an idle session, or is read-only after a failover.
_PASSING = ("25P03", "25006")
_BYTES = extensions.new_type((17,), "BYTES", lambda value, cur: _as_bytes(value, cur))
_BYTES_ARRAY = extensions.new_array_type((1001,), "BYTES[]", _BYTES)


class Database:
    """A pool of connections, safe to share between threads; not across a fork.

    A session that stays idle inside a transaction for longer than the lease is ended by the server, so that a worker
    that hangs cannot hold locks for longer than its lease.

    Args:
        settings: for the address and the lease.
        max_connections: most transactions at one time; the next one waits.
    """

    def __init__(self, settings: Settings, *, max_connections: int = 8) -> None:
        self._url = settings.postgres_url
        self._options = f"-c TimeZone=UTC -c idle_in_transaction_session_timeout={max(1, int(settings.lease_s * 1000))}"
        self._slots = threading.BoundedSemaphore(max_connections)
        self._idle: queue.LifoQueue[extensions.connection] = queue.LifoQueue()

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """One transaction (read committed): commits at the end of the block, rolls back on any exception.

        Raises:
            TransientError: `store_unavailable`: no connection, the connection broke, a lock or a deadlock; whether a
                commit that failed so took effect is unknown, so ask the ledger before you repeat it.
            PermanentError: `internal_error`: the server refused a statement; the place is its SQLSTATE.
        """
        with self._slots:
            connection = self._checkout()
            try:
                with connection.cursor() as cur:
                    yield cur
                connection.commit()
            except BaseException as error:
                self._recover(connection)
                if isinstance(error, psycopg2.Error):
                    # `from None`: the server's text quotes values.
                    raise _translate(error) from None
                raise
            self._idle.put(connection)

    def close(self) -> None:
        """Close the idle connections."""
        with suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    def _checkout(self) -> extensions.connection:
        with suppress(queue.Empty):
            return self._idle.get_nowait()
        try:
            connection = psycopg2.connect(
                self._url, options=self._options, connect_timeout=10, application_name="spv_platform"
            )
        except psycopg2.Error as error:
            raise _translate(error) from None
        for kind in (_BYTES, _BYTES_ARRAY):
            extensions.register_type(kind, connection)
        return connection

    def _recover(self, connection: extensions.connection) -> None:
        """Put a connection back after a failure; when it broke, the idle ones probably did too."""
        try:
            connection.rollback()
        except psycopg2.Error:
            connection.close()
        if connection.closed:
            self.close()
            return
        self._idle.put(connection)


def today(cur: Cursor) -> date:
    """The day in UTC by the database's clock, which is one for all hosts."""
    cur.execute("SELECT current_date")
    ((day,),) = cur.fetchall()
    return day


def now_s(cur: Cursor) -> int:
    """Seconds since 1970 by the database's clock."""
    cur.execute("SELECT extract(epoch FROM clock_timestamp())::bigint")
    ((seconds,),) = cur.fetchall()
    return seconds


def rows_as_dicts(cur: Cursor) -> list[dict[str, Any]]:
    """The rows of the last statement by column name, for display."""
    names = [column.name for column in cur.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cur.fetchall()]


def apply_schema(db: Database) -> None:
    """Create what is missing of schema `ops`. May run at the same time in several processes, and again."""
    script = resources.files(__package__).joinpath("schema.sql").read_text()
    with db.transaction() as cur:
        cur.execute("SELECT pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
        cur.execute(script)


def _translate(error: psycopg2.Error) -> PermanentError | TransientError:
    place = f"postgresql {error.pgcode or type(error).__name__}"
    if error.pgcode in _PASSING or isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        return TransientError("store_unavailable", place)
    return PermanentError("internal_error", place)


def _as_bytes(value: str | bytes | None, cur: Cursor) -> bytes | None:
    view = psycopg2.BINARY(value, cur)
    return None if view is None else bytes(view)
