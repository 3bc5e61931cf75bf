"""Old runs go with their events; what people look at stays."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from spv_platform.local import orchestrator
from spv_platform.resources.old_runs import delete_runs, old_runs
from spv_platform.settings import Settings, update_settings

TENANTS = dg.StaticPartitionsDefinition(["north", "south"])


@dg.asset(partitions_def=TENANTS, check_specs=[dg.AssetCheckSpec("fine", asset="view")])
def view(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
    """Something that is made for each tenant."""
    if context.has_tag("bad"):
        raise dg.Failure("on purpose")
    yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True, check_name="fine")])


@pytest.fixture
def instance(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """Dagster on the platform's own storage."""
    (settings.home / "dagster").mkdir()
    monkeypatch.setenv("SPV_HOME", str(settings.home))
    names = ("postgres_url", "mongo_url", "s3_access_key_id", "s3_secret_access_key", "s3_endpoint")
    update_settings(settings.home, {name: getattr(settings, name) for name in names})
    orchestrator.configure(settings)
    orchestrator.make_tables(settings)
    with dg.DagsterInstance.from_config(str(settings.home / "dagster")) as made:
        yield made


def run(instance: dg.DagsterInstance, tenant: str, *, good: bool = True) -> str:
    result = dg.materialize(
        [view], instance=instance, partition_key=tenant, tags={} if good else {"bad": "yes"}, raise_on_error=False
    )
    assert result.success == good
    return result.run_id


def present(instance: dg.DagsterInstance) -> set[str]:
    return {each.run_id for each in instance.get_runs()}


def now() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


def test_the_newest_runs_of_each_tenant_stay_and_failures_do_not_push_successes_out(
    instance: dg.DagsterInstance,
) -> None:
    north = [run(instance, "north") for _ in range(3)]
    south = run(instance, "south")
    failed = [run(instance, "north", good=False) for _ in range(3)]
    assert old_runs(instance, before=now() - timedelta(days=1), keep=0, spare=()) == []
    old = old_runs(instance, before=now(), keep=2, spare=())
    assert set(old) == {north[0], failed[0]}
    assert present(instance) == {*north, south, *failed}
    delete_runs(instance, old)
    assert present(instance) == {*north[1:], south, *failed[1:]}
    assert old_runs(instance, before=now(), keep=2, spare=()) == []
    assert not instance.all_logs(north[0])
    assert instance.all_logs(north[1])


def test_runs_that_are_needed_or_not_finished_stay(instance: dg.DagsterInstance) -> None:
    runs = [run(instance, "north") for _ in range(2)]
    waiting = instance.create_run_for_job(dg.Definitions(assets=[view]).resolve_implicit_global_asset_job_def())
    assert old_runs(instance, before=now(), keep=0, spare={runs[0]}) == [runs[1]]
    assert waiting.run_id in present(instance)


def test_assets_keep_their_newest_materialization_and_checks_their_newest_outcome(
    instance: dg.DagsterInstance,
) -> None:
    runs = [run(instance, "north") for _ in range(3)]
    south = run(instance, "south")
    key = dg.AssetCheckKey(view.key, "fine")
    delete_runs(instance, old_runs(instance, before=now(), keep=1, spare=()))
    assert present(instance) == {runs[-1], south}
    records = instance.fetch_materializations(view.key, limit=10).records
    assert {record.run_id for record in records} == {runs[-1], south}
    assert instance.get_materialized_partitions(view.key) == {"north", "south"}
    outcomes = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    assert {outcome.run_id for outcome in outcomes} == {runs[-1], south}
    delete_runs(instance, list(present(instance)))
    outcomes = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    assert [outcome.run_id for outcome in outcomes] == [south]


def test_deleting_again_changes_nothing(instance: dg.DagsterInstance) -> None:
    gone, kept = run(instance, "north"), run(instance, "north")
    delete_runs(instance, [gone])
    delete_runs(instance, [gone])
    assert present(instance) == {kept}
