"""What assets and checks share: the tenant partition, the batch tag, how failures and gates are shown to Dagster."""

import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg

from spv_platform.errors import PermanentError, SpvError, UsageError
from spv_platform.lake.describe import DerivedColumn, Phi
from spv_platform.lake.tables import TABLES
from spv_platform.pipeline.claims import Holding, hold
from spv_platform.pipeline.platform import Platform

if TYPE_CHECKING:
    from spv_platform.pipeline.gate import GateReport

#: The partition of every tenant asset.
TENANT = dg.DynamicPartitionsDefinition(name="tenant")
#: Run tag that names the batch; a run without it takes what waits.
BATCH_TAG = "spv/batch"
#: Metadata of a failure that names its reason code.
REASON = "reason"
OWNERS = ["team:data-platform"]
#: Of every asset that a batch makes. Nothing that lands for so long is worth a look, not yet an alarm: a practice can
#: be closed for a weekend.
FRESHNESS = dg.FreshnessPolicy.time_window(warn_window=timedelta(days=1), fail_window=timedelta(days=4))

_RESOURCE_TABLES = frozenset(table.name for table in TABLES)

NOTHING_TO_DO = {"outcome": "nothing to do: nothing waits, or the batch is already published or set aside"}


@contextmanager
def batch_of(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[Holding | None]:
    """The run's batch; None when there is nothing to do."""
    run = context.run
    with shown_failures(), hold(platform, run.run_id, context.partition_key, run.tags.get(BATCH_TAG)) as holding:
        yield holding


def gate_check(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext,
    platform: Platform,
    check: str,
    gate: str,
    work: "Callable[[Platform, Holding], GateReport]",
) -> dg.AssetCheckResult:
    """The outcome of a gate as an asset check. A batch that it refuses is set aside, and the next one goes on.

    Args:
        check: name of the check.
        gate: which gate the check shows; a refusal by another one is a failure of the step.
        work: leads the run's batch through the gate.
    """
    from spv_platform.pipeline.gate import GateRefusedError

    run, batch_id = context.run, ""
    with shown_failures():
        try:
            with hold(platform, run.run_id, context.partition_key, run.tags.get(BATCH_TAG)) as holding:
                if holding is None:
                    return dg.AssetCheckResult(passed=True, check_name=check, metadata=NOTHING_TO_DO)
                batch_id = holding.claim.batch_id
                report = work(platform, holding)
        except GateRefusedError as error:
            if error.report.gate != gate:
                raise
            report = error.report
    return _check_result(check, batch_id, report)


def _check_result(check: str, batch_id: str, report: "GateReport") -> dg.AssetCheckResult:
    fallen = {f"{item.column}: {item.expectation}": f"{item.unexpected} rows" for item in report.failed}
    where = {
        f"{column} in {place}": f"{count} rows"
        for column, counts in report.places.items()
        for place, count in counts.items()
    }
    unevaluable = {"could not be evaluated": report.unevaluable} if report.unevaluable else {}
    description = None
    if report.waived:
        description = "The batch falls short, and goes on by decision: the gate was waived for it."
    elif not report.passed:
        description = f"The batch is set aside: `spv batch show {batch_id}`, then release or reject it."
    return dg.AssetCheckResult(
        passed=report.passed,
        check_name=check,
        severity=dg.AssetCheckSeverity.WARN if report.waived else dg.AssetCheckSeverity.ERROR,
        description=description,
        metadata={"batch": batch_id, "rows": report.rows, **fallen, **where, **unevaluable},
    )


@contextmanager
def shown_failures() -> Iterator[None]:
    """Failures of the work become Dagster failures without data in their texts.

    A permanent failure is not worth a retry, and the ledger decides about the others, so Dagster retries nothing.
    """
    try:
        yield
    except PermanentError as error:
        raise _failure(f"{error}: the batch is set aside, see `spv batch list`", error.reason) from None
    except UsageError as error:
        raise _failure(str(error), "not_possible") from None
    except SpvError as error:
        raise _failure(f"{error}: it is tried again by itself", error.reason) from None
    except Exception as error:  # the text of any other error may hold data, and Dagster keeps texts
        raise _failure(f"{_where(error)}: a defect; the batch is tried again by itself", "internal_error") from None


def _failure(text: str, reason: str) -> dg.Failure:
    return dg.Failure(text, metadata={REASON: reason}, allow_retries=False)


def _where(error: Exception) -> str:
    """The class of an error and the places in our code that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.name}:{frame.lineno}" for frame in frames if "spv_platform" in frame.filename]
    return f"{type(error).__name__} in {' > '.join(places[-6:])}"


def table_schema(columns: Iterable[DerivedColumn]) -> dg.TableSchema:
    """A described table's columns, for the Dagster UI."""
    return dg.TableSchema(
        [
            dg.TableColumn(column.name, type=str(column.dtype), description=column.meaning, tags=phi_tag(column.phi))
            for column in columns
        ]
    )


def column_lineage(columns: Iterable[DerivedColumn]) -> dg.TableColumnLineage:
    """Which columns of other assets a described table's columns are made of."""
    return dg.TableColumnLineage(
        {column.name: [_dependency(source) for source in column.sources] for column in columns if column.sources}
    )


def _dependency(source: str) -> dg.TableColumnDep:
    table, _, column = source.partition(".")
    if table in _RESOURCE_TABLES:  # the asset holds all of them, so its columns have the table in their names
        return dg.TableColumnDep(dg.AssetKey("decrypted_fhir"), source)
    return dg.TableColumnDep(dg.AssetKey(table), column)


def phi_tag(phi: Phi) -> dict[str, str]:
    """The PHI class of a column as a tag; tag values have no spaces."""
    return {"phi": phi.value.replace(" ", "-")}
