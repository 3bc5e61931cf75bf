"""`spv patient`: a person, their view, and what the trials make of them."""

import click

from spv_platform.cli import echo_json, json_option
from spv_platform.cli.common import open_platform


@click.group()
def patient() -> None:
    """Persons: the current view across sources, and what each trial makes of them."""


@patient.command()
@click.argument("person")
@click.option("--tenant", required=True, help="Whose patient it is.")
@click.option("--source", default="emr", show_default=True, help="With Patient/ID: the feed it came by.")
@json_option
def show(person: str, tenant: str, source: str, as_json: bool) -> None:
    """Print the view of PERSON: an enterprise id (p-…), a Patient/ID of a source, or an identifier SYSTEM|VALUE.

    Shows PHI; the access is audited.
    """
    import getpass

    from spv_platform.pipeline.persons import look_up
    from spv_platform.trials.explain import explain as explain_trials
    from spv_platform.view.explain import explain as explain_view

    found = look_up(open_platform(), tenant, person, source=source, who=getpass.getuser())
    if as_json:
        rows = {"cohorts": found.cohorts.to_dicts(), "criteria": found.criteria.to_dicts()}
        echo_json({"tenant": tenant, "view": found.view, **rows})
        return
    for line in [*explain_view(found.view), "", *explain_trials(found.cohorts, found.criteria)]:
        click.echo(line)
