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
from spv_platform.pipeline.criteria import feeds_digest, form_rematches, load_criteria, refresh_criteria
from spv_platform.pipeline.landing import send
from spv_platform.pipeline.telling.practices import add_practice
from spv_platform.pipeline.tenancy import add_tenant
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


def trial_in_force(*criteria):
    """Criteria of the sample's recruiting trial."""
    return parse_trial(f"trial: NCT00000001\ncohorts: [{{id: A, criteria: {{all: [{', '.join(criteria)}]}}}}]", "t")


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
    rows = next_tests(world.platform, TENANT, [], who="me")
    assert rows
    assert all(row["cohorts"] == len(row["of"]) >= 1 and row["asks"] and row["persons"] == 1 for row in rows)
    assert [row["cohorts"] for row in rows] == sorted((row["cohorts"] for row in rows), reverse=True)


def test_only_a_result_that_decides_alone_is_listed(world):
    her2, alk, ret = (f"{{id: {of[-3:]}, biomarker: {{{of}}}}}" for of in ("marker: HER2", "gene: ALK", "gene: RET"))
    either = trial_in_force(f"{{any: [{her2}, {{all: [{alk}, {ret}]}}]}}")
    rows = next_tests(world.platform, TENANT, [either], who="me")
    assert {row["asks"] for row in rows} == {"HER2 positive"}
    assert next_tests(world.platform, TENANT, [trial_in_force(alk, ret)], who="me") == []
    assert next_tests(world.platform, TENANT, [trial_in_force("{id: a, text: true}")], who="me") == []


def test_results_are_added_up_by_the_practice_that_would_be_told(new_world):
    world = new_world()
    world.put_criteria()
    at = {"managingOrganization": {"reference": "Organization/one"}}
    people = [patient("ann", **at), patient("bea", **at), patient("cid")]
    one = {"resourceType": "Organization", "id": "one", "name": "One"}
    send.send(world.platform, "f", bundle(one, *people), send.BUNDLE, tenant=TENANT, feed="emr")
    world.drain()
    add_practice(world.platform, TENANT, "first", "https://first.example.org/", ["Organization/one"], who="me")
    trials = [trial_in_force("{id: alk, biomarker: {gene: ALK}}")]
    alone = {"asks": "ALK present", "persons": 1, "cohorts": 1, "of": ["NCT00000001 A"]}
    assert next_tests(world.platform, TENANT, trials, by_practice=True, who="me") == [
        {"practice": "first", **alone, "persons": 2, "cohorts": 2},
        {"practice": None, **alone},
    ]
    assert len(next_tests(world.platform, TENANT, trials, who="me")) == 3


def test_who_lives_near_a_site_is_found_by_postal_code_or_coordinates_and_neither_is_shown(new_world):
    world = new_world()
    world.put_criteria()
    point = [{"url": "latitude", "valueDecimal": 42.34}, {"url": "longitude", "valueDecimal": -71.1}]
    located = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/geolocation", "extension": point}]}
    zipped = [{"postalCode": code, "state": "MA", "country": "US"} for code in ("01608", "90001")]
    people = [patient(f"p{at}", address=[address]) for at, address in enumerate([located, *zipped])]
    place = '{name: Hospital, postal_code: "02115", country: US}'
    near = "{id: A, criteria: {all: [{id: s, site: {within_km: 80}}]}}"
    text = f"trial: NCT00000001\nsites: [{place}]\ncohorts: [{near}]"
    world.platform.s3.put_object(
        Bucket=world.settings.feeds_bucket, Key="criteria/NCT00000001.yaml", Body=text.encode()
    )
    refresh_criteria(world.platform)
    send.send(world.platform, "f", bundle(*people), send.BUNDLE, tenant=TENANT, feed="emr")
    world.drain()
    rows = world.read("criterion_result").filter(trial="NCT00000001").sort("verdict", "person_id")
    told = [fact["summary"] for evidence in rows["evidence"] for fact in evidence]
    assert sorted(told) == ["place of residence, 0 km from Hospital", "place of residence, 59 km from Hospital"]
    assert world.read("cohort_verdict").filter(trial="NCT00000001", verdict="not_eligible").height == 1


def test_criteria_are_read_once_so_that_a_change_in_between_does_no_harm(world, monkeypatch):
    read = []
    monkeypatch.setattr(
        "spv_platform.pipeline.criteria.load_criteria", lambda version: read.append(1) or load_criteria(version)
    )
    next_tests(world.platform, TENANT, [], who="me")
    compare_criteria(world.platform, TENANT, [parse_trial(ADULTS, "t")], who="me")
    assert len(read) == 2


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


def test_ages_count_by_the_day_at_the_tenant(new_world):
    world = new_world()
    zones = ("Pacific/Kiritimati", "Pacific/Pago_Pago")
    # 25 hours apart: it is never the same day
    ((there, here),) = world.rows("SELECT (now() AT TIME ZONE %s)::date, (now() AT TIME ZONE %s)::date", *zones)
    world.put_criteria()
    eve = patient("eve", birth=str(there.replace(year=there.year - 20)))
    send.send(world.platform, "f", bundle(eve), send.BUNDLE, tenant=TENANT, feed="emr")
    twenty = parse_trial(ADULTS.replace("18", "20"), "t")

    def matched(zone):
        add_tenant(world.platform, TENANT, time_zone=zone)
        form_rematches(world.platform)
        world.drain()
        tried = [row["verdict"] for row in try_criteria(world.platform, TENANT, [twenty], who="me")]
        return tried, set(world.read("cohort_verdict")["as_of"])

    assert matched(zones[0]) == (["potentially_eligible"], {there})
    assert matched(zones[1]) == ([], {here})


def test_a_day_later_or_with_other_code_tables_everybody_is_matched_again(world, monkeypatch):
    def waiting():
        found = world.rows("SELECT tenant FROM ops.batch WHERE kind = 'rematch' AND state = 'formed' ORDER BY 1")
        return [tenant for (tenant,) in found]

    assert waiting() == []
    assert form_rematches(world.platform) == len(waiting()) > 0
    assert form_rematches(world.platform) == 0  # the day has begun already
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
    rows = [json.loads(line) for line in command("next-tests", "--tenant", TENANT, "--practice", "--json").splitlines()]
    assert rows
    assert all(row["practice"] is None and row["persons"] <= row["cohorts"] for row in rows)
