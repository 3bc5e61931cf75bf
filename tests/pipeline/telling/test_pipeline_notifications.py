"""Each approval is told to its practice, at least once, under one id, whatever the receiver does."""

import json
import signal
import threading
from collections.abc import Callable, Iterator

import pytest
from pipeline_bundles import bundle, deletes
from pipeline_practices import (
    Scripted,
    add,
    go_live,
    land_person,
    let_time_pass,
    put_trials,
    relay,
    states,
    visit,
    with_settings,
)
from pipeline_world import TENANT, World

from spv_platform.notify.receiver import receiving
from spv_platform.pipeline.telling import notifying
from spv_platform.pipeline.telling.practices import open_secret, remove_practice
from spv_platform.pipeline.tenancy import add_tenant, remove_tenant

#: More than any pause of a receiver or a message that failed once.
A_WHILE_S = 120.0
A_DAY_S = 200_000.0


@pytest.fixture
def receiver() -> Iterator[Scripted]:
    with receiving(Scripted()) as made:
        yield made


@pytest.fixture
def live(world: World, receiver: Scripted) -> World:
    """An installation whose tenant is live, with a practice, and a woman of whom it has not been told yet."""
    put_trials(world)
    go_live(world)
    add(world, receiver)
    land_person(world, "ann")
    return world


def last_status(world: World) -> str:
    (row,) = notifying.notifications(world.platform, TENANT)
    return row["last_status"]


def test_a_person_approved_for_two_cohorts_of_a_trial_is_told_once_without_saying_who(live, receiver):
    assert live.rows("SELECT count(*) FROM ops.approval WHERE status = 'approved'") == [(2,)]
    report = relay(live)
    assert (report.sent, report.failed, report.states) == (1, 0, {"delivered": 1})
    ((event, person),) = live.rows("SELECT event_id::text, payload->>'person' FROM ops.outbox")
    ((event_id, message),) = receiver.inbox("lakeside").messages.items()
    assert event_id == event
    assert message["type"] == "patient.potentially_eligible"
    assert message["data"] == {"id": event, "link": f"urn:uuid:{event}"}
    assert person.encode() not in receiver.bodies[0]
    assert b"NCT" not in receiver.bodies[0]
    # once told, told for ever
    relay(live)
    assert receiver.inbox("lakeside").requests == {event: 1}


def test_the_link_begins_as_the_settings_say(live, receiver):
    relay(with_settings(live, notification_link="https://portal.example.org/news/"))
    (message,) = receiver.inbox("lakeside").messages.values()
    assert message["data"]["link"] == f"https://portal.example.org/news/{message['data']['id']}"


def test_what_an_id_stands_for_is_looked_up_and_audited(live, receiver):
    relay(live)
    (event_id,) = receiver.inbox("lakeside").messages
    (row,) = notifying.show(live.platform, TENANT, f"urn:x/{event_id}", who="tester")
    (person,) = live.read("patient_view")["person_id"]
    assert (row["person"], row["trial"], row["treated_by"]) == (person, "NCT00000001", ["emr/Organization/lake"])
    assert live.rows("SELECT who, what FROM ops.audit WHERE action = 'notifications show'") == [("tester", event_id)]


def test_a_receiver_that_answers_500_then_200_gets_the_same_message_again(live, receiver):
    receiver.script = [500]
    assert relay(live).failed == 1
    assert (states(live), last_status(live)) == (["waiting"], "500")
    # nothing is due before the pauses are over
    assert relay(live).sent == 0
    let_time_pass(live, A_WHILE_S)
    assert relay(live).sent == 1
    assert len(receiver.seen) == 2
    assert len(set(receiver.seen)) == 1
    assert receiver.bodies[0] == receiver.bodies[1]
    assert receiver.notified() == 1


def test_a_receiver_that_is_down_gets_it_when_it_is_back(world):
    put_trials(world)
    go_live(world)
    gone = Scripted()
    gone.start()
    add(world, gone)
    gone.stop()
    land_person(world, "ann")
    assert relay(world).failed == 1
    assert last_status(world) == "not_reachable"
    with receiving(Scripted()) as back:
        add(world, back)
        ((sealed,),) = world.rows("SELECT secret FROM ops.practice")
        back.trust("lakeside", open_secret(world.platform, TENANT, "lakeside", sealed))
        let_time_pass(world, A_WHILE_S)
        assert relay(world).sent == 1
        assert back.notified() == 1


def test_a_receiver_that_is_slow_is_cut_off_and_dedupes_what_it_had_taken(live, receiver):
    answer = threading.Event()

    def slowly() -> int:
        answer.wait(60)
        return 204

    receiver.script = [slowly]
    assert relay(with_settings(live, webhook_total_s=0.3)).failed == 1
    assert last_status(live) == "timeout"
    answer.set()
    let_time_pass(live, A_WHILE_S)
    assert relay(live).sent == 1
    assert len(receiver.seen) == 2
    assert receiver.notified() == 1


def test_a_redirect_is_a_failure_and_is_not_followed(live, receiver):
    receiver.script = [302]
    assert relay(live).failed == 1
    assert last_status(live) == "redirected 302"
    assert len(receiver.seen) == 1


