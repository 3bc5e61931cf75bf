"""`spv practice`: who is told about approvals, and where."""

import click

from spv_platform.cli import echo_json, json_option
from spv_platform.cli.common import emit_rows, open_platform
from spv_platform.errors import UsageError

TENANT = click.option("--tenant", required=True, help="Whose patients it treats.")


@click.group()
def practice() -> None:
    """Practices that are told, by webhook, when a patient they treated is approved for a trial."""


@practice.command()
@click.argument("name")
@TENANT
@click.option("--url", required=True, help="Where messages are posted: https, or http on this host.")
@click.option(
    "--organization",
    "organizations",
    multiple=True,
    required=True,
    metavar="[FEED/]Organization/ID",
    help="What the practice is called in encounters. May be repeated; with a feed, that feed's only.",
)
@click.option("--new-secret", is_flag=True, help="Give a practice that is there a new secret.")
@json_option
def add(name: str, tenant: str, url: str, organizations: tuple[str, ...], new_secret: bool, as_json: bool) -> None:
    """Add a practice, or change the URL and organizations of one. Prints the secret once.

    Messages follow the Standard Webhooks specification: the receiver verifies them with the secret, and takes each
    webhook-id once, since a message may come more than once. They hold an id and a link, nothing about the patient.

    A practice that answered 410 and was disabled is told again. News that no practice stood for is told in one digest.

    \b
    Example:
      spv practice add lakeside --tenant north --url https://lakeside.example.org/hooks --organization Organization/77
    """
    import dataclasses
    import getpass

    from spv_platform.pipeline.telling.practices import add_practice

    done = add_practice(
        open_platform(), tenant, name, url, organizations, fresh_secret=new_secret, who=getpass.getuser()
    )
    if as_json:
        echo_json({"tenant": tenant, **dataclasses.asdict(done)})
        return
    click.echo(f"practice {name} is told from now on; {done.routed} notifications had waited for it")
    if done.secret:
        click.echo(f"secret, shown this once: {done.secret}")


@practice.command(name="list")
@click.option("--tenant", help="Of one tenant only.")
@json_option
def list_(tenant: str | None, as_json: bool) -> None:
    """List practices: where, for which organizations, and what was delivered, waits and is dead."""
    from spv_platform.pipeline.telling.practices import practice_list

    rows = practice_list(open_platform(), tenant)
    if not as_json:
        rows = [row | {"organizations": ", ".join(row["organizations"])} for row in rows]
    emit_rows(rows, as_json, "there is no practice yet: `spv practice add NAME` adds one")


@practice.command()
@click.argument("name")
@TENANT
def remove(name: str, tenant: str) -> None:
    """Tell a practice no more, and forget its secret.

    What it was not told is unrouted then, unless another practice stands for the same organizations.
    """
    import getpass

    from spv_platform.pipeline.telling.practices import remove_practice

    remove_practice(open_platform(), tenant, name, who=getpass.getuser())
    click.echo(f"practice {name} is removed")


@practice.command()
@click.argument("name")
@TENANT
@json_option
def test(name: str, tenant: str, as_json: bool) -> None:
    """Post one signed message of type practice.test, and say what the receiver answered. Fails unless it is a 2xx."""
    from spv_platform.pipeline.telling.practices import try_practice

    outcome = try_practice(open_platform(), tenant, name)
    if as_json:
        echo_json({"tenant": tenant, "practice": name, "status": outcome.status, "delivered": outcome.delivered})
    if not outcome.delivered:
        raise UsageError(f"practice {name} did not take it: {outcome.status}; look at the receiver and its secret")
    if not as_json:
        click.echo(f"practice {name} took it: {outcome.status}")
