"""`spv ledger`: what became of every object, the story of one, and whether the accounts balance."""

from dataclasses import asdict

import click

from spv_platform.cli import echo_json, json_option
from spv_platform.cli.common import emit_rows, open_platform, progress


@click.group(invoke_without_command=True)
@click.option("--tenant", help="Only this tenant's objects.")
@click.option("--state", help="Only objects in this state.")
@json_option
@click.pass_context
def ledger(context: click.Context, tenant: str | None, state: str | None, as_json: bool) -> None:
    """What became of every object that landed, with counts that must balance.

    \b
    entries = accepted + tombstones + duplicates + superseded + quarantined
    """
    if context.invoked_subcommand:
        return
    from spv_platform.ledger import objects

    with open_platform().db.transaction() as cur:
        rows = objects.ledger_rows(cur, tenant, state=state)
    emit_rows(rows, as_json, "no such object has landed: `spv send FILE --tenant T` lands one")


@ledger.command()
@click.argument("name", metavar="OBJECT")
@json_option
def explain(name: str, as_json: bool) -> None:
    """Tell the story of one object: when it was where, at which attempt, what came of it, and what to do.

    OBJECT is its number, or its key or the end of it, with `@VERSION` where a key was written more than once.
    """
    from spv_platform.ledger import tracing

    with open_platform().db.transaction() as cur:
        story = tracing.trace(cur, tracing.find(cur, name))
    if as_json:
        echo_json(story)
        return
    about = story["object"] | {name: story[name] for name in ("meaning", "next_step", "references_waiting")}
    emit_rows([{"field": field, "value": value} for field, value in about.items() if value is not None], as_json, "")
    steps = [
        step | {"counts": ", ".join(f"{name} {count}" for name, count in (step["counts"] or {}).items())}
        for step in story["steps"]
    ]
    click.echo("\nsteps of its batch")
    emit_rows(steps, as_json, "")
    click.echo("\nfiles")
    emit_rows(story["files"], as_json, "it has no rows in any table")
    if story["problems"]:
        click.echo("\nset aside in it")
        emit_rows(story["problems"], as_json, "")


@ledger.command()
@click.option("--tenant", help="Only this tenant's accounts.")
@click.option("--deep", is_flag=True, help="Read every row's pointer and count distinct entries; takes a while.")
@json_option
def check(tenant: str | None, deep: bool, as_json: bool) -> None:
    """Hold the ledger against what is there: objects, publications, tables, approvals.

    Exit code 1 if an account does not balance.
    """
    from spv_platform.errors import UsageError
    from spv_platform.ledger import tenants
    from spv_platform.pipeline.upkeep.reconcile import reconcile

    platform = open_platform()
    with platform.db.transaction() as cur:
        if tenant:
            tenants.require_tenant(cur, tenant)
        names = [tenant] if tenant else tenants.tenants(cur)
    found = []
    with progress("checking", len(names), as_json) as done:
        for name in names:
            found += reconcile(platform, name, deep=deep)
            done()
    emit_rows([asdict(each) | {"balances": each.balances} for each in found], as_json, "there is no tenant yet")
    wrong = [each for each in found if not each.balances]
    if wrong:
        raise UsageError(
            f"{len(wrong)} of {len(found)} accounts do not balance, first: {wrong[0].account} of {wrong[0].tenant}."
            " Report it with these numbers."
        )
