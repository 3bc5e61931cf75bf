"""`spv trials`: criteria files and registry studies."""

import getpass
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spv_platform.cli import echo_json, json_option
from spv_platform.cli.common import emit_rows, open_platform
from spv_platform.errors import UsageError

if TYPE_CHECKING:
    from spv_platform.trials.model import Trial

FILES = click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))


@click.group()
def trials() -> None:
    """Trial criteria (one YAML file per trial) and ClinicalTrials.gov studies (API v2 JSON)."""


@trials.command()
@FILES
@json_option
def lint(files: tuple[Path, ...], as_json: bool) -> None:
    """Check criteria FILES (YAML, or CTML) before they go anywhere. Exit code 1 if a file cannot be used."""
    from spv_platform.trials.criteria import CriteriaError
    from spv_platform.trials.lint import lint as remarks

    rows = []
    for file in files:
        try:
            trial, remarks_of_import = _read(file)
            found = [*remarks_of_import, *remarks(trial)]
            rows += [{"file": file.name, "level": "warning", "remark": remark} for remark in found]
        except CriteriaError as error:
            rows.append({"file": file.name, "level": "error", "remark": str(error)})
    emit_rows(rows, as_json, f"{len(files)} files, nothing to remark")
    if any(row["level"] == "error" for row in rows):
        raise SystemExit(1)


