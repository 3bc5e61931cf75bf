"""`spv tenant`: adding tenants with their feeds, listing and removing them."""

import dataclasses
import getpass
from pathlib import Path

import click

from spv_platform.cli import echo_json, json_option
from spv_platform.cli.common import emit_rows, open_platform
from spv_platform.errors import UsageError


@click.group()
def tenant() -> None:
    """Add, list and remove tenants: hospitals and practices, each with keys, a lake and feeds of its own."""


@tenant.command()
@click.argument("name")
@click.option(
    "--feed",
    "feeds",
    multiple=True,
    metavar="FEED[=CONTRACT.yaml]",
    help="A source system of the tenant, with what was agreed about it. May be repeated; `emr` if there is none.",
)
@click.option(
    "--time-zone",
    default="",
    metavar="ZONE",
    help="IANA name, such as America/Chicago: by its days ages and windows count.  [default: as it was, first UTC]",
)
@json_option
def add(name: str, feeds: tuple[str, ...], time_zone: str, as_json: bool) -> None:
    """Add a tenant, add feeds to it, replace contracts, set its time zone, or bring a removed tenant back.

    Its keys are made first. Objects that landed before their tenant or feed was there are taken in now. The partition
    in Dagster follows by itself.

    \b
    A contract file may say (all of it optional):
      max_object_bytes: 104857600   # of one opened object
      max_ratio: 200                # opened bytes per sealed byte
      max_entries: 50000            # of one object
      quarantine_limit: 0.1         # share of quarantined entries of a batch that passes the gate
      content_types: [application/fhir+json]
      layout: "%Y/%m/%d/%H%M%S"     # how objects are named over time, or any
      format: spv

    \b
    Example:
      spv tenant add west --feed emr --feed lab=lab-contract.yaml --time-zone America/Chicago
    """
    from spv_platform.pipeline import tenancy

    names, contracts = [], {}
    for given in feeds:
        feed, with_contract, file = given.partition("=")
        names.append(feed)
        if with_contract:
            contracts[feed] = tenancy.read_contract(Path(file))
    done = tenancy.add_tenant(open_platform(), name, names, contracts, time_zone=time_zone, who=getpass.getuser())
    if as_json:
        echo_json(dataclasses.asdict(done))
        return
    click.echo(f"tenant {name} with feeds {', '.join(done.feeds)}: land its objects under {name}/<feed>/")
    if done.released_batches or done.admitted_objects:
        click.echo(f"{done.released_batches} batches go on, {done.admitted_objects} refused objects wait now")


@tenant.command(name="list")
@json_option
def list_(as_json: bool) -> None:
    """List tenants: state, feeds, and what waits. With --json also the contract of each feed."""
    from spv_platform.pipeline.tenancy import tenant_list

    rows = tenant_list(open_platform())
    if not as_json:
        rows = [row | {"feeds": ", ".join(row["feeds"])} for row in rows]
    emit_rows(rows, as_json, "there is no tenant yet: `spv tenant add NAME` adds one")


@tenant.command()
@click.argument("name")
@click.option("--destroy-keys", is_flag=True, help="Also make everything of the tenant unreadable, for good.")
@click.option("--yes", is_flag=True, help="Destroy keys without asking.")
@json_option
def remove(name: str, destroy_keys: bool, yes: bool, as_json: bool) -> None:
    """Stop working for a tenant. Nothing is lost: `spv tenant add NAME` brings it back.

    Its open batches are set aside, what waits stays in the ledger, what is published can still be read. With
    --destroy-keys nothing of it can be read by anybody again: not its sealed objects, its tables, its persons, its
    history, nor any backup of them that is without the keys folder. Nothing brings that back.
    """
    from spv_platform.pipeline import tenancy

    platform = open_platform()
    if destroy_keys and not yes:
        question = f"Make everything of tenant {name} unreadable, for good?"
        if not click.confirm(question, err=True):
            raise UsageError("nothing was changed")
    who = getpass.getuser()
    done = tenancy.remove_tenant(platform, name, who=who)
    if destroy_keys:
        tenancy.destroy_keys(platform, name, who=who)
    if as_json:
        echo_json({"tenant": name, **done._asdict(), "keys_destroyed": destroy_keys})
        return
    click.echo(f"tenant {name} is removed: {done.set_aside} batches are set aside, {done.waiting} objects wait")
    if destroy_keys:
        click.echo("its keys are destroyed: delete their backups too; what they sealed cannot be read again")
    else:
        click.echo(f"`spv tenant add {name}` brings it back")
