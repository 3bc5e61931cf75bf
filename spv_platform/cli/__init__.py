"""The command `spv`.

What belongs here: the group, which command lives in which module, and how errors reach a person. The commands are in
the modules of this package, one file per subject, and are loaded when they are called, so that `spv --help` is fast.
"""

import importlib
import json
import signal
import sys
from types import FrameType
from typing import Any

import click

from spv_platform import __version__
from spv_platform.errors import SpvError, UsageError
from spv_platform.reasons import REASONS

#: Command -> (where it is, what `spv --help` says about it). In the order of the help.
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("spv_platform.cli.stack:up", "Start the platform on this host, to stay."),
    "down": ("spv_platform.cli.stack:down", "Stop the platform on this host; the data stays."),
    "status": ("spv_platform.cli.stack:status", "Show which services run, and where."),
    "demo": ("spv_platform.cli.demo:demo", "See the main job done on sample files, on servers of its own."),
    "send": ("spv_platform.cli.send:send", "Seal files as a sender would, and land them."),
    "tenant": ("spv_platform.cli.tenant:tenant", "Add, list and remove tenants, their feeds and contracts."),
    "ledger": ("spv_platform.cli.ledger:ledger", "Show what became of every object that landed."),
    "batch": ("spv_platform.cli.batch:batch", "Show batches that are set aside, and decide about them."),
    "quarantine": ("spv_platform.cli.quarantine:quarantine", "Show what was set aside, try it again, or settle it."),
    "reprocess": ("spv_platform.cli.quarantine:reprocess", "Have processed objects opened and checked again."),
    "sweep": ("spv_platform.cli.sweep:sweep", "Hold the landing bucket against the ledger."),
    "rebuild": ("spv_platform.cli.rebuild:rebuild", "Make a tenant's view anew from its tables."),
    "retain": ("spv_platform.cli.retain:retain", "Delete what is kept for a while only, as every night."),
    "tables": ("spv_platform.cli.tables:tables", "List the published tables, or print rows of one."),
    "patient": ("spv_platform.cli.patient:patient", "Show a person, their view, and what the trials make of them."),
    "resource": ("spv_platform.cli.resource:resource", "Show the body of one resource, from its sealed object."),
    "trials": ("spv_platform.cli.trials:trials", "Check and put trial criteria and registry studies."),
    "practice": ("spv_platform.cli.practice:practice", "Add, list, remove and test practices that are told."),
    "notifications": ("spv_platform.cli.notifications:notifications", "Show what practices were told, and what waits."),
    "history": ("spv_platform.cli.history:history", "Show, search and rebuild the history in MongoDB."),
    "analytics": ("spv_platform.cli.analytics:analytics", "Build the tables for analysts, and print their key."),
    "opt-out": ("spv_platform.cli.opt_out:opt_out", "Change the list of patients who opted out of matching."),
    "dr": ("spv_platform.cli.dr:dr", "Export a replica, and prove that all can be rebuilt from one."),
    "docs": ("spv_platform.cli.docs:docs", "Print pages of the documentation that are made from the code."),
    "bench": ("spv_platform.cli.bench:bench", "Measure what the README states."),
}

#: Errors of the clients of outside systems, by the name of their package: nothing that the user did wrong, and no
#: defect either, so no traceback.
_OUTSIDE = {
    "psycopg2": "PostgreSQL",
    "sqlalchemy": "PostgreSQL",
    "botocore": "the S3 store",
    "boto3": "the S3 store",
    "pymongo": "MongoDB",
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def __init__(self, *args: Any, lazy: dict[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands, in the order in which they were given."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None if there is none of that name."""
        if cmd_name not in self._lazy:
            return None
        module, _, attribute = self._lazy[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self._lazy[cmd_name][0]} is no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence) for name, (_, sentence) in self._lazy.items()])


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="`spv COMMAND --help` says more about each. SPV_HOME names the folder of the installation, .spv if not set.",
)
@click.version_option(__version__, prog_name="spv")
def spv() -> None:
    """Turn sealed EMR files into one current view of each patient, and find the trials that each qualifies for.

    \b
    Start here:
      spv up        starts everything on this host and prints the address of the web UI
      spv status    shows what runs
      spv down      stops it; the data stays
    """


def main() -> None:
    """Run the command line, and exit: 0 on success, 1 on failure, 2 on wrong use, 130 when interrupted."""
    # Both end a command in good order, which stops the servers that it has started. A shell starts what runs in the
    # background with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        sys.exit(spv.main(standalone_mode=False) or 0)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.Abort:
        _fail("interrupted", 130)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "spv"
        _fail(f"{error.format_message()} Try `{command} --help`.", error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except UsageError as error:
        _fail(str(error))
    except SpvError as error:
        _fail(_explained(error))
    except Exception as error:  # a client's error becomes one line; everything else keeps its traceback
        system = _OUTSIDE.get(type(error).__module__.partition(".")[0])
        if system is None:
            raise
        # Not the error's text: clients put statements and values into it.
        _fail(f"{system} did not do what was asked ({type(error).__name__}): look at `spv status` and its address")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def echo_json(value: Any) -> None:
    """Print one value as one line of JSON."""
    click.echo(json.dumps(value, default=str))


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")


def _explained(error: SpvError) -> str:
    reason = REASONS.get(error.reason)
    return f"{error}: {reason.meaning} {reason.next_step}" if reason else str(error)


def _fail(text: str, code: int = 1) -> None:
    click.echo(f"spv: {' '.join(text.split())}", err=True)
    sys.exit(code)
