"""Judging biomarkers over all persons: variants, markers, tumour mutational burden, microsatellite instability.

A variant that is present answers only for itself: another change of the same gene says nothing about the wanted one.
A variant that is absent answers NOT_MET only if what was looked for is at least as wide as what is asked for.
A region that was studied without a finding is no negative: which changes the test can see is not known here.
"""

from datetime import datetime

import polars as pl

from spv_platform.trials.evidence import Facts, Verdicts, history, judged, latest, opposite
from spv_platform.trials.kleene import MET, NOT_MET, UNKNOWN
from spv_platform.trials.model import Biomarker
from spv_platform.trials.notation import protein_change
from spv_platform.trials.terms import marker_codes, marker_names
from spv_platform.trials.values import judge_quantity

TMB_UNIT = "1/1000000{Base}"
MAX_TMB = 3000.0  # mutations per megabase; more is no count of mutations


def judge(test: Biomarker, window: datetime | None, facts: Facts) -> Verdicts:
    """The verdicts on one question about a biomarker; `window` is the first moment that counts."""
    if test.gene is not None:
        found = history(_variant(test, facts), window)
        return found if test.state == "present" else opposite(found)
    if test.tmb is not None:
        burdens = facts.of("tmb")
        limits = judge_quantity(test.tmb.min, test.tmb.max, (0.0, MAX_TMB), unit=TMB_UNIT, facts=burdens)
        return latest(judged(burdens, limits), window)
    if test.msi is not None:
        return latest(judged(facts.of("msi"), _polarity(positive=test.msi == "high")), window)
    return latest(judged(_marker_facts(test, facts), _polarity(positive=test.state == "positive")), window)


def _polarity(*, positive: bool) -> pl.Expr:
    wanted, other = ("present", "absent") if positive else ("absent", "present")
    polarity = pl.col("polarity")
    return pl.when(polarity == wanted).then(MET).when(polarity == other).then(NOT_MET).otherwise(UNKNOWN)


def _marker_facts(test: Biomarker, facts: Facts) -> pl.DataFrame:
    name = test.marker or ""
    codes = list(test.codes or marker_codes(name))
    by_code = pl.col("codes").list.eval(pl.element().is_in(codes)).list.any().fill_null(False)
    # a test without any code is known by its name alone
    uncoded = pl.col("codes").list.len().fill_null(0) == 0
    by_name = pl.col("display").str.to_lowercase().is_in(marker_names(name)).fill_null(False)
    return facts.of("tumor_marker").filter(by_code | (uncoded & by_name))


def _variant(test: Biomarker, facts: Facts) -> pl.DataFrame:
    variants = facts.of("variant").filter(pl.col("genes").list.contains(test.gene).fill_null(False))
    change = _change(test.change, variants)
    alteration = _attribute("alteration", test.alteration)
    origin = _attribute("origin", test.origin)
    # per attribute: 1 as asked for, 0 not stated, -1 something else, null not asked for
    fit = pl.min_horizontal(change, alteration, origin)
    present = pl.when(fit.is_null() | (fit == 1)).then(MET).when(fit == 0).then(UNKNOWN)
    return judged(
        variants,
        pl.when(pl.col("polarity") == "present")
        .then(present)
        .when(pl.col("polarity") == "absent")
        .then(_absent(test, change, alteration, origin))
        .when(fit.is_null() | (fit >= 0))
        .then(UNKNOWN),
    )


def _absent(test: Biomarker, change: pl.Expr, alteration: pl.Expr, origin: pl.Expr) -> pl.Expr:
    """What an absent variant says: NOT_MET if every attribute it states is the asked one, nothing if it is another."""
    allele_stated = pl.any_horizontal(
        pl.col(column).list.len().fill_null(0) > 0 for column in ("hgvs_protein", "hgvs_coding", "hgvs_genomic")
    )
    # that one pair of genes is not fused says nothing about other partners
    narrower = pl.col("genes").list.len() > 1
    other = pl.lit(False)
    for asked, fit, stated in (
        (test.change, change, allele_stated),
        (test.alteration, alteration, pl.col("alteration").is_not_null()),
        (test.origin, origin, pl.col("origin").is_not_null()),
    ):
        if asked is None:
            narrower = narrower | stated
        else:
            other = other | (fit == -1)
            # an allele in a notation that is not understood may be the asked one or another
            narrower = narrower | (stated & (fit == 0))
    return pl.when(other).then(None).when(narrower).then(UNKNOWN).otherwise(NOT_MET)


def _attribute(column: str, wanted: str | None) -> pl.Expr:
    if wanted is None:
        return pl.lit(None, dtype=pl.Int8)
    said = pl.col(column)
    return pl.when(said == wanted).then(1).when(said.is_null()).then(0).otherwise(-1).cast(pl.Int8)


def _change(wanted: str | None, variants: pl.DataFrame) -> pl.Expr:
    if wanted is None:
        return pl.lit(None, dtype=pl.Int8)
    # one look-up per distinct notation, of which there are few
    notations = variants["hgvs_protein"].explode().drop_nulls().unique().to_list()
    forms = {notation: form for notation in notations if (form := protein_change(notation))}
    said = pl.col("hgvs_protein").list.eval(
        pl.element().replace_strict(forms, default=None, return_dtype=pl.String).drop_nulls()
    )
    understood = said.list.len().fill_null(0) > 0
    return (
        pl.when(said.list.contains(wanted).fill_null(False))
        .then(1)
        .when(understood)
        .then(-1)
        .otherwise(0)
        .cast(pl.Int8)
    )
