"""The landing sensor keeps Dagster's partitions in step with the tenants of the ledger."""

import json
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData
from installations import Opened

from spv_platform.definitions import build_defs
from spv_platform.pipeline import tenancy
from spv_platform.pipeline.landing.send import BUNDLE, send
from spv_platform.pipeline.platform import Platform
from spv_platform.sensors import landing


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def tick(instance: dg.DagsterInstance) -> SensorExecutionData:
    """One tick as the daemon has it evaluated, with what it asks for done to the partitions."""
    repository = build_defs({"platform": Opened()}).get_repository_def()
    # Not `build_sensor_context`: without a reference to the instance, partitions of run requests cannot be looked up.
    context = dg.SensorEvaluationContext(
        instance_ref=instance.get_ref(), instance=instance, repository_def=repository
    ).merge_resources({"platform": Opened()})
    result = repository.get_sensor_def("landing_sensor").evaluate_tick(context)
    for request in result.dynamic_partitions_requests or []:
        if isinstance(request, dg.AddDynamicPartitionsRequest):
            instance.add_dynamic_partitions("tenant", list(request.partition_keys))
            continue
        for key in request.partition_keys:
            instance.delete_dynamic_partition("tenant", key)
    return result


def known(instance: dg.DagsterInstance) -> set[str]:
    return set(instance.get_dynamic_partitions("tenant"))


def deliver(platform: Platform, tenant: str) -> None:
    content = {"resourceType": "Bundle", "type": "collection", "entry": []}
    send(platform, "", json.dumps(content).encode(), BUNDLE, tenant=tenant, feed="emr")


def test_partitions_come_go_and_come_back_with_their_tenants(platform: Platform, instance: dg.DagsterInstance) -> None:
    tick(instance)
    assert known(instance) == {"north", "south"}
    tenancy.remove_tenant(platform, "north", who="me")
    tenancy.add_tenant(platform, "west")
    tick(instance)
    assert known(instance) == {"south", "west"}
    tenancy.add_tenant(platform, "north")
    tick(instance)
    assert known(instance) == {"north", "south", "west"}
    assert not tick(instance).dynamic_partitions_requests


def test_a_partition_that_the_ledger_does_not_know_is_left_alone(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    instance.add_dynamic_partitions("tenant", ["north", "south", "of-somebody-else"])
    tick(instance)
    assert known(instance) == {"north", "south", "of-somebody-else"}


def test_a_tenant_that_comes_while_the_sensor_looks_has_its_partition_with_its_first_run(
    platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick(instance)
    real = landing.discover

    def discover_after_an_addition(opened: Platform) -> int:
        tenancy.add_tenant(platform, "west")
        deliver(platform, "west")
        return real(opened)

    monkeypatch.setattr(landing, "discover", discover_after_an_addition)
    result = tick(instance)
    assert [request.partition_key for request in result.run_requests or []] == ["west"]
    assert "west" in known(instance)


def test_no_run_is_requested_for_a_removed_tenant(platform: Platform, instance: dg.DagsterInstance) -> None:
    tick(instance)
    for tenant in ("north", "south"):
        deliver(platform, tenant)
    tenancy.remove_tenant(platform, "north", who="me")
    tick(instance)
    result = tick(instance)
    assert [request.partition_key for request in result.run_requests or []] == ["south"]
