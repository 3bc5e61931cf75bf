"""`spv bench`: the benchmarks of a source checkout."""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from spv_platform.cli import echo_json, json_option
from spv_platform.cli.common import emit_rows
from spv_platform.errors import UsageError

PACKAGE = "benchmarks"


class Benchmarks(click.Group):
    """A group whose commands are the modules of the checkout's package `benchmarks`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the benchmarks; none in an installation without them, so that the help still works."""
        return list(_known()) if _checkout() else []

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Import a benchmark.

        Raises:
            UsageError: there is none of that name, or this is no source checkout.
        """
        known = _known()
        if cmd_name not in known:
            raise UsageError(f"no benchmark {cmd_name!r}: there are {', '.join(known)}")
        return _command(cmd_name, _import(f"{PACKAGE}.{cmd_name}"))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of the benchmarks without importing them."""
        if _checkout():
            with formatter.section("Benchmarks"):
                formatter.write_dl(list(_known().items()))


@click.group(cls=Benchmarks, invoke_without_command=True)
@json_option
@click.pass_context
def bench(ctx: click.Context, as_json: bool) -> None:
    """Measure what the README states, on servers of its own and invented data; alone, list what there is to measure.

    Runs from a source checkout. `spv bench NAME --help` says more about each. Takes minutes; the figures mean something
    only on a machine that does nothing else.
    """
    if ctx.invoked_subcommand is None:
        rows = [{"benchmark": name, "measures": sentence} for name, sentence in _known().items()]
        emit_rows(rows, as_json, "there is nothing to measure")


def _command(name: str, module: ModuleType) -> click.Command:
    def run(as_json: bool, **options: Any) -> None:
        def say(text: str) -> None:
            click.echo(f"  {text}", err=True)

        rows = []
        for figure in module.measure(say, **options):
            row = figure.row()
            if as_json:
                echo_json(row)
            rows.append(row | {"peers": _in_words(row["peers"])})
        if not as_json:
            emit_rows(rows, as_json=False, empty="nothing was measured")

    return json_option(click.Command(name, params=list(module.OPTIONS), callback=run, help=module.__doc__))


def _in_words(peers: dict[str, float]) -> str:
    return "; ".join(f"{name}: {value:g}" for name, value in peers.items())


def _known() -> dict[str, str]:
    return _import(PACKAGE).BENCHMARKS


def _import(name: str) -> ModuleType:
    root = _checkout()
    if root is None:
        raise UsageError("the benchmarks are not part of an installed package: run `spv bench` of a source checkout")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return importlib.import_module(name)


def _checkout() -> Path | None:
    """The folder of the source checkout that this package is imported from."""
    root = Path(__file__).parents[2]
    return root if (root / "pyproject.toml").is_file() and (root / PACKAGE / "__init__.py").is_file() else None
