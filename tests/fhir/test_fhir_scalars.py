from datetime import UTC, datetime, timedelta, timezone

import pytest
from fhir_samples import quick
from hypothesis import given
from hypothesis import strategies as st

from spv_platform.fhir.scalars import moment, number


@pytest.mark.parametrize(
    ("text", "start", "end", "precision"),
    [
        ("2020", datetime(2020, 1, 1), datetime(2021, 1, 1), "year"),
        ("2020-02", datetime(2020, 2, 1), datetime(2020, 3, 1), "month"),
        ("2020-12", datetime(2020, 12, 1), datetime(2021, 1, 1), "month"),
        ("2020-02-29", datetime(2020, 2, 29), datetime(2020, 3, 1), "day"),
        ("2020-01-01T10:00:00Z", datetime(2020, 1, 1, 10), datetime(2020, 1, 1, 10, 0, 1), "second"),
        ("2020-01-01T00:30:00+02:00", datetime(2019, 12, 31, 22, 30), datetime(2019, 12, 31, 22, 30, 1), "second"),
        ("2020-01-01T23:30:00-05:30", datetime(2020, 1, 2, 5), datetime(2020, 1, 2, 5, 0, 1), "second"),
        (
            "2020-01-01T00:00:00.25Z",
            datetime(2020, 1, 1, 0, 0, 0, 250000),
            datetime(2020, 1, 1, 0, 0, 0, 260000),
            "subsecond",
        ),
        (
            "2020-01-01T00:00:00.123456789Z",
            datetime(2020, 1, 1, 0, 0, 0, 123456),
            datetime(2020, 1, 1, 0, 0, 0, 123457),
            "subsecond",
        ),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1), datetime(2017, 1, 1, 0, 0, 1), "second"),
        ("9999", datetime(9999, 1, 1), datetime.max, "year"),
        ("9999-12", datetime(9999, 12, 1), datetime.max, "month"),
        ("9999-12-31", datetime(9999, 12, 31), datetime.max, "day"),
        ("9999-12-31T23:59:59-12:00", datetime.max - timedelta(microseconds=1), datetime.max, "second"),
        ("0001-01-01T00:00:00+14:00", datetime.min, datetime(1, 1, 1, 0, 0, 1), "second"),
    ],
)
def test_a_time_is_the_interval_it_stands_for(text: str, start: datetime, end: datetime, precision: str) -> None:
    assert moment(text) == (text, start, end, precision)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20",
        "0000",
        "2020-13",
        "2020-1-1",
        "2020-02-30",
        "20200101",
        "2020-01-01T10:00Z",
        "2020-01-01T10:00:00",
        "2020-01-01 10:00:00Z",
        "2020-01-01T24:00:00Z",
        "2020-01-01T10:60:00Z",
        "2020-01-01T10:00:61Z",
        "2020-01-01T10:00:00+15:00",
        "2020-01-01T10:00:00+14:01",
        "2020-01-01T10:00:00+01:60",
        "2020-01-01T10:00:00.Z",
        "2020-01-01\n",
        "٢٠٢٠",
    ],
)
def test_what_is_no_fhir_time_is_refused_without_its_text(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        moment(text)
    assert not text or text not in str(caught.value)


ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@quick
@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=ZONES))
def test_a_zoned_time_is_the_same_instant_in_utc(when: datetime) -> None:
    found = moment(when.isoformat(timespec="microseconds"))
    assert found.start == when.astimezone(UTC).replace(tzinfo=None)
    assert found.end - found.start == timedelta(microseconds=1)


@quick
@given(st.dates(datetime(1, 1, 1).date(), datetime(9999, 12, 30).date()))
def test_a_day_lies_in_its_month_and_its_month_in_its_year(day: datetime) -> None:
    year, month, date = (moment(day.isoformat()[:length]) for length in (4, 7, 10))
    assert year.start <= month.start <= date.start < date.end <= month.end <= year.end


@pytest.mark.parametrize(
    ("text", "scale"),
    [
        ("1.50", 2),
        ("-0", 0),
        ("0.00", 2),
        ("1e5", -5),
        ("1.25e1", 1),
        ("12345678901234567890.123456789", 9),
        ("1E-7", 7),
    ],
)
def test_a_number_keeps_its_text_and_its_scale(text: str, scale: int) -> None:
    assert number(text.encode()) == (float(text), text, scale)


def test_a_number_too_large_or_too_small_for_a_float_has_only_its_text() -> None:
    assert number(b"1e400") == (None, "1e400", -400)
    assert number(b"-0.01e-400") == (None, "-0.01e-400", 402)
    assert number(b"-0.0e-400") == (0, "-0.0e-400", 401)


@pytest.mark.parametrize("raw", [b"", b'"7.0"', b"null", b"true", b"{}", b"Infinity"])
def test_what_is_no_number_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="not a number"):
        number(raw)


@quick
@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_any_decimal_survives_as_text(value: object) -> None:
    assert number(str(value).encode())[1] == str(value)
