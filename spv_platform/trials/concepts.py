"""Facts as people look at them: the table `patient_fact`, what each fact is normalised to, and what no table knows.

What belongs here: the description of that table, its rows from facts, and the count of codes that are outside of the
code tables. What does not: whose facts they are and where they lie (`pipeline.patient_facts`).
"""

from collections.abc import Callable

import polars as pl

from spv_platform.lake.describe import DerivedColumn, DerivedTable, Phi
from spv_platform.trials.cancers import cancer_class, extent
from spv_platform.trials.terms import OTHER_NAMES, known_unit, marker_name, marker_of_code
from spv_platform.trials.therapies import drug_names, identified
from spv_platform.view import genes
from spv_platform.view.schema import SCHEMA

_Judge = Callable[[str], str | None]

#: Kinds that say who somebody is; they are in `patient_view`.
_IDENTITY = ("none", "identifier", "name", "address", "telecom", "place", "care_organization")
#: Kinds whose codes have a table.
CANCERS, DRUGS, MARKERS, GENES = ("cancer",), ("medication",), ("tumor_marker",), ("variant", "region_studied")
#: Kinds whose numbers are compared in units.
_MEASURED = ("lab", "tmb")


def _c(name: str, description: str, phi: Phi = Phi.CLINICAL, of: str = "") -> DerivedColumn:
    return DerivedColumn(name, SCHEMA[of or name], description, phi)


PATIENT_FACT = DerivedTable(
    "patient_fact",
    (),
    (
        DerivedColumn("person_id", pl.String(), "The enterprise id of the person.", Phi.QUASI),
        _c("source", "The feed that says it.", Phi.NONE),
        _c("patient_id", "Id of the Patient in the feed.", Phi.DIRECT),
        _c("kind", "What it is: cancer, variant, lab, …", Phi.NONE),
        DerivedColumn("system", pl.String(), "Code system of the first coding."),
        DerivedColumn("code", pl.String(), "Its code."),
        DerivedColumn(
            "concept",
            pl.String(),
            "What the code tables make of it: OncoTree nodes, drugs, a marker, HGNC symbols, else the code under the"
            " system's usual name; null: no table knows it.",
        ),
        _c("codes", "Every coding, as system|code."),
        _c("display", "What it is called.", Phi.QUASI),
        _c("value_number", "The number."),
        _c("value_text", "The number as sent, or a text value.", Phi.QUASI),
        _c("comparator", "<, <=, > or >= where the number is a bound."),
        _c("unit", "UCUM code, else the unit as sent."),
        _c("value_codes", "The value's codings."),
        _c("value_display", "The value's name.", Phi.QUASI),
        _c("polarity", "present, absent or indeterminate."),
        _c("genes", "HGNC symbols; of a fusion its partners, in no order."),
        _c("gene_ids", "HGNC ids."),
        _c("alteration", "mutation, fusion, copy_number_gain, copy_number_loss."),
        _c("hgvs_protein", "Protein changes as sent."),
        _c("hgvs_coding", "Coding changes as sent."),
        _c("hgvs_genomic", "Genomic changes as sent."),
        _c("origin", "somatic or germline."),
        _c("vaf", "Allele fraction, 0 to 1."),
        _c("copy_number", "Number of copies."),
        _c("consequence", "Molecular consequence."),
        _c("body_site", "Body site."),
        _c("specimen", "The specimen: its key, else its identifier.", Phi.DIRECT),
        _c("specimen_display", "The specimen in words.", Phi.QUASI),
        _c("method", "How it was found."),
        _c("laboratory", "Who made it, no person: the name as sent, else the key.", Phi.QUASI),
        DerivedColumn("biology_time", pl.String(), "When it was true, as sent; births and deaths too.", Phi.DIRECT),
        DerivedColumn("biology_start", pl.Datetime("us"), "The first moment at which it was.", Phi.DIRECT),
        DerivedColumn("biology_end", pl.Datetime("us"), "The moment from which it was not any more.", Phi.DIRECT),
        DerivedColumn("knowledge_time", pl.String(), "When it was issued or recorded, as sent.", Phi.QUASI),
        _c("status", "The status of what says it."),
        _c("usable", "Whether it counts as evidence."),
        _c("cancers", "Keys of the conditions that it belongs to.", Phi.QUASI),
        _c("resource_type", "Type of the resource that says it.", Phi.NONE),
        _c("resource_id", "Its id.", Phi.QUASI),
        _c("source_object", "The object that it came in.", Phi.NONE),
        _c("source_entry", "Its place in the object.", Phi.NONE),
    ),
    "What is known of each patient, one row a fact. Made when it is asked for, from the sealed states of the newest"
    " publication: `spv tables patient_fact --tenant TENANT`.",
)

