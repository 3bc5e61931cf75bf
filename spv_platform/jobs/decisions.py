"""The job by which a person decides about a batch that is set aside."""

from enum import Enum

import dagster as dg

from spv_platform.assets.common import shown_failures
from spv_platform.resources.platform import PlatformResource


class Decision(Enum):
    """What becomes of a batch that is set aside."""

    release = "release"
    reject = "reject"


class DecideConfig(dg.Config):
    """Which batch, what becomes of it, and who says so.

    Attributes:
        waive_gate: with a release: the gate that refused the batch lets it pass this time.
    """

    batch: str
    decision: Decision
    who: str
    waive_gate: bool = False


@dg.op
def decide(context: dg.OpExecutionContext, config: DecideConfig, platform: PlatformResource) -> None:
    """Releases or rejects one batch, and writes who did so into the audit trail."""
    from spv_platform.pipeline import deciding

    act = deciding.reject if config.decision is Decision.reject else deciding.release
    with shown_failures():
        act(platform.open(), config.batch, waive=config.waive_gate, who=config.who)
    context.log.info(f"batch {config.batch}: {config.decision.value}")


@dg.job(executor_def=dg.in_process_executor)
def decide_batch() -> None:
    """Decides about a batch that is set aside: release tries it again, reject ends it for good."""
    decide()
