"""`spv demo`: the main job, on sample files of our own making and on servers of its own."""

import shutil
import tempfile
from pathlib import Path

import click

from spv_platform.cli import echo_json, json_option
from spv_platform.cli.common import emit_rows


@click.command()
@click.option("--keep", is_flag=True, help="Leave the platform running, and print where its web UI is.")
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="A new folder for the installation; a temporary one if not given.",
)
@json_option
def demo(keep: bool, home: Path | None, as_json: bool) -> None:
    """See the whole job done: sealed files land, and patients who qualify for a trial come out.

    Starts the servers in a fresh folder, lands three days of sealed files of invented patients for two tenants, lets
    the Dagster daemon and its sensors do the work, prints what came out and why, and stops. Exit code 0 only if
    persons, approvals and notifications are exactly what the sample's own truth says.
    """
    from spv_platform.errors import UsageError
    from spv_platform.local import stack
    from spv_platform.sample.show import run_demo

    if home and home.exists() and any(home.iterdir()):
        raise UsageError(f"{home} is not empty: name a new folder")
    place = home or Path(tempfile.mkdtemp(prefix="spv-demo-"))

    def say(text: str) -> None:
        if not as_json:
            click.echo(f"  {text}", err=True)

    outcome = None
    try:
        settings = stack.start(place, progress=say)
        outcome = run_demo(settings, say)
    finally:
        if not (keep and outcome):
            say("stopping")
            stack.stop(place)
    # Kept after a failure: an error names a log in it.
    if home is None and not keep:
        shutil.rmtree(place, ignore_errors=True)
    if as_json:
        echo_json(outcome.summary)
    else:
        emit_rows(outcome.rows, as_json=False, empty="nothing came out")
        click.echo("")
        for line in outcome.lines:
            click.echo(line)
        click.echo(f"Seconds from landing to approval, median: {outcome.summary['seconds_landed_to_approved_p50']}")
        if keep:
            click.echo(f"The platform is up: http://127.0.0.1:{settings.webserver_port}")
            click.echo(
                "Look at: Lineage; Catalog > approved_patients > Overview > Plots; decrypted_fhir > Checks; Runs."
            )
            click.echo(f"Try: SPV_HOME={place} spv tables    Stop it with: spv down --home {place}")
    if outcome.differences:
        raise UsageError(f"not what is expected: {'; '.join(outcome.differences)}")
