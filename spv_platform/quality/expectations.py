"""Running Great Expectations over a frame so that no failing value leaves it.

What belongs here: the one way a suite is evaluated. Which expectations a gate has stands in the gate's own module.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

#: Counts only: results carry failing values unless told otherwise.
NO_VALUES = {"result_format": "BASIC", "partial_unexpected_count": 0}


@dataclass(frozen=True)
class Judgement:
    """One expectation's outcome: what was expected of which column, and how many rows fell short."""

    expectation: str
    column: str
    passed: bool
    rows: int
    unexpected: int


def judge(frame: pl.DataFrame, name: str, expectations: "Sequence[Expectation]") -> list[Judgement]:
    """Evaluate expectations over a frame.

    Args:
        frame: the rows; handed to Great Expectations as pandas, which it has engines for.
        name: of the suite.

    Raises:
        RuntimeError: an expectation could not be evaluated; names it, holds no values.
    """
    import great_expectations as gx

    suite = gx.ExpectationSuite(name=name, expectations=list(expectations))
    batch = _batch_definition(name).get_batch({"dataframe": frame.to_pandas()})
    result = batch.validate(suite, result_format=NO_VALUES)
    return [_judgement(item) for item in result.results]


@cache
def _batch_definition(name: str) -> Any:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    return asset.add_batch_definition_whole_dataframe(name)


def _judgement(item: Any) -> Judgement:
    kind, column = item.expectation_config.type, item.expectation_config.kwargs.get("column", "")
    if item.exception_info.get("raised_exception"):
        raise RuntimeError(f"{kind} of {column} could not be evaluated")
    return Judgement(
        expectation=kind,
        column=column,
        passed=bool(item.success),
        rows=int(item.result.get("element_count", 0)),
        unexpected=int(item.result.get("unexpected_count", 0)),
    )
