"""The graph that Dagster shows: it cannot change by accident."""

import dagster as dg

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
    }
    assert all(node.owners and node.description and node.kinds for node in graph.asset_nodes)


def test_jobs_and_sensors_are_few_and_described() -> None:
    repository = build_defs().get_repository_def()
    jobs = {job.name: job.description for job in repository.get_all_jobs() if not job.name.startswith("__")}
    assert set(jobs) == {"process_batch", "refresh_trials", "compact"}
    assert all(jobs.values())
    sensors = {sensor.name: sensor for sensor in repository.sensor_defs}
    assert set(sensors) == {"landing_sensor", "feeds_sensor"}
    assert all(sensor.description for sensor in sensors.values())
    assert all(sensor.default_status is dg.DefaultSensorStatus.RUNNING for sensor in sensors.values())


def test_the_gate_blocks_and_is_partitioned_by_tenant() -> None:
    (spec,) = (spec for check in build_defs().asset_checks or [] for spec in check.check_specs)
    assert spec.blocking
    assert isinstance(spec.partitions_def, dg.DynamicPartitionsDefinition)
