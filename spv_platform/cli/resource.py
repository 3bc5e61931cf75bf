"""`spv resource`: the body of one resource, out of its sealed object."""

import getpass

import click

from spv_platform.cli.common import open_platform


@click.group()
def resource() -> None:
    """Bodies of resources; the tables hold typed columns and a pointer, the sealed object is the master."""


@resource.command()
@click.argument("reference", metavar="TYPE/ID")
@click.option("--tenant", required=True, help="Whose resource it is.")
@click.option("--source", default="emr", show_default=True, help="The feed it came by.")
def show(reference: str, tenant: str, source: str) -> None:
    """Print the body of the current version of TYPE/ID as JSON, as it was sent. The access is audited."""
    from spv_platform.pipeline.bodies import body

    click.echo(body(open_platform(), tenant, source, reference, who=getpass.getuser()))
