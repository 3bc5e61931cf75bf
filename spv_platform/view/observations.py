"""Facts of Observations that are not about genes: stages, performance status, tumour markers, scores, lab results.

The kind is decided by the code (`codes.csv`, list `observation`); a tumour marker also by its mCODE profile, because
mCODE leaves that value set open. Every other Observation is a lab fact, one for its own value and one per component.
Implications of variants are conclusions of the laboratory, not findings: they give no fact.
"""

import polars as pl

from spv_platform.lake.tables import OBSERVATION
from spv_platform.view.clinical import stage_group
from spv_platform.view.codes import display, display_or_code, every, keys, lookup, name_of, table
from spv_platform.view.rows import conditions_in, fact_rows, has_profile, laboratory, live, of_specimen, when_true
from spv_platform.view.variants import facts_of_variants

#: Observation.status values whose content counts (FHIR R4 ObservationStatus).
USABLE = ("final", "amended", "corrected")

_MARKER_PROFILE = "mcode-tumor-marker(?:-test)?"
_HISTORY_PROFILE = "mcode-history-of-metastatic-cancer"
_MISMATCH_REPAIR = r"(?i)\bmismatch repair\b(?:.*\b(?:status|protein|deficien|expression|interpretation))?"
_ABSENT_REASONS = "http://terminology.hl7.org/CodeSystem/data-absent-reason|"
_TNM_CATEGORY = r"\b((?:yc|yp|r|a|c|p)?[TNM](?:is|X|\d[a-d]?)(?:\(\w+\))?)"
_POSITIVE = r"(?i)\b(?:positive|detected|present|reactive)\b"
_NEGATIVE = (
    r"(?i)\b(?:negative|absent|(?:not|none|non|no|without)\b.*\b(?:positive|detected|present|reactive)|nonreactive)\b"
)
#: Column of a component -> column of an Observation that means the same.
_COMPONENT_COLUMNS = {
    "code": "code",
    "value": "value_concept",
    "quantity_value": "value_value",
    "quantity_text": "value_text",
    "quantity_comparator": "value_comparator",
    "quantity_unit": "value_unit",
    "quantity_unit_code": "value_unit_code",
    "string": "value_string",
    "integer": "value_integer",
    "boolean": "value_boolean",
    "time": "value_time",
    "absent_reason": "absent_reason",
    "interpretation": "interpretation",
}
#: Values that a component cannot have here.
_WHOLE_ONLY = tuple(
    name
    for name in OBSERVATION.schema
    if name.startswith(("value_", "code_", "absent_")) and name not in _COMPONENT_COLUMNS.values()
)


