"""Judging biomarkers over all persons: variants, markers, tumour mutational burden, microsatellite instability.

A variant that is present answers only for itself: another change of the same gene says nothing about the wanted one.
One of several genes that are not said to be fused answers for none of them.
A variant that is absent answers NOT_MET only if what was looked for is at least as wide as what is asked for.
A region that was studied without a finding is no negative: which changes the test can see is not known here. Nor is a
negative finding in blood, where a tumour may not have shed what it has.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import polars as pl

from spv_platform.trials import her2
from spv_platform.trials.evidence import NOT_STATED, NOTHING, Array, Block, Facts, Judged
from spv_platform.trials.kleene import MET, NOT_MET, UNKNOWN
from spv_platform.trials.notation import any_change, codons_of, consequence_name, protein_change, replaces
from spv_platform.trials.questions import ANY_GENE, INTERGENIC, Biomarker, Range
from spv_platform.trials.terms import fold_code, marker_codes, marker_name, marker_names, table
from spv_platform.trials.values import judge_number, judge_quantity

TMB_UNIT = "1/1000000{Base}"
MAX_TMB = 3000.0  # mutations per megabase; more is no count of mutations


def judge(test: Biomarker, facts: Facts) -> Judged:
    """The facts that say something about a biomarker; of a gene, whether the variant is present."""
    if test.gene is not None:
        return _variant(test, facts)
    if test.tmb is not None:
        burdens = facts.of("tmb")
        places = burdens.everywhere()
        verdict = judge_quantity(burdens, places, test.tmb, (0.0, MAX_TMB), TMB_UNIT)
        # blood shows a part of the mutations: a low burden in it may be a high one
        low = (verdict == NOT_MET) | (test.tmb.max is not None) | (test.tmb.under is not None)
        return burdens.judged(places, np.where(_liquid(burdens)[places] & low, UNKNOWN, verdict).astype(np.int8))
    if test.msi is not None:
        return _polarity(facts.of("msi"), positive=test.msi == "high", shed=True)
    if test.mmr is not None:
        return _polarity(facts.of("mmr"), positive=test.mmr == "deficient")
    if test.signature is not None:
        states = facts.of("signature")
        places = states.having("codes", [f"signature|{test.signature}"])
        return _polarity(states, places, positive=test.state == "present", shed=True)
    markers = facts.of("tumor_marker")
    places = _marker_places(test, markers)
    if marker_name(test.marker or "") == "HER2":
        return her2.judge(test.state or "positive", markers, places)
    return _polarity(markers, places, positive=test.state == "positive")


def _polarity(states: Block, places: Array | None = None, *, positive: bool, shed: bool = False) -> Judged:
    """What results say by their polarity; `shed`: a negative one in blood says nothing."""
    places = states.everywhere() if places is None else places
    polarity = states.polarity()[places]
    unsure = polarity == NOT_STATED
    if shed:
        unsure = unsure | ((polarity == NOT_MET) & _liquid(states)[places])
    polarity = np.where(unsure, UNKNOWN, polarity)
    return states.judged(places, polarity if positive else -polarity)


def _liquid(facts: Block) -> Array:
    return facts.array("liquid", lambda: pl.col("liquid"))


def _marker_places(test: Biomarker, markers: Block) -> Array:
    name = test.marker or ""
    coded = markers.having("codes", map(fold_code, test.codes or marker_codes(name)))
    # a test without any code is known by its name alone
    names = set(marker_names(name))
    named = pl.when(pl.col("codes").list.len().fill_null(0) == 0).then(pl.col("display").str.to_lowercase())
    codes, values = markers.coded_as("uncoded", named)
    wanted = [code for code, value in enumerate(values) if value in names]
    return np.union1d(coded, np.flatnonzero(np.isin(codes, wanted))) if wanted else coded


@dataclass(frozen=True)
class _Attribute:
    """What is asked of one attribute of variants.

    Attributes:
        fit: 1 as asked for, 0 not stated or not understood, -1 something else; None: not asked for.
        stated: whether a variant states it.
        exact: whether only one value is asked for, so that its absence is all that is asked.
        implied: whether a variant that does not state it may be taken to speak of what is asked for.
    """

    fit: Array | None
    stated: Callable[[], Array]
    exact: bool = False
    implied: bool = True


def _variant(test: Biomarker, facts: Facts) -> Judged:
    variants = facts.of("variant")
    places = variants.having("genes", [str(test.gene)]) if test.gene != ANY_GENE else variants.everywhere()
    attributes = _attributes(test, variants, places)
    fit = np.full(len(places), MET, np.int8)
    for attribute in attributes:
        if attribute.fit is not None:
            fit = np.minimum(fit, attribute.fit)
    polarity = variants.polarity()[places]
    # which of several genes it is of, if they are not fused, is not known
    fit = np.where((fit > 0) & variants.array("of one of several", _of_one_of_several)[places], UNKNOWN, fit)
    verdict = np.where(fit < 0, NOTHING, np.where(polarity == MET, fit, UNKNOWN)).astype(np.int8)
    absent = np.flatnonzero(polarity == NOT_MET)
    if len(absent):
        said = _absent(attributes, absent)
        # a tumour need not shed what it has: blood that lacks it proves nothing, unless it was the germline's
        liquid = variants.array("shed", lambda: pl.col("liquid") & pl.col("origin").ne_missing("germline"))[
            places[absent]
        ]
        said = np.where(said == NOT_MET, np.where(liquid | (test.gene == ANY_GENE), UNKNOWN, said), said)
        verdict[absent] = said
    return variants.judged(places, verdict)


def _of_one_of_several() -> pl.Expr:
    shared = pl.col("alteration").is_in(["fusion", "copy_number_gain", "copy_number_loss"]).fill_null(value=False)
    return (pl.col("genes").list.len() > 1).fill_null(value=False) & ~shared


def _attributes(test: Biomarker, variants: Block, places: Array) -> list[_Attribute]:
    def stated(column: str) -> Callable[[], Array]:
        return lambda: variants.coded(column)[0][places] >= 0

    def some_allele() -> pl.Expr:
        columns = ("hgvs_protein", "hgvs_coding", "hgvs_genomic")
        return pl.any_horizontal(pl.col(column).list.len().fill_null(0) > 0 for column in columns)

    def allele() -> Array:
        return variants.array("allele", some_allele)[places]

    def pair() -> Array:
        return variants.array("pair", lambda: pl.col("genes").list.len().fill_null(0) > 1)[places]

    def one_of(column: str, wanted: tuple[Any, ...] | str | int | None, **more: bool) -> _Attribute:
        if wanted is None:
            return _Attribute(None, stated(column))
        among = wanted if isinstance(wanted, tuple) else (wanted,)
        fit = variants.looked_up(column, places, lambda said: MET if said in among else NOT_MET)
        return _Attribute(fit, stated(column), exact=len(among) == 1, **more)

    def within(column: str, wanted: Range | None) -> _Attribute:
        if wanted is None:
            return _Attribute(None, stated(column))
        return _Attribute(judge_number(variants.numbers(column)[places], wanted), stated(column))

    def judged_by(column: str, judge_one: Callable[[Any], int], *asked: object) -> Array | None:
        """Per place the judgement of a column's value; None: it is not asked for."""
        return variants.looked_up(column, places, judge_one) if any(each is not None for each in asked) else None

    wanted = (test.gene, test.partner)
    consequences = test.consequence if isinstance(test.consequence, tuple) else ()
    one_change = test.change is not None and test.codons is None and any_change(test.change) is None
    changes = judged_by("hgvs_protein", lambda said: _judge_changes(test, said), test.change, test.codons)
    partners = judged_by("genes", lambda genes: _judge_pair(wanted, genes.split("\n")), test.partner)
    consequence = judged_by("consequence", lambda said: _judge_consequence(consequences, said), test.consequence)
    # a negative report that names no class is about mutations; one about the germline says so
    only_mutations = test.alteration == ("mutation",)
    return [
        _Attribute(changes, allele, exact=one_change),
        # that one pair of genes is not fused says nothing about other partners
        _Attribute(partners, pair, exact=ANY_GENE not in wanted),
        _Attribute(consequence, stated("consequence"), exact=len(consequences) == 1),
        one_of("alteration", test.alteration, implied=only_mutations),
        one_of("call", test.call),
        one_of("exon", test.exons if isinstance(test.exons, tuple) else None),
        one_of("zygosity", test.zygosity),
        one_of("function", test.function),
        one_of("origin", test.origin, implied=False),
        within("vaf", test.vaf),
        within("copy_number", test.copy_number),
    ]


