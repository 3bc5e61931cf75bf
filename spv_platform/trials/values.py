"""Judging numbers: comparators as intervals, units by conversion or not at all, implausible values as unknown."""

import polars as pl

from spv_platform.trials.kleene import MET, NOT_MET, UNKNOWN
from spv_platform.trials.model import Lab, Range
from spv_platform.trials.terms import plausible_range, unit_factor


def judge_quantity(
    limits: Range | Lab,
    plausible: tuple[float, float] | None,
    *,
    unit: str | None = None,
    facts: pl.DataFrame | None = None,
    codes: tuple[str, ...] = (),
) -> pl.Expr:
    """Whether a fact's number lies within limits.

    A value with a comparator is an interval and is judged only if all of it lies on one side. A number whose unit
    neither equals the wanted one nor converts to it, or that no correct report can have, is UNKNOWN.

    Args:
        limits: bounds, in `unit`.
        plausible: the least and greatest value that can be right; None: look it up by `codes`.
        unit: the wanted unit; None: the number has none (a score).
        facts: the facts that will be judged, for their distinct units; needed with `unit`.
        codes: the codes of the test.
    """
    value = pl.col("value_number")
    if unit is not None and facts is not None:
        units = [found for found in facts["unit"].unique().to_list() if found]
        factors = {found: factor for found in units if (factor := unit_factor(found, unit)) is not None}
        factor_of = pl.col("unit").replace_strict(factors, default=None, return_dtype=pl.Float64)
        # 12 digits: a conversion must not push a value over a bound it equals
        value = (value * factor_of).round_sig_figs(12)
        plausible = plausible or plausible_range(codes, unit)
    comparator = pl.col("comparator").fill_null("")
    least = pl.when(comparator.is_in(["<", "<="])).then(float("-inf")).otherwise(value)
    most = pl.when(comparator.is_in([">", ">="])).then(float("inf")).otherwise(value)
    inside, outside = pl.lit(True), pl.lit(False)
    if limits.min is not None:
        below = (most < limits.min) | ((most == limits.min) & (comparator == "<"))
        inside, outside = inside & (least >= limits.min), outside | below
    if limits.over is not None:
        above = (least > limits.over) | ((least == limits.over) & (comparator == ">"))
        inside, outside = inside & above, outside | (most <= limits.over)
    if limits.max is not None:
        above = (least > limits.max) | ((least == limits.max) & (comparator == ">"))
        inside, outside = inside & (most <= limits.max), outside | above
    if limits.under is not None:
        below = (most < limits.under) | ((most == limits.under) & (comparator == "<"))
        inside, outside = inside & below, outside | (least >= limits.under)
    usable = value.is_not_null() & value.is_finite() & comparator.is_in(["", "<", "<=", ">", ">="])
    if plausible is not None:
        usable = usable & value.is_between(*plausible)
    verdict = pl.when(inside).then(MET).when(outside).then(NOT_MET).otherwise(UNKNOWN)
    return pl.when(usable).then(verdict).otherwise(UNKNOWN)