def facts_of_observations(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Every fact of the rows of table `observation`.

    A result that is absent with a reason keeps the reason in `value_codes` and `value_display` and is not usable.
    """
    kind = pl.coalesce(
        pl.when(has_profile(_HISTORY_PROFILE)).then(pl.lit("metastasis")),
        lookup("code", "observation"),
        # no code is known to us for all four proteins together, but what the test is called
        pl.when(_called(_MISMATCH_REPAIR)).then(pl.lit("mmr")),
        pl.when(has_profile(_MARKER_PROFILE)).then(pl.lit("tumor_marker")).otherwise(pl.lit("lab")),
    )
    rows = live(rows).with_columns(
        _kind=kind,
        _usable=pl.col("status").is_in(USABLE).fill_null(False) & of_the_patient(),
        _parts=pl.col("component").list.len().fill_null(0) > 0,
    )
    genomic = rows.filter(pl.col("_kind").is_in(["variant", "region_studied"]))
    others = rows.filter(~pl.col("_kind").is_in(["variant", "region_studied", "none"]))
    history = pl.col("_kind") == "metastasis"
    whole = others.filter((_has_value() | _has_reason() | _has_interpretation()) & ~history)
    parts = _components(others.filter("_parts"))
    return [
        _observed(whole),
        _observed(parts),
        _history(others.filter(history)),
        _absent_conditions(others),
        *facts_of_variants(genomic),
    ]


def _called(pattern: str) -> pl.Expr:
    return pl.any_horizontal(
        name.str.contains(pattern).fill_null(value=False) for name in (display("code"), pl.col("code_text"))
    )


def _has_reason() -> pl.Expr:
    return (pl.col("absent_reason").list.len().fill_null(0) > 0) | pl.col("absent_reason_text").is_not_null()


def _has_interpretation() -> pl.Expr:
    return pl.col("interpretation").list.len().fill_null(0) > 0


def _history(rows: pl.DataFrame) -> pl.DataFrame:
    """Metastatic cancer in the patient's past (mCODE): without a value it is true."""
    said = pl.when(pl.col("value_boolean").fill_null(value=True)).then(pl.lit("present")).otherwise(pl.lit("absent"))
    return fact_rows(
        rows,
        "metastasis",
        codes=keys("code"),
        display=pl.coalesce(display("code"), "code_text"),
        polarity=said,
        body_site=display("body_site"),
        cancers=conditions_in("focus"),
        status=pl.col("status"),
        usable=pl.col("_usable"),
        known=pl.col("issued"),
        **when_true("effective", "effective_period"),
    )


def _absent_conditions(rows: pl.DataFrame) -> pl.DataFrame:
    """Conditions that a panel of comorbidities says are absent, each coding a condition of its own."""
    said = rows.filter(pl.col("condition_absent").list.len() > 0).explode("condition_absent")
    one = said.with_columns(condition_absent=pl.concat_list("condition_absent"))
    return fact_rows(
        one,
        "condition",
        codes=keys("condition_absent"),
        display=display("condition_absent"),
        polarity=pl.lit("absent"),
        status=pl.col("status"),
        usable=pl.col("_usable"),
        known=pl.col("issued"),
        **when_true("effective", "effective_period"),
    )


def _with_polarity(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with `_words` and `_polarity`: present, absent or indeterminate.

    By the value's codes, its words, yes or no, and the interpretation; what contradicts itself is indeterminate.
    """
    words = pl.coalesce(display("value_concept"), "value_concept_text", "value_string")

    def meaning(list_: str) -> pl.Expr:
        return pl.col("_word").replace_strict(table(list_), default=None, return_dtype=pl.String)

    yes = pl.when(pl.col("value_boolean")).then(pl.lit("present")).otherwise(pl.lit("absent"))
    of_value, flagged, said = (pl.col(name) for name in ("_of_value", "_flagged", "_said"))
    others = (flagged, *map(_in_words, (pl.col("_words"), pl.col("value_concept_text"), pl.col("value_string"))))
    contradicted = pl.any_horizontal((other != said).fill_null(value=False) for other in others)
    # step by step: an expression that stands in another one twice is evaluated twice
    return (
        rows.with_columns(
            _words=words,
            _word=_word(words),
            _of_value=every("value_concept", "polarity"),
            _flagged=lookup("interpretation", "polarity"),
        )
        .with_columns(
            _said=pl.coalesce(
                pl.when(of_value.list.n_unique() == 1).then(of_value.list.first()),
                pl.when(of_value.list.n_unique() > 1).then(pl.lit("indeterminate")),
                meaning("polarity_word"),
                pl.when(pl.col("_kind") == "msi").then(meaning("msi_word")),
                pl.when(pl.col("_kind") == "mmr").then(meaning("mmr_word")),
                pl.when(pl.col("value_boolean").is_not_null()).then(yes),
            )
        )
        .with_columns(
            _polarity=pl.when(contradicted).then(pl.lit("indeterminate")).otherwise(pl.coalesce(said, flagged))
        )
    )


def _word(text: pl.Expr) -> pl.Expr:
    """A text without the kind of its concept, as in "Negative (qualifier value)"."""
    return text.str.to_lowercase().str.replace(r"\s*\([a-z ]+\)$", "").str.strip_chars()


def _in_words(text: pl.Expr) -> pl.Expr:
    """What a text says of a result, if it says one thing: the word of the table, else by the words in it."""
    alone = _word(text).replace_strict(table("polarity_word"), default=None, return_dtype=pl.String)
    positive, negative = text.str.contains(_POSITIVE), text.str.contains(_NEGATIVE)
    said = pl.when(positive & ~negative).then(pl.lit("present")).when(negative & ~positive).then(pl.lit("absent"))
    return pl.coalesce(alone, said)


def of_the_patient() -> pl.Expr:
    """Whether a result is about the patient: not if its focus is somebody else, such as a relative."""
    key = pl.element().struct.field("key")
    others = pl.col("focus").list.eval(key.str.contains(r"^(?:RelatedPerson|Practitioner|PractitionerRole|Group)/"))
    return ~others.list.any().fill_null(value=False)


def _observed(rows: pl.DataFrame) -> pl.DataFrame:
    rows = _with_polarity(rows)
    kind, words = pl.col("_kind"), pl.col("_words")
    ratio = pl.concat_str("value_ratio_numerator_text", pl.lit(":"), "value_ratio_denominator_text")
    range_ = pl.concat_str("value_range_low_text", pl.lit("-"), "value_range_high_text")
    score = pl.coalesce(
        pl.when(kind == "ecog").then(pl.coalesce(lookup("value_concept", "ecog"), lookup("interpretation", "ecog"))),
        pl.when(kind == "karnofsky").then(
            pl.coalesce(lookup("value_concept", "karnofsky"), lookup("interpretation", "karnofsky"))
        ),
    )
    text = pl.coalesce(
        "value_text",
        pl.col("value_integer").cast(pl.String),
        score,
        "value_string",
        pl.col("value_boolean").cast(pl.String),
        "value_time",
        ratio,
        range_,
        pl.when(kind == "stage").then(stage_group(words)),
        pl.when(kind == "tnm").then(words.str.extract(_TNM_CATEGORY, 1)),
    )
    # a reason for absence is sent in place of a value too
    no_value = (
        keys("value_concept").list.eval(pl.element().str.starts_with(_ABSENT_REASONS)).list.any().fill_null(False)
    )
    absent = ~_has_value() & _has_reason()
    return fact_rows(
        rows,
        kind,
        codes=keys("code"),
        display=pl.coalesce(display("code"), "code_text", name_of("code", "observation")),
        value_number=pl.coalesce("value_value", "value_integer", score.cast(pl.Float64)),
        value_text=text,
        comparator=pl.col("value_comparator"),
        unit=pl.coalesce(
            *(f"{column}_unit{part}" for column in ("value", "value_range_low") for part in ("_code", ""))
        ),
        value_codes=pl.when(absent).then(keys("absent_reason")).otherwise(keys("value_concept")),
        value_display=pl.when(absent)
        .then(pl.coalesce(display_or_code("absent_reason"), "absent_reason_text"))
        .otherwise(pl.coalesce(display("value_concept"), "value_concept_text")),
        polarity=pl.col("_polarity"),
        body_site=display("body_site"),
        status=pl.col("status"),
        method=display_or_code("method"),
        laboratory=laboratory(),
        cancers=conditions_in("focus"),
        usable=pl.col("_usable") & ~absent & ~no_value,
        known=pl.col("issued"),
        **of_specimen(),
        **when_true("effective", "effective_period"),
    )


def _has_value() -> pl.Expr:
    concept = (pl.col("value_concept").list.len().fill_null(0) > 0) | pl.col("value_concept_text").is_not_null()
    scalars = (
        "value_text",
        "value_string",
        "value_integer",
        "value_boolean",
        "value_time",
        "value_ratio_numerator_text",
        "value_range_low_text",
        "value_range_high_text",
    )
    return concept | pl.any_horizontal(pl.col(name).is_not_null() for name in scalars)


def _components(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per component, with the component's code and value in the Observation's columns; kind lab."""
    schema = OBSERVATION.schema
    part = pl.col("component").struct
    renamed = {whole: part.field(name).alias(whole) for name, whole in _COMPONENT_COLUMNS.items()}
    nothing = {name: pl.lit(None, dtype=schema[name]).alias(name) for name in _WHOLE_ONLY}
    each = rows.explode("component").with_columns(*renamed.values(), *nothing.values(), _kind=pl.lit("lab"))
    return each.filter(_has_value() | _has_reason())
