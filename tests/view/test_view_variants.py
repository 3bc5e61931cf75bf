from typing import Any

import polars as pl
import pytest
from view_builders import HGNC, LOINC, SCT, concept, facts, gene, observation, only, part, variant

from spv_platform.view.genes import by_number, symbol_of, symbols

SO = "http://www.sequenceontology.org/"


def test_a_variant_says_gene_change_origin_and_share() -> None:
    found = only(
        facts(
            variant(
                gene("HGNC:950", "BAP1"),
                part("48004-6", valueCodeableConcept=concept("http://varnomen.hgvs.org", "NM_004656.4:c.1768C>T")),
                part("48005-3", valueCodeableConcept=concept("http://varnomen.hgvs.org", "NP_004647.1:p.(Gln590Ter)")),
                part("81290-9", valueString="NC_000003.12:g.52437273G>A"),
                part("48002-0", valueCodeableConcept=concept(LOINC, "LA6684-0")),
                part("81258-6", valueQuantity={"value": 57.4, "code": "%"}),
                part("82155-3", valueQuantity={"value": 3}),
            )
        ),
        "variant",
    )
    assert {name: found[name] for name in ("polarity", "genes", "gene_ids", "alteration", "origin", "vaf")} == {
        "polarity": "present",
        "genes": ["BAP1"],
        "gene_ids": ["HGNC:950"],
        "alteration": "mutation",
        "origin": "somatic",
        "vaf": 0.574,
    }
    assert found["hgvs_protein"] == ["NP_004647.1:p.(Gln590Ter)"]
    assert found["hgvs_coding"] == ["NM_004656.4:c.1768C>T"]
    assert found["hgvs_genomic"] == ["NC_000003.12:g.52437273G>A"]
    assert found["copy_number"] == 3.0


def test_a_clinvar_name_holds_both_changes() -> None:
    name = "NM_024675.3(PALB2):c.3549C>A (p.Tyr1183Ter)"
    clinvar = concept("http://www.ncbi.nlm.nih.gov/clinvar", "128144", name)
    found = only(facts(variant(gene("26144"), part("81252-9", valueCodeableConcept=clinvar))), "variant")
    assert (found["genes"], found["gene_ids"]) == (["PALB2"], ["HGNC:26144"])
    assert found["hgvs_protein"] == ["p.Tyr1183Ter"]
    assert found["hgvs_coding"] == ["NM_024675.3(PALB2):c.3549C>A"]


@pytest.mark.parametrize(
    ("text", "protein"),
    [("V600E", ["V600E"]), ("p.V600E", ["p.V600E"]), ("p.(=)", ["p.(=)"]), ("see report", []), ("Inc. 5 samples", [])],
)
def test_a_protein_change_is_found_by_its_shape(text: str, protein: list[str]) -> None:
    found = only(facts(variant(gene("HGNC:1097"), part("48005-3", valueString=text))), "variant")
    assert (found["hgvs_protein"], found["hgvs_coding"]) == (protein, [])


@pytest.mark.parametrize(
    ("coding", "symbols"),
    [
        (concept(HGNC, "HGNC:3467", "estrogen receptor 1"), ["ESR1"]),
        (concept(HGNC, "HGNC:99999999", "NEW1"), ["NEW1"]),
        (concept(HGNC, "HGNC:99999999", "a gene of no note"), []),
        (concept("https://www.ncbi.nlm.nih.gov/gene", "5442", "POLRMT"), ["POLRMT"]),
        (concept(HGNC, "HGNC:10471", "RUNx1"), ["RUNX1"]),
        (concept(HGNC, "HGNC:28337", "C9orf72"), ["C9orf72"]),
        (concept(HGNC, "HGNC:6342", "NRAS"), ["KIT"]),
    ],
)
def test_a_gene_is_named_by_its_symbol(coding: dict[str, Any], symbols: list[str]) -> None:
    found = only(facts(variant(part("48018-6", valueCodeableConcept=coding))), "variant")
    assert found["genes"] == symbols


BCR_ABL1 = (gene("HGNC:1014", "BCR"), gene("HGNC:76", "ABL1"))


def test_two_genes_alone_are_no_fusion_and_their_change_is_of_neither() -> None:
    change = part("48004-6", valueString="NM_005157.6:c.1076T>G")
    for parts in (BCR_ABL1, (*BCR_ABL1, change)):
        found = only(facts(variant(*parts)), "variant")
        assert (found["genes"], found["polarity"], found["alteration"]) == (["ABL1", "BCR"], "present", None)


def test_two_genes_under_the_profile_of_mcode_are_a_fusion_unless_a_change_is_stated() -> None:
    profile = {"meta": {"profile": ["http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-genomic-variant"]}}
    loss = part("48019-4", valueCodeableConcept=concept(SO, "SO:0001743"))
    for parts, alteration in ((BCR_ABL1, "fusion"), ((*BCR_ABL1, loss), "copy_number_loss")):
        assert only(facts(variant(*parts) | profile), "variant")["alteration"] == alteration


