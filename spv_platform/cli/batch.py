"""`spv batch`: batches that are set aside, why, and what becomes of them."""

import getpass
from typing import Any

import click

from spv_platform.cli import echo_json, json_option
from spv_platform.cli.common import emit_rows, open_platform

_STATES = ("set_aside", "rejected", "formed", "claimed", "staged", "published", "all")


@click.group()
def batch() -> None:
    """Batches: what one run carries. One that is set aside waits here for a decision; the others went on without it.

    A gate that refuses a batch, or a defect, sets it aside. `show` says why, in codes, places and counts. `release`
    tries it again, `reject` ends it for good.
    """


@batch.command(name="list")
@click.option("--tenant", help="Only this tenant's batches.")
@click.option("--state", type=click.Choice(_STATES), default="set_aside", show_default=True, help="In this state.")
@json_option
def list_(tenant: str | None, state: str, as_json: bool) -> None:
    """List batches with reason, what it means, and what to do."""
    from spv_platform.ledger import batches
    from spv_platform.reasons import REASONS

    with open_platform().db.transaction() as cur:
        found = batches.batch_rows(cur, tenant, state=None if state == "all" else state)
    names = ("batch_id", "tenant", "kind", "state", "reason", "attempt", "created_at", "objects", "bytes")
    rows = [{name: row[name] for name in names} for row in found]
    for row in rows:
        known = REASONS.get(str(row["reason"]))
        row["meaning"] = known.meaning if known else None
        row["next_step"] = known.next_step if known and row["state"] == "set_aside" else None
    emit_rows(rows, as_json, "no batch is set aside" if state == "set_aside" else "there is no such batch")


@batch.command()
@click.argument("batch_id", metavar="BATCH")
@json_option
def show(batch_id: str, as_json: bool) -> None:
    """Show a batch: why it was set aside, what each gate said, and its objects. No data is shown."""
    from spv_platform.ledger import decisions, objects

    with open_platform().db.transaction() as cur:
        row = decisions.batch(cur, batch_id)
        items = objects.of_batch(cur, batch_id)
    names = ("seq", "state", "reason", "entries", "accepted", "quarantined")
    shown = [{"object": f"{item.key}@{item.version}"} | {name: getattr(item, name) for name in names} for item in items]
    if as_json:
        echo_json(row | {"objects": shown})
        return
    details = row.pop("details") or {}
    emit_rows([{"field": name, "value": value} for name, value in row.items()], as_json, "")
    if details:
        click.echo("")
        emit_rows(_fallen(details), as_json, "the gate could not be evaluated")
    click.echo("")
    emit_rows(shown, as_json, "the batch has no objects")


@batch.command()
@click.argument("batch_id", metavar="BATCH")
@click.option("--waive", is_flag=True, help="Let it pass the gate that refused it, this once; audited.")
@json_option
def release(batch_id: str, waive: bool, as_json: bool) -> None:
    """Try a batch again that is set aside, from the start and with a fresh count of attempts.

    Without --waive every gate decides anew: release so when the cause is mended, for example a contract's limit. With
    it, what the gate found is accepted for this batch, and the check shows a warning. The gate on approvals cannot be
    waived.
    """
    from spv_platform.pipeline import deciding

    deciding.release(open_platform(), batch_id, waive=waive, who=getpass.getuser())
    _say(batch_id, "released", f"batch {batch_id} is released: the sensor requests its run", as_json, waived=waive)


@batch.command()
@click.argument("batch_id", metavar="BATCH")
@json_option
def reject(batch_id: str, as_json: bool) -> None:
    """End a batch that is set aside, for good.

    Its sealed objects stay where they landed, and in the ledger with the reason; nothing takes them up again. What the
    sender sends anew is a new object.
    """
    from spv_platform.pipeline import deciding

    deciding.reject(open_platform(), batch_id, who=getpass.getuser())
    _say(batch_id, "rejected", f"batch {batch_id} is rejected; see `spv ledger --state rejected`", as_json)


def _say(batch_id: str, decision: str, sentence: str, as_json: bool, **more: Any) -> None:
    if as_json:
        echo_json({"batch": batch_id, "decision": decision, **more})
        return
    click.echo(sentence)


def _fallen(details: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per failed expectation, with the places that make it up."""
    if place := details.get("unevaluable"):
        return [{"gate": details["gate"], "could not be evaluated": place}]
    return [
        {
            "gate": details["gate"],
            "expectation": item["expectation"],
            "column": item["column"],
            "rows": item["unexpected"],
            "places": ", ".join(
                f"{place} {count}" for place, count in details["places"].get(item["column"], {}).items()
            ),
        }
        for item in details.get("failed", [])
    ]
