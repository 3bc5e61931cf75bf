"""The ledger's accounts: equal to what is there, and a difference is found where it is."""

from typing import Any

import pytest
from pipeline_bundles import bundle, deletes, patient, result
from pipeline_world import TENANT, World

from spv_platform.pipeline import stage
from spv_platform.pipeline.drain import process
from spv_platform.pipeline.upkeep.reconcile import reconcile

FIRST = bundle(patient("ann", mrn="M-1"), result("r", "ann", 1), result("r", "ann", 1), result("gone", "ann", 2))
BROKEN = bundle(result("s", "ann", 1), {"resourceType": "Observation", "id": "no status"})


@pytest.fixture
def lived(world: World) -> World:
    """An installation with accepted, deleted, repeated, quarantined and refused content."""
    world.tolerate_quarantine()
    for name, plain in (("a", FIRST), ("b", deletes("Observation/gone")), ("c", FIRST), ("d", BROKEN)):
        world.land(name, plain)
    world.put(world.key("e"), b"not sealed")
    world.drain()
    return world


def out_of_balance(world: World) -> list[tuple[str, int, int]]:
    found = reconcile(world.platform, TENANT, deep=True)
    return [(each.account, each.expected, each.found) for each in found if not each.balances]


def test_every_account_of_a_tenant_balances(lived: World) -> None:
    accounts = {each.account: each.found for each in reconcile(lived.platform, TENANT, deep=True)}
    assert out_of_balance(lived) == []
    assert accounts["distinct entries in the tables"] == accounts["rows of all publications"] == 5
    assert accounts["rows of table patient"] == 1


def test_a_tenant_without_publications_balances(world: World) -> None:
    assert out_of_balance(world) == []


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE ops.object SET accepted = accepted + 1 WHERE key LIKE '%/a'", "published objects out of balance"),
        ("UPDATE ops.object SET state = 'staged' WHERE key LIKE '%/b'", "objects in another state than their batch"),
        ("DELETE FROM ops.staged_file WHERE table_name = 'patient'", "rows of table patient"),
        ("UPDATE ops.staged_file SET rows = rows - 1 WHERE table_name = 'observation'", "rows of all publications"),
        (
            "UPDATE ops.object SET accepted = accepted - 1, duplicates = duplicates + 1 WHERE key LIKE '%/a'",
            "distinct entries in the tables",
        ),
    ],
)
def test_a_loss_shows_in_the_account_that_it_is_in(lived: World, statement: str, expected: str) -> None:
    with lived.platform.db.transaction() as cur:
        cur.execute(statement)
    assert expected in {account for account, _, _ in out_of_balance(lived)}


def test_a_batch_whose_files_lack_rows_is_not_published(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    add = stage.publications.add_staged_file

    def short(cur: Any, batch_id: str, attempt: int, file: Any) -> None:
        if file.table != "patient":
            add(cur, batch_id, attempt, file)

    world.land("a", FIRST)
    batch = world.form(1)
    with monkeypatch.context() as patch:
        patch.setattr(stage.publications, "add_staged_file", short)
        assert not process(world.platform, batch)
    ((state, reason, details),) = world.rows("SELECT state, reason, details FROM ops.batch")
    assert (state, reason) == ("set_aside", "does_not_balance")
    assert details == {"objects_out_of_balance": 0, "rows_counted": 3, "rows_in_files": 2}
    assert world.read("patient").is_empty()
