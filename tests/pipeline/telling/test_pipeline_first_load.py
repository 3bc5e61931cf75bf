"""The first load is told in one digest per practice; news goes to who treated the person, or waits for somebody."""

from collections.abc import Callable, Iterator

import pytest
from pipeline_bundles import bundle, deletes, patient
from pipeline_practices import (
    OTHER_TRIAL,
    TRIAL,
    Scripted,
    add,
    go_live,
    land_person,
    let_time_pass,
    put_trials,
    relay,
    states,
    visit,
)
from pipeline_world import TENANT, World

from spv_platform.errors import UsageError
from spv_platform.notify.receiver import receiving
from spv_platform.pipeline.telling import notifying
from spv_platform.pipeline.telling.practices import add_practice, practice_list


@pytest.fixture
def receiver() -> Iterator[Scripted]:
    with receiving(Scripted()) as made:
        yield made


@pytest.fixture
def fresh(new_world: Callable[..., World], receiver: Scripted) -> World:
    """A tenant whose first load is over as soon as nothing waits, with a practice; nothing has landed."""
    world = new_world(first_load_quiet_s=0.0)
    put_trials(world)
    add(world, receiver)
    return world


def digests(receiver: Scripted, practice: str = "lakeside") -> list[int]:
    messages = receiver.inbox(practice).messages.values()
    return [item["data"]["count"] for item in messages if item["type"] == "patient.potentially_eligible.digest"]


def test_the_first_load_is_one_digest_per_practice_and_then_each_is_told(fresh, receiver):
    add(fresh, receiver, "hillside", "hill")
    for name in ("ann", "bea"):
        land_person(fresh, name)
    land_person(fresh, "cleo", visit("cleo", "hill"))
    # more has landed: the backlog is not worked off
    fresh.land("more", bundle(patient("dora", mrn="M-dora", gender="female"), visit("dora")))
    assert relay(fresh).sent == 0
    assert receiver.seen == []
    assert states(fresh) == ["collected"] * 3
    fresh.drain()
    assert relay(fresh).sent == 2
    assert (digests(receiver), digests(receiver, "hillside")) == ([3], [1])
    assert states(fresh) == ["delivered"] * 4
    land_person(fresh, "eve")
    assert relay(fresh).sent == 1
    assert digests(receiver) == [3]
    assert receiver.notified() == 5
    (digest_id,) = [key for key, item in receiver.inbox("lakeside").messages.items() if "count" in item["data"]]
    assert len(notifying.show(fresh.platform, TENANT, digest_id, who="test")) == 3


def test_the_first_load_waits_for_criteria_and_for_quiet(new_world, receiver):
    world = new_world(first_load_quiet_s=0.0)
    add(world, receiver)
    land_person(world, "ann")
    relay(world)
    assert notifying.tenants_due(world.platform) == []
    put_trials(world)
    assert notifying.tenants_due(world.platform) == [TENANT]
    patient_world = World(new_world(first_load_quiet_s=3600.0).platform)
    put_trials(patient_world)
    land_person(patient_world, "ann")
    assert notifying.tenants_due(patient_world.platform) == []
    assert relay(world).sent == 1
    assert digests(receiver) == [1]


def test_a_digest_that_failed_is_sent_again_as_it_was_and_its_news_waits_with_it(fresh, receiver):
    land_person(fresh, "ann")
    receiver.script = [500]
    assert relay(fresh).failed == 1
    assert states(fresh) == ["in_digest"]
    let_time_pass(fresh, 120)
    assert relay(fresh).sent == 1
    assert len(set(receiver.seen)) == 1
    assert receiver.bodies[0] == receiver.bodies[1]


def test_a_digest_is_not_sent_when_all_that_it_tells_was_withdrawn(fresh, receiver):
    land_person(fresh, "ann")
    receiver.script = [500]
    relay(fresh)
    fresh.land("deletion", deletes("Patient/ann"))
    fresh.drain()
    let_time_pass(fresh, 120)
    assert (relay(fresh).sent, states(fresh)) == (0, ["withdrawn"])


def test_a_batch_that_is_set_aside_does_not_hold_the_first_load_open(fresh, receiver):
    land_person(fresh, "ann")
    fresh.land("late", bundle(patient("bea", mrn="M-bea", gender="female")))
    batch = fresh.form(10)
    assert relay(fresh).sent == 0
    with fresh.platform.db.transaction() as cur:
        cur.execute(
            "UPDATE ops.batch SET state = 'set_aside', reason = 'attempts_exhausted' WHERE batch_id = %s",
            (batch.batch_id,),
        )
        cur.execute(
            "UPDATE ops.object SET state = 'set_aside', reason = 'attempts_exhausted' WHERE batch_id = %s",
            (batch.batch_id,),
        )
    assert relay(fresh).sent == 1


