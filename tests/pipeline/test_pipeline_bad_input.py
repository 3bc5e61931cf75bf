"""What is bad is set aside with its reason; its neighbours land, and the batch publishes."""

import threading
from collections.abc import Callable

import boto3
import pytest
from botocore.config import Config
from pipeline_bundles import at, bundle, deletes, patient, result
from pipeline_world import BUNDLE, TENANT, World, reasons

from spv_platform.errors import PermanentError
from spv_platform.ledger import quarantine
from spv_platform.pipeline.claims import hold
from spv_platform.pipeline.drain import process
from spv_platform.pipeline.landing.discover import discover
from spv_platform.pipeline.landing.send import NDJSON
from spv_platform.pipeline.platform import Platform

GOOD = bundle(patient("ann"), result("good", "ann", 1))
NO_TYPE = {"id": "x", "status": "final"}
MIXED = bundle(
    NO_TYPE,
    at("2026-01-01T00:00:00Z", result("neighbour", "ann", 2)),
    {"resourceType": "Astrology", "id": "x"},
    {"resourceType": "Patient", "id": "an id with blanks"},
    {"resourceType": "Observation", "id": "no-status", "code": {"text": "x"}},
)
LINES = b'{"resourceType":"Patient","id":"ben"}\nnot json\n[]\n'


@pytest.fixture(scope="module")
def world(new_world: Callable[..., World]) -> World:
    """Every kind of bad object among good ones, processed."""
    world = new_world()
    world.tolerate_quarantine()
    world.land("good", GOOD)
    put_bad_objects(world)
    world.land("mixed", MIXED)
    world.land("lines", LINES, content_type=NDJSON)
    world.land("last", bundle(result("last", "ann", 3)))
    gone = world.key("gone")
    version = world.put(gone, world.sealed("gone", GOOD))
    discover(world.platform)
    world.platform.s3.delete_object(Bucket=world.settings.landing_bucket, Key=gone, VersionId=version)
    world.drain()
    return world


def put_bad_objects(world: World) -> None:
    def sealed(name: str, plain: bytes = GOOD, **how: str) -> bytes:
        return world.sealed(name, plain, **how)

    cut, flipped = sealed("cut")[:-20], bytearray(sealed("flipped"))
    flipped[-30] ^= 1
    objects = {
        "other-tenants-key": sealed("other-tenants-key", keys_of="south"),
        "of-another-place": sealed("good"),
        "cut": cut,
        "cut-in-the-head": cut[:40],
        "flipped": bytes(flipped),
        "longer": sealed("longer") + b"x",
        "plain": GOOD,
        "no-bytes": b"",
        "no-content": sealed("no-content", b""),
        "blank": sealed("blank", b" \n"),
        "not-json": sealed("not-json", b"MSH|^~\\&|"),
        "not-a-bundle": sealed("not-a-bundle", b'{"resourceType":"Parameters"}'),
        "not-a-bundle-again": sealed("not-a-bundle-again", b'{"resourceType":"Parameters"}'),
        "other-bundle": sealed("other-bundle", b'{"resourceType":"Bundle","type":"subscription-notification"}'),
        "expands": sealed("expands", b" " * 5_000_000),
    }
    for name, body in objects.items():
        world.put(world.key(name), body)
    world.put("west/emr/of-nobody", sealed("of-nobody"))
    world.put("north/fax/no-feed", sealed("no-feed"))
    world.put("stray", sealed("stray"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("other-tenants-key", "wrong_key"),
        ("of-another-place", "wrong_key"),
        ("cut", "truncated"),
        ("cut-in-the-head", "truncated"),
        ("flipped", "tampered"),
        ("longer", "tampered"),
        ("plain", "not_sealed"),
        ("no-bytes", "empty_object"),
        ("no-content", "empty_payload"),
        ("blank", "empty_payload"),
        ("not-json", "not_json"),
        ("not-a-bundle", "not_a_bundle"),
        ("not-a-bundle-again", "not_a_bundle"),
        ("other-bundle", "unsupported_bundle_type"),
        ("expands", "ratio_exceeded"),
        ("of-nobody", "unknown_tenant"),
        ("no-feed", "unknown_feed"),
        ("gone", "object_gone"),
    ],
)
def test_a_bad_object_is_set_aside_with_its_reason(world, name, reason):
    assert reasons(world)[name] == ("quarantined", reason)