class _Several(click.Command):
    """A command whose option --ctml takes all paths up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        of_option = False
        for arg in args:
            if of_option and not arg.startswith("-") and spread[-1] != "--ctml":
                spread.append("--ctml")
            elif arg.startswith("-"):
                of_option = arg == "--ctml"
            spread.append(arg)
        return super().parse_args(ctx, spread)


_PATH = click.Path(exists=True, path_type=Path)


@trials.command(cls=_Several)
@click.option("--ctml", multiple=True, type=_PATH, help="Trials in CTML or YAML, files or folders; several in a row.")
@click.option("--clinical", type=_PATH, help="MatchMiner's clinical records: extended JSON, plain or gzip.")
@click.option("--genomic", type=_PATH, help="MatchMiner's genomic records.")
@click.option("--tenant", help="Match the persons of a tenant's tables instead of records in files.")
@click.option(
    "--as-of", type=click.DateTime(["%Y-%m-%d"]), help="Day on which ages and windows count.  [default: today]"
)
@click.option("--closed-world", is_flag=True, help="Take what is not on record for not so, as MatchMiner does.")
@click.option("--include-deceased", is_flag=True, help="Match those too who are recorded as deceased.")
@click.option("--include-closed", is_flag=True, help="Match closed trials and suspended arms too.")
@click.option("--include-unknown", is_flag=True, help="Tell too who would match if what is not known turned out right.")
@json_option
def match(
    ctml: tuple[Path, ...],
    clinical: Path | None,
    genomic: Path | None,
    tenant: str | None,
    as_of: datetime | None,
    closed_world: bool,
    include_deceased: bool,
    include_closed: bool,
    include_unknown: bool,
    as_json: bool,
) -> None:
    """Try criteria on records in files (--clinical, --genomic), or on the persons of a tenant. Nothing is stored.

    With files, prints one match document a line; with --tenant, one person and cohort that nothing speaks against.
    """
    day = as_of.date() if as_of else None
    if tenant is not None:
        if clinical or genomic or closed_world:
            raise UsageError("--tenant goes with neither --clinical, --genomic nor --closed-world: choose one way")
        rows = _match_tenant(tenant, _trials(ctml), day)
    elif ctml and clinical and genomic:
        flags = {"include_deceased": include_deceased}
        flags |= {"include_closed": include_closed, "include_unknown": include_unknown}
        rows = _match_files(_trials(ctml), clinical, genomic, day or date.today(), closed_world=closed_world, **flags)
    else:
        raise UsageError(
            "give --ctml, --clinical and --genomic to match files, or --tenant to match a tenant's persons"
        )
    if as_json:
        for row in rows:
            echo_json(row)
        return
    shown = [{name: _shown(value) for name, value in row.items() if name != "evidence"} for row in rows]
    emit_rows(shown, as_json, "no match")


def _shown(value: Any) -> Any:
    return " & ".join(map(str, value)) if isinstance(value, list) else value


def _match_files(
    trials_: "list[Trial]", clinical: Path, genomic: Path, day: date, *, closed_world: bool, **flags: bool
) -> Iterator[dict[str, Any]]:
    from spv_platform.trials.matchminer.documents import match_documents
    from spv_platform.trials.matchminer.records import read_records

    return match_documents(trials_, read_records(clinical, genomic), day, closed_world=closed_world, **flags)


def _match_tenant(tenant: str, trials_: "list[Trial]", day: date | None) -> Iterator[dict[str, Any]]:
    from spv_platform.pipeline.trying import try_criteria

    return try_criteria(open_platform(), tenant, trials_, day, who=getpass.getuser())


def _trials(paths: tuple[Path, ...]) -> "list[Trial]":
    """The trials of files and folders; what is wrong with one is said, and the others go on."""
    from spv_platform.trials.criteria import CriteriaError

    found: list[Trial] = []
    for path in paths:
        files = sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES) if path.is_dir() else [path]
        for file in files:
            try:
                trial, remarks = _read(file)
            except CriteriaError as error:
                click.echo(f"left out: {error}", err=True)
                continue
            if trial.trial in {each.trial for each in found}:
                click.echo(f"left out: {file.name}: {trial.trial} came from another file already", err=True)
                continue
            found.append(trial)
            for remark in remarks:
                click.echo(f"note: {remark}", err=True)
    if paths and not found:
        raise UsageError("none of the trials can be used: `spv trials lint FILE` says why")
    return found


_SUFFIXES = (".json", ".yaml", ".yml")


def _read(file: Path) -> "tuple[Trial, list[str]]":
    """A trial in CTML or in the language of the platform, and what could not be taken over."""
    from spv_platform.trials.criteria import CriteriaError, parse_trial
    from spv_platform.trials.matchminer.ctml import parse_ctml

    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise CriteriaError(f"{file.name}: not UTF-8 text: save it as UTF-8") from None
    if "treatment_list" in text:
        imported = parse_ctml(text, file.name)
        return imported.trial, imported.remarks
    return parse_trial(text, file.name), []


@trials.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--to", "form", type=click.Choice(["ctml", "yaml"]), required=True, help="What to write.")
def convert(file: Path, form: str) -> None:
    """Print the trial of FILE (YAML or CTML) in the other form; what cannot be said there is noted."""
    import json

    import yaml

    from spv_platform.trials.criteria import to_document
    from spv_platform.trials.matchminer.exporting import to_ctml

    trial, remarks = _read(file)
    if form == "ctml":
        exported = to_ctml(trial)
        remarks = [*remarks, *exported.remarks]
        click.echo(json.dumps(exported.trial.ctml, indent=1, ensure_ascii=False))
    else:
        click.echo(yaml.safe_dump(to_document(trial), sort_keys=False, allow_unicode=True, width=110))
    for remark in remarks:
        click.echo(f"note: {remark}", err=True)


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


@trials.command()
@click.argument("person")
@click.argument("trial")
@click.option("--tenant", required=True, help="Whose patient it is.")
@click.option("--source", default="emr", show_default=True, help="With Patient/ID: the feed it came by.")
@click.option("--as-of", type=click.DateTime(["%Y-%m-%d"]), help="As it was published at the end of that day (UTC).")
@json_option
def explain(person: str, trial: str, tenant: str, source: str, as_of: datetime | None, as_json: bool) -> None:
    """Say why PERSON (p-…, Patient/ID or SYSTEM|VALUE) does or does not qualify for TRIAL, criterion by criterion.

    Without --as-of it also says when a verdict will change by itself. Shows PHI; the access is audited.
    """
    import polars as pl

    from spv_platform.pipeline.persons import look_up
    from spv_platform.pipeline.trying import changes_ahead
    from spv_platform.trials.explain import ahead
    from spv_platform.trials.explain import explain as sentences

    platform, day = open_platform(), as_of.date() if as_of else None
    found = look_up(platform, tenant, person, source=source, who=getpass.getuser(), as_of=day)
    cohorts, criteria = (rows.filter(pl.col("trial") == trial) for rows in (found.cohorts, found.criteria))
    if cohorts.is_empty():
        raise UsageError(f"nothing is known of {trial} for this person: `spv trials list` shows the trials in force")
    changes = [] if day else changes_ahead(platform, tenant, found.view, trial)
    if as_json:
        later = [{"cohort": each.cohort, "day": each.day, "verdict": each.verdict} for each in changes]
        echo_json({"cohorts": cohorts.to_dicts(), "criteria": criteria.to_dicts(), "changes": later})
        return
    for line in [*sentences(cohorts, criteria), *ahead(changes)]:
        click.echo(line)


@trials.command()
@FILES
@click.option("--tenant", required=True, help="On whose persons to try them.")
@json_option
def whatif(files: tuple[Path, ...], tenant: str, as_json: bool) -> None:
    """Say what would change if the criteria of FILES took the place of those in force. Nothing is stored."""
    from spv_platform.pipeline.trying import compare_criteria

    rows = compare_criteria(open_platform(), tenant, _trials(files), who=getpass.getuser())
    shown = rows if as_json else [{name: _shown(value) for name, value in row.items()} for row in rows]
    emit_rows(shown, as_json, "nothing to compare")


@trials.command(name="next-tests")
@click.option("--tenant", required=True, help="Of whose persons.")
@click.option("--practice", "by_practice", is_flag=True, help="Add up the persons of each practice.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Rows to print.")
@json_option
def next_tests(tenant: str, by_practice: bool, limit: int, as_json: bool) -> None:
    """List who is one test away: which single result could make how many cohorts possible.

    With --practice, which result would do so at each practice: of how many persons, for how many cohorts in all. A
    person belongs to the practice that would be told of an approval.
    """
    from spv_platform.pipeline.trying import next_tests as found

    rows = found(open_platform(), tenant, [], by_practice=by_practice, who=getpass.getuser())[:limit]
    shown = rows if as_json else [{name: _shown(value) for name, value in row.items()} for row in rows]
    emit_rows(shown, as_json, "nobody is one test away")


@trials.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def facts(files: tuple[Path, ...], as_json: bool) -> None:
    """Print the facts that plain FHIR FILES (Bundle JSON or NDJSON, also gzip) state of each patient. Shows PHI."""
    from spv_platform.view.of_file import facts_of_file

    for file in files:
        emit_rows(facts_of_file(file), as_json, f"{file.name}: no fact")


@trials.command()
@click.option("--tenant", required=True, help="Of whose persons.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Rows to print.")
@json_option
def unmapped(tenant: str, limit: int, as_json: bool) -> None:
    """Count what no code table knows: diagnoses, drugs, markers, genes, units. Criteria on them are UNKNOWN.

    By kind and code: of how many facts and persons; what has no code at all has none here. Tells nothing of whom.
    """
    from spv_platform.pipeline.patient_facts import unmapped_codes

    rows = unmapped_codes(open_platform(), tenant).head(limit).to_dicts()
    emit_rows(rows, as_json, "the tables know every code")
