"""`spv batch`: what is set aside and why, and what a decision at the shell changes."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from spv_platform.cli import spv
from spv_platform.errors import UsageError
from spv_platform.pipeline.drain import drain
from spv_platform.pipeline.landing.discover import discover
from spv_platform.pipeline.landing.send import BUNDLE, send
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.setup import prepare_home
from spv_platform.settings import Settings

CANARY = "zqxshellqxz"


@pytest.fixture
def platform(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """A prepared installation that every command of the test opens."""
    prepare_home(settings)
    platform = Platform(settings)
    monkeypatch.setattr("spv_platform.cli.batch.open_platform", lambda: platform)
    return platform


@pytest.fixture
def refused(platform: Platform) -> str:
    """A batch that a gate has set aside."""
    person = {"resourceType": "Patient", "id": CANARY, "birthDate": "2999-01-01"}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": person}]}
    send(platform, "", json.dumps(bundle).encode(), BUNDLE, tenant="north", feed="emr")
    discover(platform)
    drain(platform)
    (row,) = said("list")
    assert row["state"] == "set_aside"
    return str(row["batch_id"])


def run(*arguments: str) -> Result:
    return CliRunner().invoke(spv, ["batch", *arguments])


def said(*arguments: str) -> list[dict[str, Any]]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_nothing_set_aside_is_said_so(platform: Platform) -> None:
    assert run("list").output == "no batch is set aside\n"
    assert said("list") == []


def test_what_is_set_aside_is_listed_with_reason_and_next_step(refused: str) -> None:
    (row,) = said("list")
    assert (row["batch_id"], row["tenant"], row["reason"], row["objects"]) == (refused, "north", "gate_failed", 1)
    assert "spv batch show" in row["next_step"]
    assert said("list", "--tenant", "south") == []
    assert said("list", "--state", "published") == []
    assert len(said("list", "--state", "all")) == 1
    assert refused in run("list").output


def test_a_batch_is_shown_with_columns_places_and_counts_and_no_data(refused: str) -> None:
    (row,) = said("show", refused)
    assert row["details"]["places"] == {"times_in_the_future": {"patient.birth_date": 1}}
    assert {item["column"] for item in row["details"]["failed"]} == {"times_in_the_future"}
    assert [(item["state"], item["reason"]) for item in row["objects"]] == [("set_aside", "gate_failed")]
    shown = run("show", refused).output
    assert "patient.birth_date 1" in shown
    assert "times_in_the_future" in shown
    assert CANARY not in shown + json.dumps(row)


def test_a_released_batch_is_tried_again_and_a_waiver_lets_it_pass(platform: Platform, refused: str) -> None:
    assert said("release", refused) == [{"batch": refused, "decision": "released", "waived": False}]
    assert drain(platform) == 0
    assert "is released" in run("release", refused, "--waive").output
    (row,) = said("show", refused)
    assert (row["state"], row["waived"]) == ("formed", ["staged_batch"])
    assert drain(platform) == 1
    assert said("list", "--state", "published")[0]["batch_id"] == refused


def test_a_rejected_batch_is_over(platform: Platform, refused: str) -> None:
    assert said("reject", refused) == [{"batch": refused, "decision": "rejected"}]
    assert run("list").output == "no batch is set aside\n"
    assert [row["reason"] for row in said("list", "--state", "rejected")] == ["gate_failed"]
    assert drain(platform) == 0
    assert isinstance(run("release", refused).exception, UsageError)


@pytest.mark.parametrize("command", ["show", "release", "reject"])
def test_a_batch_that_does_not_exist_is_a_wrong_request(platform: Platform, command: str) -> None:
    result = run(command, "no-such")
    assert isinstance(result.exception, UsageError)
    assert "spv batch list" in str(result.exception)
