"""Criteria and facts in words: what a criterion asks for, and the line that stands for a piece of evidence."""

from datetime import date, datetime, time

import polars as pl

from spv_platform.trials.model import Criterion
from spv_platform.trials.questions import (
    Age,
    Biomarker,
    Diagnosis,
    Distance,
    Finding,
    Lab,
    PerformanceStatus,
    Range,
    Sex,
    Stage,
    Therapy,
)
from spv_platform.trials.terms import marker_of_code
from spv_platform.trials.therapies import not_identified

#: What every approval is called, everywhere: it is a suggestion to a clinician.
WORDING = "potentially eligible, clinician to confirm"
#: What stands before the laboratory in a line of evidence.
LABORATORY = "laboratory "
#: Of a specimen; what is longer is no name of one.
_LONGEST_WORDS = 60


def describe(criterion: Criterion) -> str:
    """The criterion's wording, else what it asks for."""
    return criterion.wording or asks(criterion)


def asks(criterion: Criterion) -> str:
    """What a criterion asks for, in the words of the platform; equal questions have equal words."""
    test = criterion.test
    match test:
        case Age():
            return f"age {_range(test)}"
        case Diagnosis():
            histology = f", histology {_codes(test.histology)}" if test.histology else ""
            return f"diagnosis {_codes(test.codes)}{histology}"
        case Finding():
            return f"{test.kind} {_codes(test.codes)} {test.state}".replace("  ", " ")
        case Stage():
            return f"stage {' or '.join(test.one_of)}"
        case Biomarker():
            return _biomarker(test)
        case PerformanceStatus():
            name, limits = ("ECOG", test.ecog) if test.ecog else ("Karnofsky", test.karnofsky)
            return f"{name} {_range(limits)}"
        case Lab():
            return f"laboratory {_codes(test.codes)} {_range(test)} {test.unit}"
        case Therapy():
            return _therapy(test)
        case Distance():
            return f"lives within {test.within_km:g} km of a site"
        case Sex():
            return f"sex {test.wanted}, {test.of}"
        case "text":
            return "to be judged in the clinic"
        case _:
            return f"sex {test}"


def _therapy(test: Therapy) -> str:
    if test.lines is not None:
        return f"lines of systemic therapy {_range(test.lines)}"
    what = " or ".join((*test.drugs, *test.classes)) or "systemic anticancer therapy"
    if test.washout_days is not None:
        return f"no {what} within {test.washout_days} days"
    return f"{what} {test.state}"


def _biomarker(test: Biomarker) -> str:
    if test.tmb is not None:
        return f"TMB {_range(test.tmb)} per megabase"
    if test.msi is not None:
        return f"MSI {test.msi}"
    if test.mmr is not None:
        return f"mismatch repair {test.mmr}"
    if test.signature is not None:
        return f"{test.signature} signature {test.state}"
    narrowed = [
        f"with {test.partner}" if test.partner else None,
        f"codon {_range(test.codons)}" if test.codons else None,
        f"exon {' or '.join(map(str, test.exons))}" if isinstance(test.exons, tuple) else None,
        f"copies {_range(test.copy_number)}" if test.copy_number else None,
        f"allele frequency {_range(test.vaf)}" if test.vaf else None,
    ]
    classes = (_either(test.alteration), _either(test.consequence), _either(test.call))
    words = (test.gene or test.marker, test.change, *classes, test.zygosity, test.function, test.origin, *narrowed)
    return " ".join(word for word in (*words, test.state) if word)


def _either(values: tuple[str, ...] | str | None) -> str | None:
    names = (values,) if isinstance(values, str) else values or ()
    return " or ".join(name.replace("_", " ") for name in names) or None


def _range(limits: Range | Age | Lab | None) -> str:
    if limits is None:
        return ""
    if limits.min is not None and limits.min == limits.max:
        return f"{limits.min:g}"
    if limits.min is not None and limits.max is not None:
        return f"{limits.min:g} to {limits.max:g}"
    words = {"at least": limits.min, "over": limits.over, "at most": limits.max, "under": limits.under}
    return " and ".join(f"{word} {bound:g}" for word, bound in words.items() if bound is not None)


