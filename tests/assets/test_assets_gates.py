"""The gates as the Dagster UI shows them: which check is red for whom, and what a decision changes."""

import json
from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl
import pytest
from installations import Opened, given_to_dagster

from spv_platform.assets import TENANT_ASSETS
from spv_platform.assets.common import BATCH_TAG
from spv_platform.assets.raw_bundles import raw_bundles
from spv_platform.checks import GATES
from spv_platform.checks.set_aside import no_batch_is_set_aside
from spv_platform.jobs import decide_batch
from spv_platform.ledger import batches, decisions, objects
from spv_platform.pipeline import deciding, matching, slices
from spv_platform.pipeline.criteria import refresh_criteria
from spv_platform.pipeline.landing.discover import discover, form_batches
from spv_platform.pipeline.landing.send import BUNDLE, send
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.reading import reader
from spv_platform.pipeline.setup import add_tenant, prepare_home
from spv_platform.quality import expectations
from spv_platform.sample import trial_files
from spv_platform.sensors.set_aside import set_aside_sensor
from spv_platform.settings import Settings

CANARY = "zqxcheckqxz"
STAGED, VIEW, APPROVALS = (
    "staged_rows_are_plausible",
    "every_person_has_one_view_with_a_source",
    "approvals_keep_the_rules",
)
DRIFT = "feeds_bring_nothing_new"


