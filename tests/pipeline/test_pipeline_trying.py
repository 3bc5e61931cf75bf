"""What curators ask of an installation: trying criteria, who is one test away, explanations of today and of then."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from pipeline_bundles import bundle, patient
from pipeline_world import TENANT, World

from spv_platform.cli import spv
from spv_platform.errors import UsageError
from spv_platform.pipeline.criteria import feeds_digest, form_rematches, refresh_criteria
from spv_platform.pipeline.landing import send
from spv_platform.pipeline.trying import compare_criteria, next_tests, try_criteria
from spv_platform.sample import bundles
from spv_platform.settings import env_name
from spv_platform.trials.criteria import parse_trial

ADULTS = """
trial: NCT00000001
cohorts:
  - {id: adults, criteria: {all: [{id: adult, age: {min: 18}}]}}
"""


@pytest.fixture(scope="module")
def world(new_world: Callable[..., World]) -> World:
    world = new_world()
    world.put_criteria()
    for file in bundles("north"):
        send.send(world.platform, file.name, file.data, file.content_type, tenant=TENANT, feed="emr")
    world.drain()
    return world


@pytest.fixture
def command(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    for name in ("home", "database_url", "s3_endpoint"):
        if hasattr(world.settings, name):
            monkeypatch.setenv(env_name(name), str(getattr(world.settings, name)))

    def run(*arguments: str) -> str:
        monkeypatch.setattr("spv_platform.cli.trials.open_platform", lambda: world.platform)
        result = CliRunner().invoke(spv, ["trials", *arguments])
        assert result.exception is None, result.exception
        return result.stdout

    return run


def today():
    return datetime.now(UTC).date()


def test_criteria_are_tried_on_the_persons_of_a_tenant_and_nothing_is_stored(world):
    before = world.rows("SELECT count(*) FROM ops.publication")
    rows = list(try_criteria(world.platform, TENANT, [parse_trial(ADULTS, "t")], today(), who="me"))
    assert rows
    assert {(row["trial"], row["cohort"]) for row in rows} == {("NCT00000001", "adults")}
    assert world.rows("SELECT count(*) FROM ops.publication") == before
    assert ("me", TENANT, "NCT00000001") in world.rows(
        "SELECT who, tenant, what FROM ops.audit WHERE action = 'trials try'"
    )


def test_what_would_change_is_told_by_cohort_with_who_comes_and_who_goes(world):
    approved = {row[0] for row in world.rows("SELECT DISTINCT trial FROM ops.approval WHERE status = 'approved'")}
    (trial,) = sorted(approved)[:1]
    nobody = f"trial: {trial}\ncohorts: [{{id: A, criteria: {{all: [{{id: old, age: {{min: 130}}}}]}}}}]"
    rows = compare_criteria(world.platform, TENANT, [parse_trial(nobody, "t")], today(), who="me")
    assert sum(len(row["lost"]) for row in rows) == sum(row["eligible"] for row in rows) > 0
    assert sum(row["eligible_then"] for row in rows) == 0


def test_who_is_one_test_away_is_listed_with_the_result_that_would_decide(world):
    rows = next_tests(world.platform, TENANT, [], today(), who="me")
    assert rows
    assert all(row["cohorts"] == len(row["of"]) >= 1 and row["asks"] for row in rows)
    assert [row["cohorts"] for row in rows] == sorted((row["cohorts"] for row in rows), reverse=True)


def test_a_tenant_or_criteria_that_are_not_there_are_said_to_be_missing(world):
    with pytest.raises(UsageError, match="there is no tenant"):
        list(try_criteria(world.platform, "nowhere", [], today(), who="me"))


def test_an_explanation_of_then_is_what_was_published_then(world, command):
    ((person, trial),) = world.rows("SELECT person_id, trial FROM ops.approval WHERE status = 'approved' LIMIT 1")
    told = command("explain", person, trial, "--tenant", TENANT)
    assert "potentially eligible" in told
    found = json.loads(command("explain", person, trial, "--tenant", TENANT, "--json"))
    assert {row["criterion"] for row in found["criteria"]}
    # yesterday's publication is made as if the one of today had been made then
    world.rows("UPDATE ops.publication SET published_at = published_at - interval '2 days' RETURNING 1")
    then = str(today() - timedelta(days=2))
    records = found["criteria"][0]["evidence"] or found["criteria"][1]["evidence"]
    send.send(
        world.platform,
        "more",
        bundle(patient(records[0]["resource_id"], gender="unknown", birthDate="2020-01-01"))
        if records[0]["resource_type"] == "Patient"
        else bundle(patient("somebody", family="Else", mrn="M-else")),
        send.BUNDLE,
        tenant=TENANT,
        feed="emr",
    )
    world.drain()
    assert (
        command("explain", person, trial, "--tenant", TENANT, "--as-of", then)
        == "\n".join(line for line in told.splitlines() if "if nothing is new" not in line) + "\n"
    )
    result = CliRunner().invoke(spv, ["trials", "explain", person, trial, "--tenant", TENANT, "--as-of", "2001-01-01"])
    assert isinstance(result.exception, UsageError)
    assert "published nothing by 2001-01-01" in str(result.exception)


def test_a_day_later_or_with_other_code_tables_everybody_is_matched_again(world, monkeypatch):
    def waiting():
        found = world.rows("SELECT tenant FROM ops.batch WHERE kind = 'rematch' AND state = 'formed' ORDER BY 1")
        return [tenant for (tenant,) in found]

    assert waiting() == []
    assert form_rematches(world.platform) == len(waiting()) > 0
    assert form_rematches(world.platform) == len(waiting())  # one that waits already is enough
    world.drain()
    before = feeds_digest(world.platform)
    assert not refresh_criteria(world.platform).changed
    monkeypatch.setattr("spv_platform.pipeline.criteria.vocabulary", lambda: "others")
    assert feeds_digest(world.platform) != before
    assert refresh_criteria(world.platform).changed
    assert waiting()
    world.drain()


def test_the_commands_print_what_was_found(command, tmp_path):
    file = tmp_path / "t.yaml"
    file.write_text(ADULTS)
    assert "NCT00000001" in command("match", "--tenant", TENANT, "--ctml", str(file))
    assert "adults" in command("whatif", str(file), "--tenant", TENANT)
    assert "cohorts" in command("next-tests", "--tenant", TENANT)
