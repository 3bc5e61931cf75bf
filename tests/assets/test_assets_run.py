"""Runs of the tenant assets as Dagster executes them, in process, on real stores."""

import json
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from installations import Opened, given_to_dagster

from spv_platform.assets import TENANT_ASSETS
from spv_platform.assets.common import BATCH_TAG
from spv_platform.checks import CHECKS
from spv_platform.definitions import build_defs
from spv_platform.ledger import batches, objects
from spv_platform.pipeline.landing.discover import discover, form_batches
from spv_platform.pipeline.landing.send import BUNDLE, send
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.reading import reader
from spv_platform.pipeline.setup import prepare_home
from spv_platform.settings import Settings

CANARY = "Zyxcanary"


@pytest.fixture
def platform(settings: Settings) -> Iterator[Platform]:
    """A prepared installation."""
    prepare_home(settings)
    with given_to_dagster(Platform(settings)) as platform:
        yield platform


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance that knows the tenants."""
    with dg.instance_for_test() as made:
        made.add_dynamic_partitions("tenant", ["north", "south"])
        yield made


def test_a_run_without_a_batch_takes_what_waits_and_publishes_it(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    _land(platform, _patient("a"))
    discover(platform)
    result = _run(instance)
    assert result.success
    assert _state(platform) == ["published"]
    assert reader(platform, "north").count("patient_view") == 1


def test_a_run_with_nothing_to_do_succeeds_and_says_so(platform: Platform, instance: dg.DagsterInstance) -> None:
    result = _run(instance)
    assert result.success
    (event,) = result.asset_materializations_for_node("approved_patients")
    assert "nothing to do" in event.metadata["outcome"].text


def test_a_batch_that_is_published_is_a_no_op_for_a_second_run(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    _land(platform, _patient("a"))
    batch = _form(platform)
    assert _run(instance, batch).success
    seq = reader(platform, "north").seq
    assert _run(instance, batch).success
    assert reader(platform, "north").seq == seq


def test_a_run_that_begins_in_the_middle_publishes_whole_batches_only(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    _land(platform, _patient("a"))
    batch = _form(platform)
    assert _run(instance, batch, ["approved_patients"]).success
    assert _state(platform) == ["published"]
    assert reader(platform, "north").count("patient") == 1


def test_a_failed_gate_sets_the_batch_aside_and_the_next_batch_goes_on(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    _land(platform, {**_patient("a"), "gender": "M"})
    result = _run(instance, _form(platform), raises=False)
    assert not result.success
    assert not result.asset_materializations_for_node("patient_view")
    check = _check(result, "staged_rows_are_plausible")
    assert not check.passed
    assert "1 rows" in str(check.metadata)
    _land(platform, _patient("b"))
    assert _run(instance, _form(platform)).success
    assert _state(platform) == ["set_aside", "published"]
    with platform.db.transaction() as cur:
        assert batches.batch_rows(cur)[0]["reason"] == "gate_failed"


def test_a_run_from_the_middle_does_not_go_around_the_gate(platform: Platform, instance: dg.DagsterInstance) -> None:
    _land(platform, {**_patient("a"), "gender": "M"})
    assert not _run(instance, _form(platform), ["approved_patients"], raises=False).success
    assert _state(platform) == ["set_aside"]
    assert reader(platform, "north").tables() == []


def test_nothing_of_a_patient_is_in_the_events_of_a_run(platform: Platform, instance: dg.DagsterInstance) -> None:
    broken = {"resourceType": "Observation", "id": CANARY, "valueString": CANARY}
    _land(platform, {**_patient(CANARY), "gender": "M"}, broken)
    result = _run(instance, _form(platform), raises=False)
    events = instance.all_logs(result.run_id)
    assert len(events) > 10
    assert CANARY not in "".join(dg.serialize_value(event) for event in events)


def test_an_unexpected_error_shows_where_it_happened_and_no_data(
    platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError(f"cannot read {CANARY}")

    monkeypatch.setattr("spv_platform.fhir.parse.parse_object", fail)
    _land(platform, _patient("a"))
    result = _run(instance, _form(platform), raises=False)
    assert not result.success
    texts = "".join(dg.serialize_value(event) for event in instance.all_logs(result.run_id))
    assert "ValueError in " in texts
    assert CANARY not in texts
    assert _state(platform) == ["landed"]


def _run(
    instance: dg.DagsterInstance, batch: str | None = None, selection: list[str] | None = None, raises: bool = True
) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [*TENANT_ASSETS, *CHECKS],
        partition_key="north",
        instance=instance,
        resources={"platform": Opened()},
        tags={BATCH_TAG: batch} if batch else None,
        selection=selection,
        raise_on_error=raises,
    )


def _check(result: dg.ExecuteInProcessResult, name: str) -> dg.AssetCheckEvaluation:
    (found,) = (each for each in result.get_asset_check_evaluations() if each.check_name == name)
    return found


def _form(platform: Platform) -> str:
    discover(platform)
    (due,) = form_batches(platform)
    return due.batch_id


def _state(platform: Platform) -> list[str]:
    with platform.db.transaction() as cur:
        return [row["state"] for row in objects.ledger_rows(cur)]


def _patient(name: str) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": name,
        "name": [{"family": name}],
        "gender": "female",
        "birthDate": "1970-01-01",
    }


def _land(platform: Platform, *resources: dict[str, Any]) -> None:
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": each} for each in resources]}
    send(platform, "", json.dumps(bundle).encode(), BUNDLE, tenant="north", feed="emr")


def test_a_rebuild_is_carried_by_the_run_of_a_batch(platform: Platform, instance: dg.DagsterInstance) -> None:
    _land(platform, _patient("a"), _patient("b"))
    discover(platform)
    assert _run(instance).success
    with platform.db.transaction() as cur:
        cur.execute("DELETE FROM ops.record_state")
        batch = batches.form_rebuild(cur, "north")
    (due,) = form_batches(platform)
    assert due.batch_id == batch
    result = _run(instance, batch)
    (event,) = result.asset_materializations_for_node("patient_view")
    assert (event.metadata["records"].value, event.metadata["persons"].value) == (2, 2)
    with platform.db.transaction() as cur:
        assert batches.batch_rows(cur, state="published")[-1]["batch_id"] == batch
        cur.execute("SELECT count(*) FROM ops.record_state WHERE has_patient")
        assert cur.fetchone() == (2,)


def test_the_check_of_the_ledger_is_red_where_rows_were_lost(platform: Platform, instance: dg.DagsterInstance) -> None:
    _land(platform, _patient("a"))
    discover(platform)
    assert _run(instance).success
    assert _checked(instance).passed
    with platform.db.transaction() as cur:
        cur.execute("DELETE FROM ops.staged_file WHERE table_name = 'patient'")
    evaluation = _checked(instance)
    assert not evaluation.passed
    assert evaluation.metadata["north: rows of table patient"].value == "1, not 0"


def _checked(instance: dg.DagsterInstance) -> dg.AssetCheckEvaluation:
    result = build_defs({"platform": Opened()}).resolve_job_def("check_ledger").execute_in_process(instance=instance)
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation
