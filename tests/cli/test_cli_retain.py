"""`spv retain`: what it says and does at the shell."""

import json

import pytest
from click.testing import CliRunner

from spv_platform.cli import spv
from spv_platform.errors import UsageError
from spv_platform.local import orchestrator
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.setup import prepare_home
from spv_platform.settings import Settings, update_settings


@pytest.fixture
def platform(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """A prepared installation that the command opens; there is no Dagster in it yet."""
    prepare_home(settings)
    platform = Platform(settings)
    monkeypatch.setattr("spv_platform.cli.retain.open_platform", lambda: platform)
    monkeypatch.setenv("DAGSTER_HOME", str(settings.home / "dagster"))
    names = ("postgres_url", "mongo_url", "s3_access_key_id", "s3_secret_access_key", "s3_endpoint")
    update_settings(settings.home, {name: getattr(settings, name) for name in names})
    return platform


@pytest.fixture
def with_dagster(platform: Platform) -> Platform:
    (platform.settings.home / "dagster").mkdir(exist_ok=True)
    orchestrator.configure(platform.settings)
    orchestrator.make_tables(platform.settings)
    return platform


@pytest.mark.usefixtures("with_dagster")
def test_it_reports_as_json_and_for_people() -> None:
    result = CliRunner().invoke(spv, ["retain", "--dry-run", "--json"])
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    told = json.loads(line)
    assert (told["runs"], told["staged_files"], told["dry_run"]) == (0, 0, True)
    result = CliRunner().invoke(spv, ["retain", "--whole"])
    assert result.exit_code == 0, result.output
    assert "base_bytes" in result.stdout
    assert "looking at north" in result.stderr


@pytest.mark.usefixtures("platform")
def test_without_dagster_it_says_what_to_do() -> None:
    result = CliRunner().invoke(spv, ["retain"])
    assert isinstance(result.exception, UsageError)
    assert "run `spv up` first" in str(result.exception)


def test_its_help_says_what_goes_and_what_stays() -> None:
    result = CliRunner().invoke(spv, ["retain", "--help"])
    assert "Published rows are never deleted" in " ".join(result.output.split())
