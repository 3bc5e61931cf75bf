"""`spv bench`: what it lists, what it refuses, and the lines that it prints."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner

from benchmarks import BENCHMARKS
from benchmarks.figures import Figure, percentile
from spv_platform import cli
from spv_platform.cli import bench
from spv_platform.errors import UsageError

KEYS = ["figure", "value", "unit", "cores", "peak_mb", "peers"]


def invoke(*arguments: str) -> list[dict]:
    result = CliRunner().invoke(cli.spv, ["bench", *arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def measure_something(say: object, size: int) -> Iterator[Figure]:
    yield Figure("a", 1234.567 * size, "s", cores=4, peak_mb=99.6, peers={"other": 0.000123456})
    yield Figure("b", 2, "MB/s", cores=4)


@pytest.fixture
def something(monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark `something` that takes no time."""
    option = click.Option(["--size"], type=int, default=1)
    module = SimpleNamespace(OPTIONS=[option], measure=measure_something, __doc__="Measures something.")
    monkeypatch.setitem(BENCHMARKS, "something", "Nothing much.")
    monkeypatch.setitem(sys.modules, "benchmarks.something", module)  # type: ignore[arg-type]


def test_alone_it_lists_the_benchmarks() -> None:
    assert [row["benchmark"] for row in invoke()] == list(BENCHMARKS)
    result = CliRunner().invoke(cli.spv, ["bench"])
    assert result.exit_code == 0
    assert all(name in result.output for name in BENCHMARKS)


def test_every_benchmark_has_help_with_its_options() -> None:
    for name in BENCHMARKS:
        result = CliRunner().invoke(cli.spv, ["bench", name, "--help"])
        assert result.exit_code == 0, result.output
        assert "--json" in result.output
        options = importlib.import_module(f"benchmarks.{name}").OPTIONS
        assert all(option.opts[0] in result.output for option in options)


def test_help_of_the_group_names_every_benchmark() -> None:
    result = CliRunner().invoke(cli.spv, ["bench", "--help"])
    assert all(sentence.split()[0] in result.output for sentence in BENCHMARKS.values())


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=f"no benchmark 'speed': there are {', '.join(BENCHMARKS)}"):
        CliRunner().invoke(cli.spv, ["bench", "speed"], catch_exceptions=False)


def test_a_helper_module_is_no_benchmark() -> None:
    with pytest.raises(UsageError, match="no benchmark 'generate'"):
        CliRunner().invoke(cli.spv, ["bench", "generate"], catch_exceptions=False)


@pytest.mark.parametrize("arguments", [[], ["ingest"]])
def test_outside_a_checkout_it_says_so(arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bench, "__file__", str(tmp_path / "site-packages" / "spv_platform" / "cli" / "bench.py"))
    with pytest.raises(UsageError, match="source checkout"):
        CliRunner().invoke(cli.spv, ["bench", *arguments], catch_exceptions=False)
    assert CliRunner().invoke(cli.spv, ["bench", "--help"]).exit_code == 0


@pytest.mark.usefixtures("something")
def test_json_is_one_object_a_line_with_four_digits_that_count() -> None:
    first, second = invoke("something", "--size", "2")
    assert list(first) == list(second) == KEYS
    assert first == {
        "figure": "a",
        "value": 2469.0,
        "unit": "s",
        "cores": 4,
        "peak_mb": 100,
        "peers": {"other": 0.0001235},
    }
    assert second["peak_mb"] is None


@pytest.mark.usefixtures("something")
def test_without_json_it_prints_a_table() -> None:
    result = CliRunner().invoke(cli.spv, ["bench", "something"])
    assert result.exit_code == 0
    assert "other: 0.0001235" in result.output
    with pytest.raises(json.JSONDecodeError):
        json.loads(result.output.splitlines()[0])


def test_a_figure_says_how_many_cores_there_are() -> None:
    assert Figure("a", 1, "s").row()["cores"] >= 1


def test_a_percentile_is_a_measured_value() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(values, share) for share in (0.2, 0.5, 0.95, 1.0)] == [1.0, 3.0, 5.0, 5.0]
    assert percentile([7.0], 0.5) == 7.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)
