"""Messages of the store: what is in them, and that none is needed, trusted or deleted too early.

The queue is moto's SQS behind a real socket.
"""

import json
import logging
import random
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_bundles import bundle, patient
from pipeline_world import TENANT, World, reasons, records_of, tables_of

from spv_platform.errors import TransientError
from spv_platform.ledger import objects
from spv_platform.ledger.objects import FoundObject
from spv_platform.pipeline.landing import discover as discovery
from spv_platform.pipeline.landing import events
from spv_platform.pipeline.landing.discover import discover
from spv_platform.pipeline.landing.events import MalformedEventError, parse
from spv_platform.pipeline.landing.sweep import sweep

AT = datetime(2026, 11, 25, 8, 0, 0, 123000, tzinfo=UTC)
FOUND = FoundObject("landing", "north/emr/é a+b%/x", "v1", 7, "abc", AT)
CANARY = "Zebediah-Quillfeather"


def record(found: FoundObject = FOUND, name: str = "ObjectCreated:Put") -> dict[str, Any]:
    named = {
        "key": quote_plus(found.key),
        "size": found.size_bytes,
        "eTag": found.etag,
        "versionId": found.version,
        "sequencer": "00",
    }
    time = found.landed_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"eventName": name, "eventTime": time, "s3": {"bucket": {"name": found.bucket}, "object": named}}


def notification(*records: dict[str, Any]) -> dict[str, Any]:
    return {"Records": list(records)}


def sns(event: dict[str, Any]) -> dict[str, Any]:
    return {"Type": "Notification", "MessageId": "1", "Message": json.dumps(event)}


def event_bridge(found: FoundObject = FOUND, kind: str = "Object Created") -> dict[str, Any]:
    named = {"key": found.key, "size": found.size_bytes, "etag": found.etag, "version-id": found.version}
    detail = {"bucket": {"name": found.bucket}, "object": named}
    return {"detail-type": kind, "source": "aws.s3", "time": found.landed_at.isoformat(), "detail": detail}


def without(event: dict[str, Any], *path: Any) -> dict[str, Any]:
    copy = json.loads(json.dumps(event))
    inner = copy
    for part in path[:-1]:
        inner = inner[part]
    del inner[path[-1]]
    return copy


@pytest.mark.parametrize("event", [notification(record()), sns(notification(record())), event_bridge()])
def test_an_object_is_read_from_each_form_of_message(event: dict[str, Any]) -> None:
    assert parse(json.dumps(event), "landing") == [FOUND]


@pytest.mark.parametrize(
    "event",
    [
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "landing"},
        notification(),
        notification(record(name="ObjectRemoved:Delete"), record(name="s3:ObjectTagging:Put")),
        notification(record(FOUND._replace(bucket="another"))),
        event_bridge(kind="Object Deleted"),
        sns({"Event": "s3:TestEvent"}),
    ],
)
def test_other_events_and_other_buckets_name_no_object(event: dict[str, Any]) -> None:
    assert parse(json.dumps(event), "landing") == []


def test_an_event_names_several_objects_and_those_of_any_way_of_creation() -> None:
    others = [FOUND._replace(version=f"v{number}") for number in range(3)]
    ways = ["ObjectCreated:Copy", "s3:ObjectCreated:CompleteMultipartUpload", "ObjectCreated:Post"]
    event = notification(*(record(found, way) for found, way in zip(others, ways, strict=True)))
    assert parse(json.dumps(event), "landing") == others


