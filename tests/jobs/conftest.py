"""Jobs as Dagster executes them, in process, on real stores."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest
from installations import Opened, given_to_dagster

from spv_platform.definitions import build_defs
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.setup import prepare_home
from spv_platform.settings import Settings


@pytest.fixture
def platform(settings: Settings) -> Iterator[Platform]:
    """A prepared installation."""
    prepare_home(settings)
    with given_to_dagster(Platform(settings)) as platform:
        yield platform


@pytest.fixture
def run_job(platform: Platform) -> Iterator[Callable[..., dict[str, Any]]]:
    """Executes a job by name, with a config for its one op; gives the metadata of the op's output."""
    with dg.instance_for_test() as instance:

        def run(name: str, **config: object) -> dict[str, Any]:
            job = build_defs({"platform": Opened()}).resolve_job_def(name)
            (node,) = job.nodes
            result = job.execute_in_process(
                instance=instance, run_config={"ops": {node.name: {"config": config}}} if config else None
            )
            (output,) = (event for event in result.all_events if event.is_successful_output)
            return {key: value.value for key, value in output.step_output_data.metadata.items()}

        yield run
