"""The clock of the place: what counts as today there."""

from datetime import date, datetime

import polars as pl
import pytest
from trials_facts import fact, frame, interval, run, trial_of

from spv_platform.trials.zone import in_zone

LATE = "2024-06-15T20:30:00-05:00"


def test_an_instant_is_shown_by_the_clock_of_the_place_and_a_date_stays():
    start, end = datetime(2024, 6, 16, 1, 30), datetime(2024, 6, 16, 1, 30, 1)
    facts = frame(
        [
            fact("lab", "2024-06-15"),
            fact("lab", "2024-06"),
            fact("lab") | {"time": LATE, "time_start": start, "time_end": end},
            fact("lab"),
        ]
    )
    found = in_zone(facts, "America/Chicago").select("time_start", "time_end").rows()
    assert found == [
        interval("2024-06-15"),
        interval("2024-06"),
        (datetime(2024, 6, 15, 20, 30), datetime(2024, 6, 15, 20, 30, 1)),
        (None, None),
    ]
    assert in_zone(facts, "UTC").equals(facts)


def test_summer_time_counts():
    noon = datetime(2024, 1, 15, 12), datetime(2024, 7, 15, 12)
    facts = frame([fact("lab") | {"time": f"{day:%Y-%m-%dT%H:%M:%SZ}", "time_start": day} for day in noon])
    assert [start.hour for start in in_zone(facts, "Europe/Berlin")["time_start"]] == [13, 14]


@pytest.mark.parametrize(
    ("zone", "verdict"), [("UTC", "needs_information"), ("America/Chicago", "potentially_eligible")]
)
def test_a_result_of_this_evening_counts_today_where_it_is_evening(zone, verdict):
    start = datetime(2024, 6, 16, 1, 30)
    hemoglobin = fact("lab", codes=["http://loinc.org|718-7"], value_number=12.0, unit="g/dL")
    facts = frame([hemoglobin | {"time": LATE, "time_start": start, "time_end": start.replace(second=1)}])
    trial = trial_of({"lab": {"code": "loinc|718-7", "min": 10, "unit": "g/dL"}, "within_days": 1})
    found = run(trial, in_zone(facts, zone).to_dicts(), as_of=date(2024, 6, 15))
    assert found.cohorts["verdict"].item() == verdict


def test_a_time_at_the_end_of_the_calendar_is_no_problem():
    facts = frame(
        [fact("lab") | {"time": "9999-12-31T23:59:59Z", "time_start": datetime.max, "time_end": datetime.max}]
    )
    assert in_zone(facts, "Pacific/Kiritimati").select(pl.col("time_start").is_not_null()).item()
