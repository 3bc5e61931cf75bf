"""`spv docs`: pages that are made from descriptions in the code."""

import click


@click.group()
def docs() -> None:
    """Print pages of the documentation that are made from the code."""


@docs.command()
def tables() -> None:
    """Print docs/tables.md: every table and column with its meaning and how it may identify a person."""
    from spv_platform.pipeline.dictionary import page

    click.echo(page(), nl=False)


@docs.command(name="reason-codes")
def reason_codes() -> None:
    """Print docs/reason-codes.md: why things are set aside, and what to do about each."""
    from spv_platform.reasons import page

    click.echo(page(), nl=False)


@docs.command()
def contract() -> None:
    """Print docs/contract.md: what every resource must keep to, and where that is stricter than the models."""
    from spv_platform.fhir.rules import page

    click.echo(page(), nl=False)


@docs.command(name="criteria-schema")
def criteria_schema() -> None:
    """Print docs/criteria.schema.json: the criteria language as a JSON Schema, for editors."""
    import json

    from spv_platform.trials.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=1, ensure_ascii=False))
