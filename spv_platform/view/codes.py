"""Codes that decide what a resource says, and the expressions that look them up in columns of codings.

`codes.csv` is the one table: `list` names the question, `system` an alias of `SYSTEMS`, `value` the answer. Sources:
mCODE STU 4 and Genomics Reporting value sets and examples (HL7), LOINC 2.7x answer lists, SNOMED CT and Sequence
Ontology names as printed there. What is not in the table stays a condition or a lab result with its codes as sent: the
table adds meaning, its gaps lose nothing. Genes have a table of their own (`genes`).
"""

import csv
from functools import cache
from pathlib import Path

import polars as pl

#: Alias -> the systems that it stands for, without a trailing slash.
SYSTEMS: dict[str, tuple[str, ...]] = {
    "loinc": ("http://loinc.org", "urn:oid:2.16.840.1.113883.6.1"),
    "sct": ("http://snomed.info/sct", "urn:oid:2.16.840.1.113883.6.96"),
    "ncit": ("http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl",),
    "hgnc": ("http://www.genenames.org", "http://www.genenames.org/geneId", "urn:oid:2.16.840.1.113883.6.281"),
    "entrez": ("http://www.ncbi.nlm.nih.gov/gene", "https://www.ncbi.nlm.nih.gov/gene"),
    "so": ("http://www.sequenceontology.org", "http://sequenceontology.org"),
    "gr": (
        "http://hl7.org/fhir/uv/genomics-reporting/CodeSystem/tbd-codes-cs",
        "http://hl7.org/fhir/uv/genomics-reporting/CodeSystem/tbd-codes",
    ),
    "interp": (
        "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation",
        "http://hl7.org/fhir/v2/0078",
        "http://terminology.hl7.org/CodeSystem/v2-0078",
    ),
    "icd10": (
        "http://hl7.org/fhir/sid/icd-10-cm",
        "http://hl7.org/fhir/sid/icd-10",
        "urn:oid:2.16.840.1.113883.6.90",
        "urn:oid:2.16.840.1.113883.6.3",
    ),
}
_ALIAS = {system: alias for alias, systems in SYSTEMS.items() for system in systems}


@cache
def table(name: str) -> dict[str, str]:
    """One list of `codes.csv`: "alias|code" -> value; for lists of words: word -> value."""
    rows = _rows(name)
    return {(f"{row['system']}|{row['code']}" if row["system"] else row["code"]): row["value"] for row in rows}


@cache
def names(name: str) -> dict[str, str]:
    """One list of `codes.csv`: "alias|code" -> the code's name; codes without a name are left out."""
    return {f"{row['system']}|{row['code']}": row["name"] for row in _rows(name) if row["name"]}


def keys(codings: str) -> pl.Expr:
    """The codings of a column as "system|code", as sent; codings without a code are left out."""
    coding = pl.element().struct
    key = pl.concat_str(coding.field("system").fill_null(""), pl.lit("|"), coding.field("code"))
    return pl.col(codings).list.eval(key.drop_nulls())


def display(codings: str) -> pl.Expr:
    """The first display of a column of codings."""
    return pl.col(codings).list.eval(pl.element().struct.field("display").drop_nulls()).list.first()


def display_or_code(codings: str) -> pl.Expr:
    """The first display of a column of codings, else the code of the first one."""
    return pl.coalesce(display(codings), pl.col(codings).list.first().struct.field("code"))


def lookup(codings: str, name: str) -> pl.Expr:
    """The value of the first coding that the list knows, else null."""
    answers = alias_key(pl.element()).replace_strict(table(name), default=None, return_dtype=pl.String)
    return pl.col(codings).list.eval(answers.drop_nulls()).list.first()


def every(codings: str, name: str) -> pl.Expr:
    """The values of all codings that the list knows."""
    answers = alias_key(pl.element()).replace_strict(table(name), default=None, return_dtype=pl.String)
    return pl.col(codings).list.eval(answers.drop_nulls())


def name_of(codings: str, name: str) -> pl.Expr:
    """The name that the list has for the first coding it knows, else null: for codings sent without a display."""
    known = alias_key(pl.element()).replace_strict(names(name), default=None, return_dtype=pl.String)
    return pl.col(codings).list.eval(known.drop_nulls()).list.first()


def alias_key(coding: pl.Expr) -> pl.Expr:
    """A coding struct as "alias|code"; systems without an alias keep their name."""
    system = coding.struct.field("system").fill_null("").str.strip_chars_end("/").replace(_ALIAS)
    return pl.concat_str(system, pl.lit("|"), coding.struct.field("code"))


def _rows(name: str) -> list[dict[str, str]]:
    return [row for row in _all_rows() if row["list"] == name]


@cache
def _all_rows() -> list[dict[str, str]]:
    with Path(__file__).with_name("codes.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