@pytest.mark.parametrize(
    "statement",
    [
        {"component": [part("48019-4", valueCodeableConcept=concept(SO, "SO:0001565"))]},
        {"component": [part("48019-4", valueCodeableConcept=concept(SO, "SO:0000159")),
                       part("48006-1", valueString="fusion")]},
        {"component": [part("81252-9", valueCodeableConcept={"text": "BCR-ABL1 Fusion"})]},
        {"component": [part("81252-9", valueString="BCR(14)::ABL1(2)")]},
        {"component": [part("48019-4", valueCodeableConcept=concept("urn:local", "tx", "Gene fusion"))]},
        {"code": concept(LOINC, "69548-6") | {"text": "BCR-ABL1 gene rearrangement"}},
    ],
)  # fmt: skip
def test_genes_are_fused_where_the_result_says_so(statement: dict[str, Any]) -> None:
    said = variant(*BCR_ABL1)
    said["component"] += statement.get("component", [])
    found = only(facts(said | ({"code": statement["code"]} if "code" in statement else {})), "variant")
    assert (found["genes"], found["alteration"]) == (["ABL1", "BCR"], "fusion")


@pytest.mark.parametrize(
    "words", ["No fusion detected", "DNA and RNA fusion panel", "Fusion and mutation analysis", "confusion"]
)
def test_what_was_looked_for_or_not_found_is_no_fusion(words: str) -> None:
    said = variant(*BCR_ABL1, part("81252-9", valueCodeableConcept={"text": words}))
    assert only(facts(said), "variant")["alteration"] is None


@pytest.mark.parametrize("written", ["EML4::ALK", "EML4-ALK", "ALK/EML4"])
def test_a_pair_written_as_a_fusion_is_one_whatever_the_order(written: str) -> None:
    found = only(facts(variant(part("48018-6", valueString=written))), "variant")
    assert (found["genes"], found["alteration"]) == (["ALK", "EML4"], "fusion")


@pytest.mark.parametrize("one", ["HLA-A", "NKX2-1", "H3-3A"])
def test_a_hyphen_inside_of_a_symbol_is_no_fusion(one: str) -> None:
    found = only(facts(variant(part("48018-6", valueString=one))), "variant")
    assert (found["genes"], found["alteration"]) == ([one], None)


def test_a_fusion_of_one_gene_may_leave_its_partner_open() -> None:
    said = variant(gene("HGNC:10261", "ROS1"), part("81252-9", valueCodeableConcept={"text": "ROS1 Fusion"}))
    found = only(facts(said), "variant")
    assert (found["genes"], found["alteration"]) == (["ROS1"], "fusion")


def test_two_genes_in_a_copy_number_loss_are_no_fusion() -> None:
    loss = part("48019-4", valueCodeableConcept=concept(SO, "SO:0001743"))
    found = only(facts(variant(gene("HGNC:1787"), gene("HGNC:1788"), loss)), "variant")
    assert (found["alteration"], found["consequence"]) == ("copy_number_loss", "copy_number_loss")


def test_an_absent_variant_of_several_genes_is_one_negative_per_gene() -> None:
    found = facts(variant(gene("HGNC:7989"), gene("HGNC:6342"), gene("HGNC:1097"), answer="LA9634-2"))
    told = found.select("polarity", pl.col("genes").list.first(), pl.col("gene_ids").list.first()).sort("genes")
    assert told.rows() == [
        ("absent", "BRAF", "HGNC:1097"),
        ("absent", "KIT", "HGNC:6342"),
        ("absent", "NRAS", "HGNC:7989"),
    ]


def test_an_absent_fusion_of_two_genes_is_not_the_absence_of_either() -> None:
    fusion = part("48019-4", valueCodeableConcept=concept(SO, "SO:0001565"))
    found = only(facts(variant(gene("HGNC:1316"), gene("HGNC:427"), fusion, answer="LA9634-2")), "variant")
    assert (found["genes"], found["alteration"], found["polarity"]) == (["ALK", "EML4"], "fusion", "absent")


@pytest.mark.parametrize("answer", ["LA18198-4", "LA11884-6"])
def test_a_variant_that_was_not_called_is_indeterminate(answer: str) -> None:
    assert only(facts(variant(gene("HGNC:427"), answer=answer)), "variant")["polarity"] == "indeterminate"


def test_a_variant_without_an_answer_has_no_polarity() -> None:
    found = only(facts(observation(concept(LOINC, "69548-6"), component=[gene("HGNC:427")])), "variant")
    assert (found["polarity"], found["alteration"]) == (None, None)


def test_a_point_mutation_without_an_allele_is_a_mutation() -> None:
    found = only(facts(variant(gene("HGNC:3467"), interpretation=[concept(SCT, "471281007")])), "variant")
    assert (found["alteration"], found["hgvs_protein"]) == ("mutation", [])


