"""Layouts: which are taken, and what names of a moment begin with."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spv_platform.errors import UsageError
from spv_platform.ledger.contracts import parse_contract
from spv_platform.ledger.layouts import ANY, SENT, beginning, problem

SORTING = [
    SENT,
    "%Y/%m/%d/",
    "%Y/%j/",
    "year=%Y/month=%m/day=%d/hour=%H/",
    "%Y%m%dT%H%M%S",
    "in-%Y",
]
MOMENTS = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 30), timezones=st.just(UTC))


@pytest.mark.parametrize("layout", [ANY, *SORTING])
def test_any_and_patterns_that_sort_by_time_are_taken(layout: str) -> None:
    assert problem(layout) is None
    assert parse_contract({"layout": layout}, "c.yaml").layout == layout


@pytest.mark.parametrize(
    "layout",
    ["", "dated", "%d/%m/%Y", "%m/%d/%Y/", "%H%M%S", "%Y/%d/%m", "%Y/%S", "%Y %m", "%Y/%b", "%Y%", "%Y/é"],
)
def test_what_does_not_sort_by_time_is_refused_with_the_file_and_the_field(layout: str) -> None:
    with pytest.raises(UsageError, match=r"^c\.yaml: layout: "):
        parse_contract({"layout": layout}, "c.yaml")


@pytest.mark.parametrize("layout", [ANY, *SORTING])
@given(moments=st.tuples(MOMENTS, MOMENTS))
def test_names_sort_as_their_moments_do(layout: str, moments: tuple[datetime, datetime]) -> None:
    earlier, later = sorted(moments)
    assert beginning(layout, earlier) <= beginning(layout, later)


def test_names_are_in_utc() -> None:
    moment = datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=2)))
    assert beginning(SENT, moment) == "2025/12/31/223000"
