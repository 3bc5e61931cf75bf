"""Evaluating a suite: what comes out, and what never does."""

import logging
from collections.abc import Sequence
from itertools import count
from typing import Any

import great_expectations as gx
import polars as pl
import pytest

from spv_platform.quality.expectations import Suite, UnevaluableError, judge, key_expectations

gxe = gx.expectations
CANARY = "zqxvalueqxz"
_number = count()


def suite(*expectations: Any) -> Suite:
    """A suite of its own: suites are kept by name."""

    def make() -> Sequence[Any]:
        return expectations

    return Suite(f"test-{next(_number)}", make)


def failing(frame: pl.DataFrame, *expectations: Any) -> list[tuple[str, int, int]]:
    return [(item.column, item.rows, item.unexpected) for item in judge(suite(*expectations), frame) if not item.passed]


def test_rows_that_fall_short_are_counted() -> None:
    frame = pl.DataFrame({"a": ["x", CANARY, CANARY], "b": [1, 2, 3]})
    found = failing(
        frame,
        gxe.ExpectColumnValuesToBeInSet(column="a", value_set=["x"]),
        gxe.ExpectColumnValuesToBeBetween(column="b", max_value=3),
    )
    assert found == [("a", 3, 2)]


def test_a_frame_without_rows_meets_everything() -> None:
    assert judge(suite(gxe.ExpectColumnValuesToNotBeNull(column="none")), pl.DataFrame()) == []


@pytest.mark.parametrize(
    ("rows", "failed"),
    [
        ([("a", "b"), ("a", "c")], []),
        ([("a", "b"), ("a", "b")], ["one, two"]),
        ([("a", None), ("a", "b")], ["two"]),
        ([(None, "b"), ("a", "b")], ["one"]),
    ],
)
def test_a_key_is_there_and_stands_once(rows: list[tuple[str | None, str | None]], failed: list[str]) -> None:
    frame = pl.DataFrame(rows, schema={"one": pl.String, "two": pl.String}, orient="row")
    assert [name for name, _, _ in failing(frame, *key_expectations(["one", "two"], unique=True))] == failed


def test_a_key_of_one_column_stands_once() -> None:
    frame = pl.DataFrame({"one": ["a", "a", "b"]})
    assert failing(frame, *key_expectations(["one"], unique=True)) == [("one", 3, 2)]
    assert failing(frame, *key_expectations(["one"], unique=False)) == []


def test_a_missing_column_makes_the_suite_unevaluable() -> None:
    with pytest.raises(UnevaluableError, match=r"test-\d+: expect_column_values_to_not_be_null of none"):
        judge(suite(gxe.ExpectColumnValuesToNotBeNull(column="none")), pl.DataFrame({"a": [1]}))


def test_a_metric_that_raises_makes_the_suite_unevaluable_and_its_values_stay_inside(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    frame = pl.DataFrame({"a": [CANARY, "x"]})
    with caplog.at_level(logging.DEBUG), pytest.raises(UnevaluableError) as raised:
        judge(suite(gxe.ExpectColumnValuesToBeBetween(column="a", max_value=1)), frame)
    assert "expect_column_values_to_be_between of a" in str(raised.value)
    shown = capfd.readouterr()
    assert CANARY not in str(raised.value) + caplog.text + shown.out + shown.err


def test_a_suite_that_cannot_be_made_is_unevaluable_and_names_the_error_only() -> None:
    def make() -> Sequence[Any]:
        raise KeyError(CANARY)

    with pytest.raises(UnevaluableError) as raised:
        judge(Suite("broken", make), pl.DataFrame({"a": [1]}))
    assert str(raised.value) == "broken: KeyError"


def test_a_suite_is_made_once_per_process() -> None:
    made = []

    def make() -> Sequence[Any]:
        made.append(1)
        return [gxe.ExpectColumnValuesToNotBeNull(column="a")]

    counted = Suite("counted", make)
    for _ in range(3):
        assert [item.passed for item in judge(counted, pl.DataFrame({"a": [1]}))] == [True]
    assert made == [1]
