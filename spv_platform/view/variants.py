"""Facts of genomic Observations: variants with what their components state, and the regions that were studied.

Component codes are those of HL7 Genomics Reporting (LOINC); HGVS text is kept as sent, found by its shape wherever it
stands, because senders put coding changes into the genomic component and ClinVar names into displays.
"""

import polars as pl

from spv_platform.view import genes as gene_table
from spv_platform.view.codes import alias_key, display, display_or_code, every, keys, lookup, name_of
from spv_platform.view.rows import conditions_in, fact_rows, has_profile, laboratory, of_specimen, when_true

_REFERENCE = r"(?:\b[A-Z]{2,4}_?\d+(?:\.\d+)?(?:\([A-Za-z0-9-]+\))?:)?"
_PROTEIN = _REFERENCE + r"\bp\.(?:\([^()]*\)|[^\s();,\]]+)"
_CODING = _REFERENCE + r"\b[cn]\.[-*]?\(?[\d?][^\s);,\]]*"
_GENOMIC = _REFERENCE + r"\bg\.\(?[\d?][^\s);,\]]*"
#: A protein change without "p.", as in "V600E": only looked for in the protein component.
_BARE_PROTEIN = r"^\s*([A-Z][A-Za-z]{0,2}\d+\S*)\s*$"
#: Words that say that genes are fused, and a pair of genes written so.
_FUSED = r"(?i)\b(?:fusion|translocation|rearrange(?:d|ment)|fused)\b|(?-i:\b[A-Z][A-Z0-9-]*(?:\([^)]*\))?::[A-Z])"
#: Words beside which those say nothing: what was looked for, or what was not found.
_NOT = r"(?i)\b(?:no|not|without|negative|absen(?:t|ce)|mutations?|panel|profil\w*|assay)\b"
_MCODE_VARIANT = "mcode-(?:cancer-)?genomic-variant"
_LISTS = ("genes", "gene_ids", "hgvs_protein", "hgvs_coding", "hgvs_genomic")


