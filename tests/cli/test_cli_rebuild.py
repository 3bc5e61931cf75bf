"""`spv rebuild`: says what it would read, and forms one batch when told."""

import json

import pytest
from click.testing import CliRunner

from spv_platform.cli import spv
from spv_platform.errors import UsageError
from spv_platform.ledger import batches
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.setup import prepare_home
from spv_platform.settings import Settings


@pytest.fixture
def platform(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """A prepared installation that every command of the test opens."""
    prepare_home(settings)
    platform = Platform(settings)
    monkeypatch.setattr("spv_platform.cli.rebuild.open_platform", lambda: platform)
    return platform


def run(*arguments: str) -> str:
    result = CliRunner().invoke(spv, ["rebuild", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def formed(platform: Platform) -> list[str]:
    with platform.db.transaction() as cur:
        return [row["batch_id"] for row in batches.batch_rows(cur, "north", state="formed")]


def test_a_rebuild_is_formed_once_and_only_with_yes(platform: Platform) -> None:
    assert "would read 0 resource versions, for 0 records of 0 persons; --yes does it" in run("--tenant", "north")
    assert formed(platform) == []
    told = json.loads(run("--tenant", "north", "--yes", "--json"))
    assert formed(platform) == [told["batch"]]
    assert told["dry_run"] is False
    assert told["batch"] in run("--tenant", "north", "--yes")
    assert formed(platform) == [told["batch"]]
    with platform.db.transaction() as cur:
        cur.execute("SELECT action, tenant FROM ops.audit WHERE action = 'rebuild'")
        assert cur.fetchall() == [("rebuild", "north")] * 2


def test_a_tenant_that_does_not_exist_is_answered_with_those_that_do(platform: Platform) -> None:
    with pytest.raises(UsageError, match="there is no tenant west: choose one of north"):
        run("--tenant", "west")
