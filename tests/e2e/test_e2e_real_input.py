"""The main job on real input, through the running daemon: sealed Synthea bundles and mCODE examples of one tenant."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from spv_platform.ledger import objects
from spv_platform.local import stack
from spv_platform.pipeline.criteria import refresh_criteria
from spv_platform.pipeline.drain import drain
from spv_platform.pipeline.landing import send as sender
from spv_platform.pipeline.persons import look_up
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.reading import reader
from spv_platform.pipeline.setup import prepare_home
from spv_platform.pipeline.waiting import wait_for
from spv_platform.settings import Settings

pytestmark = pytest.mark.timeout(900)

TENANT = "north"
JENNY, ADAM, TRIAL_PATIENT = (
    "cancer-patient-jenny-m",
    "gx-cancer-patient-adam-anyperson",
    "mCODETrialMatchingPatientExample01",
)
CANARY = "Zyxcanary77"
#: Of the public examples: family names, an address, a phone number, ids.
REAL_NAMES = (
    "Anyperson",
    "Everyman",
    "987 Main St",
    "555-555-5555",
    "adam.everyman@example.com",
    "Dickinson688",
    JENNY,
    "742fc10a-c565-f636-3c05-5dcd28672194",
)
LOINC, SNOMED = "http://loinc.org", "http://snomed.info/sct"

#: Asks for an oestrogen receptor and a gene that only the trial-matching example has together.
ONE_PERSON = """
trial: NCT90000001
title: Asks for what one person has
cohorts:
  - id: A
    title: The cohort
    criteria:
      all:
        - {id: er, wording: ER positive, biomarker: {marker: ER, state: positive}}
        - {id: pik3ca, wording: PIK3CA mutation, biomarker: {gene: PIK3CA, state: present}}
"""
#: The same, and a marker that nobody was tested for.
NOBODY = ONE_PERSON.replace("NCT90000001", "NCT90000002") + (
    "        - {id: pdl1, wording: PD-L1 positive, biomarker: {marker: PD-L1, state: positive}}\n"
)


@dataclass(frozen=True)
class Run:
    """What one installation made of the input."""

    platform: Platform
    landed: list[str]


@pytest.fixture(scope="module")
def by_daemon(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The input, landed while the daemon runs."""
    home = tmp_path_factory.mktemp("daemon")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SPV_HOME", raising=False)
        platform = Platform(stack.start(home))
        try:
            _put_trials(platform)
            landed = _send(platform, _files(corpus))
            wait_for(platform, landed, criteria=True, timeout_s=600)
            yield Run(platform, landed)
        finally:
            stack.stop(home)


def test_every_object_is_published_and_its_entries_balance(by_daemon: Run) -> None:
    with by_daemon.platform.db.transaction() as cur:
        rows = objects.ledger_rows(cur, TENANT)
    assert len(rows) == len(by_daemon.landed)
    assert {row["state"] for row in rows} == {"published"}
    assert all(row["balances"] for row in rows)
    # 21,666 Synthea resources, 177 lines of mCODE examples, two bundles of 25 and 40, one of 18.
    assert sum(row["entries"] for row in rows) == 21_666 + 177 + 25 + 40 + 18


def test_the_views_hold_markers_variants_stage_performance_and_burden(by_daemon: Run) -> None:
    jenny, adam, other = (_view(by_daemon.platform, name) for name in (JENNY, ADAM, TRIAL_PATIENT))
    assert _marker(jenny, "85337-4") == ("present", "2018-03-10")
    assert _marker(jenny, "85339-0") == ("absent", "2018-03-10")
    assert _marker(jenny, "48676-1") == ("absent", "2018-03-10")
    assert _marker(other, "40556-3") == ("present", None)
    assert _marker(other, "18474-7") == ("absent", None)
    assert [(fact["value_number"], fact["date"]) for fact in jenny["ecog"]] == [(0.0, "2018-04-12")]
    assert [(fact["value_number"], fact["date"]) for fact in other["ecog"]] == [(1.0, "2019-04-01")]
    assert f"{SNOMED}|1222769001" in jenny["stages"][0]["value_codes"]
    assert {fact["date"] for fact in jenny["stages"]} == {"2018-03-16", "2018-04-05"}
    assert [fact["value_display"] for fact in other["stages"]] == ["IV"]
    burden = adam["tmb"][0]
    assert (burden["value_text"], burden["unit"], burden["date"]) == ("57.1", "1/1000000{Base}", "2019-04-01")
    assert [(fact["polarity"], fact["date"]) for fact in adam["msi"]] == [("present", "2019-04-01")]


