"""`spv history`: the documents in MongoDB."""

from typing import Any

import click

from spv_platform.cli import echo_json, json_option
from spv_platform.cli.common import emit_rows, open_platform

TENANT = click.option("--tenant", required=True, help="Whose history it is.")


@click.group()
def history() -> None:
    """History of persons and approvals in MongoDB: fed from the publications, behind the pipeline."""


@history.command()
@click.option("--refused", is_flag=True, help="List the documents that MongoDB did not take, and why.")
@json_option
def status(refused: bool, as_json: bool) -> None:
    """Show per tenant how far the history is: the publication that was fed last, and the newest.

    A history that is behind catches up by itself once MongoDB answers. Documents are counted only while it does.
    """
    from spv_platform.ledger import history as ledger
    from spv_platform.pipeline import history as feeding

    platform = open_platform()
    if refused:
        with platform.db.transaction() as cur:
            rows = ledger.refused_rows(cur)
        emit_rows(rows, as_json, "MongoDB has refused no document")
        return
    rows = feeding.status(platform)
    if not as_json:
        rows = [{**row, "documents": _counts(row["documents"])} for row in rows]
    emit_rows(rows, as_json, "there is no tenant yet")


@history.command()
@TENANT
@json_option
def rebuild(tenant: str, as_json: bool) -> None:
    """Make all documents of a tenant anew from its publications.

    Nothing is lost when this is broken off: the next feeding goes on with it.
    """
    import dataclasses
    import getpass

    from spv_platform.pipeline.history import rebuild as build

    report = build(open_platform(), tenant, who=getpass.getuser())
    if as_json:
        echo_json({"tenant": tenant, **dataclasses.asdict(report)})
        return
    click.echo(f"{report.documents} documents from {report.publications} publications, {report.refused} refused")


@history.command()
@click.argument("identifier")
@TENANT
@json_option
def find(identifier: str, tenant: str, as_json: bool) -> None:
    """Print the history of who has, or had, the IDENTIFIER SYSTEM|VALUE.

    MongoDB compares encrypted identifiers; they are opened here. Shows PHI; the access is audited.
    """
    import getpass

    from spv_platform.pipeline.history import find as search

    found = search(open_platform(), tenant, identifier, who=getpass.getuser())
    for item in found:
        if as_json:
            echo_json({"tenant": tenant, **item})
        else:
            _print(item)
    if not found and not as_json:
        click.echo(f"nobody in the history of {tenant} has or had this identifier")


def _print(item: dict[str, Any]) -> None:
    person = item["person"]
    state = "not a person any more" if person.get("retired") else person.get("name", "no name")
    click.echo(f"{person['_id']}: {state}")
    for version in item["versions"]:
        facts = sum(len(value) for value in version.values() if isinstance(value, list))
        what = "not a person any more" if version["retired"] else f"view changed, {facts} entries"
        click.echo(f"  {version['published_at']:%Y-%m-%d %H:%M}  publication {version['seq']}: {what}")
    for event in item["events"]:
        what = f"{event['status']} for {event['trial']} {event['cohort']}"
        why = ", ".join(event.get("reasons", []))
        click.echo(f"  {event['published_at']:%Y-%m-%d %H:%M}  publication {event['seq']}: {what}{why and f' ({why})'}")


def _counts(counts: dict[str, int] | None) -> str:
    if counts is None:
        return "MongoDB does not answer"
    return ", ".join(f"{name} {count}" for name, count in counts.items())