_COLUMNS = {column.name: column.dtype for column in PATIENT_FACT.columns}


def fact_table(facts: pl.DataFrame) -> pl.DataFrame:
    """Rows of `PATIENT_FACT`.

    Args:
        facts: the columns of `view.schema.SCHEMA` and `person_id`.
    """
    shown = facts.filter(~pl.col("kind").is_in(_IDENTITY), ~pl.col("deleted").fill_null(value=False))
    times = {"biology_time": "time", "biology_start": "time_start", "biology_end": "time_end"}
    rows = shown.with_columns(
        **_first_code(),
        **{name: pl.col(column) for name, column in times.items()},
        knowledge_time=pl.col("known"),
        concept=concept(codes=True),
    )
    return rows.select(pl.col(name).cast(dtype) for name, dtype in _COLUMNS.items()).sort(
        "person_id", "kind", "biology_start", "resource_type", "resource_id", nulls_last=True, maintain_order=True
    )


def unmapped(facts: pl.DataFrame) -> pl.DataFrame:
    """The codes of usable facts that no table knows: `kind`, `system`, `code`, `facts`, `persons`, most persons first.

    `kind` is diagnosis, drug, marker, gene or unit. A fact counts under each of its codes if the tables know none of
    them; one that has no code counts without.

    Args:
        facts: as for `fact_table`, each person whole.
    """
    usable = facts.filter(pl.col("usable").fill_null(value=False), ~pl.col("deleted").fill_null(value=False))
    coded = {"diagnosis": (CANCERS, _cancer), "drug": (DRUGS, _drug), "marker": (MARKERS, _marker)}
    parts = [
        _by_code(name, usable.filter(pl.col("kind").is_in(kinds) & _made_of(kinds, judge).is_null()))
        for name, (kinds, judge) in coded.items()
    ]
    named = usable.filter(pl.col("kind").is_in(GENES)).explode("genes", empty_as_null=True)
    no_gene = pl.col("genes").is_null() | ~pl.col("genes").is_in(sorted(genes.symbols()))
    measured = usable.filter(pl.col("kind").is_in(_MEASURED) & pl.col("value_number").is_not_null())
    units = measured.select(pl.col("unit").drop_nulls().unique()).to_series().to_list()
    no_unit = pl.col("unit").is_null() | ~pl.col("unit").is_in([unit for unit in units if known_unit(unit)])
    parts += [
        _counted("gene", named.filter(no_gene & (pl.col("genes") != "intergenic").fill_null(value=True)), "genes"),
        _counted("unit", measured.filter(no_unit), "unit"),
    ]
    return add_up(parts)


