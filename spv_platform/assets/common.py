"""What every asset shares: the tenant partition, the batch tag, and how a failure is shown to Dagster."""

import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import dagster as dg

from spv_platform.errors import PermanentError, SpvError
from spv_platform.lake.describe import DerivedColumn, Phi
from spv_platform.pipeline.claims import Holding, hold
from spv_platform.pipeline.platform import Platform

#: The partition of every tenant asset.
TENANT = dg.DynamicPartitionsDefinition(name="tenant")
#: Run tag that names the batch; a run without it takes what waits.
BATCH_TAG = "spv/batch"
OWNERS = ["team:data-platform"]

NOTHING_TO_DO = {"outcome": "nothing to do: nothing waits, or the batch is already published or set aside"}


@contextmanager
def batch_of(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[Holding | None]:
    """The run's batch; None when there is nothing to do."""
    run = context.run
    with shown_failures(), hold(platform, run.run_id, context.partition_key, run.tags.get(BATCH_TAG)) as holding:
        yield holding


@contextmanager
def shown_failures() -> Iterator[None]:
    """Failures of the work become Dagster failures without data in their texts.

    A permanent failure is not worth a retry, and the ledger decides about the others, so Dagster retries nothing.
    """
    try:
        yield
    except PermanentError as error:
        raise dg.Failure(f"{error}: the batch is set aside, see `spv ledger`", allow_retries=False) from None
    except SpvError as error:
        raise dg.Failure(f"{error}: it is tried again by itself", allow_retries=False) from None
    except Exception as error:  # the text of any other error may hold data, and Dagster keeps texts
        raise dg.Failure(
            f"{_where(error)}: a defect; the batch is tried again by itself", allow_retries=False
        ) from None


def _where(error: Exception) -> str:
    """The class of an error and the places in our code that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.name}:{frame.lineno}" for frame in frames if "spv_platform" in frame.filename]
    return f"{type(error).__name__} in {' > '.join(places[-6:])}"


def table_schema(columns: Iterable[DerivedColumn]) -> dg.TableSchema:
    """A described table's columns, for the Dagster UI."""
    return dg.TableSchema(
        [
            dg.TableColumn(
                column.name, type=str(column.dtype), description=column.description, tags=phi_tag(column.phi)
            )
            for column in columns
        ]
    )


def phi_tag(phi: Phi) -> dict[str, str]:
    """The PHI class of a column as a tag; tag values have no spaces."""
    return {"phi": phi.value.replace(" ", "-")}