def test_a_receiver_with_another_secret_refuses_and_loses_nothing(live, receiver):
    receiver.trust("lakeside", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")  # pragma: allowlist secret
    assert relay(live).failed == 1
    assert (states(live), last_status(live)) == (["waiting"], "401")
    assert receiver.inbox("lakeside").messages == {}


def test_a_message_out_of_attempts_is_dead_until_a_person_decides(live, receiver):
    receiver.script = [500] * 3
    short = with_settings(live, webhook_max_attempts=3)
    for _ in range(3):
        let_time_pass(live, A_DAY_S)
        relay(short)
    let_time_pass(live, A_DAY_S)
    assert (relay(short).sent, states(live)) == (0, ["dead"])
    assert notifying.revive(live.platform, TENANT, who="test") == 1
    assert relay(short).sent == 1
    assert states(live) == ["delivered"]


def test_the_pause_grows_with_the_attempts_and_is_as_long_as_the_receiver_asks(live, receiver):
    pauses = []
    for _ in range(4):
        receiver.script = [500]
        relay(live)
        pauses += live.rows("SELECT extract(epoch FROM next_attempt_at - clock_timestamp())::float FROM ops.outbox")
        let_time_pass(live, A_DAY_S)
    assert [pause for (pause,) in pauses] == sorted(pause for (pause,) in pauses)
    assert pauses[-1][0] > 10 * pauses[0][0]


def test_a_receiver_that_is_gone_is_told_nothing_more_until_it_is_added_again(live, receiver):
    receiver.script = [410]
    relay(live)
    let_time_pass(live, A_DAY_S)
    land_person(live, "bea")
    assert (relay(live).sent, states(live)) == (0, ["disabled", "disabled"])
    add(live, receiver)
    let_time_pass(live, A_DAY_S)
    relay(live)
    assert (states(live), receiver.notified()) == (["delivered", "delivered"], 2)


def test_one_receiver_that_fails_keeps_nobody_else_waiting(live, receiver):
    add(live, receiver, "hillside", "hill")
    for name in ("bea", "cleo"):
        land_person(live, name)
    land_person(live, "dora", visit("dora", "hill"))
    receiver.script = [500]
    report = relay(live)
    # lakeside is left alone after the first failure
    assert (report.sent, report.failed) == (1, 1)
    assert len(receiver.inbox("hillside").messages) == 1
    let_time_pass(live, A_WHILE_S)
    assert relay(live).sent == 3
    assert receiver.notified() == 4


def test_an_approval_that_is_withdrawn_before_it_was_told_is_told_only_when_it_is_one_again(live, receiver):
    live.land("deletion", deletes("Patient/ann"))
    live.drain()
    assert (relay(live).sent, states(live)) == (0, ["withdrawn"])
    land_person(live, "ann", gender="female", active=True)
    assert (relay(live).sent, states(live)) == (1, ["delivered"])


def test_two_relays_never_have_the_same_message(live, receiver):
    for name in ("bea", "cleo", "dora"):
        land_person(live, name)
    both = threading.Barrier(2)

    def together() -> int:
        both.wait(60)
        return 204

    receiver.script = [together, together]
    relays = [threading.Thread(target=relay, args=(World(live.platform),)) for _ in range(2)]
    for thread in relays:
        thread.start()
    for thread in relays:
        thread.join()
    assert sorted(receiver.seen) == sorted(set(receiver.seen))
    assert (len(receiver.seen), receiver.notified()) == (4, 4)


def test_a_relay_killed_between_post_and_mark_sends_it_again_under_the_same_id(live, receiver):
    code = (
        "from spv_platform.pipeline.telling import notifying; from spv_platform.pipeline.platform import Platform;"
        " from spv_platform.settings import load_settings; notifying.relay(Platform(load_settings()), 'north')"
    )
    killed = live.worker("-c", code, fault="after_post")
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert (len(receiver.seen), states(live)) == (1, ["waiting"])
    # not at once: whoever died may only have been slow
    assert relay(live).sent == 0
    let_time_pass(live, A_WHILE_S)
    assert relay(live).sent == 1
    (event_id,) = receiver.inbox("lakeside").messages
    assert receiver.inbox("lakeside").requests == {event_id: 2}
    assert receiver.notified() == 1


def test_a_removed_tenant_is_told_about_nothing(live):
    remove_tenant(live.platform, TENANT, who="test")
    assert relay(live).sent == 0
    add_tenant(live.platform, TENANT)
    live.drain()
    assert relay(live).sent == 1


def test_a_practice_that_is_removed_leaves_its_news_to_another(live, receiver):
    receiver.script = [500]
    relay(live)
    remove_practice(live.platform, TENANT, "lakeside", who="test")
    assert states(live) == ["unrouted"]
    assert live.rows("SELECT count(*) FROM ops.practice") == [(0,)]
    add(live, receiver, "newlake")
    assert relay(live).sent == 1
    assert states(live) == ["delivered"]


def test_the_secret_and_the_treating_organization_are_sealed(live):
    ((secret, treated_by),) = live.rows("SELECT secret, treated_by FROM ops.practice JOIN ops.outbox USING (tenant)")
    assert b"whsec_" not in secret
    assert b"Organization" not in treated_by
    assert open_secret(live.platform, TENANT, "lakeside", secret).startswith("whsec_")


def test_nothing_of_a_person_is_in_any_message(new_world: Callable[..., World], receiver):
    world = new_world()
    put_trials(world)
    go_live(world)
    add(world, receiver)
    world.land(
        "person",
        bundle(
            {
                "resourceType": "Patient",
                "id": "zqxid",
                "name": [{"family": "Zqxfamily", "given": ["Zqxgiven"]}],
                "gender": "female",
                "birthDate": "1961-04-17",
                "managingOrganization": {"reference": "Organization/lake", "display": "Zqxdisplay"},
            }
        ),
    )
    world.drain()
    assert relay(world).sent == 1
    text = b"".join(receiver.bodies).lower()
    assert b"zqx" not in text
    assert b"1961" not in text
    assert set(json.loads(receiver.bodies[0])) == {"type", "timestamp", "data"}
    stored = world.rows("SELECT o::text, p::text FROM ops.outbox o JOIN ops.practice p USING (tenant)")
    assert "zqx" not in str(stored).lower()