@pytest.mark.parametrize(
    ("quantity", "share"),
    [
        ({"value": 0.2}, 0.2),
        ({"value": 0.2, "code": "1"}, 0.2),
        ({"value": 78.6, "code": "%"}, 0.786),
        ({"value": 20}, None),
        ({"value": 20, "code": "mg"}, None),
    ],
)
def test_an_allele_fraction_is_between_0_and_1_or_not_known(quantity: dict[str, Any], share: float | None) -> None:
    assert only(facts(variant(part("81258-6", valueQuantity=quantity))), "variant")["vaf"] == share


def test_a_region_studied_lists_every_gene_that_one_component_codes() -> None:
    codings = [{"system": "http://www.genenames.org", "code": code} for code in ("1100", "HGNC:1101", "11998")]
    region = observation(
        concept(LOINC, "53041-0"), component=[part("48018-6", valueCodeableConcept={"coding": codings})]
    )
    found = only(facts(region), "region_studied")
    assert (found["genes"], found["polarity"]) == (["BRCA1", "BRCA2", "TP53"], None)


def test_an_implication_is_no_finding() -> None:
    system = "http://hl7.org/fhir/uv/genomics-reporting/CodeSystem/tbd-codes-cs"
    implication = observation(concept(system, "therapeutic-implication"), component=[gene("HGNC:427")])
    assert facts(implication)["kind"].to_list() == ["none"]


def test_a_gene_by_an_earlier_symbol_is_the_gene() -> None:
    assert only(facts(variant(part("48018-6", valueString="HER2"))), "variant")["genes"] == ["ERBB2"]


def test_a_gene_whose_number_and_symbol_disagree_is_neither_present_nor_absent() -> None:
    assert only(facts(variant(gene("HGNC:3236", "KRAS"))), "variant")["polarity"] == "indeterminate"
    assert only(facts(variant(gene("HGNC:3236", "EGFR"))), "variant")["polarity"] == "present"
    # the name of the gene is no symbol, and an earlier symbol is the gene
    assert (
        only(facts(variant(gene("HGNC:3430", "erb-b2 receptor tyrosine kinase 2"))), "variant")["polarity"] == "present"
    )
    assert only(facts(variant(gene("HGNC:3430", "HER2"))), "variant")["polarity"] == "present"


NCBI = "http://www.ncbi.nlm.nih.gov/gene"


@pytest.mark.parametrize(
    ("codings", "genes", "ids", "polarity"),
    [
        ([(NCBI, "673", "BRAF")], ["BRAF"], ["HGNC:1097"], "present"),
        ([(NCBI, "673", None)], ["BRAF"], ["HGNC:1097"], "present"),
        ([(NCBI, "673", "B-Raf proto-oncogene, serine/threonine kinase")], ["BRAF"], ["HGNC:1097"], "present"),
        ([(NCBI, "2064", "HER2")], ["ERBB2"], ["HGNC:3430"], "present"),
        ([(NCBI, "4297", "MLL")], ["KMT2A"], ["HGNC:7132"], "present"),
        ([(NCBI, "673", "KRAS")], ["BRAF"], ["HGNC:1097"], "indeterminate"),
        ([(NCBI, "673", "XYZ1")], ["BRAF"], ["HGNC:1097"], "indeterminate"),
        ([(NCBI, "7299", "Tyrosinase")], ["TYR"], ["HGNC:12442"], "present"),
        ([(HGNC, "HGNC:1097", "BRAF"), (NCBI, "673", "BRAF")], ["BRAF"], ["HGNC:1097"], "present"),
        # what is not sound beside what is is not believed
        ([(HGNC, "HGNC:950", "BAP1"), (NCBI, "3815", "BAP1")], ["BAP1"], ["HGNC:950"], "present"),
        ([(HGNC, "HGNC:1097", "BRAF"), (NCBI, "3845", "KRAS")], ["BRAF", "KRAS"], ["HGNC:1097", "HGNC:6407"],
         "indeterminate"),
        ([(HGNC, "BRAF", None)], ["BRAF"], [], "present"),
        ([(NCBI, "999999999", "NEW1")], ["NEW1"], [], "present"),
    ],
)  # fmt: skip
def test_a_gene_is_known_by_its_number_at_hgnc_or_ncbi(
    codings: list[tuple[str, str, str | None]], genes: list[str], ids: list[str], polarity: str
) -> None:
    value = {"coding": [concept(*each)["coding"][0] for each in codings]}
    found = only(facts(variant(part("48018-6", valueCodeableConcept=value))), "variant")
    assert (found["genes"], found["gene_ids"], found["polarity"]) == (genes, ids, polarity)


def test_the_table_of_genes_is_consistent() -> None:
    known = by_number()
    of_hgnc = {gene.symbol: key for key, gene in known.items() if key.startswith("hgnc|")}
    assert len(of_hgnc) == len([key for key in known if key.startswith("hgnc|")])
    assert {known[f"entrez|{number}"].symbol for number in (673, 1956, 3845, 2064, 7157)} == {
        "BRAF", "EGFR", "KRAS", "ERBB2", "TP53"
    }  # fmt: skip
    assert all(symbol_of(symbol) == symbol for symbol in symbols() - {"TTF1"})
