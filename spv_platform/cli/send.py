"""`spv send`: seals files as a sender would, and lands them."""

import dataclasses
from pathlib import Path

import click

from spv_platform.cli import echo_json, json_option
from spv_platform.cli.common import open_platform, progress


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--tenant", required=True, help="Whose files they are.")
@click.option("--feed", default="emr", show_default=True, help="The source system they come from.")
@click.option(
    "--compression",
    type=click.Choice(["zstd", "gzip", "none"]),
    default="zstd",
    show_default=True,
    help="How the content is packed before it is sealed.",
)
@json_option
def send(files: tuple[Path, ...], tenant: str, feed: str, compression: str, as_json: bool) -> None:
    """Seal FILES with the tenant's key and land them.

    FHIR R4 Bundles (.json) and NDJSON (.ndjson), plain or gzip. Long NDJSON lands in parts, each an object of its own.
    The running platform picks them up by itself; follow them with `spv ledger`.

    \b
    Example:
      spv send bundle.json export.ndjson.gz --tenant north
    """
    from spv_platform.pipeline.landing import send as sender

    platform = open_platform()
    platform.tenant_keys(tenant)
    with progress("sealing and landing", len(files), quiet=as_json) as advance:
        for file in files:
            for plain, content_type in sender.read_parts(file):
                landed = sender.send(
                    platform, str(file), plain, content_type, tenant=tenant, feed=feed, compression=compression
                )
                if as_json:
                    echo_json(dataclasses.asdict(landed))
                else:
                    click.echo(f"{file.name} -> {landed.object}")
            advance()
