"""`spv quarantine` and `spv reprocess`: what was set aside is explained without its data, and tried again."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from spv_platform.cli import spv
from spv_platform.errors import UsageError
from spv_platform.ledger import contracts
from spv_platform.ledger.contracts import FeedContract
from spv_platform.pipeline.drain import drain
from spv_platform.pipeline.landing.discover import discover
from spv_platform.pipeline.landing.send import BUNDLE, send
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.setup import prepare_home
from spv_platform.settings import Settings

CANARY = "zqxquarantineqxz"


@pytest.fixture
def platform(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """A prepared installation that every command of the test opens; an object, an entry and a field are refused."""
    prepare_home(settings)
    platform = Platform(settings)
    monkeypatch.setattr("spv_platform.cli.quarantine.open_platform", lambda: platform)
    with platform.db.transaction() as cur:
        contracts.put_contract(cur, "north", "emr", FeedContract(quarantine_limit=1))
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": _without_status()}, {}]}
    for plain in (json.dumps(bundle).encode(), CANARY.encode()):
        send(platform, "", plain, BUNDLE, tenant="north", feed="emr")
    discover(platform)
    drain(platform)
    return platform


def _without_status() -> dict[str, Any]:
    return {"resourceType": "Observation", "id": CANARY, "valueString": CANARY}


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(spv, list(arguments))
    assert CANARY not in result.output
    return result


def said(*arguments: str) -> list[dict[str, Any]]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_what_was_set_aside_is_listed_by_level_and_shown_with_the_contracts(platform: Platform) -> None:
    rows = said("quarantine", "list")
    assert {(row["level"], row["reason"], row["state"]) for row in rows} == {
        ("object", "not_json", "open"),
        ("entry", "no_resource", "open"),
        ("field", "missing_element", "open"),
    }
    assert said("quarantine", "list", "--reason", "not_json") == [row for row in rows if row["level"] == "object"]
    for level in ("object", "entry", "field"):
        assert said("quarantine", "list", "--level", level) == [row for row in rows if row["level"] == level]
    assert {(row["entry"], row["pointer"]) for row in rows} == {(None, None), (0, "/code"), (1, "")}
    assert said("quarantine", "list", "--tenant", "south") == []
    for row in rows:
        (shown,) = said("quarantine", "show", row["item"])
        assert shown["contract"] == shown["contract_now"]
        assert shown["next_step"]
        assert shown["attempt"] == 1
        assert run("quarantine", "show", row["item"]).exit_code == 0


def test_a_replay_names_what_it_would_do_before_it_does_it(platform: Platform) -> None:
    ((name, _),) = ((row["item"], row) for row in said("quarantine", "list", "--reason", "not_json"))
    (report,) = said("quarantine", "replay", name, "--dry-run")
    assert (report["objects"], report["left"], report["dry_run"]) == (1, 0, True)
    assert report["refused_under"] == report["contract"]
    assert "1 objects" in run("quarantine", "replay", "--tenant", "north", "--reason", "not_json").output
    assert said("quarantine", "list", "--reason", "not_json") == []
    assert run("quarantine", "replay").exit_code == 2
    assert said("quarantine", "replay", name)[0]["left"] == 1
    assert said("quarantine", "replay", "--since", "2999-01-01T00:00:00Z")[0]["objects"] == 0


def test_a_replay_under_a_contract_that_is_not_here_is_refused(platform: Platform) -> None:
    refused = run("quarantine", "replay", "--tenant", "north", "--contract", "r3-ancient")
    assert isinstance(refused.exception, UsageError)
    assert "and no r3-ancient: leave --contract out" in str(refused.exception)
    assert len(said("quarantine", "list")) == 3


def test_an_item_is_discarded_once(platform: Platform) -> None:
    (row,) = said("quarantine", "list", "--reason", "missing_element")
    assert said("quarantine", "discard", row["item"]) == [{"item": row["item"], "discarded": True}]
    assert "nothing is changed" in run("quarantine", "discard", row["item"]).output
    assert [each["state"] for each in said("quarantine", "list", "--state", "discarded")] == ["discarded"]


def test_reprocessing_is_a_dry_run_unless_told(platform: Platform) -> None:
    (planned,) = said("reprocess", "--tenant", "north", "--since", "2020-01-01T00:00:00Z")
    assert (planned["objects"], planned["dry_run"]) == (2, True)
    assert "would wait again" in run("reprocess", "--tenant", "north").output
    assert said("reprocess", "--tenant", "north", "--yes")[0]["objects"] == 2
    (again,) = said("reprocess", "--tenant", "north")
    assert (again["objects"], again["left"]) == (0, 2)
    assert run("reprocess", "--tenant", "north", "--since", "yesterday").exit_code == 2
