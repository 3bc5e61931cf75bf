"""Running Great Expectations over a frame so that no failing value leaves it.

What belongs here: the one way a suite is evaluated, and expectations that follow from any table's description. Which
expectations a gate has stands in the gate's own module.
"""

import gc
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import polars as pl

from spv_platform.memory import no_collections

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

#: Counts only: results carry failing values unless told otherwise.
NO_VALUES = {"result_format": "BASIC", "partial_unexpected_count": 0}
#: AdministrativeGender, a required binding of FHIR R4.
GENDERS = ["male", "female", "other", "unknown"]


@dataclass(frozen=True)
class Suite:
    """A named list of expectations, made when it is first evaluated: Great Expectations takes seconds to import."""

    name: str
    expectations: "Callable[[], Sequence[Expectation]]"


@dataclass(frozen=True)
class Judgement:
    """One expectation's outcome: what was expected of which column, and how many rows fell short."""

    expectation: str
    column: str
    passed: bool
    rows: int
    unexpected: int


class UnevaluableError(Exception):
    """A suite that could not be evaluated.

    Args:
        place: the suite, and the expectation and column if one is to blame; no values.
    """

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.place = place


def judge(suite: Suite, frame: pl.DataFrame) -> list[Judgement]:
    """Evaluate a suite over a frame; a frame without rows meets every expectation.

    Args:
        suite: what is expected.
        frame: the rows; handed to Great Expectations as pandas, which it has engines for.

    Raises:
        UnevaluableError: nothing can be said about the frame.
    """
    if frame.is_empty():
        return []
    try:
        expected, definition = _loaded(suite)
        result = _validator(definition, frame).validate_expectation_suite(expected)
    except Exception as error:  # whatever it is, its text may hold data
        raise UnevaluableError(f"{suite.name}: {type(error).__name__}") from None
    return [_judgement(suite, item) for item in result.results]


def key_expectations(key: Sequence[str], *, unique: bool) -> "list[Expectation]":
    """Every column of a table's key has a value; and no key stands twice, if so wanted."""
    from great_expectations import expectations as gxe

    found: list[Expectation] = [gxe.ExpectColumnValuesToNotBeNull(column=name) for name in key]
    if unique and len(key) == 1:
        found.append(gxe.ExpectColumnValuesToBeUnique(column=key[0]))
    elif unique:
        found.append(gxe.ExpectCompoundColumnsToBeUnique(column_list=list(key)))
    return found


def _validator(definition: Any, frame: pl.DataFrame) -> Any:
    """What `Batch.validate` makes too, which loads a frame twice, and each time hashes all of it."""
    from great_expectations.validator.v1_validator import Validator

    return Validator(definition, batch_parameters={"dataframe": frame.to_pandas()}, result_format=NO_VALUES)


@cache
def _loaded(suite: Suite) -> tuple[Any, Any]:
    """The suite and where it takes frames from, as Great Expectations has them; made once per process."""
    context = _context()
    import great_expectations as gx

    asset = context.data_sources.add_pandas(suite.name).add_dataframe_asset(suite.name)
    expected = gx.ExpectationSuite(name=suite.name, expectations=list(suite.expectations()))
    return expected, asset.add_batch_definition_whole_dataframe(suite.name)


@cache
def _context() -> Any:
    # Great Expectations would report its use on import.
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    # What it brings are some hundred thousand objects that stay: no search for garbage need go through them, neither
    # while they come nor later. The garbage that comes with them is tens of megabytes, so one search does, through
    # nothing else.
    gc.freeze()
    with no_collections():
        import great_expectations as gx

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        gc.collect()
        gc.freeze()
    return context


def _judgement(suite: Suite, item: Any) -> Judgement:
    kind, given = item.expectation_config.type, item.expectation_config.kwargs
    columns = given.get("column_list") or [given[name] for name in ("column", "column_A", "column_B") if name in given]
    column = ", ".join(columns)
    if _raised(item.exception_info):
        raise UnevaluableError(f"{suite.name}: {kind} of {column}")
    return Judgement(
        expectation=kind,
        column=column,
        passed=bool(item.success),
        rows=int(item.result.get("element_count", 0)),
        unexpected=int(item.result.get("unexpected_count", 0)),
    )


def _raised(info: dict[str, Any]) -> bool:
    """Whether an expectation or, then by its name, one of the metrics below it raised."""
    return any(part.get("raised_exception") for part in (info, *info.values()) if isinstance(part, dict))
