"""Looks at a bucket that is too large to be listed as a whole each time.

A page is two objects here, so a bucket of three is large already.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pipeline_bundles import bundle, patient
from pipeline_world import TENANT, World

from spv_platform.errors import TransientError
from spv_platform.ledger import contracts, marks, objects
from spv_platform.ledger.contracts import FeedContract
from spv_platform.ledger.layouts import SENT, beginning
from spv_platform.pipeline import tenancy
from spv_platform.pipeline.landing import listing, pages
from spv_platform.pipeline.landing.discover import discover
from spv_platform.pipeline.landing.listing import OVERLAP
from spv_platform.pipeline.landing.send import BUNDLE, send
from spv_platform.pipeline.landing.sweep import sweep
from spv_platform.pipeline.platform import Platform

#: More looks than any of these buckets has pages.
ENOUGH = 40


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE", 2)
    monkeypatch.setattr(listing, "ROUND_EVERY_S", 0.0)
    monkeypatch.setattr(listing, "LOOK_S", 60.0)  # a slow machine must not end a look


@pytest.fixture
def asked(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """(prefix, key after which) of each page that was asked for."""
    seen: list[tuple[str, str]] = []

    def noted(s3: Any, bucket: str, prefix: str, marker: dict[str, str] | None = None) -> dict[str, Any]:
        seen.append((prefix, (marker or {}).get("KeyMarker", "")))
        return pages.page_of(s3, bucket, prefix, marker)

    monkeypatch.setattr(listing, "page_of", noted)
    return seen


def put(world: World, name: str, feed: str = "emr", tenant: str = TENANT) -> str:
    key = world.key(name, feed, tenant)
    world.put(key, b"x")
    return key


def named(moment: datetime, ending: str = "x") -> str:
    return f"{beginning(SENT, moment)}{ending}"


def ago(**time: float) -> datetime:
    return datetime.now(UTC) - timedelta(**time)


def names_of(world: World) -> set[str]:
    return {key for (key,) in world.rows("SELECT key FROM ops.object")}


def look_on(platform: Platform, looks: int = ENOUGH) -> int:
    return sum(discover(platform) for _ in range(looks))


def agree(world: World, layout: str, feed: str = "emr") -> None:
    with world.platform.db.transaction() as cur:
        contracts.put_contract(cur, TENANT, feed, FeedContract(layout=layout))


def seen_until(world: World, feed: str = "emr") -> datetime | None:
    with world.platform.db.transaction() as cur:
        (mark,) = [each for each in marks.marks(cur) if (each.tenant, each.feed) == (TENANT, feed)]
    return mark.seen_until


def set_seen_until(world: World, at: datetime) -> None:
    world.rows("UPDATE ops.feed SET seen_until = %s RETURNING 1", at)


def crowd(world: World, count: int = 9, layout: str = SENT) -> None:
    """A history that looks have been through already."""
    agree(world, layout)
    for number in range(count):
        put(world, named(ago(days=40 - number)))
    assert look_on(world.platform) == count


def test_whatever_the_names_each_object_version_is_found_once(world: World) -> None:
    keys = [
        put(world, name, feed, tenant) for tenant in (TENANT, "south") for feed in ("emr", "lab") for name in "zxba"
    ]
    keys += [put(world, "a"), put(world, named(ago())), put(world, "c/d/e"), put(world, "é ?%/+")]
    assert look_on(world.platform) == len(keys)
    assert names_of(world) == set(keys)
    before = put(world, "0")
    again = put(world, "a")
    assert look_on(world.platform) == 2
    assert {before, again} <= names_of(world)
    assert look_on(Platform(world.settings)) == 0
    assert sweep(world.platform).missing == 0


def test_a_page_that_ends_between_the_versions_of_a_key_loses_none(world: World) -> None:
    for _ in range(5):
        put(world, "same")
    put(world, "other")
    assert look_on(world.platform) == 6
    assert look_on(world.platform) == 0


def test_a_look_asks_for_what_is_new_whatever_the_history(world: World, asked: list[tuple[str, str]]) -> None:
    crowd(world)
    asked.clear()
    assert discover(world.platform) == 0
    (page,) = [after for prefix, after in asked if prefix == f"{TENANT}/emr/"]
    assert page > world.key(named(ago(hours=1)))
    key = put(world, named(ago()))
    assert discover(world.platform) == 1
    assert key in names_of(world)


def test_a_feed_of_any_names_has_new_ones_that_are_sent_by_the_platform_found_at_once(world: World) -> None:
    crowd(world, count=30, layout="any")
    send(world.platform, "", bundle(patient("ann")), BUNDLE, tenant=TENANT, feed="emr")
    assert discover(world.platform) == 1


def test_a_name_of_tomorrow_hides_no_name_of_today(world: World) -> None:
    crowd(world)
    ahead = [put(world, named(ago(days=-1, seconds=number))) for number in range(5)]
    assert look_on(world.platform) == 5
    on_time = put(world, named(ago()))
    assert look_on(world.platform) == 1
    ahead.append(put(world, named(ago(days=-1))))
    assert look_on(world.platform) == 1
    assert {*ahead, on_time} <= names_of(world)


@pytest.mark.parametrize("clock_was", [timedelta(hours=-1), timedelta(days=1), timedelta(0)])
def test_a_clock_of_the_store_that_was_wrong_hides_nothing_new(world: World, clock_was: timedelta) -> None:
    crowd(world)
    set_seen_until(world, datetime.now(UTC) + clock_was)
    discover(world.platform)
    put(world, named(ago()))
    assert look_on(world.platform) == 1


def test_this_machines_clock_takes_no_part(world: World, asked: list[tuple[str, str]]) -> None:
    crowd(world)
    world.platform.looks._s3.meta.events.register(
        "after-call.s3.ListObjectVersions",
        lambda http_response, parsed, **_: parsed["ResponseMetadata"]["HTTPHeaders"].update(
            date="Sat, 03 Jan 2026 10:00:00 GMT"
        ),
    )
    discover(world.platform)
    assert seen_until(world) == datetime(2026, 1, 3, 10, tzinfo=UTC)
    asked.clear()
    discover(world.platform)
    assert (f"{TENANT}/emr/", world.key(beginning(SENT, datetime(2026, 1, 3, 10, tzinfo=UTC) - OVERLAP))) in asked


def test_what_landed_while_nobody_looked_is_found_from_the_mark_on(world: World) -> None:
    crowd(world)
    set_seen_until(world, ago(days=2))
    keys = [put(world, named(ago(hours=hours))) for hours in (47, 30, 5, 1)]
    assert look_on(Platform(world.settings)) == len(keys)
    assert set(keys) <= names_of(world)


def test_a_name_from_before_the_mark_is_left_to_the_sweep_where_names_tell_the_time(world: World) -> None:
    crowd(world)
    late = put(world, named(ago(days=20)))
    assert look_on(world.platform) == 0
    assert sweep(world.platform).entered == 1
    assert late in names_of(world)


def test_a_name_from_before_the_mark_is_found_by_the_round_where_names_say_nothing(world: World) -> None:
    crowd(world, layout="any")
    late = put(world, named(ago(days=20)))
    assert look_on(world.platform) == 1
    assert late in names_of(world)


def test_objects_of_nobody_in_a_large_bucket_are_found_by_the_sweep(world: World) -> None:
    crowd(world)
    keys = {put(world, "a", "unheard-of"), put(world, "a", "emr", "nobody"), "stray"}
    world.put("stray", b"x")
    assert look_on(world.platform) == 0
    assert sweep(world.platform).entered == 3
    assert keys <= names_of(world)


def test_a_dated_prefix_is_listed_from_the_day_on(world: World, asked: list[tuple[str, str]]) -> None:
    agree(world, "%Y/%m/%d/")
    for days in range(40, 1, -1):
        put(world, f"{ago(days=days):%Y/%m/%d}/zzz")
    look_on(world.platform)
    asked.clear()
    keys = [put(world, f"{ago():%Y/%m/%d}/{name}") for name in "zma"]
    assert look_on(world.platform) == 3
    assert set(keys) <= names_of(world)
    assert min(after for prefix, after in asked if prefix == f"{TENANT}/emr/") >= world.key(f"{ago(days=1):%Y/%m/%d/}")


def test_a_new_contract_has_the_feed_looked_at_from_its_beginning(world: World) -> None:
    crowd(world)
    late = put(world, named(ago(days=20)))
    assert look_on(world.platform) == 0
    agree(world, "%Y/%m/")
    assert seen_until(world) is None
    assert look_on(world.platform) == 1
    assert late in names_of(world)
    assert seen_until(world) is not None


@pytest.mark.parametrize("layout", ["any", SENT])
def test_a_look_whose_entry_fails_is_done_again(world: World, monkeypatch: pytest.MonkeyPatch, layout: str) -> None:
    crowd(world, layout=layout)
    keys = [put(world, named(ago(), ending=str(number))) for number in range(15)]
    enter, tries = objects.discover, iter(range(100))

    def fail_every_other_time(*arguments: Any) -> int:
        if next(tries) % 2 == 0:
            raise TransientError("store_unavailable")
        return enter(*arguments)

    monkeypatch.setattr(objects, "discover", fail_every_other_time)
    for _ in range(ENOUGH):
        try:
            discover(world.platform)
        except TransientError:
            continue
    assert next(tries) > 2
    assert set(keys) <= names_of(world)


def test_a_store_that_does_not_answer_is_a_failure_that_may_pass(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = Platform(world.settings)
    put(world, "a")
    looks = platform.looks
    right = looks._bucket
    looks._bucket = "no-such-bucket"
    with pytest.raises(TransientError, match="store_unavailable at landing"):
        discover(platform)
    looks._bucket = right
    assert discover(platform) == 1


def test_each_feed_has_its_turn_though_a_look_ends_after_one_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "LOOK_S", -1.0)
    keys = {put(world, f"{number}", feed) for feed in ("emr", "lab") for number in range(7)}
    looks = [discover(world.platform) for _ in range(ENOUGH)]
    assert max(looks[1:]) <= 2
    assert names_of(world) == keys


def test_a_process_remembers_no_more_than_it_may(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_MOST_KNOWN", 4)
    for number in range(30):
        put(world, f"{number}")
    assert look_on(world.platform) == 30
    assert len(world.platform.looks._known) <= 4 + 2 * (listing.PAGES_OF_FEED + 2) * 4
    assert world.rows("SELECT max(seq) FROM ops.object") == [(30,)], "looking at what is known takes no numbers"


def test_a_bucket_without_feeds_is_looked_at_all_the_same(world: World) -> None:
    for tenant in (TENANT, "south"):
        tenancy.remove_tenant(world.platform, tenant, who="me")
    for number in range(5):
        put(world, f"{number}")
    look_on(world.platform, 3)
    sweep(world.platform)
    assert world.rows("SELECT reason, count(*) FROM ops.object GROUP BY 1") == [("unknown_tenant", 5)]