def _absent(attributes: list[_Attribute], some: Array) -> Array:
    """What absent variants say: NOT_MET if what was looked for covers all that is asked, nothing if it is another."""
    narrower, other = np.zeros(len(some), bool), np.zeros(len(some), bool)
    for attribute in attributes:
        said = attribute.stated()[some]
        if attribute.fit is None:
            narrower |= said
            continue
        fit = attribute.fit[some]
        other |= fit == NOT_MET
        covers = np.where(said, (fit == MET) & attribute.exact, attribute.implied)
        narrower |= ~covers
    return np.where(other, NOTHING, np.where(narrower, UNKNOWN, NOT_MET)).astype(np.int8)


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


@cache
def _judge_consequence(wanted: tuple[str, ...], said: str) -> int:
    kinds: dict[str, list[str]] = table("consequences")["kinds"]
    met = {kind for name in wanted for kind in (name, *kinds.get(name, ()))}
    name = consequence_name(said)
    if name in met:
        return MET
    return UNKNOWN if name is None or met.intersection(kinds.get(name, ())) else NOT_MET


def _judge_changes(test: Biomarker, said: str) -> int:
    """The best judgement of the changes that a variant names; 0 where none is understood."""
    forms = [form for notation in said.split("\n") if (form := protein_change(notation))]
    return max((_judge_change(test, form) for form in forms), default=UNKNOWN)


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
