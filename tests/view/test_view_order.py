from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from spv_platform.view.order import sort_rows

BY = ["a", "b", "c", "d"]
SCHEMA = {"a": pl.String, "b": pl.Int64, "c": pl.Boolean, "d": pl.List(pl.String)}

rows = st.lists(
    st.tuples(
        st.sampled_from(["x", "y", None]),
        st.sampled_from([1, 2, None]),
        st.sampled_from([True, False, None]),
        st.sampled_from([["p"], ["p", "q"], [], None]),
    ),
    max_size=12,
)


def frame(values: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(values, schema=SCHEMA, orient="row")


@given(rows, st.integers(1, 4), st.sets(st.sampled_from(["a", "b", "c"])))
def test_rows_come_as_one_sort_by_all_columns_gives_them(
    values: list[tuple[Any, ...]], first: int, descending: set[str]
) -> None:
    found = sort_rows(frame(values), BY, first, descending=descending)
    assert found.equals(frame(values).sort(BY, descending=[name in descending for name in BY], nulls_last=True))


@given(rows, st.integers(1, 4))
def test_equal_rows_become_one_where_that_is_wanted(values: list[tuple[Any, ...]], first: int) -> None:
    found = sort_rows(frame(values), BY, first, distinct=True)
    assert found.equals(frame(values).unique().sort(BY, nulls_last=True))
