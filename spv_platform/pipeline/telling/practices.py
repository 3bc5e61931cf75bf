"""Practices: adding, changing and removing them, and trying whether a receiver can be reached."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from spv_platform.envelope.keys import open_state, seal_state
from spv_platform.errors import UsageError
from spv_platform.ledger import audit, outbox, practices, tenants
from spv_platform.ledger.practices import Practice
from spv_platform.notify.message import DIGEST, TEST, body
from spv_platform.notify.post import Outcome, check_url, post
from spv_platform.notify.routing import check_organization
from spv_platform.notify.signing import new_secret
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.telling.news import route_unrouted


@dataclass(frozen=True)
class Added:
    """What adding a practice came to.

    Attributes:
        secret: a new one, to be handed to the receiver; None if the practice keeps the one it has.
        routed: news that was unrouted and is the practice's now.
    """

    practice: str
    secret: str | None
    routed: int


def add_practice(
    platform: Platform,
    tenant: str,
    practice: str,
    url: str,
    organizations: Sequence[str],
    *,
    fresh_secret: bool = False,
    who: str,
) -> Added:
    """Add a practice, or change the address and organisations of one; a disabled one is told again.

    What had waited for it is told in one digest if the tenant is live, else in the digest at the end of the first load.

    Raises:
        UsageError: a name, the URL or an organisation is unusable, or another practice has the organisation.
    """
    tenants.check_name("practice", practice)
    check_url(url)
    if not organizations:
        raise UsageError(f"practice {practice}: name the organizations it stands for, with --organization")
    for organization in organizations:
        check_organization(organization)
    with platform.db.transaction() as cur:
        practices.lock(cur, tenant)
        known = {item.practice: item for item in practices.practices(cur, tenant)}.get(practice)
        secret = new_secret() if known is None or fresh_secret else None
        sealed = _seal(platform, tenant, practice, secret) if secret else known.secret if known else b""
        names = list(dict.fromkeys(organizations))
        practices.put(cur, tenant, Practice(practice, url, names, sealed))
        routed = route_unrouted(platform, cur, tenant)
        if outbox.is_live(cur, tenant):
            outbox.gather(cur, tenant, DIGEST, practice)
        audit.write(cur, who, "practice add", tenant, f"{practice} for {len(names)} organizations")
    return Added(practice, secret, routed)


def remove_practice(platform: Platform, tenant: str, practice: str, *, who: str) -> None:
    """Forget a practice and its secret; what it was not told goes to whoever else stands for the organisations.

    Raises:
        UsageError: there is none.
    """
    with platform.db.transaction() as cur:
        practices.lock(cur, tenant)
        practices.remove(cur, tenant, practice)
        outbox.unroute(cur, tenant, practice)
        route_unrouted(platform, cur, tenant)
        audit.write(cur, who, "practice remove", tenant, practice)


def try_practice(platform: Platform, tenant: str, practice: str) -> Outcome:
    """Post a signed message of type `practice.test`, once.

    Raises:
        UsageError: there is no such practice.
    """
    with platform.db.transaction() as cur:
        known = {item.practice: item for item in practices.practices(cur, tenant)}.get(practice)
    if known is None:
        raise UsageError(f"tenant {tenant} has no practice {practice!r}: see `spv practice list --tenant {tenant}`")
    settings, message_id = platform.settings, str(uuid.uuid4())
    return post(
        known.url,
        open_secret(platform, tenant, practice, known.secret),
        message_id,
        body(TEST, message_id, datetime.now(UTC), settings.notification_link),
        connect_s=settings.webhook_connect_s,
        total_s=settings.webhook_total_s,
    )


def practice_list(platform: Platform, tenant: str | None) -> list[dict[str, Any]]:
    """Practices for display, of one tenant or of all."""
    with platform.db.transaction() as cur:
        return practices.practice_rows(cur, [tenant] if tenant else tenants.tenants(cur))


def open_secret(platform: Platform, tenant: str, practice: str, sealed: bytes) -> str:
    """A practice's secret.

    Raises:
        PermanentError: the tenant's key does not open it.
    """
    return open_state(platform.tenant_keys(tenant).state, sealed, _context(practice)).decode()


def _seal(platform: Platform, tenant: str, practice: str, secret: str) -> bytes:
    return seal_state(platform.tenant_keys(tenant).state, secret.encode(), _context(practice))


def _context(practice: str) -> bytes:
    return f"webhook secret of {practice}".encode()
