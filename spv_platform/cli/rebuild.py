"""`spv rebuild`: a tenant's view, made anew from its tables."""

import getpass
from dataclasses import asdict

import click

from spv_platform.cli import echo_json, json_option
from spv_platform.cli.common import open_platform


@click.command()
@click.option("--tenant", required=True, help="Whose view.")
@click.option("--yes", is_flag=True, help="Do it; without it, only what it would read is said.")
@json_option
def rebuild(tenant: str, yes: bool, as_json: bool) -> None:
    """Make a tenant's view and approvals anew from every resource version that was ever published.

    For states that were damaged, or a view that the tables do not explain. It becomes a batch that waits for its turn
    like any other, and one publication: readers see the old view until then, and nobody is told anything twice. An
    undamaged view comes out as it was.
    """
    from spv_platform.pipeline.upkeep.rebuild import ask

    asked = ask(open_platform(), tenant, dry_run=not yes, who=getpass.getuser())
    if as_json:
        echo_json(asdict(asked) | {"dry_run": not yes})
        return
    what = f"{asked.versions} resource versions, for {asked.records} records of {asked.persons} persons"
    if asked.batch is None:
        click.echo(f"would read {what}; --yes does it")
        return
    click.echo(f"batch {asked.batch} reads {what}: follow it with `spv batch show {asked.batch}`")
