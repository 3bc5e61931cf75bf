"""Measuring: the real thing, small. No test says how long anything takes."""

import json
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from benchmarks import bare
from benchmarks.figures import cores
from benchmarks.fill import fill
from benchmarks.homes import fresh_home, run_measured
from spv_platform import cli
from spv_platform.errors import UsageError
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.reading import reader
from spv_platform.pipeline.setup import prepare_home
from spv_platform.settings import Settings


def test_the_peak_is_that_of_the_process_and_not_of_who_started_it(tmp_path: Path) -> None:
    held = bytearray(b"x" * 300_000_000)
    small = run_measured(["-c", "pass"], tmp_path)
    large = run_measured(["-c", "held = bytearray(b'x' * 100_000_000)"], tmp_path)
    assert len(held) == 300_000_000
    assert small.peak_mb < 100 <= large.peak_mb < 250


def test_a_process_that_fails_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="failed: ValueError: out of order"):
        run_measured(["-c", "raise ValueError('out of order')"], tmp_path)


def test_what_it_watches_is_called_while_the_process_runs(tmp_path: Path) -> None:
    looks: list[int] = []
    run_measured(["-c", "import os; print(os.environ['SPV_HOME'])"], tmp_path, lambda: looks.append(1))
    assert looks


def test_a_home_is_gone_afterwards_whatever_happened() -> None:
    homes = []

    def fail() -> None:
        with fresh_home() as home:
            homes.append(home)
            (home / "file").touch()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not homes[0].exists()


def test_the_peer_of_the_latency_can_be_loaded() -> None:
    dg.Definitions.validate_loadable(bare.defs)


def test_filling_publishes_rows_of_persons_whom_the_platform_knows(settings: Settings) -> None:
    prepare_home(settings)
    platform = Platform(settings)
    fill(platform, "north", 600, seed=1)
    published = reader(platform, "north")
    assert published.count("observation") == 600
    assert published.count("patient_view") == 3
    with platform.db.transaction() as cur:
        cur.execute("SELECT count(*) FROM ops.record_state WHERE has_patient")
        assert cur.fetchone() == (3,)


@pytest.mark.slow
def test_ingest_prints_one_well_formed_line_a_figure() -> None:
    result = CliRunner().invoke(cli.spv, ["bench", "ingest", "--mb", "1", "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert all(line["value"] >= 0 and line["cores"] == cores() for line in lines)
    first, *others = lines
    assert first["figure"] == "ingest: landed to published, workers: 1"
    assert first["unit"] == "MB/s"
    assert first["peak_mb"] > 0
    assert list(first["peers"]) == ["fhir.resources alone", "orjson alone", "msgspec, split only"]
    assert {line["unit"] for line in others} == {"s", "MB/s"}


@pytest.mark.slow
def test_discovery_prints_looks_and_sweeps_beside_a_listing_of_the_whole_bucket() -> None:
    result = CliRunner().invoke(cli.spv, ["bench", "discovery", "--objects", "1100", "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert all(line["value"] > 0 and line["unit"] == "s" for line in lines)
    *looks, entering, knowing = lines
    assert all(list(line["peers"]) == ["list the whole bucket"] for line in [*looks, knowing])
    assert entering["figure"].startswith("discovery: sweep that enters all")
    assert knowing["peak_mb"] > 0


@pytest.mark.slow
def test_latency_prints_every_statistic_of_every_lake() -> None:
    arguments = ["bench", "latency", "--rows", "0", "--rows", "2000", "--drops", "1", "--json"]
    result = CliRunner().invoke(cli.spv, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    whole = [line for line in lines if line["figure"].startswith("latency: landed to approved")]
    assert len(whole) == 8
    assert all(line["value"] > 0 and line["peak_mb"] > 0 and len(line["peers"]) == 2 for line in whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "figures"),
    [(["load", "--minutes", "0.2", "--mb", "2"], 7), (["recovery", "--times", "1"], 4)],
)
def test_what_is_measured_with_the_whole_platform_prints_a_line_a_figure(arguments: list[str], figures: int) -> None:
    result = CliRunner().invoke(cli.spv, ["bench", *arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(lines) == figures
    assert all(line["value"] >= 0 and line["peers"] and line["cores"] == cores() for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "figures"),
    [
        (
            ["large", "--entries", "100", "--mb", "2"],
            ["large: a Bundle of 100 entries", "large: an NDJSON export of 2 MB"],
        ),
        (
            ["publish", "--rows", "1000", "--batches", "1"],
            ["publish: one batch of one patient into 1000 rows, p50 of 1"],
        ),
    ],
)
def test_what_is_measured_by_one_worker_prints_a_line_a_figure(arguments: list[str], figures: list[str]) -> None:
    result = CliRunner().invoke(cli.spv, ["bench", *arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["figure"] for line in lines] == figures
    assert all(line["value"] > 0 for line in lines)
