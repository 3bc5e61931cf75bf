"""The heartbeat: a thread that keeps a claim, and the publish lease once it is held, while the work goes on."""

import threading
from types import TracebackType

from spv_platform.errors import LeaseLostError, TransientError
from spv_platform.ledger import claims, leases
from spv_platform.ledger.claims import Claim
from spv_platform.ledger.db import Cursor, Database
from spv_platform.ledger.leases import Token


class Heartbeat:
    """Renews until it is stopped or the lease is lost; `check` tells the worker which.

    A database that is away is tried again at the next beat: whether the lease survived is decided there.

    Args:
        db: the ledger's database.
        claim: the batch to keep.
        lease_s: how long each renewal holds.
        interval_s: time between two beats; a third of the lease by default.
    """

    def __init__(self, db: Database, claim: Claim, lease_s: float, *, interval_s: float | None = None) -> None:
        self._db, self._claim, self._lease_s = db, claim, lease_s
        self._interval_s = interval_s or lease_s / 3
        self._token: Token | None = None
        self._failure: Exception | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"heartbeat-{claim.batch_id}", daemon=True)

    @property
    def lost(self) -> bool:
        """Whether another worker has taken over."""
        return isinstance(self._failure, LeaseLostError)

    def start(self) -> None:
        """Begin; once only."""
        self._thread.start()

    def keep(self, token: Token) -> None:
        """Keep the publish lease too."""
        self._token = token

    def check(self) -> None:
        """Raise what ended the heartbeat: `LeaseLostError` when another worker has taken over."""
        if self._failure:
            raise self._failure

    def stop(self) -> None:
        """End after the beat that is under way."""
        self._stopped.set()
        self._thread.join()

    def __enter__(self) -> "Heartbeat":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval_s):
            try:
                self._beat()
            except TransientError:
                continue
            except Exception as error:  # a thread has nobody to raise to: `check` does it in the worker
                self._failure = error
                return

    def _beat(self) -> None:
        token = self._token
        with self._db.transaction() as cur:
            self._do_not_wait(cur)
            claims.renew(cur, self._claim, self._lease_s)
        if token:
            with self._db.transaction() as cur:
                self._do_not_wait(cur)
                leases.renew(cur, token, self._lease_s)

    def _do_not_wait(self, cur: Cursor) -> None:
        # The worker's own commit locks the rows; a beat that waited for it could not be stopped by that worker.
        cur.execute("SELECT set_config('lock_timeout', %s, true)", (f"{max(1, int(self._interval_s * 1000))}ms",))
