"""Who looked at what, or changed it by hand."""

from spv_platform.ledger.db import Cursor


def write(cur: Cursor, who: str, action: str, tenant: str | None, what: str) -> None:
    """Enter one act, in the transaction of the act itself.

    Args:
        cur: the transaction.
        who: the acting user.
        action: for example `resource.show`.
        tenant: whose data; None for acts on the whole installation.
        what: the thing, named without personal data.
    """
    cur.execute(
        "INSERT INTO ops.audit (who, action, tenant, what) VALUES (%s, %s, %s, %s)", (who, action, tenant, what)
    )
