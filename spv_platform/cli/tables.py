"""`spv tables`: what is published, as analysts and the curious see it."""

from typing import TYPE_CHECKING, Any

import click

from spv_platform.cli import echo_json, json_option
from spv_platform.cli.common import emit_rows, open_platform

if TYPE_CHECKING:
    from spv_platform.pipeline.platform import Platform


@click.command()
@click.argument("name", required=False)
@click.option("--tenant", help="Whose tables; needed with NAME when there is more than one tenant with data.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Most rows to print.")
@click.option("--patient", help="With patient_fact: of one person, p-…, Patient/ID or SYSTEM|VALUE.")
@click.option("--source", default="emr", show_default=True, help="With --patient Patient/ID: the feed it came by.")
@click.option("--all", "everything", is_flag=True, help="With NAME: every row and the platform's own columns too.")
@json_option
def tables(
    name: str | None,
    tenant: str | None,
    limit: int,
    patient: str | None,
    source: str,
    everything: bool,
    as_json: bool,
) -> None:
    """List the published tables with their rows, or print the current rows of table NAME.

    Reads what the newest publication pins. The rows hold PHI: mind where they go. patient_fact, one row a fact, is
    stored nowhere: it is made from the sealed states when it is asked for.
    """
    from spv_platform.errors import UsageError
    from spv_platform.ledger import tenants as registry
    from spv_platform.pipeline import reading

    platform = open_platform()
    with platform.db.transaction() as cur:
        if tenant:
            registry.require_tenant(cur, tenant)
        owners = [tenant] if tenant else registry.tenants(cur)
    if name == "patient_fact":
        _patient_facts(platform, owners, patient, source, None if everything else limit, as_json)
        return
    if patient:
        raise UsageError("--patient goes with patient_fact only: `spv patient show` prints a person's view")
    readers = {t: reading.reader(platform, t) for t in owners}
    if name is None:
        rows = [
            {"tenant": t, "table": table, "rows": reader.count(table), "publication": reader.seq}
            for t, reader in readers.items()
            for table in reader.tables()
        ]
        emit_rows(rows, as_json, "nothing is published yet")
        return
    for owner, reader in readers.items():
        if name not in reader.tables():
            continue
        frame = reader.current(name)
        if not everything:
            frame = frame.select([c for c in frame.collect_schema().names() if not c.startswith("_")]).head(limit)
        for row in frame.collect().iter_rows(named=True):
            _print(owner, row, as_json)
    if not any(name in reader.tables() for reader in readers.values()):
        published = sorted({table for reader in readers.values() for table in reader.tables()})
        raise UsageError(f"no published table {name!r}: there are {', '.join(published) or 'none yet'}")


def _patient_facts(
    platform: "Platform", owners: list[str], patient: str | None, source: str, limit: int | None, as_json: bool
) -> None:
    import getpass
    from itertools import chain, islice

    from spv_platform.pipeline.patient_facts import patient_facts

    for owner in owners:
        frames = patient_facts(platform, owner, who=getpass.getuser(), patient=patient, source=source)
        rows = chain.from_iterable(frame.iter_rows(named=True) for frame in frames)
        for row in islice(rows, limit):
            _print(owner, row, as_json)


def _print(owner: str, row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        echo_json({"tenant": owner, **row})
        return
    filled = {k: v for k, v in row.items() if v not in (None, [], "")}
    click.echo(f"{owner}: " + ", ".join(f"{k}={v}" for k, v in filled.items()))
