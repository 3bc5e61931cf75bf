"""The view of real bundles that nobody here wrote."""

import gzip
from pathlib import Path

import polars as pl
import pytest

from spv_platform.fhir.parse import parse_object
from spv_platform.view.explain import explain
from spv_platform.view.facts import facts_of
from spv_platform.view.fold import fold, pack, unpack
from spv_platform.view.patient import patient_view
from spv_platform.view.schema import KINDS


def read(path: Path, seq: int = 1) -> dict[str, pl.DataFrame]:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    kind = "application/fhir+ndjson" if ".ndjson" in path.name else "application/fhir+json"
    parsed = parse_object(
        data,
        content_type=kind,
        source="hospital",
        landing_seq=seq,
        source_object=f"object-{seq}",
        batch_id="batch",
        max_entries=100_000,
        check=lambda _type, _raw: [],
    )
    return parsed.tables


@pytest.fixture(scope="module")
def mcode(corpus: Path) -> pl.DataFrame:
    return facts_of(read(corpus / "mcode" / "examples.ndjson.gz"))


def test_the_mcode_examples_give_these_cancer_facts(mcode: pl.DataFrame) -> None:
    counts = dict(mcode.group_by("kind").len().rows())
    expected = {
        "cancer": 6,
        "metastasis": 3,
        "stage": 14,
        "tnm": 9,
        "ecog": 2,
        "karnofsky": 1,
        "tumor_marker": 5,
        "variant": 17,
        "region_studied": 2,
        "tmb": 1,
        "msi": 1,
        "medication": 18,
    }
    assert {kind: counts[kind] for kind in expected} == expected
    assert set(counts) <= set(KINDS)


def test_the_variants_of_the_mcode_examples_are_read_in_full(mcode: pl.DataFrame) -> None:
    variants = {row["resource_id"]: row for row in mcode.filter(pl.col("kind") == "variant").iter_rows(named=True)}
    palb2 = variants["genomic-variant-jenny-m"]
    assert (palb2["genes"], palb2["hgvs_protein"], palb2["hgvs_genomic"]) == (
        ["PALB2"],
        ["p.Tyr1183Ter"],
        ["NC_000016.10:g.23603471G>T"],
    )
    assert variants["gx-genomic-variant-fusion-ETV6-RUNX1-brian-l"]["genes"] == ["ETV6", "RUNX1"]
    assert variants["gx-genomic-variant-somatic-pof1b"]["vaf"] == 0.786
    negative = mcode.filter(pl.col("resource_id") == "gx-genomic-variant-pertinent-negative-nras-kit-braf")
    assert sorted(negative["genes"].to_list()) == [["BRAF"], ["KIT"], ["NRAS"]]
    # the numbers of NRAS and KIT stand in each other's place
    told = dict(zip(negative["genes"].list.first(), negative["polarity"], strict=True))
    assert told == {"BRAF": "absent", "KIT": "indeterminate", "NRAS": "indeterminate"}


def test_every_resource_of_the_mcode_examples_is_represented(mcode: pl.DataFrame, corpus: Path) -> None:
    tables = read(corpus / "mcode" / "examples.ndjson.gz")
    owned = pl.concat(
        rows.filter(pl.col("patient_id").is_not_null()).select("resource_type", "resource_id")
        for rows in tables.values()
    )
    assert owned.unique().join(mcode, on=["resource_type", "resource_id"], how="anti").is_empty()


def test_the_trial_matching_patient_is_one_person_with_its_markers(corpus: Path) -> None:
    found = facts_of(read(corpus / "mcode" / "TrialMatching_Patient01.json"))
    row = patient_view(found.with_columns(person_id=pl.col("patient_id"))).row(0, named=True)
    assert {fact["display"].split(" [")[0]: fact["polarity"] for fact in row["tumor_markers"]} == {
        "Estrogen receptor Ag": "present",
        "Progesterone receptor Ag": "present",
        "HER2 Ag": "absent",
    }
    assert sorted(fact["genes"][0] for fact in row["variants"]) == ["ESR1", "PIK3CA"]
    assert [fact["polarity"] for fact in row["msi"]] == ["present"]
    assert [fact["value_text"] for fact in row["stages"]] == ["IV"]
    assert [fact["value_number"] for fact in row["ecog"]] == [1.0]
    assert len(row["metastases"]) == 3
    assert len(explain(row)) > 15


def test_synthea_bundles_fold_pack_and_show(corpus: Path) -> None:
    bundles = sorted((corpus / "synthea").glob("*.json.gz"))[:4]
    found = pl.concat(facts_of(read(path, seq)) for seq, path in enumerate(bundles, 1))
    state = fold(found.clear(), found)
    assert unpack(pack(state).values()).height == state.height
    view = patient_view(state.with_columns(person_id=pl.col("patient_id")))
    assert view.height == 4
    assert view["name"].null_count() == 0
    assert (view["encounter_count"] > 0).all()
    assert (view["latest_results"].list.len() > 0).all()