MALFORMED = [
    "",
    "not json",
    "[]",
    "null",
    "7",
    "{}",
    '{"Records": 7}',
    '{"Records": [7]}',
    json.dumps(sns({"Records": None})),
    json.dumps({"Type": "Notification", "Message": 7}),
    json.dumps(without(notification(record()), "Records", 0, "s3", "object", "versionId")),
    json.dumps(without(notification(record()), "Records", 0, "s3", "object", "size")),
    json.dumps(without(notification(record()), "Records", 0, "eventTime")),
    json.dumps(without(event_bridge(), "detail", "object", "version-id")),
    json.dumps(notification(record(FOUND._replace(key="k" * 1025)))),
    json.dumps(notification(record(FOUND._replace(key="a\0b")))),
    json.dumps(notification(record(FOUND._replace(size_bytes=-1)))),
    json.dumps(notification(record(FOUND._replace(size_bytes=2**63)))),
    json.dumps(notification(record(FOUND._replace(landed_at=datetime(2026, 1, 1))))),  # no time zone
    json.dumps(notification(record())).replace("%C3%A9", "%E9"),  # no UTF-8
    json.dumps(notification({**record(), "eventTime": "yesterday"})),
]


@pytest.mark.parametrize("body", MALFORMED)
def test_what_cannot_be_read_is_malformed_and_the_error_holds_nothing_of_it(body: str) -> None:
    with pytest.raises(MalformedEventError) as raised:
        parse(body, "landing")
    assert str(raised.value) == ""
    assert raised.value.__suppress_context__


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["Records", "s3", "object", "key", "eventName", "Type", "Message", "detail", "detail-type"]),
        inner,
    ),
)  # fmt: skip


@given(_JSON | st.text().map(lambda text: {"Type": "Notification", "Message": text}))
def test_any_body_is_read_or_malformed(value: Any) -> None:
    try:
        parse(json.dumps(value), "landing")
    except MalformedEventError:
        return


class Queue:
    """One queue of the server, whose messages come back at once, with a dead-letter queue after three deliveries."""

    def __init__(self, url: str) -> None:
        import boto3

        self.sqs = boto3.client(
            "sqs", endpoint_url=url, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="s"
        )
        name = secrets.token_hex(4)
        self.dead = self.sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3})
        attributes = {"VisibilityTimeout": "0", "RedrivePolicy": redrive}
        self.url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

    def send(self, body: str) -> None:
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body)

    def left(self, url: str | None = None) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=url or self.url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def queue(server: str, monkeypatch: pytest.MonkeyPatch) -> Queue:
    monkeypatch.setattr(events, "WAIT_S", 0)
    monkeypatch.setattr(events, "TAKE_S", 60.0)  # a slow machine must not end it
    monkeypatch.setattr(discovery, "LIST_EVERY_S", float("inf"))
    return Queue(server)


@pytest.fixture
def listening(new_world: Callable[..., World], queue: Queue) -> World:
    """An installation that is told by the queue, and has looked at its bucket for the last time."""
    world = new_world(landing_queue_url=queue.url)
    world.platform.looks.look()
    return world


def deliver(world: World, name: str, plain: bytes | None = None) -> FoundObject:
    """Land a file and make the message of the store, without sending it."""
    key, body = world.key(name), world.sealed(name, plain or bundle(patient(name)))
    version = world.put(key, body)
    return FoundObject(world.settings.landing_bucket, key, version, len(body), "etag", datetime.now(UTC))


def entered(world: World) -> list[str]:
    return sorted(key.rpartition("/")[2] for (key,) in world.rows("SELECT key FROM ops.object"))


def test_what_a_message_names_is_found_and_the_message_deleted(listening: World, queue: Queue) -> None:
    for name in "abc":
        queue.send(json.dumps(notification(record(deliver(listening, name)))))
    deliver(listening, "unannounced")
    assert discover(listening.platform) == 3
    assert entered(listening) == ["a", "b", "c"]
    assert queue.left() == 0
    assert discover(listening.platform) == 0


def test_more_than_one_page_of_messages_is_taken_at_once(listening: World, queue: Queue) -> None:
    found = [FOUND._replace(bucket=listening.settings.landing_bucket, version=f"v{number}") for number in range(35)]
    for each in found:
        queue.send(json.dumps(event_bridge(each)))
    assert discover(listening.platform) == 35
    assert queue.left() == 0


