"""`spv quarantine`: what was set aside, why, and trying it again; `spv reprocess`: the same for what was not."""

import getpass
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from spv_platform.cli import echo_json, json_option
from spv_platform.cli.common import emit_rows, open_platform

_STATES = ("open", "replayed", "discarded", "all")
_LEVELS = ("object", "entry", "field")
_TIME = click.DateTime(["%Y-%m-%dT%H:%M:%S%z"])
_dry_run = click.option("--dry-run", is_flag=True, help="Only say what would be done.")


@click.group()
def quarantine() -> None:
    """What was set aside: objects that cannot be opened, and entries that break the contract. No data is shown.

    An entry that one field of it breaks is set aside whole, at the field's pointer: the level `field`.

    An item is named `object-N` or `entry-N`. It waits until it is replayed (tried again, when its cause is mended) or
    discarded (taken for settled); nothing is ever deleted.
    """


@quarantine.command(name="list")
@click.option("--tenant", help="Only this tenant's.")
@click.option("--feed", help="Only this feed's.")
@click.option("--reason", help="Only of this reason code.")
@click.option("--level", type=click.Choice(_LEVELS), help="Objects, entries as such, or fields of entries.")
@click.option("--state", type=click.Choice(_STATES), default="open", show_default=True, help="In this state.")
@json_option
def list_(
    tenant: str | None, feed: str | None, reason: str | None, level: str | None, state: str, as_json: bool
) -> None:
    """List what was set aside: place, reason, what to do."""
    from spv_platform.ledger import quarantine as items

    with open_platform().db.transaction() as cur:
        asked = None if state == "all" else state
        found = items.items(cur, tenant, feed=feed, reason=reason, level=level, state=asked)
    emit_rows([_explained(row) for row in found], as_json, "nothing is in quarantine")


@quarantine.command()
@click.argument("item")
@json_option
def show(item: str, as_json: bool) -> None:
    """Show one item: the object version and the place in it, the reason, and the contract that refused it."""
    from spv_platform.fhir.contract import CONTRACT_VERSION
    from spv_platform.ledger import quarantine as items

    with open_platform().db.transaction() as cur:
        (row,) = items.items(cur, name=item)
    row = _explained(row) | {"contract_now": CONTRACT_VERSION}
    if as_json:
        echo_json(row)
        return
    emit_rows([{"field": name, "value": value} for name, value in row.items() if value is not None], as_json, "")


@quarantine.command()
@click.argument("item", required=False)
@click.option("--tenant", help="All that is open of this tenant.")
@click.option("--feed", help="All that is open of this feed.")
@click.option("--reason", help="All that is open of this reason code.")
@click.option("--since", type=_TIME, help="All that is open and was set aside from then on (with zone).")
@click.option("--contract", default="current", show_default=True, help="The contract's version to try it under.")
@_dry_run
@json_option
def replay(
    item: str | None,
    tenant: str | None,
    feed: str | None,
    reason: str | None,
    since: datetime | None,
    contract: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Try ITEM again, or all open items of a tenant, feed, reason or time.

    The whole object is opened again under the contract in force, with its old place in the order of landing. What is
    there already changes nothing; what still breaks the contract is set aside again. An installation has one version
    of the contract: asked for another, nothing is done.
    """
    from spv_platform.pipeline.upkeep.reprocess import replay as replay_

    if not any((item, tenant, feed, reason, since)):
        raise click.UsageError("Name an ITEM, or --tenant, --feed, --reason or --since.")
    report = replay_(
        open_platform(),
        item=item,
        tenant=tenant,
        feed=feed,
        reason=reason,
        since=since,
        contract=contract,
        dry_run=dry_run,
        who=getpass.getuser(),
    )
    _say(asdict(report), dry_run, as_json)


@quarantine.command()
@click.argument("item")
@json_option
def discard(item: str, as_json: bool) -> None:
    """Take ITEM for settled: nobody waits for it any more. It stays where it landed, and is counted. Audited."""
    from spv_platform.pipeline.upkeep.reprocess import discard as discard_

    done = discard_(open_platform(), item, who=getpass.getuser())
    if as_json:
        echo_json({"item": item, "discarded": done})
        return
    click.echo(f"{item} is discarded" if done else f"{item} was not open: nothing is changed")


@click.command()
@click.option("--tenant", required=True, help="Whose objects.")
@click.option("--feed", help="Only this feed's.")
@click.option("--since", type=_TIME, help="Landed from then on (with zone).")
@click.option("--until", type=_TIME, help="Landed before (with zone).")
@click.option("--yes", is_flag=True, help="Do it; without it, only what would be done is said.")
@json_option
def reprocess(
    tenant: str, feed: str | None, since: datetime | None, until: datetime | None, yes: bool, as_json: bool
) -> None:
    """Have objects that were processed opened, checked and staged again, under the contract in force.

    For a contract or a projection that was corrected. Objects keep their place in the order of landing, so doing it
    twice changes nothing. They become ordinary batches, formed in turn with those of other tenants.
    """
    from spv_platform.ledger.replays import Stretch
    from spv_platform.pipeline.upkeep.reprocess import reprocess as reprocess_

    stretch = Stretch(tenant, feed, since, until)
    report = reprocess_(open_platform(), stretch, dry_run=not yes, who=getpass.getuser())
    _say(asdict(report), not yes, as_json)


def _explained(row: dict[str, Any]) -> dict[str, Any]:
    from spv_platform.reasons import REASONS

    known = REASONS[row["reason"]]
    shown = {"item": row["item"], "level": row["level"], "tenant": row["tenant"], "feed": row["feed"]}
    shown |= {"object": f"{row['key']}@{row['version']}", "entry": row["entry"], "pointer": row["pointer"]}
    shown |= {name: row[name] for name in ("reason", "state", "contract", "attempt", "at")}
    return shown | {"meaning": known.meaning, "next_step": known.next_step}


def _say(report: dict[str, Any], dry_run: bool, as_json: bool) -> None:
    if as_json:
        echo_json(report | {"dry_run": dry_run})
        return
    would = "would wait again" if dry_run else "wait again"
    left = f"; {report['left']} are on their way or settled, and left alone" if report["left"] else ""
    was = f" (refused under {report['refused_under']})" if report["refused_under"] else ""
    click.echo(f"{report['objects']} objects ({report['bytes']} bytes) {would}, under {report['contract']}{was}{left}")
