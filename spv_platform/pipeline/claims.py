"""Holding a batch: the claim of a run, its heartbeat, and what becomes of the batch when the work fails."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spv_platform import faults
from spv_platform.errors import LeaseLostError, PermanentError, TransientError
from spv_platform.ledger import batches, leases, tenants
from spv_platform.ledger.batches import Claim
from spv_platform.ledger.heartbeat import Heartbeat
from spv_platform.ledger.leases import Token
from spv_platform.pipeline.platform import Platform
from spv_platform.reasons import REASONS

if TYPE_CHECKING:
    import polars as pl

    from spv_platform.pipeline.prepared import Prepared

log = logging.getLogger(__name__)

#: First pause before a batch that failed for a passing reason is tried again; doubles with each attempt.
BACK_OFF_S = 1.0
#: The longest: a batch goes on so soon after a store that was away has come back.
BACK_OFF_MOST_S = 20.0
#: Between tries to tell a PostgreSQL that is away that a batch is given back.
_AGAIN_S = 0.5
#: How long a run waits for the tenant's publish lease before it gives the batch back.
PUBLISH_LEASE_PATIENCE_S = 600.0


@dataclass
class Holding:
    """A batch that this process works on. The heartbeat goes on between the steps of a run."""

    claim: Claim
    heartbeat: Heartbeat
    token: Token | None = None
    #: The staged rows between their gate and the fold.
    staged: "dict[str, pl.DataFrame] | None" = None
    prepared: "Prepared | None" = None
    #: The candidates whose views have passed their gate.
    judged: "Prepared | None" = None

    def check(self) -> None:
        """Raise `LeaseLostError` if another worker has taken over."""
        self.heartbeat.check()


_holdings: dict[str, Holding] = {}


@contextmanager
def hold(platform: Platform, run_id: str, tenant: str, batch_id: str | None) -> Iterator[Holding | None]:
    """Work on the run's batch: the one named, else the one the run has, else what waits for the tenant.

    Yields None when there is nothing to do: nothing waits, or the batch is already published or set aside.

    Whatever fails inside decides the batch's fate: a permanent failure sets it aside, anything else gives it back for
    another attempt after a pause; a store that was away costs it none of its attempts. The error goes on to the caller,
    an `OSError` as a `TransientError`. A removal of the tenant, which sets its batches aside, shows as a
    `PermanentError` with `tenant_removed`.
    """
    holding = _holdings.get(run_id) or _claim(platform, run_id, tenant, batch_id)
    if holding is None:
        yield None
        return
    _holdings[run_id] = holding
    try:
        holding.check()
        yield holding
    except LeaseLostError:
        _give_back(platform, holding, counts=False)  # only the publish lease may be lost, and the batch still ours
        let_go(platform, run_id)
        with platform.db.transaction() as cur:
            tenants.check_active(cur, holding.claim.tenant)
        raise
    except PermanentError as error:
        with suppress(LeaseLostError):  # then whoever has the batch now decides about it
            set_aside(platform, run_id, error.reason, error.details)
        raise
    except (TransientError, OSError) as error:
        _give_back(platform, holding, counts=False)
        let_go(platform, run_id)
        if isinstance(error, TransientError):
            raise
        # Polars raises what the store's client met as it is.
        raise TransientError("store_unavailable", type(error).__name__) from error
    except Exception:  # whatever it is, the batch must not be stuck until its lease runs out
        _give_back(platform, holding, counts=True)
        let_go(platform, run_id)
        raise


def let_go(platform: Platform, run_id: str) -> None:
    """Stop the heartbeat of the run's batch and free the publish lease, if it is ours."""
    holding = _holdings.pop(run_id, None)
    if holding is None:
        return
    holding.heartbeat.stop()
    if holding.token is None:
        return
    try:
        with platform.db.transaction() as cur:
            leases.release(cur, holding.token)
    except TransientError:  # after a commit nothing may fail any more, and the lease runs out by itself
        log.warning("the publish lease of batch %s could not be freed", holding.claim.batch_id)


def set_aside(platform: Platform, run_id: str, reason: str, details: Mapping[str, Any] | None = None) -> None:
    """Set the run's batch aside with a reason code; a person decides what becomes of it.

    A reason of an object or an entry that ends a whole batch is a defect of the platform: `internal_error`.
    """
    holding = _holdings.get(run_id)
    if holding is None:
        return
    try:
        with platform.db.transaction() as cur:
            known = reason if REASONS[reason].level == "batch" else "internal_error"
            batches.set_aside(cur, holding.claim, known, details)
    finally:
        let_go(platform, run_id)


def take_publish_lease(platform: Platform, holding: Holding) -> Token:
    """Wait for the tenant's publish lease; the heartbeat keeps it from then on.

    Raises:
        LeaseLostError: the batch is no longer ours.
        TransientError: the lease was not free in time.
    """
    claim = holding.claim
    holder = f"{claim.batch_id}:{claim.attempt}"
    deadline = time.monotonic() + PUBLISH_LEASE_PATIENCE_S
    while True:
        holding.check()
        with platform.db.transaction() as cur:
            token = leases.acquire(cur, claim.tenant, holder, platform.settings.lease_s)
        if token:
            holding.token = token
            holding.heartbeat.keep(token)
            return token
        if time.monotonic() > deadline:
            raise TransientError("store_unavailable", "publish lease")
        time.sleep(0.05)


def _claim(platform: Platform, run_id: str, tenant: str, batch_id: str | None) -> Holding | None:
    settings = platform.settings
    with platform.db.transaction() as cur:
        claim = batches.claim_of_run(cur, run_id)
        if claim is None and batch_id:
            claim = batches.claim(cur, batch_id, run_id, settings.lease_s)
        elif claim is None:
            claim = batches.claim_waiting(
                cur,
                tenant,
                run_id,
                settings.lease_s,
                max_objects=settings.batch_max_objects,
                max_bytes=settings.batch_max_bytes,
                retry_after_s=settings.lease_s,
            )
    if claim is None:
        return None
    faults.point("after_claim")
    heartbeat = Heartbeat(platform.db, claim, settings.lease_s)
    heartbeat.start()
    return Holding(claim, heartbeat)


def _give_back(platform: Platform, holding: Holding, *, counts: bool) -> None:
    claim, most = holding.claim, platform.settings.max_attempts
    pause_s = min(BACK_OFF_S * 2 ** min(claim.attempt - 1, 16), BACK_OFF_MOST_S)
    # a PostgreSQL that is away may be back before the lease runs out, which would count as a failure of the batch
    until = time.monotonic() + platform.settings.lease_s
    while True:
        try:
            with platform.db.transaction() as cur:
                batches.release(cur, claim, pause_s, max_attempts=most, counts=counts)
            return
        except LeaseLostError:  # whoever has it now decides about it
            return
        except Exception as error:  # the first error matters more; the lease frees the batch in any case
            if isinstance(error, TransientError) and time.monotonic() < until:
                time.sleep(_AGAIN_S)
                continue
            log.warning("batch %s could not be given back: %s", claim.batch_id, type(error).__name__)
            return
