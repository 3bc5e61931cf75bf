"""The table of facts and the count of unmapped codes, made from the sealed states when they are asked for."""

import json
from collections.abc import Callable

import polars as pl
import pytest
from click.testing import CliRunner, Result
from pipeline_bundles import MRN, bundle, patient, result
from pipeline_world import TENANT, World

from spv_platform.cli import spv
from spv_platform.errors import UsageError
from spv_platform.pipeline.patient_facts import patient_facts, unmapped_codes
from spv_platform.trials.concepts import PATIENT_FACT


def drug(id_: str, who: str, name: str) -> dict:
    return {
        "resourceType": "MedicationStatement",
        "id": id_,
        "status": "completed",
        "subject": {"reference": f"Patient/{who}"},
        "medicationCodeableConcept": {"coding": [{"system": "urn:local", "code": "7", "display": name}]},
    }


@pytest.fixture(scope="module")
def world(new_world: Callable[..., World]) -> World:
    world = new_world()
    people = (patient("ann", mrn="M-1"), patient("ben", mrn="M-2"))
    world.land("one", bundle(*people, result("r", "ann", 7), drug("d", "ann", "ABC-123"), drug("e", "ben", "ABC-123")))
    world.drain()
    return world


@pytest.fixture
def command(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    for module in ("tables", "trials"):
        monkeypatch.setattr(f"spv_platform.cli.{module}.open_platform", lambda: world.platform)
    return lambda *arguments: CliRunner().invoke(spv, arguments)


def test_the_facts_of_a_tenant_and_of_a_person_are_those_of_the_newest_publication(world: World) -> None:
    table = pl.concat(patient_facts(world.platform, TENANT, who="me"))
    assert table.columns == [column.name for column in PATIENT_FACT.columns]
    views = world.read("patient_view")
    assert set(table["person_id"]) == set(views["person_id"])
    assert table["kind"].value_counts().sort("kind").rows() == [("birth_date", 2), ("lab", 1), ("medication", 2)]
    (mine,) = patient_facts(world.platform, TENANT, who="me", patient=f"{MRN}|M-1")
    assert mine.equals(table.filter(patient_id="ann"))
    seen = world.rows("SELECT who, tenant FROM ops.audit WHERE action IN ('facts show', 'patient show')")
    assert seen == [("me", TENANT)] * 2


def test_the_codes_that_no_table_knows_are_counted_without_saying_of_whom(
    world: World, command: Callable[..., Result]
) -> None:
    assert unmapped_codes(world.platform, TENANT).rows() == [("drug", "urn:local", "7", 2, 2)]
    printed = command("trials", "unmapped", "--tenant", TENANT, "--json")
    assert json.loads(printed.stdout) == {"kind": "drug", "system": "urn:local", "code": "7", "facts": 2, "persons": 2}


def test_the_command_prints_facts_as_it_prints_tables(command: Callable[..., Result]) -> None:
    printed = command("tables", "patient_fact", "--tenant", TENANT, "--patient", "Patient/ann", "--json")
    rows = [json.loads(line) for line in printed.stdout.splitlines()]
    assert [(row["kind"], row["code"], row["concept"]) for row in rows] == [
        ("birth_date", None, None),
        ("lab", "718-7", "http://loinc.org|718-7"),
        ("medication", "7", None),
    ]
    assert len(command("tables", "patient_fact", "--tenant", TENANT, "--limit", "2", "--json").stdout.splitlines()) == 2
    assert "kind=lab" in command("tables", "patient_fact", "--tenant", TENANT).stdout


def test_facts_of_nobody_are_refused(world: World, command: Callable[..., Result]) -> None:
    with pytest.raises(UsageError, match="no such person"):
        list(patient_facts(world.platform, TENANT, who="me", patient="p-nobody"))
    for refused in (lambda: list(patient_facts(world.platform, "nowhere", who="me")),):
        with pytest.raises(UsageError, match="no tenant"):
            refused()
    with pytest.raises(UsageError, match="no tenant"):
        unmapped_codes(world.platform, "nowhere")
    assert isinstance(command("tables", "patient_view", "--patient", "p-1").exception, UsageError)