def test_variants_keep_gene_polarity_allele_fraction_and_change(by_daemon: Run) -> None:
    adam, other = (_view(by_daemon.platform, name) for name in (ADAM, TRIAL_PATIENT))
    by_gene = {tuple(fact["genes"]): fact for fact in adam["variants"]}
    bap1 = by_gene["BAP1",]
    assert (bap1["polarity"], bap1["vaf"], bap1["origin"]) == ("present", pytest.approx(0.574), "somatic")
    assert any("Gln590Ter" in change for change in bap1["hgvs_protein"])
    assert by_gene["ALK", "MET"]["alteration"] == "fusion"
    assert by_gene["BRAF",]["polarity"] == "absent"
    # the HGNC numbers of these two stand in each other's place
    assert {by_gene[gene,]["polarity"] for gene in ("NRAS", "KIT")} == {"indeterminate"}
    assert {tuple(fact["genes"]) for fact in other["variants"]} == {("ESR1",), ("PIK3CA",)}


def test_two_people_who_share_a_record_number_stay_two(by_daemon: Run) -> None:
    views = reader(by_daemon.platform, TENANT).current("patient_view").collect()
    with_number = views.filter(pl.col("identifiers").list.eval(pl.element().struct.field("value") == "m123").list.any())
    assert sorted(with_number["birth_date"]) == ["1951-01-20", "1962-02-05"]


def test_a_trial_approves_exactly_the_person_who_has_what_it_asks_for(by_daemon: Run) -> None:
    approved = reader(by_daemon.platform, TENANT).current("approved_patients").collect()
    person = _view(by_daemon.platform, TRIAL_PATIENT)["person_id"]
    assert approved.select("person_id", "trial").rows() == [(person, "NCT90000001")]
    assert "clinician to confirm" in approved["wording"].item()


@pytest.mark.slow
def test_the_same_input_in_another_order_and_twice_gives_equal_tables(
    by_daemon: Run, settings: Settings, corpus: Path
) -> None:
    prepare_home(settings)
    platform = Platform(settings)
    keys = by_daemon.platform.settings.keys_dir
    # Enterprise ids are keyed: equal tables need the tenant's own keys.
    for file in keys.rglob("*"):
        if file.is_file():
            (settings.keys_dir / file.relative_to(keys)).write_bytes(file.read_bytes())
    _put_trials(platform)
    refresh_criteria(platform)
    files = _files(corpus)
    for half in (files[::-2], files[-2::-2]):
        _send(platform, half)
        drain(platform)
    first = _tables(platform)
    assert first == _tables(by_daemon.platform)
    with platform.db.transaction() as cur:
        before = len(objects.ledger_rows(cur, TENANT))
    _send(platform, files)
    drain(platform)
    assert _tables(platform) == first
    with platform.db.transaction() as cur:
        again = objects.ledger_rows(cur, TENANT)[before:]
    assert all(row["duplicates"] == row["entries"] and row["balances"] for row in again)


