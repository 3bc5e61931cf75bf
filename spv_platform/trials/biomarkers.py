"""Judging biomarkers over all persons: variants, markers, tumour mutational burden, microsatellite instability.

A variant that is present answers only for itself: another change of the same gene says nothing about the wanted one.
A variant that is absent answers NOT_MET only if what was looked for is at least as wide as what is asked for.
A region that was studied without a finding is no negative: which changes the test can see is not known here.
"""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from spv_platform.trials.evidence import Facts, Judged, Verdicts, history, judged, latest, opposite
from spv_platform.trials.kleene import MET, NOT_MET, UNKNOWN
from spv_platform.trials.model import ANY_GENE, INTERGENIC, Biomarker, Range
from spv_platform.trials.notation import any_change, codons_of, consequence_name, protein_change, replaces
from spv_platform.trials.terms import marker_codes, marker_names, table
from spv_platform.trials.values import judge_quantity

TMB_UNIT = "1/1000000{Base}"
MAX_TMB = 3000.0  # mutations per megabase; more is no count of mutations


def judge(test: Biomarker, window: datetime | None, facts: Facts) -> Verdicts:
    """The verdicts on one question about a biomarker; `window` is the first moment that counts."""
    if test.gene is not None:
        found = history(_variant(test, facts), window, facts.persons)
        return found if test.state == "present" else opposite(found)
    if test.tmb is not None:
        burdens = facts.of("tmb")
        limits = judge_quantity(test.tmb, (0.0, MAX_TMB), unit=TMB_UNIT, facts=burdens)
        return latest(judged(burdens, limits), window, facts.persons)
    if test.msi is not None:
        return latest(judged(facts.of("msi"), _polarity(positive=test.msi == "high")), window, facts.persons)
    if test.mmr is not None:
        return latest(judged(facts.of("mmr"), _polarity(positive=test.mmr == "deficient")), window, facts.persons)
    if test.signature is not None:
        code = f"signature|{test.signature}"
        states = facts.having("codes", [code], "signature")
        return latest(judged(states, _polarity(positive=test.state == "present")), window, facts.persons)
    return latest(
        judged(_marker_facts(test, facts), _polarity(positive=test.state == "positive")), window, facts.persons
    )


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


@dataclass(frozen=True)
class _Attribute:
    """What is asked of one attribute of a variant.

    Attributes:
        fit: 1 as asked for, 0 not stated or not understood, -1 something else; None: not asked for.
        stated: whether the variant states it.
    """

    fit: pl.Expr | None
    stated: pl.Expr


def _variant(test: Biomarker, facts: Facts) -> Judged:
    variants = facts.having("genes", [str(test.gene)], "variant") if test.gene != ANY_GENE else facts.of("variant")
    attributes = _attributes(test, variants)
    asked = [attribute.fit for attribute in attributes if attribute.fit is not None]
    fit = pl.min_horizontal(asked) if asked else pl.lit(1, dtype=pl.Int8)
    return judged(
        variants,
        pl.when(pl.col("polarity") == "present")
        .then(pl.when(fit == 1).then(MET).when(fit == 0).then(UNKNOWN))
        .when(pl.col("polarity") == "absent")
        .then(_absent(attributes))
        .when(fit >= 0)
        .then(UNKNOWN),
    )


def _attributes(test: Biomarker, variants: pl.DataFrame) -> list[_Attribute]:
    allele = pl.any_horizontal(
        pl.col(column).list.len().fill_null(0) > 0 for column in ("hgvs_protein", "hgvs_coding", "hgvs_genomic")
    )
    # that one pair of genes is not fused says nothing about other partners
    pair = pl.col("genes").list.len() > 1
    return [
        _Attribute(_allele(test, variants), allele),
        _Attribute(_partners(test, variants) if test.partner else None, pair),
        _Attribute(_consequence(test.consequence, variants), pl.col("consequence").is_not_null()),
        _one_of("alteration", test.alteration),
        _one_of("call", test.call),
        _one_of("exon", test.exons),
        _one_of("zygosity", test.zygosity),
        _one_of("function", test.function),
        _one_of("origin", test.origin),
        _within("vaf", test.vaf),
        _within("copy_number", test.copy_number),
    ]


def _absent(attributes: list[_Attribute]) -> pl.Expr:
    """What an absent variant says: NOT_MET if every attribute it states is the asked one, nothing if it is another."""
    narrower = other = pl.lit(False)
    for attribute in attributes:
        if attribute.fit is None:
            narrower = narrower | attribute.stated
        else:
            other = other | (attribute.fit == -1)
            # an allele in a notation that is not understood may be the asked one or another
            narrower = narrower | (attribute.stated & (attribute.fit == 0))
    return pl.when(other).then(None).when(narrower).then(UNKNOWN).otherwise(NOT_MET)


