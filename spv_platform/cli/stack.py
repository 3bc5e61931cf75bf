"""`spv up`, `spv down`, `spv status`: the platform on the embedded stack."""

import dataclasses
from pathlib import Path

import click

from spv_platform.cli import echo_json, json_option
from spv_platform.settings import home_folder

home_option = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    default=home_folder,
    show_default="$SPV_HOME, else .spv",
    help="The folder of the installation.",
)


@click.command()
@home_option
@click.option("--dagster/--no-dagster", default=True, help="Start Dagster too, or the stores only.")
@json_option
def up(home: Path, dagster: bool, as_json: bool) -> None:
    """Start the platform on this host, to stay.

    Starts an S3 store, PostgreSQL, a MongoDB-compatible store and Dagster, each as a process of its own on the
    loopback address, and prints the address of the web UI. Everything is kept in the home folder, which no other user
    can read. Called again, it starts what does not run.

    Point it at servers of your own by the environment, and the embedded ones are not started:

    \b
      SPV_S3_ENDPOINT, SPV_S3_ACCESS_KEY_ID, SPV_S3_SECRET_ACCESS_KEY
      SPV_POSTGRES_URL
      SPV_MONGO_URL
    """
    from spv_platform.local import stack

    said: list[str] = []

    def progress(text: str) -> None:
        said.append(text)
        if not as_json:
            click.echo(f"  {text}", err=True)

    settings = stack.start(home, dagster=dagster, progress=progress)
    address = f"http://127.0.0.1:{settings.webserver_port}" if dagster else ""
    if as_json:
        echo_json({"home": str(settings.home), "started": bool(said), "address": address})
        return
    head = "The platform is up" if said else "The platform was up already"
    click.echo(f"{head}: {address}" if address else f"{head}.")


@click.command()
@home_option
@json_option
def down(home: Path, as_json: bool) -> None:
    """Stop the platform on this host. The data stays, and `spv up` goes on from there."""
    from spv_platform.local import stack

    stopped = stack.stop(home)
    if as_json:
        echo_json({"home": str(home.resolve()), "stopped": stopped})
        return
    click.echo(f"Stopped: {', '.join(stopped)}." if stopped else f"Nothing ran in {home.resolve()}.")


@click.command()
@home_option
@json_option
def status(home: Path, as_json: bool) -> None:
    """Show which services run, where, and as which process. Exits with 1 if one of them has ended by itself."""
    from spv_platform.local import stack

    services = stack.status(home)
    for service in services:
        if as_json:
            echo_json(dataclasses.asdict(service))
            continue
        columns = f"{service.name:<12} {service.state:<8} {service.pid or '':<8} {service.address} {service.detail}"
        click.echo(columns.rstrip())
    if any(service.state == "failed" for service in services):
        raise click.exceptions.Exit(1)
