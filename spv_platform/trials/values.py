"""Judging numbers: comparators as intervals, units by conversion or not at all, implausible values as unknown."""

import numpy as np
import polars as pl

from spv_platform.trials.evidence import Array, Block
from spv_platform.trials.kleene import MET, NOT_MET, UNKNOWN
from spv_platform.trials.questions import Lab, Range
from spv_platform.trials.terms import unit_factor

#: A comparator as where the value itself lies: nothing, below or at it, above or at it; None: not understood.
_SIGNS = {"": 0, "<": -2, "<=": -1, ">=": 1, ">": 2}
_NOT_UNDERSTOOD = 9


def judge_quantity(
    facts: Block, places: Array, limits: Range | Lab, plausible: tuple[float, float] | None, unit: str | None = None
) -> Array:
    """Whether the numbers of facts lie within limits; Int8.

    A value with a comparator is an interval and is judged only if all of it lies on one side. A number whose unit
    neither equals the wanted one nor converts to it, or that no correct report can have, is UNKNOWN.

    Args:
        facts: of one kind.
        places: of those to judge.
        limits: bounds, in `unit`.
        plausible: the least and greatest value, in `unit`, that can be right; None: no bound is known.
        unit: the wanted unit (UCUM); None: the number has none (a score).
    """
    value = _converted(facts, unit)[places] if unit is not None else facts.numbers("value_number")[places]
    sign = _comparators(facts)[places]
    plain = not sign.any()
    least = value if plain else np.where((sign < 0), -np.inf, value)
    most = value if plain else np.where((sign > 0) & (sign != _NOT_UNDERSTOOD), np.inf, value)
    inside, outside = np.ones(len(places), bool), np.zeros(len(places), bool)
    if limits.min is not None:
        inside, outside = inside & (least >= limits.min), outside | (most < limits.min)
        outside = outside | ((most == limits.min) & (sign == _SIGNS["<"]))
    if limits.over is not None:
        above = (least > limits.over) | ((least == limits.over) & (sign == _SIGNS[">"]))
        inside, outside = inside & above, outside | (most <= limits.over)
    if limits.max is not None:
        inside, outside = inside & (most <= limits.max), outside | (least > limits.max)
        outside = outside | ((least == limits.max) & (sign == _SIGNS[">"]))
    if limits.under is not None:
        below = (most < limits.under) | ((most == limits.under) & (sign == _SIGNS["<"]))
        inside, outside = inside & below, outside | (least >= limits.under)
    usable = np.isfinite(value) & (sign != _NOT_UNDERSTOOD)
    if plausible is not None:
        usable = usable & (value >= plausible[0]) & (value <= plausible[1])
    return np.where(usable & inside, MET, np.where(usable & outside, NOT_MET, UNKNOWN)).astype(np.int8)


def judge_number(value: Array, limits: Range) -> Array:
    """Whether plain numbers lie within limits; NaN is UNKNOWN; Int8."""
    inside = np.ones(len(value), bool)
    for bound, holds in (
        (limits.min, np.greater_equal),
        (limits.over, np.greater),
        (limits.max, np.less_equal),
        (limits.under, np.less),
    ):
        if bound is not None:
            inside &= holds(value, bound)
    return np.where(np.isnan(value), UNKNOWN, np.where(inside, MET, NOT_MET)).astype(np.int8)


def _comparators(facts: Block) -> Array:
    def signs() -> pl.Expr:
        stated = pl.col("comparator").fill_null("")
        return stated.replace_strict(_SIGNS, default=_NOT_UNDERSTOOD, return_dtype=pl.Int8)

    return facts.array("comparators", signs)


def _converted(facts: Block, unit: str) -> Array:
    """All numbers in one unit; NaN where a unit does not convert."""

    def make() -> Array:
        codes, units = facts.coded("unit")
        factors = np.array([*((unit_factor(found, unit) if found else None) for found in units), None], np.float64)
        factor = factors[codes]
        value = facts.numbers("value_number") * factor
        changed = np.flatnonzero(np.isfinite(value) & (factor != 1))
        # 12 digits: a conversion must not push a value over a bound it equals
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = 10.0 ** (11 - np.floor(np.log10(np.abs(value[changed]))))
            rounded = np.round(value[changed] * scale) / scale
        value[changed] = np.where(np.isfinite(rounded), rounded, value[changed])
        return value

    found: Array = facts.keep(("in", unit), make)
    return found
