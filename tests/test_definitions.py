"""The graph that Dagster shows: it cannot change by accident."""

import dagster as dg
from dagster._core.definitions.dependency import NodeHandle

from spv_platform.assets.common import FRESHNESS, TENANT
from spv_platform.definitions import build_defs


def test_assets_have_the_groups_dependencies_owners_and_descriptions_that_people_know() -> None:
    graph = build_defs().resolve_asset_graph()
    assert {
        node.key.to_user_string(): (node.group_name, sorted(key.to_user_string() for key in node.parent_keys))
        for node in graph.asset_nodes
    } == {
        "raw_bundles": ("landing", []),
        "decrypted_fhir": ("fhir", ["raw_bundles"]),
        "patient_view": ("patients", ["decrypted_fhir"]),
        "trial_criteria": ("trials", []),
        "approved_patients": ("trials", ["patient_view", "trial_criteria"]),
        "practice_notifications": ("trials", ["approved_patients"]),
        "patient_history": ("history", ["approved_patients"]),
        "analyst_tables": ("analytics", ["approved_patients"]),
    }
    assert all(node.owners and node.description and node.kinds for node in graph.asset_nodes)


def test_every_tenant_asset_has_the_one_freshness_policy() -> None:
    graph = build_defs().resolve_asset_graph()
    fresh = {node.key.to_user_string() for node in graph.asset_nodes if node.freshness_policy == FRESHNESS}
    assert fresh == {node.key.to_user_string() for node in graph.asset_nodes} - {"trial_criteria"}


def test_column_lineage_leads_from_the_approvals_back_to_the_source_tables() -> None:
    graph = build_defs().resolve_asset_graph()
    columns = {
        node.key: {column.name for column in node.metadata["dagster/column_schema"].columns}
        for node in graph.asset_nodes
        if "dagster/column_schema" in node.metadata
    }

    def sources(asset: str, column: str) -> set[tuple[str, str]]:
        metadata = graph.get(dg.AssetKey(asset)).metadata
        if "dagster/column_lineage" not in metadata:
            return {(asset, column)}
        found: set[tuple[str, str]] = set()
        for dep in metadata["dagster/column_lineage"].deps_by_column.get(column, []):
            assert dep.column_name in columns[dep.asset_key]
            found |= sources(dep.asset_key.to_user_string(), dep.column_name)
        return found

    assert sources("approved_patients", "person_id") == {
        ("decrypted_fhir", f"patient.{column}") for column in ("identifier", "birth_date", "gender")
    }
    assert ("decrypted_fhir", "observation.component") in sources("approved_patients", "cohort")
    assert ("trial_criteria", "criteria") in sources("approved_patients", "cohort")
    (cohort,) = (
        column
        for column in graph.get(dg.AssetKey("approved_patients")).metadata["dagster/column_schema"].columns
        if column.name == "cohort"
    )
    assert "Made of: trial_criteria (cohort, criteria, status); patient_view (gender, " in cohort.description


def test_jobs_and_sensors_are_few_and_described() -> None:
    repository = build_defs().get_repository_def()
    jobs = {job.name: job.description for job in repository.get_all_jobs() if not job.name.startswith("__")}
    assert set(jobs) == {
        "process_batch",
        "refresh_trials",
        "feed_history",
        "relay_notifications",
        "build_analytics",
        "check_ledger",
        "compact",
        "decide_batch",
        "reprocess",
        "replay_quarantined",
        "rebuild_view",
        "sweep",
        "retain",
    }
    assert all(jobs.values())
    sensors = {sensor.name: sensor for sensor in repository.sensor_defs}
    assert set(sensors) == {
        "landing_sensor",
        "feeds_sensor",
        "history_sensor",
        "notifications_sensor",
        "set_aside_sensor",
        "run_failures",
        "alerts_sensor",
    }
    assert all(sensor.description for sensor in sensors.values())
    assert all(sensor.default_status is dg.DefaultSensorStatus.RUNNING for sensor in sensors.values())


def test_schedules_are_few_and_described() -> None:
    schedules = {schedule.name: schedule for schedule in build_defs().get_repository_def().schedule_defs}
    assert set(schedules) == {
        "analytics_nightly",
        "check_ledger_nightly",
        "sweep_hourly",
        "retain_nightly",
        "compaction_check",
        "rematch_daily",
    }
    assert all(schedule.description for schedule in schedules.values())
    assert all(schedule.default_status is dg.DefaultScheduleStatus.RUNNING for schedule in schedules.values())


def test_every_gate_is_a_blocking_check_and_standing_checks_block_nothing() -> None:
    graph = build_defs().resolve_asset_graph()
    nodes = [graph.get(key) for key in graph.asset_check_keys]
    assert {(node.key.asset_key.to_user_string(), node.key.name): node.blocking for node in nodes} == {
        ("raw_bundles", "no_batch_is_set_aside"): False,
        ("decrypted_fhir", "staged_rows_are_plausible"): True,
        ("decrypted_fhir", "feeds_bring_nothing_new"): False,
        ("patient_view", "every_person_has_one_view_with_a_source"): True,
        ("approved_patients", "approvals_keep_the_rules"): True,
        ("approved_patients", "the_ledger_balances"): False,
    }
    assert all(node.description for node in nodes)
    assert {node.key.name for node in nodes if node.partitions_def != TENANT} == {
        "no_batch_is_set_aside",
        "the_ledger_balances",
    }


def test_a_run_of_a_batch_leads_through_the_gates_and_leaves_the_standing_check_to_its_sensor() -> None:
    job = build_defs().resolve_job_def("process_batch")
    nodes = [NodeHandle(node.name, None) for node in job.nodes]
    keys = {key for node in nodes for key in job.asset_layer.get_selected_entity_keys_for_node(node)}
    assert {key.name for key in keys if isinstance(key, dg.AssetCheckKey)} == {
        "feeds_bring_nothing_new",
        "staged_rows_are_plausible",
        "every_person_has_one_view_with_a_source",
        "approvals_keep_the_rules",
    }