def test_nothing_of_a_patient_is_in_dagsters_tables_logs_or_stores(by_daemon: Run) -> None:
    """Last: it lands one more file, whose broken entries make the daemon's runs talk about them."""
    platform = by_daemon.platform
    patient = {"resourceType": "Patient", "id": CANARY, "gender": "female", "name": [{"family": CANARY}]}
    broken = {"resourceType": "Observation", "id": CANARY, "valueString": CANARY, CANARY: CANARY}
    entries = [{"resource": each} for each in (patient, {**patient, "id": "second"}, broken)]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    landed = sender.send(platform, "", json.dumps(bundle).encode(), sender.BUNDLE, tenant=TENANT, feed="emr")
    wait_for(platform, [landed.object], timeout_s=120)
    home = platform.settings.home
    places = {str(file): file.read_bytes() for part in ("logs", "dagster") for file in _under(home / part)}
    places |= {str(file): file.read_bytes() for file in _under(home / "data")}
    places |= dict(_rows_of_postgres(platform))
    places |= dict(_compute_logs(platform))
    assert any(b"decrypted_fhir" in data for place, data in places.items() if "event_logs" in place)
    assert any("compute log" in place for place in places)
    for term in (CANARY, *REAL_NAMES):
        assert [place for place, data in places.items() if term.encode() in data] == []


def _under(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file())


def _rows_of_postgres(platform: Platform) -> Iterator[tuple[str, bytes]]:
    with platform.db.transaction() as cur:
        cur.execute("SET bytea_output = 'escape'")
        cur.execute("SELECT schemaname, tablename FROM pg_tables WHERE schemaname !~ '^(pg_|information_schema)'")
        for schema, table in cur.fetchall():
            cur.execute(f'SELECT string_agg(t::text, chr(10)) FROM "{schema}"."{table}" AS t')  # noqa: S608
            ((text,),) = cur.fetchall()
            yield f"table {schema}.{table}", (text or "").encode()


def _compute_logs(platform: Platform) -> Iterator[tuple[str, bytes]]:
    bucket = platform.settings.logs_bucket
    for page in platform.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for item in page.get("Contents", []):
            yield f"compute log {item['Key']}", platform.s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()


def _files(corpus: Path) -> list[Path]:
    files = [*(corpus / "synthea").glob("*.json.gz"), *(corpus / "mcode").glob("*.json")]
    return sorted([*files, corpus / "mcode" / "examples.ndjson.gz"])


def _send(platform: Platform, files: list[Path]) -> list[str]:
    landed = []
    for file in files:
        for plain, content_type in sender.read_parts(file):
            landed.append(sender.send(platform, "", plain, content_type, tenant=TENANT, feed="emr").object)
    return landed


def _put_trials(platform: Platform) -> None:
    bucket = platform.settings.feeds_bucket
    for number, text in ((1, ONE_PERSON), (2, NOBODY)):
        name = f"NCT9000000{number}"
        platform.s3.put_object(Bucket=bucket, Key=f"criteria/{name}.yaml", Body=text.encode())
        study = {
            "protocolSection": {
                "identificationModule": {"nctId": name, "briefTitle": "An invented study"},
                "statusModule": {"overallStatus": "RECRUITING", "lastUpdatePostDateStruct": {"date": "2026-01-01"}},
            }
        }
        platform.s3.put_object(Bucket=bucket, Key=f"ctgov/{name}.json", Body=json.dumps(study).encode())


def _view(platform: Platform, patient: str) -> dict[str, Any]:
    return look_up(platform, TENANT, f"Patient/{patient}", source="emr", who="test").view


def _marker(view: dict[str, Any], code: str) -> tuple[str, str | None]:
    (fact,) = (fact for fact in view["tumor_markers"] if f"{LOINC}|{code}" in fact["codes"])
    return fact["polarity"], fact["date"]


def _tables(platform: Platform) -> dict[str, list[tuple[Any, ...]]]:
    """Every current row of every table, without the columns that say how the platform came by it, in one order."""
    opened = reader(platform, TENANT)
    found = {}
    for table in opened.tables():
        frame = opened.current(table).collect()
        frame = frame.select(name for name in frame.columns if not name.startswith("_") and name != "as_of")
        found[table] = sorted(frame.rows(), key=repr)
    return found