def test_whom_no_practice_treated_recently_is_unrouted_until_one_did(world, receiver):
    put_trials(world)
    go_live(world)
    add(world, receiver)
    land_person(world, "ann", visit("ann", days_ago=400))
    assert (relay(world).sent, states(world)) == (0, ["unrouted"])
    world.land("visit", bundle(visit("ann", id_="second")))
    world.drain()
    assert (relay(world).sent, states(world)) == (1, ["delivered"])


def test_news_for_an_unknown_organization_waits_for_its_practice_and_comes_in_one_digest(world, receiver):
    put_trials(world)
    go_live(world)
    add(world, receiver)
    for name in ("ann", "bea"):
        land_person(world, name, visit(name, "hill"))
    assert (relay(world).sent, states(world)) == (0, ["unrouted"] * 2)
    add(world, receiver, "hillside", "hill")
    assert states(world) == ["in_digest"] * 2
    assert relay(world).sent == 1
    assert digests(receiver, "hillside") == [2]
    assert receiver.inbox("lakeside").messages == {}


def test_news_that_has_a_practice_stays_with_it(world, receiver):
    put_trials(world)
    go_live(world)
    add(world, receiver)
    add(world, receiver, "hillside", "hill")
    land_person(world, "ann", visit("ann", "lake"))
    world.land("visit", bundle(visit("ann", "hill", days_ago=1, id_="second")))
    world.drain()
    relay(world)
    assert (len(receiver.inbox("lakeside").messages), len(receiver.inbox("hillside").messages)) == (1, 0)


def test_each_trial_is_news_of_its_own(world, receiver):
    put_trials(world)
    go_live(world)
    add(world, receiver)
    land_person(world, "bob", gender="male")
    trials = world.rows("SELECT payload->>'trial' FROM ops.outbox ORDER BY 1")
    assert trials == [(TRIAL,), (OTHER_TRIAL,)]
    assert relay(world).sent == 2


def test_tenants_have_practices_and_news_of_their_own(world, receiver):
    put_trials(world)
    go_live(world)
    add_practice(world.platform, "south", "lakeside", receiver.url("south"), ["Organization/lake"], who="test")
    land_person(world, "ann")
    assert states(world) == ["unrouted"]
    assert [row["tenant"] for row in practice_list(world.platform, None)] == ["south"]
    assert practice_list(world.platform, TENANT) == []
    ((event_id,),) = world.rows("SELECT event_id::text FROM ops.outbox")
    with pytest.raises(UsageError, match="no event"):
        notifying.show(world.platform, "south", event_id, who="test")


def test_a_practice_keeps_its_secret_when_it_is_changed_unless_a_new_one_is_asked_for(world):
    def added(**more: bool) -> str | None:
        return add_practice(
            world.platform, TENANT, "lakeside", "https://x.example.org/", ["Organization/1"], who="test", **more
        ).secret

    first, again, fresh = added(), added(), added(fresh_secret=True)
    assert first
    assert again is None
    assert fresh not in (None, first)


@pytest.mark.parametrize(
    ("name", "url", "organizations", "message"),
    [
        ("Lake Side", "https://x.example.org/", ["Organization/2"], "practice 'Lake Side': use"),
        ("hillside", "http://x.example.org/", ["Organization/2"], "must be https"),
        ("hillside", "https://x.example.org/", ["hill"], "write Organization/ID"),
        ("hillside", "https://x.example.org/", [], "name the organizations"),
        ("hillside", "https://x.example.org/", ["Organization/1"], "stands for Organization/1 already"),
    ],
)
def test_a_practice_that_cannot_be_is_refused(world, name, url, organizations, message):
    add_practice(world.platform, TENANT, "lakeside", "https://x.example.org/", ["Organization/1"], who="test")
    with pytest.raises(UsageError, match=message):
        add_practice(world.platform, TENANT, name, url, organizations, who="test")
    assert [row["practice"] for row in practice_list(world.platform, TENANT)] == ["lakeside"]


def test_a_practice_needs_a_tenant(world):
    with pytest.raises(UsageError, match="does not exist"):
        add_practice(world.platform, "nobody", "lakeside", "https://x.example.org/", ["Organization/1"], who="test")
