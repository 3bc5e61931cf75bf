"""`spv notifications`: what practices were told, what waits, and why."""

import getpass
from collections import Counter

import click

from spv_platform.cli import echo_json, json_option
from spv_platform.cli.common import emit_rows, open_platform

TENANT = click.option("--tenant", required=True, help="Whose notifications they are.")
STATES = ("delivered", "waiting", "in_digest", "collected", "unrouted", "withdrawn", "disabled", "dead")


@click.group()
def notifications() -> None:
    """Notifications of approvals: one per newly approved person and trial."""


@notifications.command(name="list")
@click.option("--tenant", help="Of one tenant only.")
@click.option("--state", type=click.Choice(STATES), help="In one state only.")
@json_option
def list_(tenant: str | None, state: str | None, as_json: bool) -> None:
    """List notifications, with the practice and how the last attempt went.

    \b
    delivered  the practice's receiver took it
    waiting    it is sent now, or tried again
    in_digest  it is told by a digest that waits
    collected  it is told in one digest when the tenant's first load is worked off
    unrouted   no practice stands for an organization that treated the person recently: see `spv practice add`
    withdrawn  the approval is not in force any more: it is not sent
    disabled   the practice's receiver answered 410: see `spv practice add`
    dead       out of attempts: see `spv notifications retry`
    """
    from spv_platform.pipeline.telling import notifying

    rows = notifying.notifications(open_platform(), tenant)
    rows = [row for row in rows if state in (None, row["state"])]
    emit_rows(rows, as_json, "there is no such notification")
    if rows and not as_json:
        totals = Counter(row["state"] for row in rows)
        click.echo(", ".join(f"{totals[name]} {name}" for name in STATES if totals[name]))


@notifications.command()
@click.argument("event")
@TENANT
@json_option
def show(event: str, tenant: str, as_json: bool) -> None:
    """Say which person and trial an EVENT, its link or a digest stands for. The access is audited."""
    from spv_platform.pipeline.telling import notifying

    rows = notifying.show(open_platform(), tenant, event, who=getpass.getuser())
    if not as_json:
        rows = [row | {"treated_by": ", ".join(row["treated_by"]) or "nobody"} for row in rows]
    emit_rows(rows, as_json, "")


@notifications.command()
@TENANT
@json_option
def send(tenant: str, as_json: bool) -> None:
    """Send what is due now, instead of waiting for the next run."""
    import dataclasses

    from spv_platform.pipeline.telling import notifying

    report = notifying.relay(open_platform(), tenant)
    if as_json:
        echo_json({"tenant": tenant, **dataclasses.asdict(report)})
        return
    click.echo(f"{report.sent} messages sent, {report.failed} attempts failed")


@notifications.command()
@TENANT
def retry(tenant: str) -> None:
    """Let dead messages be tried again, with a fresh count of attempts."""
    from spv_platform.pipeline.telling import notifying

    revived = notifying.revive(open_platform(), tenant, who=getpass.getuser())
    click.echo(f"{revived} messages are tried again")


@notifications.command()
@TENANT
def live(tenant: str) -> None:
    """End the tenant's first load now: one digest for each practice, and from then on each approval by itself."""
    from spv_platform.pipeline.telling import notifying

    ended = notifying.go_live(open_platform(), tenant, who=getpass.getuser())
    click.echo(f"tenant {tenant} is live" if ended else f"tenant {tenant} was live already")
