"""What was set aside can be tried again, and what was processed too: then all is as if it had gone well at once."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from pipeline_bundles import at, bundle, deletes, patient, result
from pipeline_world import TENANT, World, everything, ledger_of, reasons, tables_of

from spv_platform.errors import UsageError
from spv_platform.fhir import contract
from spv_platform.ledger import batches, contracts, quarantine
from spv_platform.ledger.contracts import FeedContract
from spv_platform.ledger.replays import Stretch
from spv_platform.pipeline.bodies import body
from spv_platform.pipeline.landing.discover import discover
from spv_platform.pipeline.upkeep.reconcile import reconcile
from spv_platform.pipeline.upkeep.reprocess import discard, replay, reprocess

CANARY = "zqxreplayqxz"
FILES = (
    bundle(patient("ann", mrn="M-1"), result("r", "ann", 1), result("undated", "ann", 1)),
    bundle(at("2026-01-02T00:00:00Z", result("dated", "ann", 2)), result("undated", "ann", 2)),
    deletes("Observation/r"),
    bundle(result("undated", "ann", 1)),
)
#: An Observation without its status.
BROKEN = bundle(patient("ben"), {name: value for name, value in result(CANARY, "ben", 3).items() if name != "status"})


def lived(world: World, *files: bytes) -> World:
    world.tolerate_quarantine()
    for number, plain in enumerate(files):
        world.land(f"{number}", plain)
    world.drain()
    return world


def items(world: World, state: str | None = "open") -> list[tuple[str, str, str]]:
    with world.platform.db.transaction() as cur:
        return [(row["item"], row["reason"], row["state"]) for row in quarantine.items(cur, state=state)]


def test_objects_that_are_processed_again_change_nothing(world: World) -> None:
    before = everything(lived(world, *FILES))
    asked = Stretch(TENANT)
    assert reprocess(world.platform, asked, dry_run=True, who="test").objects == len(FILES)
    assert everything(world) == before
    for _ in range(2):
        report = reprocess(world.platform, asked, dry_run=False, who="test")
        assert (report.objects, report.left) == (len(FILES), 0)
        world.drain()
        assert everything(world) == before


def test_what_is_on_its_way_already_is_left_alone(world: World) -> None:
    lived(world, *FILES[:2])
    assert reprocess(world.platform, Stretch(TENANT), dry_run=False, who="test").objects == 2
    again = reprocess(world.platform, Stretch(TENANT), dry_run=False, who="test")
    assert (again.objects, again.left) == (0, 2)


def test_a_stretch_is_of_a_tenant_a_feed_and_a_time(world: World) -> None:
    lived(world, FILES[0])
    world.land("lab", FILES[1], feed="lab")
    world.drain()
    later = datetime.now(UTC) + timedelta(hours=1)

    def count(stretch: Stretch) -> int:
        return reprocess(world.platform, stretch, dry_run=True, who="test").objects

    assert [count(Stretch(TENANT, feed)) for feed in ("emr", "lab", "none")] == [1, 1, 0]
    assert [count(Stretch(TENANT, since=later)), count(Stretch(TENANT, until=later))] == [0, 2]
    assert count(Stretch("south")) == 0
    with pytest.raises(UsageError, match="there is no tenant nobody"):
        count(Stretch("nobody"))
    with pytest.raises(UsageError, match="has no zone"):
        count(Stretch(TENANT, since=datetime(2026, 1, 1)))


def test_an_object_that_was_refused_is_taken_once_its_cause_is_mended(world: World) -> None:
    with world.platform.db.transaction() as cur:
        contracts.put_contract(cur, TENANT, "emr", FeedContract(max_entries=1, quarantine_limit=1))
    lived_under_limit = [world.land(f"{number}", plain) for number, plain in enumerate(FILES)]
    world.drain()
    assert {name for name, _, _ in items(world)} == {"object-1", "object-2"}
    assert replay(world.platform, item="object-1", dry_run=False, who="test").objects == 1
    world.drain()
    assert {name for name, _, _ in items(world)} == {"object-1", "object-2"}
    world.tolerate_quarantine()
    assert replay(world.platform, reason="too_many_entries", dry_run=True, who="test").objects == 2
    assert replay(world.platform, reason="too_many_entries", dry_run=False, who="test").objects == 2
    assert replay(world.platform, reason="too_many_entries", dry_run=False, who="test").objects == 0
    world.drain()
    assert items(world) == []
    assert len(reasons(world)) == len(lived_under_limit)


def test_replaying_gives_what_the_right_contract_would_have_given_at_once(
    world: World, new_world: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(world, BROKEN, *FILES)
    ((name, reason, _),) = items(world)
    assert reason == "missing_element"
    refused_under = contract.CONTRACT_VERSION
    with monkeypatch.context() as patch:
        patch.setattr(contract, "CONTRACT_VERSION", "2")
        patch.setitem(_defaults(), "check", lambda _type, _raw: [])
        expected = everything(lived(new_world(), BROKEN, *FILES))  # type: ignore[operator]
        for _ in range(2):
            report = replay(world.platform, item=name, dry_run=False, who="test") if items(world) else None
            assert report is None or (report.contract, report.refused_under) == ("2", refused_under)
            world.drain()
            assert everything(world) == expected
    assert items(world, state=None) == []


def test_what_still_breaks_the_contract_is_set_aside_once_more_and_not_twice(world: World) -> None:
    before = ledger_of(lived(world, BROKEN))
    ((name, _, _),) = items(world)
    assert replay(world.platform, item=name, dry_run=False, who="test").objects == 1
    world.drain()
    assert ledger_of(world) == before
    assert len(items(world)) == 1


def test_what_is_discarded_stays_settled_counted_and_where_it_landed(world: World) -> None:
    lived(world, BROKEN)
    world.put(world.key("unsealed"), CANARY.encode())
    world.drain()
    before = tables_of(world)
    names = [name for name, _, _ in items(world)]
    assert [discard(world.platform, name, who="test") for name in names] == [True, True]
    assert [discard(world.platform, name, who="test") for name in names] == [False, False]
    assert items(world) == []
    assert replay(world.platform, tenant=TENANT, dry_run=False, who="test").objects == 0
    reprocess(world.platform, Stretch(TENANT), dry_run=False, who="test")
    world.drain()
    assert {state for _, _, state in items(world, state=None)} == {"discarded"}
    assert tables_of(world) == before
    assert all(row["balances"] for row in ledger_of(world) if row.get("entries"))
    for name in names:
        assert replay(world.platform, item=name, dry_run=False, who="test").objects == 1
    world.drain()
    assert len(items(world)) == 2
    acts = world.rows("SELECT action, what FROM ops.audit WHERE who = 'test' AND action LIKE 'quarantine%%'")
    assert CANARY not in json.dumps(acts)


def test_an_item_that_is_not_there_is_said_so(world: World) -> None:
    for act in (
        lambda: discard(world.platform, "entry-9", who="t"),
        lambda: replay(world.platform, item="entry-9", dry_run=False, who="t"),
        lambda: replay(world.platform, item="nonsense", dry_run=False, who="t"),
    ):
        with pytest.raises(UsageError, match="nothing of the name"):
            act()
    with pytest.raises(UsageError, match="object 9 does not exist"):
        replay(world.platform, item="object-9", dry_run=False, who="t")


def test_an_object_that_waits_again_or_was_taken_is_left_alone(world: World) -> None:
    with world.platform.db.transaction() as cur:
        contracts.put_contract(cur, TENANT, "emr", FeedContract(max_entries=1))
    lived_once = world.land("0", FILES[0])
    world.drain()
    world.tolerate_quarantine()

    def replayed() -> tuple[int, int]:
        report = replay(world.platform, item="object-1", dry_run=False, who="test")
        return report.objects, report.left

    assert [replayed(), replayed()] == [(1, 0), (0, 1)]
    world.drain()
    assert reasons(world) == {lived_once.rpartition("/")[2]: ("published", None)}
    assert replayed() == (0, 1)


def test_a_dry_run_leaves_out_what_a_replay_would_leave_alone(world: World) -> None:
    world.put("nobody/emr/x", b"sealed")
    discover(world.platform)
    for dry_run in (True, False):
        report = replay(world.platform, reason="unknown_tenant", dry_run=dry_run, who="test")
        assert (report.objects, report.bytes, report.left) == (0, 0, 1)


def test_a_replay_can_be_of_what_was_set_aside_since_a_time(world: World) -> None:
    lived(world, BROKEN)
    world.put(world.key("unsealed"), b"not sealed")
    world.drain()
    hour = timedelta(hours=1)

    def chosen(since: datetime) -> int:
        return replay(world.platform, since=since, dry_run=True, who="test").objects

    assert [chosen(datetime.now(UTC) - hour), chosen(datetime.now(UTC) + hour)] == [2, 0]
    with pytest.raises(UsageError, match="has no zone"):
        chosen(datetime(2026, 1, 1))


def _defaults() -> dict[str, object]:
    from spv_platform.fhir.parse import parse_object

    return parse_object.__kwdefaults__ or {}


def test_the_accounts_balance_and_bodies_open_while_objects_wait_and_after_a_stricter_contract(world: World) -> None:
    lived(world, *FILES)
    before = tables_of(world)

    def all_is_accounted_for() -> None:
        assert not [each for each in reconcile(world.platform, TENANT, deep=True) if not each.balances]
        assert body(world.platform, TENANT, "emr", "Patient/ann", who="test")

    with world.platform.db.transaction() as cur:
        contracts.put_contract(cur, TENANT, "emr", FeedContract(max_entries=2, quarantine_limit=1))
    reprocess(world.platform, Stretch(TENANT), dry_run=False, who="test")
    all_is_accounted_for()
    with world.platform.db.transaction() as cur:
        assert batches.claim_waiting(cur, TENANT, "run", 0, max_objects=9, max_bytes=2**30)
    all_is_accounted_for()
    world.let_time_pass()
    world.drain()
    assert [(name, reason) for name, reason, _ in items(world)] == [("object-1", "too_many_entries")]
    assert tables_of(world) == before
    all_is_accounted_for()


def test_an_entry_keeps_its_name_for_as_long_as_it_is_set_aside(world: World) -> None:
    named = items(lived(world, BROKEN))
    ((name, _, _),) = named
    for _ in range(2):
        assert replay(world.platform, item=name, dry_run=False, who="test").objects == 1
        again = replay(world.platform, item=name, dry_run=False, who="test")
        assert (again.objects, again.left) == (0, 1)
        assert [(each, state) for each, _, state in items(world, state=None)] == [(name, "replayed")]
        world.drain()
        assert items(world) == named