def test_a_malformed_message_stays_until_it_is_dead_and_hinders_none(
    listening: World, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    queue.send(json.dumps({"Records": CANARY}))
    queue.send(json.dumps(notification(record(deliver(listening, "good")))))
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            discover(listening.platform)
    assert entered(listening) == ["good"]
    assert (queue.left(), queue.left(queue.dead)) == (0, 1)
    assert "malformed_event" in caplog.text
    assert CANARY not in caplog.text


def test_a_message_is_kept_when_the_ledger_does_not_take_what_it_names(
    listening: World, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.send(json.dumps(notification(record(deliver(listening, "a")))))

    def away(*_: Any) -> int:
        raise TransientError("store_unavailable", "postgresql")

    with monkeypatch.context() as patch:
        patch.setattr(objects, "discover", away)
        with pytest.raises(TransientError):
            events.receive(listening.platform)
    assert queue.left() == 1
    assert discover(listening.platform) == 1
    assert queue.left() == 0


def test_a_message_that_was_not_deleted_comes_again_and_changes_nothing(
    listening: World, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.send(json.dumps(notification(record(deliver(listening, "a")))))

    def die(**_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(listening.platform.sqs, "delete_message_batch", die)
        with pytest.raises(KeyboardInterrupt):
            discover(listening.platform)
    assert entered(listening) == ["a"]
    assert discover(listening.platform) == 0
    assert (entered(listening), queue.left()) == (["a"], 0)


def test_a_queue_that_is_away_leaves_the_bucket_to_be_looked_at(
    new_world: Callable[..., World], queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    world = new_world(landing_queue_url=f"{queue.url}-that-is-not-there")
    deliver(world, "a")
    with caplog.at_level(logging.WARNING):
        assert discover(world.platform) == 1
        deliver(world, "b")
        assert discover(world.platform) == 1
    assert "store_unavailable at landing queue" in caplog.text


def test_beside_the_messages_the_bucket_is_looked_at_now_and_then(
    listening: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(listening, "unannounced")
    assert discover(listening.platform) == 0
    monkeypatch.setattr(discovery, "LIST_EVERY_S", 0.0)
    assert discover(listening.platform) == 1


@pytest.mark.parametrize("seed", range(3))
def test_messages_repeated_shuffled_and_lost_then_a_sweep_give_what_an_undisturbed_run_gives(
    listening: World, new_world: Callable[..., World], queue: Queue, seed: int
) -> None:
    """Every object is announced one to five times in random order; three in ten are not announced at all."""
    chance = random.Random(seed)  # noqa: S311 - a repeatable order
    plains = {f"{number:02d}": bundle(patient(f"p{number % 7}")) for number in range(20)}
    undisturbed = new_world()
    for name, plain in plains.items():
        undisturbed.land(name, plain)
    undisturbed.drain()

    landed = [deliver(listening, name, plain) for name, plain in plains.items()]
    lost = set(chance.sample(range(len(landed)), 6))
    messages = [
        json.dumps(chance.choice([notification(record(found)), sns(notification(record(found))), event_bridge(found)]))
        for number, found in enumerate(landed)
        if number not in lost
        for _ in range(chance.randint(1, 5))
    ]
    chance.shuffle(messages)
    new = 0
    for message in messages:
        queue.send(message)
        if chance.random() < 0.3:
            new += discover(listening.platform)
    new += discover(listening.platform)
    assert new == len(landed) - len(lost)
    assert sweep(listening.platform).entered == len(lost)
    listening.drain()
    assert set(reasons(listening).values()) == {("published", None)}
    assert listening.rows("SELECT count(*) FROM ops.object") == [(len(landed),)]
    assert tables_of(listening) == tables_of(undisturbed)
    assert records_of(listening) == records_of(undisturbed)


def test_the_time_of_an_event_is_the_time_of_landing(listening: World, queue: Queue) -> None:
    found = deliver(listening, "a")._replace(landed_at=AT - timedelta(days=1))
    queue.send(json.dumps(event_bridge(found)))
    discover(listening.platform)
    assert listening.rows("SELECT tenant, landed_at FROM ops.object") == [(TENANT, found.landed_at)]
