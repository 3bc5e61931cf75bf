"""What passes into analyst tables, value by value."""

from datetime import date, datetime

import polars as pl
import pytest

from spv_platform.analytics import rules
from spv_platform.analytics.pseudonyms import MOST_SHIFT_DAYS, analyst_keys, disguises
from spv_platform.analytics.summary import suppress

AS_OF = date(2026, 11, 25)


def one(expression, **columns):
    """The expression over one row."""
    return pl.DataFrame({name: [value] for name, value in columns.items()}).select(found=expression)["found"].item()


@pytest.mark.parametrize(
    ("start", "end", "age"),
    [
        (datetime(1961, 4, 17), datetime(1961, 4, 18), "64"),
        (datetime(1961, 1, 1), datetime(1961, 1, 2), "65"),
        (datetime(1936, 1, 1), datetime(1936, 1, 2), "90+"),
        (datetime(1936, 1, 2), datetime(1936, 1, 3), "89"),
        (datetime(1911, 5, 5), datetime(1911, 5, 6), "90+"),
        # Of the year alone: certain only where all of it is one group.
        (datetime(1961, 1, 1), datetime(1962, 1, 1), None),
        (datetime(1920, 1, 1), datetime(1921, 1, 1), "90+"),
        (datetime(2026, 3, 1), datetime(2026, 3, 2), None),
        (None, None, None),
    ],
)
def test_ages_are_whole_years_on_the_first_of_january_and_one_group_from_90(start, end, age):
    frame = pl.DataFrame(
        {"start": [start], "end": [end]}, schema={"start": pl.Datetime("us"), "end": pl.Datetime("us")}
    )
    assert frame.select(rules.age("start", "end", AS_OF)).item() == age


@pytest.mark.parametrize("day", [date(2026, 4, 16), date(2026, 4, 17), date(2026, 12, 31)])
def test_builds_around_a_birthday_tell_the_same_age(day):
    assert one(rules.age("start", "end", day), start=datetime(1961, 4, 17), end=datetime(1961, 4, 18)) == "64"


@pytest.mark.parametrize(
    ("postal_code", "area"),
    [
        ("04101", "041"),
        ("04101-1234", "041"),
        (" 041011234 ", "041"),
        ("03603", "000"),
        ("05905", "000"),
        ("87901", "000"),
        ("SW1A 1AA", None),
        ("4101", None),
        ("", None),
        (None, None),
    ],
)
def test_a_zip_code_is_cut_to_its_area_and_small_areas_become_000(postal_code, area):
    frame = pl.DataFrame({"code": [postal_code]}, schema={"code": pl.String})
    assert frame.select(rules.zip3(pl.col("code"))).item() == area


@pytest.mark.parametrize(
    ("sent", "shifted"),
    [
        ("2026-03-02", date(2026, 2, 20)),
        ("2026-03-02T23:30:00-05:00", date(2026, 2, 20)),
        ("2026-03", None),
        ("2026", None),
        ("2026-02-31", None),
        (None, None),
    ],
)
def test_a_date_is_shifted_only_if_it_is_known_to_the_day(sent, shifted):
    frame = pl.DataFrame({"date": [sent], "shift_days": [10]}, schema={"date": pl.String, "shift_days": pl.Int32})
    assert frame.select(rules.shifted(pl.col("date"))).item() == shifted


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        (["http://loinc.org|718-7"], "http://loinc.org|718-7"),
        (
            ["http://hospital.example.org/local|Jane", "http://snomed.info/sct|254637007"],
            "http://snomed.info/sct|254637007",
        ),
        (["http://loinc.org|Jane"], None),
        (["http://hl7.org/fhir/sid/icd-10-cm|C34.90"], "http://hl7.org/fhir/sid/icd-10-cm|C34.90"),
        (["http://loinc.org|718-7|Jane"], None),
        (["|718-7"], None),
        ([], None),
    ],
)
def test_only_codes_of_public_systems_that_look_like_codes_pass(codes, code):
    frame = pl.DataFrame({"codes": [codes]}, schema={"codes": pl.List(pl.String)})
    assert frame.select(rules.first_code(pl.col("codes"))).item() == code


@pytest.mark.parametrize(
    ("rule", "text", "passes"),
    [
        (rules.unit, "10*3/uL", True),
        (rules.unit, "Jane", False),
        (rules.comparator, "<=", True),
        (rules.comparator, "Jane", False),
        (rules.stage_group, "IIIC", True),
        (rules.stage_group, "IV, says Jane", False),
    ],
)
def test_text_passes_only_in_its_notation(rule, text, passes):
    assert one(rule(pl.col("text")), text=text) == (text if passes else None)


def test_genes_and_protein_changes_pass_only_if_they_are_some():
    genes = pl.DataFrame({"genes": [["ALK", "JANE"], ["JANE"], []]}, schema={"genes": pl.List(pl.String)})
    assert genes.select(rules.gene(pl.col("genes"))).to_series().to_list() == ["ALK", None, None]
    changes = pl.Series([["p. of Jane", "NP_1.2:p.(Leu858Arg)"], ["Jane"], None], dtype=pl.List(pl.String))
    assert rules.protein_change(changes).to_list() == ["L858R", None, None]


def test_pseudonyms_and_shifts_are_kept_over_builds_and_depend_on_the_key():
    persons = [f"p-{number}" for number in range(2000)]
    keys, other = analyst_keys(b"k" * 32), analyst_keys(b"o" * 32)
    made = disguises(keys, persons)
    assert made.equals(disguises(analyst_keys(b"k" * 32), persons))
    assert made["person_key"].n_unique() == len(persons)
    assert made["shift_days"].min() >= 1
    assert made["shift_days"].max() <= MOST_SHIFT_DAYS
    assert made["shift_days"].n_unique() > 300
    assert set(disguises(other, persons)["person_key"]).isdisjoint(made["person_key"])


def test_the_key_that_analysts_have_is_not_the_one_of_the_pseudonyms_or_the_shifts():
    keys = analyst_keys(b"k" * 32)
    assert len({keys.store, keys.pseudonym, keys.shift, b"k" * 32}) == 4
    assert not any(repr(key) in repr(keys) for key in (keys.store, keys.pseudonym, keys.shift))


def counts(**persons):
    """Verdicts of one cohort, so many of each."""
    rows = [verdict for verdict, count in persons.items() for _ in range(count)]
    frame = pl.DataFrame({"verdict": rows}, schema={"verdict": pl.String})
    named = frame.with_row_index().select(
        person_id=pl.concat_str(pl.lit("p-"), "index"), trial=pl.lit("T"), cohort=pl.lit("A"), verdict="verdict"
    )
    return {row["verdict"]: row["persons"] for row in suppress(named).to_dicts()}


def test_cells_of_fewer_than_eleven_persons_are_suppressed_and_one_more_that_would_tell_them():
    assert counts(potentially_eligible=10, needs_information=40, not_eligible=200) == {
        "potentially_eligible": None,
        "needs_information": None,
        "not_eligible": 200,
    }


def test_cells_of_eleven_and_empty_ones_are_told():
    assert counts(potentially_eligible=11, not_eligible=200) == {
        "potentially_eligible": 11,
        "needs_information": 0,
        "not_eligible": 200,
    }


def test_two_small_cells_hide_each_other():
    assert counts(potentially_eligible=3, needs_information=4, not_eligible=90)["not_eligible"] == 90


def test_a_small_cell_among_empty_ones_takes_one_of_them_along():
    found = counts(potentially_eligible=3)
    assert found["potentially_eligible"] is None
    assert sorted(value is None for value in found.values()) == [False, True, True]