def _one_of(column: str, wanted: tuple[str, ...] | tuple[int, ...] | str | int | None) -> _Attribute:
    said = pl.col(column)
    if wanted is None:
        return _Attribute(None, said.is_not_null())
    among = said.is_in(wanted if isinstance(wanted, tuple) else (wanted,))
    return _Attribute(
        pl.when(among).then(1).when(said.is_null()).then(0).otherwise(-1).cast(pl.Int8), said.is_not_null()
    )


def _within(column: str, wanted: Range | None) -> _Attribute:
    said = pl.col(column)
    if wanted is None:
        return _Attribute(None, said.is_not_null())
    inside = pl.lit(True)
    for bound, holds in (
        (wanted.min, lambda limit: said >= limit),
        (wanted.over, lambda limit: said > limit),
        (wanted.max, lambda limit: said <= limit),
        (wanted.under, lambda limit: said < limit),
    ):
        if bound is not None:
            inside = inside & holds(bound)
    return _Attribute(
        pl.when(said.is_null()).then(0).when(inside).then(1).otherwise(-1).cast(pl.Int8), said.is_not_null()
    )


def _partners(test: Biomarker, variants: pl.DataFrame) -> pl.Expr:
    """Whether the two genes are the asked pair, in either order."""
    together = pl.col("genes").list.join("\n")
    found = variants.select(together).to_series().drop_nulls().unique().to_list()
    verdicts = {genes: _judge_pair((test.gene, test.partner), genes.split("\n")) for genes in found}
    return together.replace_strict(verdicts, default=0, return_dtype=pl.Int8)


def _judge_pair(wanted: tuple[str | None, str | None], genes: list[str]) -> int:
    left, right = genes[0] or None, genes[1] if len(genes) > 1 else None
    return max(
        min(_judge_gene(wanted[0], left), _judge_gene(wanted[1], right)),
        min(_judge_gene(wanted[0], right), _judge_gene(wanted[1], left)),
    )


def _judge_gene(wanted: str | None, given: str | None) -> int:
    if given is None:
        return UNKNOWN
    return MET if (wanted == given or (wanted == ANY_GENE and given != INTERGENIC)) else NOT_MET


def _consequence(wanted: tuple[str, ...] | str | None, variants: pl.DataFrame) -> pl.Expr | None:
    if wanted is None:
        return None
    kinds: dict[str, list[str]] = table("consequences")["kinds"]
    met = {kind for name in wanted for kind in (name, *kinds.get(name, ()))}
    # one look-up per distinct spelling, of which there are few
    verdicts = {}
    for said in variants["consequence"].drop_nulls().unique().to_list():
        name = consequence_name(said)
        narrower = met.intersection(kinds.get(name or "", ()))
        verdicts[said] = MET if name in met else UNKNOWN if name is None or narrower else NOT_MET
    return pl.col("consequence").replace_strict(verdicts, default=0, return_dtype=pl.Int8)


def _allele(test: Biomarker, variants: pl.DataFrame) -> pl.Expr | None:
    """The best judgement of the changes that a variant names; 0 where none is understood."""
    if test.change is None and test.codons is None:
        return None
    # one look-up per distinct notation, of which there are few
    notations = variants["hgvs_protein"].explode(empty_as_null=False).drop_nulls().unique().to_list()
    forms = {notation: _judge_change(test, form) for notation in notations if (form := protein_change(notation))}
    said = pl.col("hgvs_protein").list.eval(
        pl.element().replace_strict(forms, default=None, return_dtype=pl.Int8).drop_nulls()
    )
    return said.list.max().fill_null(0).cast(pl.Int8)


def _judge_change(test: Biomarker, change: str) -> int:
    verdict = MET
    if test.change is not None:
        residue = any_change(test.change)
        verdict = MET if (replaces(residue, change) if residue else change == test.change) else NOT_MET
    return verdict if test.codons is None else min(verdict, _judge_codons(test.codons, change))


def _judge_codons(wanted: Range, change: str) -> int:
    low = wanted.min if wanted.min is not None else 1
    high = wanted.max if wanted.max is not None else float("inf")
    first, last = codons_of(change)
    if low <= first and last <= high:
        return MET
    return UNKNOWN if first <= high and last >= low else NOT_MET
