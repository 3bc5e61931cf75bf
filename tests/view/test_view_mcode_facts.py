"""The facts of the mCODE examples against a table that was made by reading them, before the code was run on them."""

import csv
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from test_view_corpus import read

from spv_platform.view.facts import bearing, facts_of

FILES = {
    "jenny": "Bundle-mcode-patient-bundle-jenny-m.json",
    "adam": "Bundle-gx-genomic-bundle-adam-anyperson.json",
    "matching": "TrialMatching_Patient01.json",
    "examples": "examples.ndjson.gz",
}
#: What identifies somebody, or is no statement about the person's health.
NOT_COMPARED = (
    "none",
    "identifier",
    "name",
    "address",
    "place",
    "telecom",
    "care_organization",
    "encounter",
    "specimen",
)
SHORT = {
    "http://snomed.info/sct": "sct",
    "http://loinc.org": "loinc",
    "http://hl7.org/fhir/sid/icd-10-cm": "icd10cm",
    "http://www.nlm.nih.gov/research/umls/rxnorm": "rxnorm",
}


def codes(values: list[str] | None) -> str:
    parts = (value.rpartition("|") for value in values or [])
    return " ".join(sorted(f"{SHORT.get(system, system)}|{code}" for system, _, code in parts))


def told(fact: dict[str, Any]) -> dict[str, str]:
    """A fact in the words of the table."""

    def text(value: object) -> str:
        return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)

    return {
        "resource": f"{fact['resource_type']}/{fact['resource_id']}",
        "kind": fact["kind"],
        "codes": codes(fact["codes"]),
        "number": text(fact["value_number"]),
        "unit": text(fact["unit"]),
        "values": codes(fact["value_codes"]),
        "polarity": text(fact["polarity"]),
        "genes": " ".join(fact["genes"] or []),
        "protein": " ".join(fact["hgvs_protein"] or []),
        "alteration": text(fact["alteration"]),
        "origin": text(fact["origin"]),
        "vaf": text(fact["vaf"]),
        "method": "yes" if fact["method"] else "",
        "time": text(fact["time"]) if fact["kind"] != "birth_date" else "",
        "usable": "yes" if fact["usable"] else "no",
    }


@pytest.mark.parametrize("file", FILES)
def test_the_facts_are_those_of_the_table_and_no_others(corpus: Path, file: str) -> None:
    facts = facts_of(bearing(read(corpus / "mcode" / FILES[file])))
    found = [told(row) for row in facts.filter(~pl.col("kind").is_in(NOT_COMPARED)).iter_rows(named=True)]
    with Path(__file__).with_name("mcode_facts.csv").open(encoding="utf-8", newline="") as table:
        expected = [
            {name: v for name, v in row.items() if name != "file"}
            for row in csv.DictReader(table)
            if row["file"] == file
        ]

    def order(row: dict[str, str]) -> list[str]:
        return list(row.values())

    assert sorted(found, key=order) == sorted(expected, key=order)
    assert len(expected) > 10
