"""`spv ledger`: the objects, the story of one of them, and whether the accounts balance."""

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

CANARY = "zqxledgerqxz"


@pytest.fixture
def platform(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """A prepared installation that every command of the test opens, with one bundle worked through."""
    prepare_home(settings)
    platform = Platform(settings)
    monkeypatch.setattr("spv_platform.cli.ledger.open_platform", lambda: platform)
    people = [
        {"resourceType": "Patient", "id": "a", "name": [{"family": CANARY}], "birthDate": "1970-01-01"},
        {"resourceType": "Observation", "id": CANARY},
    ]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": each} for each in people]}
    send(platform, "", json.dumps(bundle).encode(), BUNDLE, tenant="north", feed="emr")
    discover(platform)
    drain(platform)
    return platform


def run(*arguments: str) -> Result:
    return CliRunner().invoke(spv, ["ledger", *arguments])


def said(*arguments: str) -> list[dict[str, Any]]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_ledger_lists_every_object_with_its_counts(platform: Platform) -> None:
    (row,) = said()
    assert (row["state"], row["entries"], row["accepted"], row["quarantined"]) == ("published", 2, 1, 1)
    assert row["balances"]
    assert said("--state", "quarantined") == []
    assert run("--tenant", "south").output.startswith("no such object has landed")


def test_the_story_of_an_object_tells_every_step_and_what_was_set_aside_without_its_data(platform: Platform) -> None:
    ((name,),) = ((row["object"],) for row in said())
    for asked in ("1", name, name.partition("/")[2].partition("@")[0]):
        (story,) = said("explain", asked)
        assert [step["step"] for step in story["steps"]] == [
            "landed",
            "found",
            "formed",
            "requested",
            "claimed",
            "staged",
            "published",
        ]
    assert {file["table"] for file in story["files"]} >= {"patient", "patient_view"}
    assert {(row["entry"], row["reason"]) for row in story["problems"]} == {(1, "missing_element")}
    assert story["object"]["balances"]
    shown = run("explain", "1")
    assert shown.exit_code == 0
    assert "published" in shown.output
    assert "set aside in it" in shown.output
    assert CANARY not in shown.output + json.dumps(story)
    with platform.db.transaction() as cur:  # as steps are from before these were kept
        cur.execute("UPDATE ops.batch_step SET counts = NULL, lease_until = NULL")
    assert run("explain", "1").exit_code == 0


def test_an_object_that_is_not_there_or_not_named_clearly_is_said_so(platform: Platform) -> None:
    for asked, problem in (("99", "does not exist"), ("nothing.json", "no object is called")):
        assert problem in str(run("explain", asked).exception)
    send(platform, "", b"{}", BUNDLE, tenant="north", feed="emr")
    discover(platform)
    assert "2 objects are called ''" in str(run("explain", "").exception)


def test_accounts_that_balance_are_listed_and_one_that_does_not_fails(platform: Platform) -> None:
    rows = said("check", "--deep", "--tenant", "north")
    assert all(row["balances"] for row in rows)
    assert {"rows of table patient", "distinct entries in the tables"} <= {row["account"] for row in rows}
    with platform.db.transaction() as cur:
        cur.execute("DELETE FROM ops.staged_file WHERE table_name = 'patient'")
    result = run("check")
    assert isinstance(result.exception, UsageError)
    assert "accounts do not balance" in str(result.exception)


def test_accounts_of_a_tenant_that_is_not_there_are_refused(platform: Platform) -> None:
    assert "there is no tenant nobody" in str(run("check", "--tenant", "nobody").exception)