def add_up(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """The counts of `unmapped` over several lots of persons."""
    found = pl.concat([_NOTHING, *parts]).group_by("kind", "system", "code").agg(pl.col("facts", "persons").sum())
    return found.sort("persons", "facts", "kind", "system", "code", descending=[True, True, False, False, False])


_NOTHING = pl.DataFrame(
    schema={"kind": pl.String, "system": pl.String, "code": pl.String, "facts": pl.Int64, "persons": pl.Int64}
)


def _by_code(name: str, facts: pl.DataFrame) -> pl.DataFrame:
    each = facts.with_columns(fact=pl.int_range(pl.len())).explode("codes", empty_as_null=True)
    return _count(name, each.with_columns(**_split(pl.col("codes"))))


def _counted(name: str, facts: pl.DataFrame, column: str) -> pl.DataFrame:
    system = pl.lit({"gene": "HGNC symbol", "unit": "UCUM"}[name])
    return _count(name, facts.with_columns(fact=pl.int_range(pl.len()), system=system, code=pl.col(column)))


def _count(name: str, rows: pl.DataFrame) -> pl.DataFrame:
    counts = (pl.col(column).n_unique().cast(pl.Int64).alias(of) for column, of in _COUNTED.items())
    return rows.group_by("system", "code").agg(*counts).select(pl.lit(name).alias("kind"), *_NOTHING.columns[1:])


_COUNTED = {"fact": "facts", "person_id": "persons"}


def concept(*, codes: bool) -> pl.Expr:
    """What the tables make of a fact; `codes`: a kind without a table keeps its code, else it has none."""
    kind = pl.col("kind")
    judged = ((CANCERS, _cancer), (DRUGS, _drug), (MARKERS, _marker))
    known = [kinds for kinds, _ in judged]
    tabled = kind.is_in(["variant", *(name for kinds in known for name in kinds)])
    of_variant = pl.when(kind == "variant").then(_gene_names())
    made = pl.coalesce(of_variant, *(_made_of(kinds, judge) for kinds, judge in judged))
    return pl.when(tabled).then(made).otherwise(_usual_code() if codes else None)


def _made_of(kinds: tuple[str, ...], judge: _Judge) -> pl.Expr:
    """A judgement of the words of facts: codes under the systems' usual names and what it is called, one a line."""
    codes = pl.col("codes").list.eval(_usual(pl.element())).list.join("\n")
    words = pl.concat_str(codes, pl.col("display"), separator="\n", ignore_nulls=True).fill_null("")
    of_kind = pl.when(pl.col("kind").is_in(kinds)).then(words)
    return of_kind.map_batches(lambda said: _judged(judge, said), return_dtype=pl.String)


def _judged(judge: _Judge, said: pl.Series) -> pl.Series:
    answers = {text: judge(text) for text in said.drop_nulls().unique()}
    return pl.Series([answers.get(text) for text in said], dtype=pl.String)


def _cancer(said: str) -> str | None:
    for code in _codes_in(said):
        found = extent(code)
        if found is not None:
            return " ".join(f"oncotree|{node}" for node in found.nodes)
        known = cancer_class(code)
        if known is not None:
            return f"class|{known[0]}"
    return None


def _drug(said: str) -> str | None:
    return (" + ".join(drug_names(said)) or "acts locally") if identified(said) else None


def _marker(said: str) -> str | None:
    coded = [marker_of_code()[code] for code in _codes_in(said) if code in marker_of_code()]
    # a test without any code is known by its name alone
    return coded[0] if coded else marker_name(said.strip()) if "|" not in said else None


def _codes_in(said: str) -> list[str]:
    return [line for line in said.split("\n") if "|" in line]


def _gene_names() -> pl.Expr:
    known = pl.col("genes").list.eval(pl.element().is_in(sorted(genes.symbols()))).list.all()
    mark = pl.when(pl.col("alteration") == "fusion").then(pl.lit("::")).otherwise(pl.lit(" "))
    return pl.when(known & (pl.col("genes").list.len() > 0)).then(pl.col("genes").list.join(mark))


def _usual_code() -> pl.Expr:
    return _usual(pl.col("codes").list.first())


def _usual(code: pl.Expr) -> pl.Expr:
    code = code.str.replace("/|", "|", literal=True)
    for other, name in OTHER_NAMES.items():
        code = code.str.replace(f"{other}|", f"{name}|", literal=True)
    return code


def _first_code() -> dict[str, pl.Expr]:
    return _split(pl.col("codes").list.first())


def _split(code: pl.Expr) -> dict[str, pl.Expr]:
    system = code.str.extract(r"^([^|]*)\|", 1)
    return {"system": pl.when(system != "").then(system), "code": code.str.extract(r"^[^|]*\|(.*)$", 1)}