def facts_of_variants(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Variant and region facts of live Observation rows that carry `_kind` and `_usable`.

    Genes are fused only where the result says so: by a code of its change, in words, by how the pair is written, or by
    the profile of mCODE, whose variant of two genes stands for their fusion (mCODE IG, "Genomics", gene fusions).
    Several genes of a present variant that says nothing of the kind stay together, without a class of alteration.
    Several genes in an absent variant that names no change are as many pertinent negatives: one fact each.
    """
    if rows.is_empty():
        return []
    rows = rows.with_row_index("_row")
    parts = _parts(rows)
    genes = _genes(parts)
    found = rows
    for extra in (
        genes.group_by("_row").agg(
            genes=pl.col("symbol").drop_nulls().unique().sort(),
            gene_ids=pl.col("id").drop_nulls().unique().sort(),
            _disagrees=pl.col("disagrees").any(),
            _fused=pl.col("fused").any(),
        ),
        _fusions(parts),
        _hgvs(parts),
        _first(parts, "origin", lookup("value", "origin")),
        _first(parts, "vaf", _fraction()),
        _first(parts, "copy_number", pl.coalesce("quantity_value", "integer").cast(pl.Float64)),
        _first(parts, "change", lookup("value", "change"), name="alteration"),
        _first(parts, "change", _consequence(), name="consequence"),
    ):
        found = found.join(extra, on="_row", how="left", maintain_order="left")
    found = found.with_columns(*(pl.col(name).fill_null([]) for name in _LISTS), _polarity=_polarity()).with_columns(
        alteration=_alteration()
    )
    return [_facts(_doubted(one)) for one in _one_gene_each(found, genes)]


def _doubted(rows: pl.DataFrame) -> pl.DataFrame:
    """A variant of a gene whose number and symbol name two genes is neither present nor absent."""
    doubt = pl.col("_disagrees").fill_null(value=False) & pl.col("_polarity").is_not_null()
    return rows.with_columns(_polarity=pl.when(doubt).then(pl.lit("indeterminate")).otherwise("_polarity"))


def _facts(rows: pl.DataFrame) -> pl.DataFrame:
    stated = ("genes", "gene_ids", "hgvs_protein", "hgvs_coding", "hgvs_genomic", "origin", "vaf", "copy_number")
    variant = pl.col("_kind") == "variant"
    return fact_rows(
        rows,
        pl.col("_kind"),
        codes=keys("code"),
        display=pl.coalesce(display("code"), "code_text", name_of("code", "observation")),
        value_codes=keys("value_concept"),
        value_display=pl.coalesce(display("value_concept"), "value_concept_text"),
        polarity=pl.when(variant).then("_polarity"),
        alteration=pl.when(variant).then("alteration"),
        consequence=pl.col("consequence"),
        body_site=display("body_site"),
        method=display_or_code("method"),
        laboratory=laboratory(),
        cancers=conditions_in("focus"),
        status=pl.col("status"),
        usable=pl.col("_usable"),
        known=pl.col("issued"),
        **of_specimen(),
        **{name: pl.col(name) for name in stated},
        **when_true("effective", "effective_period"),
    )


def _parts(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per component: `_row`, what it states (`part`), and its values."""
    components = rows.select("_row", "component").filter(pl.col("component").list.len() > 0)
    parts = components.explode("component").unnest("component")
    return parts.with_columns(part=lookup("code", "component")).filter(pl.col("part").is_not_null())


def _genes(parts: pl.DataFrame) -> pl.DataFrame:
    """`_row`, `symbol`, `id` of every gene named; whether what names it disagrees, and whether it is named as fused.

    A coding whose number and text are of two genes is not believed: it counts only if none beside it is sound.
    """
    studied = parts.filter(pl.col("part") == "gene").with_row_index("_part")
    coding = pl.col("value").struct
    coded = (
        studied.select("_row", "_part", "value")
        .filter(pl.col("value").list.len() > 0)
        .explode("value")
        .select(
            "_row", "_part", system=alias_key(pl.col("value")).str.extract(r"^(hgnc|entrez)\|", 1),
            code=coding.field("code"), text=coding.field("display"),
        )
    )  # fmt: skip
    named = studied.filter(pl.col("string").is_not_null()).select("_row", "_part", text="string")
    said = pl.concat([coded, named], how="diagonal")
    distinct = said.select("system", "code", "text").unique()
    readings = [gene_table.read(*each) for each in distinct.iter_rows()]
    read = distinct.with_columns(
        symbol=pl.Series([list(each.symbols) for each in readings], dtype=pl.List(pl.String)),
        id=pl.Series([list(each.ids) for each in readings], dtype=pl.List(pl.String)),
        numbered=pl.Series([each.numbered for each in readings], dtype=pl.Boolean),
        disagrees=pl.Series([each.disagrees for each in readings], dtype=pl.Boolean),
        fused=pl.Series([each.fused for each in readings], dtype=pl.Boolean),
    )
    found = said.join(read, on=["system", "code", "text"], nulls_equal=True, maintain_order="left")
    sound = (pl.col("numbered") & ~pl.col("disagrees")).any().over("_part")
    return (
        found.filter(~pl.col("disagrees") | ~sound)
        .with_columns(disagrees=pl.col("disagrees") | _two_numbers(), id=pl.col("id").list.first())
        .explode("symbol", empty_as_null=True)
        .select("_row", "symbol", "id", "disagrees", "fused")
    )


def _two_numbers() -> pl.Expr:
    """Whether the codings of one component number other genes in one system than in another."""
    of_system = {
        system: pl.col("symbol").filter(pl.col("numbered") & (pl.col("system") == system)).list.first().unique().sort()
        for system in ("hgnc", "entrez")
    }
    hgnc, entrez = (each.implode().over("_part") for each in of_system.values())
    return (hgnc.list.len() > 0) & (entrez.list.len() > 0) & (hgnc != entrez)


def _fusions(parts: pl.DataFrame) -> pl.DataFrame:
    """`_row` and `_said_fused` of those of which a component says that genes are fused."""
    about = parts.filter(pl.col("part").is_in(["change", "protein", "hgvs"]))
    coded = every("value", "change").list.contains("fusion")
    in_words = _says_fused(pl.element().struct.field("display"))
    worded = pl.col("value").list.eval(in_words).list.any()
    said = [each.fill_null(value=False) for each in (coded, worded, _says_fused(pl.col("string")))]
    return about.filter(pl.any_horizontal(said)).select("_row", _said_fused=True).unique()


def _says_fused(text: pl.Expr) -> pl.Expr:
    return (text.str.contains(_FUSED) & ~text.str.contains(_NOT)).fill_null(value=False)


def _hgvs(parts: pl.DataFrame) -> pl.DataFrame:
    named = parts.filter(pl.col("part").is_in(["protein", "hgvs"]))
    coding = pl.element().struct
    texts = named.select(
        "_row",
        "part",
        text=pl.concat_list(
            pl.col("value").list.eval(coding.field("code")).fill_null([]),
            pl.col("value").list.eval(coding.field("display")).fill_null([]),
            "string",
        ),
    ).explode("text")
    bare = pl.when(pl.col("part") == "protein").then(pl.col("text").str.extract(_BARE_PROTEIN, 1))
    found = texts.filter(pl.col("text").is_not_null()).select(
        "_row",
        hgvs_protein=pl.concat_list(pl.col("text").str.extract_all(_PROTEIN), bare).list.drop_nulls(),
        hgvs_coding=pl.col("text").str.extract_all(_CODING),
        hgvs_genomic=pl.col("text").str.extract_all(_GENOMIC),
    )
    every = (pl.col(name).list.explode(empty_as_null=False).drop_nulls().unique().sort() for name in found.columns[1:])
    return found.group_by("_row").agg(every)


def _first(parts: pl.DataFrame, part: str, value: pl.Expr, name: str = "") -> pl.DataFrame:
    stated = parts.filter(pl.col("part") == part).select("_row", value.alias(name or part)).drop_nulls()
    return stated.unique("_row", keep="first", maintain_order=True)


def _fraction() -> pl.Expr:
    unit = pl.coalesce("quantity_unit_code", "quantity_unit", pl.lit("1"))
    number = pl.col("quantity_value")
    share = pl.when(unit == "%").then((number / 100).round(9)).when(unit == "1").then(number)
    return pl.when(share.is_between(0, 1)).then(share)


def _consequence() -> pl.Expr:
    named = pl.element().struct.field("display")
    first = pl.col("value").list.eval(named.drop_nulls()).list.first()
    return pl.coalesce(name_of("value", "change"), first)


def _polarity() -> pl.Expr:
    return pl.coalesce(lookup("value_concept", "polarity"), lookup("interpretation", "polarity"))


def _alteration() -> pl.Expr:
    stated = pl.col("alteration")
    worded = [
        _says_fused(display("code")),
        _says_fused(pl.col("code_text")),
        pl.col("component_text").list.eval(_says_fused(pl.element())).list.any().fill_null(value=False),
    ]
    fused = pl.any_horizontal(*worded, *(pl.col(name).fill_null(value=False) for name in ("_fused", "_said_fused")))
    present = pl.col("_polarity").eq("present").fill_null(False)
    several = present & (pl.col("genes").list.len() > 1)
    by_profile = has_profile(_MCODE_VARIANT) & present & (pl.col("genes").list.len() == 2)
    # of several genes an exact change does not say which of them it is of
    exact = pl.any_horizontal(pl.col(name).list.len() > 0 for name in _LISTS[2:]) & ~several
    mutation = exact | lookup("interpretation", "change").eq("mutation").fill_null(False)
    return (
        pl.when(fused & ~stated.str.starts_with("copy_number").fill_null(False))
        .then(pl.lit("fusion"))
        .when(stated.is_not_null())
        .then(stated)
        .when(by_profile)
        .then(pl.lit("fusion"))
        .when(mutation)
        .then(pl.lit("mutation"))
    )


def _one_gene_each(rows: pl.DataFrame, genes: pl.DataFrame) -> list[pl.DataFrame]:
    """The rows, those that are several pertinent negatives replaced by one row per gene."""
    negatives = (
        (pl.col("_kind") == "variant")
        & (pl.col("_polarity").eq("absent").fill_null(False))
        & (pl.col("genes").list.len() > 1)
        & pl.col("alteration").is_null()
    )
    each = (
        rows.filter(negatives)
        .drop("genes", "gene_ids", "_disagrees")
        .join(
            genes.filter(pl.col("symbol").is_not_null())
            .group_by("_row", "symbol")
            .agg(gene_ids=pl.col("id").drop_nulls().unique().sort(), _disagrees=pl.col("disagrees").any()),
            on="_row",
        )
        .with_columns(genes=pl.concat_list("symbol"))
    )
    return [rows.filter(~negatives), each]