@pytest.fixture
def platform(settings: Settings) -> Iterator[Platform]:
    """An installation with the tenants north and south."""
    prepare_home(settings)
    with given_to_dagster(Platform(settings)) as platform:
        for tenant in ("north", "south"):
            add_tenant(platform, tenant, ["emr"])
        yield platform


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance that knows the tenants."""
    with dg.instance_for_test() as made:
        made.add_dynamic_partitions("tenant", ["north", "south"])
        yield made


def person(name: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": name, "name": [{"family": CANARY}], "birthDate": "1970-01-01", **more}


def land(platform: Platform, *resources: dict[str, Any], tenant: str = "north") -> str:
    """Land one file; the batch that carries it."""
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": each} for each in resources]}
    send(platform, "", json.dumps(bundle).encode(), BUNDLE, tenant=tenant, feed="emr")
    discover(platform)
    return due(platform, tenant)


def due(platform: Platform, tenant: str = "north") -> str:
    (batch,) = (each for each in form_batches(platform) if each.tenant == tenant and each.kind == "load")
    return batch.batch_id


def run(
    instance: dg.DagsterInstance, batch: str, tenant: str = "north", selection: list[str] | None = None
) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [*TENANT_ASSETS, *GATES],
        partition_key=tenant,
        instance=instance,
        resources={"platform": Opened()},
        tags={BATCH_TAG: batch},
        selection=selection or ["raw_bundles", "decrypted_fhir", "patient_view", "approved_patients"],
        raise_on_error=False,
    )


def check(result: dg.ExecuteInProcessResult, name: str) -> dg.AssetCheckEvaluation:
    (found,) = (each for each in result.get_asset_check_evaluations() if each.check_name == name)
    return found


def state(platform: Platform, batch: str) -> tuple[str, str | None]:
    with platform.db.transaction() as cur:
        row = decisions.batch(cur, batch)
    return row["state"], row["reason"]


def events(instance: dg.DagsterInstance, run_id: str) -> str:
    return "".join(dg.serialize_value(event) for event in instance.all_logs(run_id))


def test_a_good_batch_is_green_at_every_gate(platform: Platform, instance: dg.DagsterInstance) -> None:
    result = run(instance, land(platform, person("a")))
    assert result.success
    found = {each.check_name: (each.passed, each.partition) for each in result.get_asset_check_evaluations()}
    assert found == dict.fromkeys((STAGED, VIEW, APPROVALS, DRIFT), (True, "north"))


def test_what_a_feed_never_brought_is_a_warning_that_counts_it_and_the_batch_goes_on(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    def outcome(*people: dict[str, Any]) -> dg.AssetCheckEvaluation:
        result = run(instance, land(platform, *people))
        assert result.success
        assert CANARY not in events(instance, result.run_id)
        return check(result, DRIFT)

    assert outcome(person("a")).passed  # with the first batch all is new
    assert outcome(person("b")).passed
    told = {"url": f"http://{CANARY}.example.org", "valueCode": "x"}
    warning = outcome(person("c", extension=[told], maritalStatus={"coding": [{"system": "urn:s", "code": "M"}]}))
    assert not warning.passed
    assert warning.severity is dg.AssetCheckSeverity.WARN
    counts = {name: value.value for name, value in warning.metadata.items() if name.startswith("emr: ")}
    assert counts == {"emr: new code system": 1, "emr: new element": 7, "emr: new extension": 1}
    assert outcome(person("d", extension=[told])).passed
    content = reader(platform, "north").current("feed_content").collect()
    new = content.filter(pl.col("_seq") == 3).select("kind", "value").rows()
    assert ("element", "maritalStatus.coding.system") in new
    assert ("extension", told["url"]) in new


def test_a_staged_batch_that_is_refused_is_red_with_columns_and_counts(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    batch = land(platform, person("a", language=CANARY), person("b", birthDate="1850-05-05"))
    result = run(instance, batch)
    assert not result.success
    red = check(result, STAGED)
    assert not red.passed
    assert red.severity is dg.AssetCheckSeverity.ERROR
    assert red.metadata["times_too_early in patient.birth_date"].value == "1 rows"
    assert f"spv batch show {batch}" in str(red.description)
    assert not result.asset_materializations_for_node("patient_view")
    assert state(platform, batch) == ("set_aside", "gate_failed")
    told = events(instance, result.run_id)
    assert CANARY not in told
    assert "1850-05-05" not in told


def test_a_view_that_is_refused_is_red_on_the_view_and_nothing_is_published(
    platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = slices.patient_view
    monkeypatch.setattr(slices, "patient_view", lambda facts: pl.concat([made(facts)] * 2))
    batch = land(platform, person("a"))
    result = run(instance, batch)
    assert not result.success
    assert check(result, STAGED).passed
    red = check(result, VIEW)
    assert not red.passed
    assert red.asset_key == dg.AssetKey("patient_view")
    assert red.metadata["rows: expect_column_values_to_be_between"].value == "1 rows"
    assert not result.asset_materializations_for_node("approved_patients")
    assert state(platform, batch) == ("set_aside", "gate_failed")
    assert reader(platform, "north").tables() == []


def test_approvals_that_are_refused_are_red_on_the_approvals_before_the_commit(
    platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in trial_files():
        platform.s3.put_object(Bucket=platform.settings.feeds_bucket, Key=file.name, Body=file.data)
    refresh_criteria(platform)
    evaluate = matching.Matcher.evaluate

    def everybody(*given: Any) -> matching.Evaluation:
        result = evaluate(*given)
        result.cohorts = result.cohorts.with_columns(approved=pl.lit(value=True))
        return result

    monkeypatch.setattr(matching.Matcher, "evaluate", everybody)
    batch = land(platform, person("a"))
    result = run(instance, batch)
    assert not result.success
    red = check(result, APPROVALS)
    assert not red.passed
    assert red.asset_key == dg.AssetKey("approved_patients")
    assert not result.asset_materializations_for_node("approved_patients")
    assert state(platform, batch) == ("set_aside", "gate_failed")
    assert reader(platform, "north").tables() == []
    with platform.db.transaction() as cur:
        cur.execute("SELECT count(*) FROM ops.outbox")
        assert cur.fetchone() == (0,)
    assert CANARY not in events(instance, result.run_id)


def test_a_suite_that_cannot_be_evaluated_is_red_and_says_where(
    platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise ValueError(CANARY)

    monkeypatch.setattr(expectations, "_loaded", fail)
    batch = land(platform, person("a"))
    result = run(instance, batch)
    assert not result.success
    red = check(result, STAGED)
    assert not red.passed
    assert red.metadata["could not be evaluated"].value == "staged_rows: ValueError"
    assert state(platform, batch) == ("set_aside", "gate_unevaluable")
    assert CANARY not in events(instance, result.run_id)


def test_a_waived_gate_is_a_warning_and_the_batch_goes_on(platform: Platform, instance: dg.DagsterInstance) -> None:
    batch = land(platform, person("a", birthDate="1850-05-05"))
    assert not run(instance, batch).success
    deciding.release(platform, batch, waive=True, who="test")
    assert due(platform) == batch
    result = run(instance, batch)
    assert result.success
    yellow = check(result, STAGED)
    assert not yellow.passed
    assert yellow.severity is dg.AssetCheckSeverity.WARN
    assert yellow.metadata["times_too_early in patient.birth_date"].value == "1 rows"
    assert state(platform, batch) == ("published", None)


def test_the_checks_of_two_tenants_do_not_overwrite_each_other(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    bad = land(platform, person("a", birthDate="1850-05-05"))
    assert not run(instance, bad).success
    good = land(platform, person("a"), tenant="south")
    assert run(instance, good, "south").success
    key = dg.AssetCheckKey(dg.AssetKey("decrypted_fhir"), STAGED)
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    latest = {record.partition: str(record.status) for record in reversed(records)}
    assert set(latest) == {"north", "south"}
    assert "FAILED" in latest["north"]
    assert "SUCCEEDED" in latest["south"]


def test_a_run_from_the_middle_is_judged_by_the_gates_it_passed_over(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    batch = land(platform, person("a", birthDate="1850-05-05"))
    result = run(instance, batch, selection=["approved_patients"])
    assert not result.success
    assert result.get_asset_check_evaluations() == []
    assert state(platform, batch) == ("set_aside", "gate_failed")


def tick(instance: dg.DagsterInstance, cursor: str | None) -> tuple[str | None, bool | None]:
    """A tick of the sensor as the daemon does it: the cursor, and what the check says since, None for nothing new."""
    context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"platform": Opened()})
    found = set_aside_sensor(context)
    assert isinstance(found, dg.SensorResult)
    for event in found.asset_events:
        instance.report_runless_asset_event(event)
    if not found.asset_events:
        assert found.skip_reason
        return cursor, None
    (key,) = no_batch_is_set_aside.check_keys
    newest, *_ = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert newest.evaluation
    return found.cursor, newest.evaluation.passed


def test_the_standing_check_is_red_while_a_batch_of_any_tenant_is_set_aside(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    cursor, passed = tick(instance, None)
    assert passed
    north, south = (land(platform, person("a", birthDate="1850-05-05"), tenant=tenant) for tenant in ("north", "south"))
    run(instance, north)
    cursor, passed = tick(instance, cursor)
    assert passed is False
    run(instance, south, "south")
    cursor, passed = tick(instance, cursor)
    assert passed is False
    assert tick(instance, cursor) == (cursor, None)
    deciding.reject(platform, north, who="test")
    cursor, passed = tick(instance, cursor)
    assert passed is False
    deciding.release(platform, south, who="test")
    cursor, passed = tick(instance, cursor)
    assert passed


def test_the_standing_check_can_be_run_by_hand_and_names_batch_and_reason(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    batch = land(platform, person("a", birthDate="1850-05-05"))
    run(instance, batch)
    job = dg.Definitions(
        assets=[raw_bundles],
        asset_checks=[no_batch_is_set_aside],
        resources={"platform": Opened()},
        jobs=[dg.define_asset_job("by_hand", dg.AssetSelection.checks(no_batch_is_set_aside))],
    ).resolve_job_def("by_hand")
    (red,) = job.execute_in_process(instance=instance).get_asset_check_evaluations()
    assert not red.passed
    assert red.metadata["batches"].value == 1
    assert red.metadata["north"].value == f"{batch} (gate_failed)"


def decided(instance: dg.DagsterInstance, **config: Any) -> dg.ExecuteInProcessResult:
    return decide_batch.execute_in_process(
        instance=instance,
        resources={"platform": Opened()},
        run_config={"ops": {"decide": {"config": config}}},
        raise_on_error=False,
    )


def test_a_batch_is_decided_about_by_a_job(platform: Platform, instance: dg.DagsterInstance) -> None:
    batch = land(platform, person("a", birthDate="1850-05-05"))
    run(instance, batch)
    assert decided(instance, batch=batch, decision="release", waive_gate=True, who="ann").success
    assert state(platform, batch) == ("formed", None)
    assert run(instance, due(platform)).success
    other = land(platform, person("b", gender="M"))
    run(instance, other)
    assert decided(instance, batch=other, decision="reject", who="ann").success
    assert state(platform, other) == ("rejected", "gate_failed")
    with platform.db.transaction() as cur:
        cur.execute("SELECT who, action FROM ops.audit WHERE action LIKE 'batch %' ORDER BY id")
        assert cur.fetchall() == [("ann", "batch release"), ("ann", "batch reject")]
        assert [row["state"] for row in objects.ledger_rows(cur)] == ["published", "rejected"]
        assert [row["state"] for row in batches.batch_rows(cur)] == ["published", "rejected"]


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"batch": "no-such", "decision": "release"}, "does not exist"),
        ({"batch": "no-such", "decision": "reject", "waive_gate": True}, "not for one rejected"),
    ],
)
def test_a_decision_that_cannot_be_made_fails_the_run_with_a_sentence(
    platform: Platform, instance: dg.DagsterInstance, config: dict[str, Any], text: str
) -> None:
    result = decided(instance, who="ann", **config)
    assert not result.success
    assert text in events(instance, result.run_id)
