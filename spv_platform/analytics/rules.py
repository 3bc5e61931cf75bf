"""What of a value analysts may see: ages, ZIP areas, dates, codes, notations.

Ages and ZIP areas follow 45 CFR 164.514(b)(2)(i): (B) the first three digits of a ZIP code, or 000 where they stand for
20,000 people or fewer; (C) ages over 89 as one group. Shifted dates do not follow (C), which lets only years pass: they
rest on an expert's determination, 164.514(b)(1).
"""

from datetime import date

import polars as pl

from spv_platform.trials.notation import protein_change as notation_of
from spv_platform.trials.terms import table
from spv_platform.view import genes as genes_table

#: Oldest age that is told.
MOST_YEARS = 89
#: ZIP areas with 20,000 people or fewer by the census of 2000 (HHS, guidance on de-identification, 2012).
SMALL_ZIP3 = (
    "036", "059", "063", "102", "203", "556", "692", "790", "821", "823", "830", "831", "878", "879", "884", "890",
    "893",
)  # fmt: skip
#: Public code systems and how their codes look; codes of local systems may say anything.
_CODES = (
    r"http://loinc\.org\|(?:L[AP])?\d{1,7}-\d",
    r"http://snomed\.info/sct\|\d{6,18}",
    r"http://hl7\.org/fhir/sid/icd-10(?:-cm)?\|[A-Z]\d[0-9A-Z](?:\.?[0-9A-Z]{1,4})?",
    r"http://www\.nlm\.nih\.gov/research/umls/rxnorm\|\d{1,8}",
    r"http://ncicb\.nci\.nih\.gov/xml/owl/EVS/Thesaurus\.owl\|C\d{3,7}",
)
_CODE = f"^(?:{'|'.join(_CODES)})$"
#: Units beside those that convert (`trials/data/units.json`).
_MORE_UNITS = (
    "1",
    "{score}",
    "/min",
    "Cel",
    "mm[Hg]",
    "kg",
    "g",
    "cm",
    "m2",
    "kg/m2",
    "fL",
    "pg",
    "meq/L",
    "s",
    "{INR}",
)
_STAGE = r"^(?:IV|I{1,3}|0)[A-D]?[1-3]?$"
_TNM = r"^(?:yc|yp|r|a|c|p)?[TNM](?:is|X|\d[a-d]?)$"


def age(start: str, end: str, as_of: date) -> pl.Expr:
    """Whole years on 1 January of the year of a day, as text; `90+` from 90 on, null where it is not certain.

    Counted from 1 January, so that builds on two days do not betray a birthday between them.

    Args:
        start: column with the begin of the interval in which the person was born.
        end: column with its end, exclusive.
        as_of: the day of the build.
    """
    first = date(as_of.year, 1, 1)
    last_moment = pl.col(end) - pl.duration(microseconds=1)
    # Whoever is born in a year has their birthday after its 1 January, or on it.
    years = [
        first.year - when.dt.year() - (when.dt.ordinal_day() > 1).cast(pl.Int32)
        for when in (pl.col(start), last_moment)
    ]
    told = pl.when(years[0] > MOST_YEARS).then(pl.lit("90+")).otherwise(years[0].cast(pl.String))
    certain = (years[0] == years[1]) | (years[1] > MOST_YEARS)
    return pl.when(certain & (years[0] >= 0)).then(told)


def zip3(postal_code: pl.Expr) -> pl.Expr:
    """The first three digits of a ZIP code, 000 where few people live; null for what is no ZIP code."""
    area = postal_code.str.extract(r"^\s*(\d{3})\d{2}(?:-?\d{4})?\s*$", 1)
    return pl.when(area.is_in(SMALL_ZIP3)).then(pl.lit("000")).otherwise(area)


def shifted(when: pl.Expr) -> pl.Expr:
    """A date as sent, moved by `shift_days` to an earlier day; null for one that is not known to the day."""
    day = when.str.extract(r"^(\d{4}-\d{2}-\d{2})", 1).str.to_date("%Y-%m-%d", strict=False)
    return day - pl.duration(days=pl.col("shift_days"))


def first_code(coded: pl.Expr) -> pl.Expr:
    """The first "system|code" of a list that is one of a public system."""
    return coded.list.eval(pl.element().filter(pl.element().str.contains(_CODE))).list.first()


def stage_group(text: pl.Expr) -> pl.Expr:
    """A stage group; null for anything else."""
    return _only(text, _STAGE)


def tnm(text: pl.Expr) -> pl.Expr:
    """A category of TNM; null for anything else."""
    return _only(text, _TNM)


def unit(text: pl.Expr) -> pl.Expr:
    """A unit that is known; null for anything else."""
    groups = table("units")["groups"].values()
    known = {unit for group in groups for unit in group} | set(_MORE_UNITS)
    return pl.when(text.is_in(sorted(known))).then(text)


def comparator(text: pl.Expr) -> pl.Expr:
    """A comparator; null for anything else."""
    return pl.when(text.is_in(["<", "<=", ">=", ">"])).then(text)


def gene(genes: pl.Expr) -> pl.Expr:
    """The gene symbols of a list that are known, joined."""
    known = sorted(genes_table.symbols())
    told = genes.list.eval(pl.element().filter(pl.element().is_in(known)))
    return pl.when(told.list.len() > 0).then(told.list.join("-"))


def protein_change(changes: pl.Series) -> pl.Series:
    """The first of each list that is a protein change, in one-letter form without `p.`, such as `L858R`."""
    notations = changes.explode().drop_nulls().unique().to_list()
    forms = {notation: form for notation in notations if (form := notation_of(notation))}
    told = pl.element().replace_strict(forms, default=None, return_dtype=pl.String).drop_nulls()
    return changes.to_frame("changes").select(pl.col("changes").list.eval(told).list.first()).to_series()


def _only(text: pl.Expr, pattern: str) -> pl.Expr:
    return pl.when(text.str.contains(pattern)).then(text)
