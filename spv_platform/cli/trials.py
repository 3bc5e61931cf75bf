"""`spv trials`: criteria files and registry studies."""

from pathlib import Path

import click

from spv_platform.cli import json_option
from spv_platform.cli.common import emit_rows, open_platform

FILES = click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))


@click.group()
def trials() -> None:
    """Trial criteria (one YAML file per trial) and ClinicalTrials.gov studies (API v2 JSON)."""


@trials.command()
@FILES
@json_option
def lint(files: tuple[Path, ...], as_json: bool) -> None:
    """Check criteria FILES before they go anywhere. Exit code 1 if a file cannot be used."""
    from spv_platform.trials.criteria import CriteriaError, parse_trial
    from spv_platform.trials.lint import lint as remarks

    rows = []
    for file in files:
        try:
            trial = parse_trial(file.read_text(), file.name)
            rows += [{"file": file.name, "level": "warning", "remark": remark} for remark in remarks(trial)]
        except (CriteriaError, UnicodeDecodeError) as error:
            rows.append({"file": file.name, "level": "error", "remark": str(error)})
    emit_rows(rows, as_json, f"{len(files)} files, nothing to remark")
    if any(row["level"] == "error" for row in rows):
        raise SystemExit(1)


@trials.command()
@FILES
def put(files: tuple[Path, ...]) -> None:
    """Put criteria (.yaml) and registry studies (.json, .json.gz) FILES into the feeds bucket.

    The running platform reads them by itself, and matches every patient again.
    """
    from spv_platform.pipeline.criteria import put_file

    platform = open_platform()
    for file in files:
        click.echo(f"{file.name} -> {put_file(platform, file)}")


@trials.command(name="list")
@json_option
def list_(as_json: bool) -> None:
    """List the cohorts that patients are matched to, and whether they are open."""
    from spv_platform.pipeline.criteria import cohort_rows

    emit_rows(cohort_rows(open_platform()), as_json, "no trial yet: `spv trials put FILE` adds one")
