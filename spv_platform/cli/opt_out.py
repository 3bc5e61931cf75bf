"""`spv opt-out`: the practice's list of patients who take no part in trial matching."""

from pathlib import Path

import click

from spv_platform.cli.common import open_platform


@click.command(name="opt-out")
@click.argument("action", type=click.Choice(["add", "remove"]))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--tenant", required=True, help="Whose patients they are.")
def opt_out(action: str, file: Path, tenant: str) -> None:
    """Add to, or remove from, the list of patients who opted out of trial matching.

    FILE has one identifier SYSTEM|VALUE per line. The list is kept as keyed hashes; every patient of the tenant is
    matched again. (A FHIR Consent that denies research counts too, without this list.)
    """
    import getpass

    from spv_platform.pipeline.opting_out import change_list

    changed = change_list(open_platform(), tenant, file, action, who=getpass.getuser())
    click.echo(f"{changed} identifiers {'added' if action == 'add' else 'removed'}; the tenant is matched again")
