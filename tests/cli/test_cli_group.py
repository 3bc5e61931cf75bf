"""The command line's frame: lazy commands, help, and errors on one line."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import boto3
import click
import psycopg2
import pytest
from click.testing import CliRunner

from spv_platform import __version__, cli
from spv_platform.errors import PermanentError, UsageError


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Gives the group a command `fail` that raises."""

    def install(error: BaseException) -> None:
        @click.command()
        def fail() -> None:
            raise error

        monkeypatch.setattr(cli, "_test_command", fail, raising=False)
        monkeypatch.setitem(cli.COMMANDS, "fail", ("spv_platform.cli:_test_command", "Fails."))
        monkeypatch.setattr(sys, "argv", ["spv", "fail"])

    return install


def run(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        cli.main()
    code = end.value.code
    assert isinstance(code, int)
    return code, capsys.readouterr().err


def outside_errors() -> list[tuple[BaseException, str]]:
    with pytest.raises(psycopg2.OperationalError) as refused:
        psycopg2.connect("postgresql://u:secret-word@127.0.0.1:1/d")  # pragma: allowlist secret
    client = boto3.client("s3", "us-east-1", aws_access_key_id="a", aws_secret_access_key="secret-word")
    with pytest.raises(Exception, match="Parameter validation failed") as wrong:
        client.get_object(Bucket="b", Key="secret-word", Wrong=1)
    return [(refused.value, "PostgreSQL"), (wrong.value, "the S3 store")]


def test_every_command_loads_and_has_help() -> None:
    for name in cli.COMMANDS:
        result = CliRunner().invoke(cli.spv, [name, "--help"])
        assert result.exit_code == 0, name
        assert "--help" in result.output


def test_help_names_every_command_and_imports_none() -> None:
    code = """
import sys
from spv_platform.cli import main
sys.argv = ["spv", "--help"]
try:
    main()
finally:
    slow = {"boto3", "dagster", "polars", "psutil", "psycopg2", "pymongo", "spv_platform.cli.stack"}
    print("imported:", sorted(slow & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "imported: []" in done.stdout
    assert all(f"  {name} " in done.stdout for name in cli.COMMANDS)


def test_the_version_is_printed() -> None:
    assert __version__ in CliRunner().invoke(cli.spv, ["--version"]).output


def test_a_wrong_request_is_one_line_and_exit_code_1(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(UsageError("no such thing:\n  name another"))
    assert run(capsys) == (1, "spv: no such thing: name another\n")


def test_an_error_of_the_platform_says_what_it_means_and_what_to_do(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(PermanentError("wrong_key", "object 7"))
    code, text = run(capsys)
    assert code == 1
    assert text.startswith("spv: wrong_key at object 7: ")
    assert "Seal and send it again." in text
    assert text.count("\n") == 1


@pytest.mark.parametrize(("error", "system"), outside_errors(), ids=["postgres", "s3"])
def test_an_outside_system_that_fails_is_named_without_its_text(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str], error: BaseException, system: str
) -> None:
    failing(error)
    code, text = run(capsys)
    assert code == 1
    assert text.startswith(f"spv: {system} ")
    assert "secret-word" not in text
    assert text.count("\n") == 1


def test_a_defect_keeps_its_traceback(failing: Callable[[BaseException], None]) -> None:
    failing(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_an_interrupt_ends_with_130(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(KeyboardInterrupt())
    assert run(capsys)[0] == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_command_in_good_order_also_in_the_background(number: int) -> None:
    code = f"""
import os, signal
from spv_platform import cli
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for what it starts in the background
def work(**options):
    try:
        os.kill(os.getpid(), {int(number)})
    finally:
        print("cleared up", flush=True)
cli.spv.main = work
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert done.stdout == b"cleared up\n"
    assert done.returncode != 0


@pytest.mark.parametrize("arguments", [["no-such"], ["up", "--no-such"], ["status", "extra"]])
def test_wrong_use_is_one_line_and_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["spv", *arguments])
    code, text = run(capsys)
    assert code == 2
    assert "--help" in text
    assert text.count("\n") == 1


def test_status_and_down_of_a_home_that_is_none(tmp_path: Path) -> None:
    home = str(tmp_path / "none")
    shown = CliRunner().invoke(cli.spv, ["status", "--home", home, "--json"])
    assert shown.exit_code == 0
    assert {json.loads(line)["state"] for line in shown.output.splitlines()} == {"stopped"}
    ended = CliRunner().invoke(cli.spv, ["down", "--home", home, "--json"])
    assert json.loads(ended.output)["stopped"] == []
