"""`spv ledger` and `spv quarantine`: what became of every object, and what was set aside."""

import click

from spv_platform.cli import json_option
from spv_platform.cli.common import emit_rows, open_platform


@click.command()
@click.option("--tenant", help="Only this tenant's objects.")
@click.option("--state", help="Only objects in this state.")
@json_option
def ledger(tenant: str | None, state: str | None, as_json: bool) -> None:
    """What became of every object that landed, with counts that must balance.

    \b
    entries = accepted + tombstones + duplicates + superseded + quarantined
    """
    from spv_platform.ledger import objects

    with open_platform().db.transaction() as cur:
        rows = objects.ledger_rows(cur, tenant)
    rows = [row for row in rows if state is None or row["state"] == state]
    emit_rows(rows, as_json, "no object has landed yet: `spv send FILE --tenant T` lands one")


@click.group()
def quarantine() -> None:
    """What was set aside, and why."""


@quarantine.command(name="list")
@click.option("--tenant", help="Only this tenant's.")
@json_option
def list_(tenant: str | None, as_json: bool) -> None:
    """List quarantined objects and entries: place, reason, what to do. No data of the entry is shown."""
    from spv_platform.ledger import objects
    from spv_platform.ledger import quarantine as entries
    from spv_platform.reasons import REASONS

    with open_platform().db.transaction() as cur:
        whole = [row for row in objects.ledger_rows(cur, tenant) if row["state"] == "quarantined"]
        parts = entries.list_entries(cur, tenant)
    rows = [
        {"level": "object", "tenant": row["tenant"], "object": row["object"], "entry": None, "pointer": None}
        | {"reason": row["reason"]}
        for row in whole
    ]
    rows += [
        {"level": "entry", "tenant": row["tenant"], "object": row["object"], "entry": row["entry"]}
        | {"pointer": row["pointer"], "reason": row["reason"]}
        for row in parts
    ]
    for row in rows:
        known = REASONS.get(str(row["reason"]))
        row["meaning"] = known.meaning if known else None
        row["next_step"] = known.next_step if known else None
    emit_rows(rows, as_json, "nothing is in quarantine")
