"""What commands share: the platform, progress bars, tables for people or JSON lines."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from spv_platform.cli import echo_json

if TYPE_CHECKING:
    from spv_platform.pipeline.platform import Platform


def open_platform() -> "Platform":
    """The platform of the home that the environment names."""
    from spv_platform.pipeline.platform import Platform
    from spv_platform.settings import load_settings

    return Platform(load_settings())


def emit_rows(rows: Sequence[dict[str, Any]], as_json: bool, empty: str) -> None:
    """Print rows: one JSON object per line, or a table; a sentence when there are none."""
    if as_json:
        for row in rows:
            echo_json(row)
        return
    if not rows:
        click.echo(empty)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0]:
        table.add_column(name, overflow="fold", justify="right" if isinstance(rows[0][name], int | float) else "left")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    # Piped output must not be folded at 80 columns.
    Console(width=None if sys.stdout.isatty() else 250).print(table)


@contextmanager
def progress(title: str, total: int, quiet: bool = False) -> Iterator[Callable[[], None]]:
    """A progress bar on standard error; yields what to call after each piece of work."""
    if quiet or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)
