"""Facts of genomic Observations: variants with what their components state, and the regions that were studied.

Component codes are those of HL7 Genomics Reporting (LOINC); HGVS text is kept as sent, found by its shape wherever it
stands, because senders put coding changes into the genomic component and ClinVar names into displays.
"""

import polars as pl

from spv_platform.view.codes import alias_key, display, display_or_code, keys, lookup, name_of, table
from spv_platform.view.rows import conditions_in, fact_rows, when_true

_REFERENCE = r"(?:\b[A-Z]{2,4}_?\d+(?:\.\d+)?(?:\([A-Za-z0-9-]+\))?:)?"
_PROTEIN = _REFERENCE + r"\bp\.(?:\([^()]*\)|[^\s();,\]]+)"
_CODING = _REFERENCE + r"\b[cn]\.[-*]?\(?[\d?][^\s);,\]]*"
_GENOMIC = _REFERENCE + r"\bg\.\(?[\d?][^\s);,\]]*"
#: A protein change without "p.", as in "V600E": only looked for in the protein component.
_BARE_PROTEIN = r"^\s*([A-Z][A-Za-z]{0,2}\d+\S*)\s*$"
_SYMBOL = r"^[A-Za-z][A-Za-z0-9]{0,9}(?:-[A-Za-z0-9]{1,6})?$"
_LISTS = ("genes", "gene_ids", "hgvs_protein", "hgvs_coding", "hgvs_genomic")


def facts_of_variants(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Variant and region facts of live Observation rows that carry `_kind` and `_usable`.

    Several genes in one present variant are a fusion, unless a change in copy number is stated. Several genes in an
    absent variant that names no change are as many pertinent negatives: one fact each.
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
        ),
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
        specimen=pl.col("specimen_key"),
        cancers=conditions_in("focus"),
        status=pl.col("status"),
        usable=pl.col("_usable"),
        known=pl.col("issued"),
        **{name: pl.col(name) for name in stated},
        **when_true("effective", "effective_period"),
    )


def _parts(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per component: `_row`, what it states (`part`), and its values."""
    components = rows.select("_row", "component").filter(pl.col("component").list.len() > 0)
    parts = components.explode("component").unnest("component")
    return parts.with_columns(part=lookup("code", "component")).filter(pl.col("part").is_not_null())


def _genes(parts: pl.DataFrame) -> pl.DataFrame:
    """`_row`, `symbol`, `id` of every gene named, and whether the symbol beside an HGNC number is another gene's."""
    studied = parts.filter(pl.col("part") == "gene")
    coded = studied.select("_row", coding="value").filter(pl.col("coding").list.len() > 0).explode("coding")
    alias = alias_key(pl.col("coding"))
    number = alias.str.extract(r"(?i)^hgnc\|(?:HGNC:)?(\d+)$", 1)
    coded = coded.select(
        "_row", id=pl.concat_str(pl.lit("HGNC:"), number), text=pl.col("coding").struct.field("display")
    )
    named = studied.filter(pl.col("string").is_not_null()).select("_row", id=pl.lit(None, pl.String), text="string")
    known = {key.removeprefix("hgnc|"): symbol for key, symbol in table("gene").items()}
    text = pl.col("text").str.strip_chars()
    # HGNC symbols are upper case but for "orf": senders are not as careful.
    spelt = pl.when(text.str.contains(r"^C\d+orf\d+$")).then(text).otherwise(text.str.to_uppercase())
    symbol = spelt.replace(table("gene_old"))
    numbered = pl.col("id").replace_strict(known, default=None, return_dtype=pl.String)
    named_so = pl.when(text.str.contains(_SYMBOL)).then(symbol)
    return pl.concat([coded, named]).with_columns(
        symbol=pl.coalesce(numbered, named_so), disagrees=(numbered != named_so).fill_null(value=False)
    )


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
    present = pl.col("_polarity").eq("present").fill_null(False)
    stated = pl.col("alteration")
    exact = pl.any_horizontal(pl.col(name).list.len() > 0 for name in _LISTS[2:])
    fusion = present & (pl.col("genes").list.len() > 1) & ~stated.str.starts_with("copy_number").fill_null(False)
    mutation = exact | lookup("interpretation", "change").eq("mutation").fill_null(False)
    return (
        pl.when(fusion)
        .then(pl.lit("fusion"))
        .when(stated.is_not_null())
        .then(stated)
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
