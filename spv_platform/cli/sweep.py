"""`spv sweep`: the landing bucket against the ledger."""

from dataclasses import asdict

import click

from spv_platform.cli import echo_json, json_option
from spv_platform.cli.common import emit_rows, open_platform


@click.command()
@click.option("--tenant", help="Only this tenant's part of the bucket.")
@click.option("--dry-run", is_flag=True, help="Only report; enter nothing into the ledger.")
@json_option
def sweep(tenant: str | None, dry_run: bool, as_json: bool) -> None:
    """List the whole landing bucket, and enter what the ledger lacks.

    Says what is gone from the bucket, and what has waited how long. The platform does this every hour.
    """
    from spv_platform.pipeline.landing.sweep import sweep as sweep_

    def say(count: int) -> None:
        if not as_json:
            click.echo(f"\r{count} object versions", err=True, nl=False)

    report = asdict(sweep_(open_platform(), tenant=tenant, dry_run=dry_run, progress=say))
    if not as_json:
        click.echo("", err=True)
    ages = report.pop("ages")
    rows = {**report, **ages, "dry_run": dry_run}
    if as_json:
        echo_json(rows)
        return
    emit_rows([{"field": name, "value": value} for name, value in rows.items()], as_json, "")
