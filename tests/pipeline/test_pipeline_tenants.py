"""Many tenants: they cannot see, link or open each other's data, and they come and go without losing any."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from pipeline_bundles import bundle, patient, result
from pipeline_world import TENANT, World, installation, tables_of

from spv_platform.envelope.keys import open_state, seal_state
from spv_platform.errors import PermanentError, SpvError, UsageError
from spv_platform.lake.read import Reader
from spv_platform.lake.store import Lake
from spv_platform.ledger.contracts import FeedContract
from spv_platform.ledger.removal import Removal
from spv_platform.pipeline import claims, publish, tenancy
from spv_platform.pipeline.bodies import body
from spv_platform.pipeline.catalog import ALL_TABLES
from spv_platform.pipeline.landing import send
from spv_platform.pipeline.landing.discover import discover, form_batches
from spv_platform.pipeline.persons import look_up
from spv_platform.pipeline.reading import reader
from spv_platform.pipeline.stage import stage_batch
from spv_platform.pipeline.upkeep.compact import compact_batch
from spv_platform.settings import Settings

ANN = patient("ann", mrn="M-1", ssn="123-45-6789", family="Ann")
CONTENT = bundle(ANN, result("r", "ann", 1))


def deliver(world: World, tenant: str, content: bytes = CONTENT, feed: str = "emr", kind: str = send.BUNDLE) -> None:
    send.send(world.platform, "file", content, kind, tenant=tenant, feed=feed)


def remove(world: World, tenant: str = TENANT) -> Removal:
    return tenancy.remove_tenant(world.platform, tenant, who="me")


def outcomes(world: World) -> list[tuple[str, str | None]]:
    return world.rows("SELECT state, reason FROM ops.object ORDER BY seq")


@pytest.fixture(scope="module")
def twins(new_world: Callable[..., World]) -> World:
    """The same patient, with the same identifiers, in two tenants."""
    world = new_world()
    for tenant in (TENANT, "south"):
        deliver(world, tenant)
    world.drain()
    return world


@pytest.fixture
def own_keys(servers: Settings, tmp_path: Path) -> Iterator[World]:
    """An installation whose keys no other has."""
    with installation(servers, tmp_path / "home", tmp_path / "keys") as world:
        yield world


def test_the_same_person_of_two_tenants_is_two_persons_with_nothing_in_common(twins: World) -> None:
    found: dict[str, set[object]] = {TENANT: set(), "south": set()}
    for tenant, *values in twins.rows("SELECT tenant, record, person_id, unnest(blocks) FROM ops.record_state"):
        found[tenant].update(values)
    assert len(found[TENANT]) >= 3
    assert len(found[TENANT]) == len(found["south"])
    assert found[TENANT].isdisjoint(found["south"])
    people = [twins.read("patient_view", tenant)["person_id"].to_list() for tenant in (TENANT, "south")]
    assert [len(persons) for persons in people] == [1, 1]


def test_a_person_of_one_tenant_is_unknown_to_another(twins: World) -> None:
    (person,) = twins.read("patient_view")["person_id"]
    assert look_up(twins.platform, TENANT, person, source="emr", who="me").view["person_id"] == person
    with pytest.raises(UsageError, match="no such person"):
        look_up(twins.platform, "south", person, source="emr", who="me")


def test_a_body_comes_from_the_tenants_own_object(new_world: Callable[..., World]) -> None:
    world = new_world()
    deliver(world, TENANT)
    world.drain()
    assert "123-45-6789" in body(world.platform, TENANT, "emr", "Patient/ann", who="me")
    with pytest.raises(UsageError, match="has no current"):
        body(world.platform, "south", "emr", "Patient/ann", who="me")


def test_an_object_that_is_copied_to_another_tenant_does_not_open(new_world: Callable[..., World]) -> None:
    world = new_world()
    deliver(world, TENANT)
    ((key,),) = [
        (item["Key"],) for item in world.platform.s3.list_objects_v2(Bucket=world.settings.landing_bucket)["Contents"]
    ]
    bucket = world.settings.landing_bucket
    stolen = key.replace(f"{TENANT}/", "south/", 1)
    world.platform.s3.copy_object(Bucket=bucket, Key=stolen, CopySource={"Bucket": bucket, "Key": key})
    world.drain()
    assert reader(world.platform, "south").tables() == [] or world.read("patient", "south").is_empty()
    states = {k.partition("/")[0]: (s, r) for k, s, r in world.rows("SELECT key, state, reason FROM ops.object")}
    assert states == {TENANT: ("published", None), "south": ("quarantined", "wrong_key")}


def test_the_lake_of_one_tenant_cannot_be_read_with_the_key_of_another(twins: World) -> None:
    def rows(keys_of: str) -> pl.DataFrame:
        key = twins.platform.tenant_keys(keys_of).lake
        published = reader(twins.platform, TENANT)
        assert published.publication
        lake = Lake(twins.settings, lambda _: key, ALL_TABLES)
        pins = published.publication.tables
        opened = Reader(lake, TENANT, published.seq, pins, published.lake_reader.files)
        return opened.current("patient").collect()

    assert rows(TENANT)["resource_id"].to_list() == ["ann"]
    with pytest.raises((OSError, SpvError, pl.exceptions.PolarsError)):
        rows("south")


def test_a_state_that_one_tenant_sealed_does_not_open_for_another(twins: World) -> None:
    north, south = (twins.platform.tenant_keys(tenant).state for tenant in (TENANT, "south"))
    sealed = seal_state(north, b"state", b"place")
    assert open_state(north, sealed, b"place") == b"state"
    with pytest.raises(PermanentError, match="tampered"):
        open_state(south, sealed, b"place")


def test_a_flood_from_one_tenant_leaves_the_other_its_turn(new_world: Callable[..., World]) -> None:
    world = new_world(batch_max_objects=2)
    for number in range(20):
        world.land(f"{number}", CONTENT)
    assert {batch.tenant for batch in form_batches(world.platform)} == {TENANT}
    deliver(world, "south")
    discover(world.platform)
    assert [batch.tenant for batch in form_batches(world.platform)] == ["south"]


def test_with_a_single_place_tenants_take_turns(new_world: Callable[..., World]) -> None:
    world = new_world(batch_max_objects=1, max_open_batches=1)
    for _ in range(2):
        deliver(world, TENANT)
        deliver(world, "south")
    discover(world.platform)
    served = []
    while due := form_batches(world.platform):
        served += [batch.tenant for batch in due]
        world.process(due[0])
    assert served == [TENANT, "south", TENANT, "south"]


def test_a_removed_tenant_is_not_worked_for_and_comes_back_with_everything(new_world: Callable[..., World]) -> None:
    world = new_world()
    world.land("before", bundle(ANN))
    world.drain()
    world.land("in-a-batch", bundle(result("one", "ann", 1)))
    form_batches(world.platform)
    world.land("waiting", bundle(result("two", "ann", 2)))
    assert remove(world) == Removal(set_aside=1, waiting=2)
    deliver(world, TENANT, bundle(result("three", "ann", 3)))
    assert world.drain() == 0
    assert outcomes(world) == [
        ("published", None),
        ("set_aside", "tenant_removed"),
        ("landed", None),
        ("quarantined", "unknown_tenant"),
    ]
    assert world.read("patient")["resource_id"].to_list() == ["ann"]
    back = tenancy.add_tenant(world.platform, TENANT)
    assert (back.feeds, back.released_batches, back.admitted_objects) == (["emr", "lab"], 1, 1)
    world.drain()
    assert outcomes(world) == [("published", None)] * 4
    assert sorted(world.read("observation")["resource_id"]) == ["one", "three", "two"]


def test_the_tables_of_a_tenant_that_went_and_came_back_are_those_of_one_that_stayed(
    new_world: Callable[..., World],
) -> None:
    stayed, went = new_world(), new_world()
    for world in (stayed, went):
        world.land("a", bundle(ANN, result("r", "ann", 1)))
        world.drain()
        world.land("b", bundle(result("r", "ann", 2)))
        if world is went:
            form_batches(world.platform)
            remove(world)
            tenancy.add_tenant(world.platform, TENANT)
        world.drain()
    assert tables_of(went) == tables_of(stayed)


@pytest.mark.parametrize("step", ["staging", "matching", "commit"])
def test_a_batch_whose_tenant_is_removed_while_it_runs_publishes_nothing_and_is_set_aside(
    new_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    world = new_world()
    world.land("one", CONTENT)
    batch = world.form(1)

    def then_remove(place: object, name: str) -> None:
        real = getattr(place, name)

        def act(*arguments: object, **named: object) -> object:
            done = real(*arguments, **named)
            remove(world)
            return done

        monkeypatch.setattr(place, name, act)

    def work() -> None:
        with claims.hold(world.platform, "run", TENANT, batch.batch_id) as holding:
            assert holding
            if step == "staging":
                remove(world)
            stage_batch(world.platform, holding)
            then_remove(publish, "prepare" if step == "matching" else "match_persons")
            publish.publish_batch(world.platform, holding)

    with pytest.raises(PermanentError, match="tenant_removed"):
        work()
    monkeypatch.undo()
    assert outcomes(world) == [("set_aside", "tenant_removed")]
    assert world.rows("SELECT state, reason FROM ops.batch") == [("set_aside", "tenant_removed")]
    assert reader(world.platform, TENANT).tables() == []
    assert world.rows("SELECT count(*) FROM ops.record_state") == [(0,)]
    assert world.drain() == 0
    tenancy.add_tenant(world.platform, TENANT)
    assert world.drain() == 1
    assert outcomes(world) == [("published", None)]
    assert world.read("patient")["resource_id"].to_list() == ["ann"]


def test_a_compaction_whose_tenant_is_removed_while_it_runs_changes_nothing(new_world: Callable[..., World]) -> None:
    world = new_world()
    world.land("one", CONTENT)
    world.drain()
    with world.platform.db.transaction() as cur:
        batch_id = claims.batches.form_compaction(cur, TENANT)
    before = reader(world.platform, TENANT).seq

    def work() -> None:
        with claims.hold(world.platform, "run", TENANT, batch_id) as holding:
            assert holding
            remove(world)
            compact_batch(world.platform, holding)

    with pytest.raises(PermanentError, match="tenant_removed"):
        work()
    assert reader(world.platform, TENANT).seq == before
    assert world.rows("SELECT reason FROM ops.batch WHERE kind = 'compact'") == [("tenant_removed",)]


def test_a_run_that_names_no_batch_does_nothing_for_a_removed_tenant(new_world: Callable[..., World]) -> None:
    world = new_world()
    world.land("one", CONTENT)
    remove(world)
    with claims.hold(world.platform, "run", TENANT, None) as holding:
        assert holding is None


def test_destroying_keys_makes_a_tenant_unreadable_for_good_and_says_so(
    own_keys: World,
) -> None:
    world = own_keys
    for tenant in (TENANT, "south"):
        deliver(world, tenant)
    world.drain()
    with pytest.raises(UsageError, match="not removed"):
        tenancy.destroy_keys(world.platform, TENANT, who="me")
    remove(world)
    assert world.read("patient").height == 1
    tenancy.destroy_keys(world.platform, TENANT, who="me")
    for look in (
        lambda: world.read("patient"),
        lambda: body(world.platform, TENANT, "emr", "Patient/ann", who="me"),
        lambda: look_up(world.platform, TENANT, "Patient/ann", source="emr", who="me"),
        lambda: deliver(world, TENANT),
    ):
        with pytest.raises(PermanentError, match=f"keys_destroyed at tenant {TENANT}"):
            look()
    with pytest.raises(UsageError, match="another name"):
        tenancy.add_tenant(world.platform, TENANT)
    assert world.read("patient", "south").height == 1
    assert {row["tenant"]: row["state"] for row in tenancy.tenant_list(world.platform)} == {
        TENANT: "keys destroyed",
        "south": "active",
    }
    acts = world.rows("SELECT action FROM ops.audit WHERE tenant = %s AND who = 'me' ORDER BY id", TENANT)
    assert [action for (action,) in acts[:2]] == ["tenant remove", "tenant destroy keys"]


def test_what_landed_before_its_tenant_or_feed_was_there_is_taken_in_when_it_is(
    own_keys: World,
) -> None:
    world = own_keys
    world.platform.keys.create_tenant("west")
    deliver(world, "west")
    deliver(world, "west", bundle(result("lab", "ann", 7)), feed="lab")
    world.drain()
    assert outcomes(world) == [("quarantined", "unknown_tenant")] * 2
    assert tenancy.add_tenant(world.platform, "west").admitted_objects == 1
    world.drain()
    assert world.read("patient", "west").height == 1
    again = tenancy.add_tenant(world.platform, "west", ["lab"])
    assert (again.feeds, again.admitted_objects) == (["emr", "lab"], 1)
    world.drain()
    assert world.read("observation", "west").height == 2


def test_adding_a_tenant_twice_changes_nothing(world: World) -> None:
    terms = {"emr": FeedContract(max_entries=5)}
    tenancy.add_tenant(world.platform, "west", ["emr", "lab"], terms)
    before = (tenancy.tenant_list(world.platform), world.platform.tenant_keys("west"))
    again = tenancy.add_tenant(world.platform, "west", ["lab", "emr"])
    assert (again.released_batches, again.admitted_objects) == (0, 0)
    assert (tenancy.tenant_list(world.platform), world.platform.tenant_keys("west")) == before
    west = next(row for row in before[0] if row["tenant"] == "west")
    assert {feed: terms["max_entries"] for feed, terms in west["feeds"].items()} == {"emr": 5, "lab": None}


@pytest.mark.parametrize(("tenant", "feed"), [("a_b", "emr"), ("../x", "emr"), ("West", "emr"), ("fine", "a/b")])
def test_a_name_that_cannot_be_a_path_makes_nothing_at_all(world: World, tenant: str, feed: str) -> None:
    with pytest.raises(UsageError, match="use 1 to 63 of a-z"):
        tenancy.add_tenant(world.platform, tenant, [feed])
    assert tenant not in world.platform.keys.tenants()
    assert {row["tenant"] for row in tenancy.tenant_list(world.platform)} == {TENANT, "south"}


def test_the_settings_cap_holds_for_all_tenants_together(new_world: Callable[..., World]) -> None:
    world = new_world(max_open_batches=3, batch_max_objects=1)
    assert dataclasses.asdict(world.settings)["max_open_batches"] == 3
    for tenant in (TENANT, "south"):
        for _ in range(4):
            deliver(world, tenant)
    discover(world.platform)
    assert len(form_batches(world.platform)) == 3
