"""`spv dr`: what to keep in another place, and the proof that everything can be made anew from it."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import click

from spv_platform.cli import echo_json, json_option
from spv_platform.cli.common import emit_rows, open_platform

_folder = click.Path(path_type=Path, file_okay=False)


@click.group()
def dr() -> None:
    """Disaster recovery: export a replica, and rebuild everything from one in an empty home."""


@dr.command()
@click.option("--to", "folder", type=_folder, required=True, help="A new folder.")
@click.option("--with-keys", is_flag=True, help="Copy the key files too. Keep them apart from the rest in earnest.")
@json_option
def export(folder: Path, with_keys: bool, as_json: bool) -> None:
    """Write the sealed objects, the ledger, and hashes of all that is published to a folder.

    The objects stay sealed; what the ledger knows of people are hashes. Batches may go on meanwhile, unless they never
    pause.
    """
    from spv_platform.recovery.replica import copy_keys
    from spv_platform.recovery.replica import export as export_

    platform = open_platform()
    manifest = export_(platform, folder, progress=_say(as_json))
    if with_keys:
        copy_keys(platform, folder)
    counts = {tenant: sum(content.members for content in held.values()) for tenant, held in manifest.contents.items()}
    if as_json:
        echo_json({"folder": str(folder), "exported_at": manifest.exported_at, "rows": counts})
        return
    emit_rows([{"tenant": tenant, "rows": rows} for tenant, rows in counts.items()], as_json, "nothing is published")
    click.echo(f"The replica is in {folder}. Prove it: spv dr drill --from {folder} --to NEW_HOME")


@dr.command()
@click.option("--from", "replica", type=_folder, required=True, help="A replica, as `spv dr export` writes it.")
@click.option("--to", "home", type=_folder, required=True, help="A new folder for the rebuilt installation.")
@click.option("--keys", type=_folder, help="The folder of the key files; the replica's own if not given.")
@click.option("--keep", is_flag=True, help="Leave its servers running.")
@json_option
def drill(replica: Path, home: Path, keys: Path | None, keep: bool, as_json: bool) -> None:
    """Rebuild everything from a replica, compare it with what was there, and measure.

    Starts servers of its own in an empty home, lands the sealed objects, carries their batches, feeds the history, and
    compares hashes of every table, person state, approval and current document. Nobody is notified. Exit code 0 only if
    all of it is equal. Approvals depend on the day (ages, time windows): drill on the day of the export, or
    look closely.
    """
    from spv_platform.errors import UsageError
    from spv_platform.local import stack
    from spv_platform.recovery.drill import drill as drill_

    try:
        report = drill_(replica, home, keys=keys, progress=_say(as_json))
    finally:
        if not keep and (home / "run").exists():
            stack.stop(home)
    if as_json:
        echo_json(
            {name: value for name, value in asdict(report).items() if name != "compared"} | {"equal": report.equal}
        )
    emit_rows([asdict(each) for each in report.compared], as_json, "nothing was published")
    if not as_json:
        point = "no object" if report.rpo_s is None else f"{report.rpo_s:.1f} s"
        click.echo(f"Recovery point (RPO): {point} before the drill. Recovery time (RTO): {report.rto_s:.1f} s.")
    if not report.equal:
        wrong = [f"{each.content} of {each.tenant}" for each in report.compared if not each.equal]
        raise UsageError(f"{len(wrong)} contents are not what they were, first: {wrong[0]}; see {home}")


def _say(as_json: bool) -> Callable[[str], None]:
    last = ""

    def say(text: str) -> None:
        nonlocal last
        if as_json or text == last:
            return
        last = text
        click.echo(f"  {text}", err=True)

    return say
