"""`spv tenant`: what it prints, asks, refuses, and leaves behind."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from spv_platform.cli import spv
from spv_platform.errors import UsageError
from spv_platform.ledger.contracts import FeedContract, contract_of
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.setup import prepare_home
from spv_platform.settings import Settings


@pytest.fixture
def platform(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """A prepared installation that every command of the test opens."""
    prepare_home(settings)
    platform = Platform(settings)
    monkeypatch.setattr("spv_platform.cli.tenant.open_platform", lambda: platform)
    return platform


def run(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(spv, ["tenant", *arguments], input=answer)


def said(*arguments: str) -> list[dict[str, Any]]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def states(platform: Platform) -> dict[str, str]:
    return {row["tenant"]: row["state"] for row in said("list")}


def test_a_tenant_is_added_with_feeds_and_contracts_and_listed(platform: Platform, tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text("max_entries: 7\n")
    assert said("add", "west", "--feed", "emr", "--feed", f"lab={file}") == [
        {"tenant": "west", "feeds": ["emr", "lab"], "released_batches": 0, "admitted_objects": 0}
    ]
    with platform.db.transaction() as cur:
        assert contract_of(cur, "west", "lab") == FeedContract(max_entries=7)
    west = next(row for row in said("list") if row["tenant"] == "west")
    assert (west["state"], west["waiting"], west["feeds"]["lab"]["max_entries"]) == ("active", 0, 7)
    assert "emr, lab" in run("list").output


def test_a_tenant_without_named_feeds_has_one(platform: Platform) -> None:
    result = run("add", "west")
    assert result.exit_code == 0
    assert "west/<feed>/" in result.output
    assert list(next(row for row in said("list") if row["tenant"] == "west")["feeds"]) == ["emr"]


def test_a_contract_with_an_unknown_field_adds_nothing(platform: Platform, tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text("max_entris: 7\n")
    result = run("add", "west", "--feed", f"lab={file}")
    assert result.exit_code == 1
    assert isinstance(result.exception, UsageError)
    assert str(result.exception).startswith(f"{file}: Object contains unknown field `max_entris`: correct it")
    assert "west" not in states(platform)
    assert "west" not in platform.keys.tenants()


def test_a_time_zone_is_set_and_stays_until_another_is_named(platform: Platform) -> None:
    def zones() -> dict[str, str]:
        return {row["tenant"]: row["time_zone"] for row in said("list")}

    said("add", "west", "--time-zone", "America/Chicago")
    assert zones() == {"north": "UTC", "south": "UTC", "west": "America/Chicago"}
    said("add", "west", "--feed", "lab")
    said("add", "north", "--time-zone", "Europe/Berlin")
    assert zones() == {"north": "Europe/Berlin", "south": "UTC", "west": "America/Chicago"}
    with platform.db.transaction() as cur:
        cur.execute("SELECT what FROM ops.audit WHERE tenant = 'north' ORDER BY id DESC LIMIT 1")
        assert cur.fetchall() == [("feeds emr, time zone Europe/Berlin",)]


def test_a_wrong_time_zone_adds_nothing(platform: Platform) -> None:
    result = run("add", "west", "--time-zone", "Amerika/Chicago")
    assert result.exit_code == 1
    assert "'Amerika/Chicago': no IANA name such as Europe/Berlin" in str(result.exception)
    assert "west" not in states(platform)
    assert "west" not in platform.keys.tenants()


def test_a_tenant_is_removed_and_added_again(platform: Platform) -> None:
    result = run("remove", "north")
    assert result.exit_code == 0
    assert "`spv tenant add north` brings it back" in result.output
    assert states(platform) == {"north": "removed", "south": "active"}
    assert said("remove", "north") == [{"tenant": "north", "set_aside": 0, "waiting": 0, "keys_destroyed": False}]
    said("add", "north")
    assert states(platform) == {"north": "active", "south": "active"}


@pytest.mark.parametrize("answer", ["n\n", "\n"])
def test_keys_are_not_destroyed_without_a_yes(platform: Platform, answer: str) -> None:
    result = run("remove", "north", "--destroy-keys", answer=answer)
    assert result.exit_code == 1
    assert "unreadable, for good?" in result.output
    assert str(result.exception) == "nothing was changed"
    assert states(platform) == {"north": "active", "south": "active"}
    assert platform.keys.tenants() == ["north", "south"]


def test_no_answer_is_no_yes(platform: Platform) -> None:
    assert run("remove", "north", "--destroy-keys", answer="").exit_code == 1
    assert platform.keys.tenants() == ["north", "south"]


def test_keys_are_destroyed_after_a_yes_and_it_is_said_what_that_means(platform: Platform) -> None:
    result = run("remove", "north", "--destroy-keys", answer="y\n")
    assert result.exit_code == 0
    assert "cannot be read again" in result.output
    assert states(platform) == {"north": "keys destroyed", "south": "active"}
    again = run("add", "north")
    assert again.exit_code == 1
    assert "another name" in str(again.exception)


def test_keys_of_a_tenant_that_is_removed_already_can_be_destroyed_without_asking(platform: Platform) -> None:
    said("remove", "north")
    (done,) = said("remove", "north", "--destroy-keys", "--yes")
    assert done["keys_destroyed"] is True
    assert platform.keys.tenants() == ["south"]


@pytest.mark.parametrize("arguments", [["remove", "west"], ["remove", "west", "--destroy-keys", "--yes"]])
def test_nobody_cannot_be_removed(platform: Platform, arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert "'west' does not exist: see `spv tenant list`" in str(result.exception)


def test_who_did_it_is_in_the_audit_trail(platform: Platform) -> None:
    said("add", "west")
    said("remove", "west", "--destroy-keys", "--yes")
    with platform.db.transaction() as cur:
        cur.execute("SELECT action FROM ops.audit WHERE tenant = 'west' AND who <> '' ORDER BY id")
        assert [action for (action,) in cur.fetchall()] == ["tenant add", "tenant remove", "tenant destroy keys"]