def test_an_object_outside_of_any_tenant_is_set_aside(world):
    assert world.rows("SELECT state, reason FROM ops.object WHERE key = 'stray'") == [("quarantined", "unknown_tenant")]


def test_good_neighbours_land_and_the_batch_publishes(world):
    found = reasons(world)
    assert {found[name] for name in ("good", "mixed", "lines", "last")} == {("published", None)}
    assert set(world.read("observation")["resource_id"]) == {"good", "neighbour", "last"}
    assert set(world.read("patient")["resource_id"]) == {"ann", "ben"}
    assert {state for (state,) in world.rows("SELECT state FROM ops.batch")} == {"published"}


def test_a_bad_entry_is_set_aside_with_its_place_and_the_object_balances(world):
    with world.platform.db.transaction() as cur:
        listed = quarantine.list_entries(cur, TENANT)
    places = sorted((row["object"].rpartition("/")[2].partition("@")[0], *place(row)) for row in listed)
    assert places == [
        ("lines", 1, "", "entry_not_json"),
        ("lines", 2, "", "entry_not_object"),
        ("mixed", 0, "/resourceType", "no_resource_type"),
        ("mixed", 2, "/resourceType", "unknown_resource_type"),
        ("mixed", 3, "/id", "invalid_id"),
        ("mixed", 4, "/status", "missing_element"),
    ]
    counts = world.rows(
        "SELECT split_part(key, '/', 3), entries, accepted, quarantined FROM ops.object WHERE quarantined > 0"
    )
    assert sorted(counts) == [("lines", 3, 1, 2), ("mixed", 5, 1, 4)]


def place(row: dict) -> tuple:
    return row["entry"], row["pointer"], row["reason"]


def test_a_batch_of_nothing_but_bad_objects_publishes(new_world):
    world = new_world()
    world.put(world.key("plain"), GOOD)
    assert world.drain() == 1
    assert reasons(world) == {"plain": ("quarantined", "not_sealed")}
    assert world.read("patient").is_empty()


def test_one_content_that_is_said_to_be_two_things_is_read_as_each(new_world):
    world = new_world()
    for name, content_type in (("as-a-bundle", BUNDLE), ("as-lines", NDJSON)):
        world.land(name, b'{"resourceType":"Patient","id":"ben"}', content_type=content_type)
    world.drain()
    assert reasons(world) == {"as-a-bundle": ("quarantined", "not_a_bundle"), "as-lines": ("published", None)}


def test_a_deletion_of_what_nobody_knows_publishes(new_world):
    world = new_world()
    world.land("deletion", deletes("Observation/never-seen", "Patient/never-seen"))
    assert world.drain() == 1
    assert world.rows("SELECT tombstones FROM ops.object") == [(2,)]
    assert world.read("patient_view").is_empty()


def test_a_permanent_failure_sets_the_batch_aside_with_a_reason_for_batches(new_world):
    world = new_world()
    world.land("good", GOOD)
    batch = world.form(1)
    with pytest.raises(PermanentError, match="tampered"), hold(world.platform, "run", TENANT, batch.batch_id):
        raise PermanentError("tampered", "state")
    assert reasons(world) == {"good": ("set_aside", "internal_error")}
    assert f"heartbeat-{batch.batch_id}" not in {thread.name for thread in threading.enumerate()}


def test_a_record_state_that_was_tampered_with_sets_the_batch_aside(new_world):
    world = new_world()
    world.land("good", GOOD)
    world.drain()
    with world.platform.db.transaction() as cur:
        cur.execute("UPDATE ops.record_state SET state = state || '\\x00'::bytea")
    world.land("next", bundle(result("next", "ann", 2)))
    world.drain()
    assert reasons(world)["next"] == ("set_aside", "internal_error")
    assert list(world.read("observation")["resource_id"]) == ["good"]


def test_a_store_that_does_not_answer_gives_the_batch_back_and_judges_no_object(new_world):
    world = new_world()
    world.land("good", GOOD)
    batch = world.form(1)
    away = Platform(world.settings)
    away.__dict__["s3"] = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:1",
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",  # pragma: allowlist secret
        config=Config(retries={"total_max_attempts": 1}),
    )
    assert not process(away, batch)
    assert reasons(world) == {"good": ("landed", None)}
    world.let_time_pass()
    assert world.drain() == 1
    assert reasons(world) == {"good": ("published", None)}
