"""`spv retain`: delete what nothing will ask for again."""

import os
from pathlib import Path

import click

from spv_platform.cli import echo_json, json_option
from spv_platform.cli.common import emit_rows, open_platform
from spv_platform.errors import UsageError


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option("--whole", is_flag=True, help="List the whole lake for files of abandoned attempts; takes longer.")
@json_option
def retain(dry_run: bool, whole: bool, as_json: bool) -> None:
    """Delete old runs and their output, files of abandoned attempts, and compacted files that were replaced.

    How long each is kept is a setting, see docs/operating.md. Published rows are never deleted. The platform does this
    every night.
    """
    platform = open_platform()
    folder = os.environ.get("DAGSTER_HOME") or str(platform.settings.home / "dagster")
    if not (Path(folder) / "dagster.yaml").is_file():
        raise UsageError(f"{folder} has no dagster.yaml: run `spv up` first, or set DAGSTER_HOME")
    os.environ["DAGSTER_HOME"] = folder
    from dagster import DagsterInstance

    from spv_platform.resources.old_runs import retain_all

    def say(part: str) -> None:
        if not as_json:
            click.echo(f"looking at {part}", err=True)

    with DagsterInstance.get() as instance:
        report = retain_all(platform, instance, dry_run=dry_run, whole=whole, progress=say)
    if as_json:
        echo_json(report)
    else:
        emit_rows([{"field": name, "value": value} for name, value in report.items()], as_json, "")
    if report["failed_tenants"]:
        raise UsageError(f"some tenants were left out ({report['failed_tenants']}): run `spv retain` again")
