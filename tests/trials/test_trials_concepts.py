"""The table patient_fact, what facts are normalised to, and what no code table knows."""

from typing import Any

import polars as pl
import pytest
from trials_facts import fact, frame

from spv_platform.trials.concepts import PATIENT_FACT, add_up, fact_table, unmapped

SCT, ICD = "http://snomed.info/sct", "http://hl7.org/fhir/sid/icd-10-cm"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"


@pytest.mark.parametrize(
    ("kind", "said", "concept"),
    [
        ("cancer", {"codes": [f"{ICD}|C50.911"]}, "oncotree|BREAST"),
        ("cancer", {"codes": ["http://oncotree.mskcc.org/oncotree|LUAD"]}, "oncotree|LUAD"),
        ("cancer", {"codes": [f"{SCT}|1"]}, None),
        ("medication", {"codes": [f"{RXNORM}|337525"], "display": "Tarceva"}, "erlotinib"),
        ("medication", {"codes": [], "display": "Carboplatin and Pemetrexed"}, "carboplatin + pemetrexed"),
        ("medication", {"codes": [], "display": "Ibuprofen 400 MG"}, "ibuprofen"),
        ("medication", {"codes": [], "display": "A cream"}, "acts locally"),
        ("medication", {"codes": [], "display": "ABC-123"}, None),
        ("tumor_marker", {"codes": ["urn:oid:2.16.840.1.113883.6.1|16112-5"]}, "ER"),
        ("tumor_marker", {"codes": [], "display": "PD-L1"}, "PD-L1"),
        ("tumor_marker", {"codes": ["http://loinc.org|99999-9"], "display": "ER"}, None),
        ("variant", {"genes": ["ALK", "EML4"], "alteration": "fusion"}, "ALK::EML4"),
        ("variant", {"genes": ["BRAF"]}, "BRAF"),
        ("variant", {"genes": ["NEW1"]}, None),
        ("lab", {"codes": ["urn:oid:2.16.840.1.113883.6.1|718-7"]}, "http://loinc.org|718-7"),
        ("lab", {"codes": []}, None),
    ],
)
def test_a_fact_is_normalised_by_the_table_of_its_kind(kind: str, said: dict[str, Any], concept: str | None) -> None:
    assert fact_table(frame([fact(kind, **{"codes": [], **said})]))["concept"].item() == concept


def test_the_table_has_a_row_for_each_fact_and_none_for_what_says_who_somebody_is() -> None:
    lab = fact("lab", "2024-05", codes=["http://loinc.org|718-7", "urn:x|1"], known="2024-06-01", laboratory="Acme")
    others = [fact("name", value_text="Somebody"), fact("none"), fact("lab", deleted=True)]
    table = fact_table(frame([lab, *others]))
    assert table.columns == [column.name for column in PATIENT_FACT.columns]
    (row,) = table.to_dicts()
    told = {"system", "code", "codes", "biology_time", "knowledge_time", "laboratory", "source_entry", "resource_id"}
    assert {name: row[name] for name in told} == {
        "system": "http://loinc.org",
        "code": "718-7",
        "codes": ["http://loinc.org|718-7", "urn:x|1"],
        "biology_time": "2024-05",
        "knowledge_time": "2024-06-01",
        "laboratory": "Acme",
        "source_entry": 3,
        "resource_id": "r1",
    }


def test_what_identifies_somebody_is_classed_so() -> None:
    classes = {column.name: column.phi for column in PATIENT_FACT.columns}
    times = {"biology_time", "biology_start", "biology_end"}
    assert {name for name, phi in classes.items() if phi == "direct identifier"} == {"patient_id", "specimen", *times}


def test_codes_outside_of_the_tables_are_counted_by_facts_and_persons() -> None:
    strange = {"codes": [f"{SCT}|1", "urn:local|a"]}
    facts = [
        fact("cancer", person="p", **strange),
        fact("cancer", person="p", codes=[f"{SCT}|1"]),
        fact("cancer", person="q", codes=[f"{SCT}|1"]),
        fact("cancer", person="q", codes=[f"{ICD}|C50.911", "urn:local|b"]),
        fact("cancer", person="q", codes=["urn:local|c"], usable=False),
        fact("medication", codes=[], display="ABC-123"),
        fact("medication", codes=[], display="Ibuprofen"),
        fact("variant", genes=["BRAF", "NEW1"]),
        fact("variant", genes=["EML4", "intergenic"], alteration="fusion"),
        fact("variant", genes=[]),
        fact("lab", value_number=1.0, unit="furlong", codes=["http://loinc.org|718-7"]),
        fact("lab", value_number=1.0, unit="g/dL", codes=["http://loinc.org|718-7"]),
        fact("lab", value_number=1.0, unit=None, codes=[]),
        fact("lab", value_text="negative", codes=[]),
    ]
    found = unmapped(frame(facts))
    assert sorted(found.rows(), key=str) == sorted(
        [
            ("diagnosis", SCT, "1", 3, 2),
            ("diagnosis", "urn:local", "a", 1, 1),
            ("drug", None, None, 1, 1),
            ("gene", "HGNC symbol", "NEW1", 1, 1),
            ("gene", "HGNC symbol", None, 1, 1),
            ("unit", "UCUM", "furlong", 1, 1),
            ("unit", "UCUM", None, 1, 1),
        ],
        key=str,
    )
    assert found.row(0) == ("diagnosis", SCT, "1", 3, 2)


def test_counts_of_several_lots_of_persons_add_up() -> None:
    one = unmapped(frame([fact("cancer", person="p", codes=["urn:x|1"])]))
    other = unmapped(frame([fact("cancer", person="q", codes=["urn:x|1"])]))
    assert add_up([one, other]).rows() == [("diagnosis", "urn:x", "1", 2, 2)]
    assert add_up([]).is_empty()
    assert unmapped(frame([])).schema == add_up([]).schema
    assert isinstance(fact_table(frame([])), pl.DataFrame)