def _codes(codes: tuple[str, ...]) -> str:
    shown = " or ".join(code.rpartition("|")[2] for code in codes[:3])
    return shown + (" or others" if len(codes) > 3 else "")


def evidence_summary(as_of: date) -> pl.Expr:
    """One line about a fact, such as `ER positive, 2018-03-10`; without names, identifiers or the date of birth."""
    kind = pl.col("kind")
    marker = pl.col("codes").list.eval(
        pl.element().replace_strict(marker_of_code(), default=None, return_dtype=pl.String).drop_nulls()
    )
    label = pl.coalesce(pl.col("display"), kind)
    what = (
        pl.when(kind == "variant")
        .then(_joined(pl.col("genes").list.join("-"), pl.col("hgvs_protein").list.first(), pl.col("alteration")))
        .when(kind == "tumor_marker")
        .then(pl.coalesce(marker.list.first(), label))
        .when(kind == "birth_date")
        .then(_age(as_of))
        .when(kind.is_in(["ecog", "karnofsky", "tmb", "msi"]))
        .then(kind.replace({"ecog": "ECOG", "karnofsky": "Karnofsky", "tmb": "TMB", "msi": "MSI"}))
        .when(kind == "place")
        .then(pl.lit("place of residence"))
        .when(kind.is_in(["stage", "gender", "birth_sex"]))
        .then(kind.str.replace("_", " "))
        .otherwise(label)
    )
    tested = kind.is_in(["tumor_marker", "msi"])
    polarity = pl.col("polarity")
    state = pl.when(tested).then(polarity.replace({"present": "positive", "absent": "negative"})).otherwise(polarity)
    text = pl.coalesce(pl.col("value_text"), pl.col("value_number").cast(pl.String))
    number = pl.concat_str(pl.col("comparator").fill_null(""), text)
    value = pl.coalesce(state, _joined(number, pl.col("unit")).replace("", None), pl.col("value_display"))
    day = pl.when(kind != "birth_date").then(pl.col("time").str.slice(0, 10))
    measured = tested | kind.is_in(["variant", "tmb", "mmr", "signature", "lab", "region_studied"])
    assay = pl.when(tested | kind.is_in(["variant", "tmb", "mmr"])).then(pl.concat_str(pl.lit("by "), pl.col("method")))
    in_words = pl.when(pl.col("specimen_display").str.len_chars() <= _LONGEST_WORDS).then("specimen_display")
    specimen = pl.concat_str(pl.lit("in "), pl.coalesce(in_words, pl.when(pl.col("liquid")).then(pl.lit("blood"))))
    laboratory = pl.concat_str(pl.lit(LABORATORY), pl.col("laboratory"))
    made = (pl.when(measured).then(part) for part in (specimen, laboratory))
    told = pl.when(~kind.is_in(["birth_date", "place"])).then(value)
    unnamed = pl.when(not_identified()).then(pl.lit("a drug that no table knows"))
    return pl.concat_str(_joined(what, told), unnamed, assay, *made, day, separator=", ", ignore_nulls=True)


def _joined(*parts: pl.Expr) -> pl.Expr:
    return pl.concat_str(*parts, separator=" ", ignore_nulls=True)


def _age(as_of: date) -> pl.Expr:
    """Completed years, or the two that an imprecise birth date allows."""
    youngest = _years(pl.col("end") - pl.duration(microseconds=1), as_of).cast(pl.String)
    oldest = _years(pl.col("start"), as_of).cast(pl.String)
    span = pl.when(oldest == youngest).then(oldest).otherwise(pl.concat_str(youngest, oldest, separator="-"))
    return pl.concat_str(pl.lit("age "), span.fill_null("not known"))


def _years(born: pl.Expr, as_of: date) -> pl.Expr:
    day = datetime.combine(as_of, time.min)
    birthday_ahead = (born.dt.month() > day.month) | ((born.dt.month() == day.month) & (born.dt.day() > day.day))
    return day.year - born.dt.year() - birthday_ahead.cast(pl.Int32)
