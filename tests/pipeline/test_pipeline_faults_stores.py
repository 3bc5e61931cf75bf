"""Stores that answer late, half, not at all, or refuse for a while: nothing is lost, doubled or taken for bad input."""

import io
import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import HTTPClientError
from pipeline_faults import Bench, Disturbed, persist, without_publications
from pipeline_proxy import Address, Answer, Cut, Fault, Rule, Stall, proxy
from pipeline_world import TENANT, World
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from spv_platform import aws
from spv_platform.pipeline import claims
from spv_platform.pipeline.platform import Platform

BUSY = Answer(
    b"HTTP/1.1 503 Slow Down\r\nRetry-After: 1\r\nContent-Type: application/xml\r\nContent-Length: 37\r\n"
    b"Connection: close\r\n\r\n<Error><Code>SlowDown</Code></Error>\n"
)
FULL = Answer(
    b"HTTP/1.1 507 Insufficient Storage\r\nContent-Type: application/xml\r\nContent-Length: 48\r\n"
    b"Connection: close\r\n\r\n<Error><Code>InsufficientStorage</Code></Error>\n"
)
#: What a store does to a request. The last bytes of an answer are missing, although its length was announced.
S3_FAULTS = {"short": Cut(-7), "reset": Cut(20, reset=True), "busy": BUSY, "stall": Stall(0.3)}
READ, REQUEST = b"GET ", b"(GET|PUT|HEAD|POST) "
COMMIT = rb"Q\x00\x00\x00\x0bCOMMIT\x00"
#: The connection is cut when COMMIT was carried out and before the client hears of it; or COMMIT itself is lost.
COMMIT_FAULTS = {"answer": Cut(), "commit": Answer()}
SLOW, SLOW_SEEDS = pytest.mark.slow, range(1, 11)


@pytest.fixture(scope="module")
def bench(installations: Callable[..., AbstractContextManager[World]], mongo_url: str) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(installations, mongo_url, stack)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "BACK_OFF_MOST_S", 0.01)


def through(address: Address, disturbed: Disturbed, setting: str) -> Platform:
    """The installation as a worker sees it that reaches one store through the proxy."""
    settings = disturbed.world.settings
    url = urlsplit(getattr(settings, setting))
    netloc = f"{url.netloc.rpartition(':')[0]}:{address.port}"
    return Platform(replace(settings, **{setting: url._replace(netloc=netloc).geturl()}))


def target(disturbed: Disturbed, setting: str) -> tuple[str, int]:
    url = urlsplit(getattr(disturbed.world.settings, setting))
    return url.hostname or "", url.port or 0


def check_s3(bench: Bench, rule: Rule) -> None:
    seed = rule.seed
    expected, _ = bench.undisturbed(seed)
    disturbed = bench.disturbed(seed, max_attempts=3)
    with proxy(target(disturbed, "s3_endpoint"), rule) as address:
        persist(through(address, disturbed, "s3_endpoint"), disturbed.let_time_pass)
        assert address.faults
    assert without_publications(disturbed.found()) == without_publications(expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", S3_FAULTS)
def test_an_object_store_whose_answers_fail_now_and_then_changes_nothing(bench, name):
    check_s3(bench, Rule(S3_FAULTS[name], READ, 0.2, most=5))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW_SEEDS)
@pytest.mark.parametrize("name", S3_FAULTS)
def test_an_object_store_that_fails_any_request_changes_nothing(bench, name, seed):
    check_s3(bench, Rule(S3_FAULTS[name], REQUEST, 0.1, most=20, seed=seed))


@pytest.mark.parametrize(
    "ask",
    [
        lambda s3, bucket: s3.put_object(Bucket=bucket, Key="new", Body=io.BytesIO(b"body")),
        lambda s3, bucket: s3.get_object(Bucket=bucket, Key="there"),
        lambda s3, bucket: s3.head_object(Bucket=bucket, Key="there"),
        lambda s3, bucket: s3.list_objects_v2(Bucket=bucket),
    ],
    ids=["put", "get", "head", "list"],
)
def test_an_answer_that_ends_within_its_head_is_no_answer(bench, ask):
    disturbed = bench.disturbed()
    bucket = disturbed.world.settings.feeds_bucket
    disturbed.world.platform.s3.put_object(Bucket=bucket, Key="there", Body=b"body")
    with proxy(target(disturbed, "s3_endpoint"), Rule(Cut(20), REQUEST)) as address:
        with pytest.raises(HTTPClientError, match="within the head"):
            ask(through(address, disturbed, "s3_endpoint").s3, bucket)
        assert address.faults


@pytest.mark.slow
def test_an_object_store_that_stalls_for_ten_seconds_changes_nothing(bench):
    check_s3(bench, Rule(Stall(10), REQUEST, 0.1, most=5))


@pytest.mark.slow
def test_a_read_that_takes_too_long_is_given_up_and_tried_again(bench):
    expected, _ = bench.undisturbed()
    disturbed = bench.disturbed(max_attempts=2)
    rule = Rule(Stall(60), f"GET /{disturbed.world.settings.landing_bucket}/{TENANT}/".encode(), most=5)
    with proxy(target(disturbed, "s3_endpoint"), rule) as address:
        platform = through(address, disturbed, "s3_endpoint")
        address_of_s3 = platform.settings.s3_endpoint
        platform.__dict__["s3"] = aws.client(platform.settings, "s3", address_of_s3, read_timeout_s=0.2, attempts=2)
        persist(platform, disturbed.let_time_pass)
        assert address.faults == 5
    assert without_publications(disturbed.found()) == without_publications(expected)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW_SEEDS)
def test_an_object_store_that_is_full_is_waited_for_and_costs_no_attempt(bench, seed):
    expected, _ = bench.undisturbed(seed)
    disturbed = bench.disturbed(seed, max_attempts=1)
    about = f"PUT /{disturbed.world.settings.lake_bucket}/".encode()
    with proxy(target(disturbed, "s3_endpoint"), Rule(FULL, about, 0.5, most=30, seed=seed)) as address:
        persist(through(address, disturbed, "s3_endpoint"), disturbed.let_time_pass)
        assert address.faults == 30
    assert without_publications(disturbed.found()) == without_publications(expected)


#: Rows that need place on the disk.
GROWING = ("ops.publication", "ops.staged_file", "ops.batch", "ops.object", "ops.outbox", "ops.record_state")


@pytest.mark.slow
@pytest.mark.parametrize("table", GROWING)
def test_a_database_whose_disk_is_full_is_waited_for_and_costs_no_attempt(bench, table):
    expected, _ = bench.undisturbed()
    disturbed = bench.disturbed(max_attempts=1)
    with disturbed.world.platform.db.transaction() as cur:
        cur.execute(f"""
            CREATE SEQUENCE refusals;
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF nextval('refusals') <= 4 THEN
                    RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100';
                END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER refusing BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse();
        """)
    persist(Platform(disturbed.world.settings), disturbed.let_time_pass)
    assert disturbed.world.rows("SELECT last_value > 4 FROM refusals") == [(True,)]
    assert without_publications(disturbed.found()) == without_publications(expected)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW_SEEDS)
def test_a_history_whose_disk_is_full_is_waited_for(bench, monkeypatch, seed):
    expected, _ = bench.undisturbed(seed)
    disturbed = bench.disturbed(seed)
    write, chance, refusals = Collection.bulk_write, random.Random(seed), itertools.count(1)  # noqa: S311

    def full(collection: Any, operations: list[Any], **options: Any) -> Any:
        """Some of the operations are done, for the others there is no place."""
        if next(refusals) > 5:
            return write(collection, operations, **options)
        done = chance.randrange(len(operations))
        if done:
            write(collection, operations[:done], **options)
        refused = [{"index": index, "code": 14031} for index in range(done, len(operations))]
        raise BulkWriteError({"writeErrors": refused, "writeConcernErrors": []})

    monkeypatch.setattr(Collection, "bulk_write", full)
    persist(Platform(disturbed.world.settings), disturbed.let_time_pass)
    assert next(refusals) > 5
    assert without_publications(disturbed.found()) == without_publications(expected)


def check_commits(bench: Bench, fault: Fault, share: float, seed: int) -> None:
    expected, _ = bench.undisturbed(seed)
    disturbed = bench.disturbed(seed)
    with proxy(target(disturbed, "postgres_url"), Rule(fault, COMMIT, share, seed=seed)) as address:
        persist(through(address, disturbed, "postgres_url"), disturbed.let_time_pass)
        assert address.faults
    assert without_publications(disturbed.found()) == without_publications(expected)


@pytest.mark.slow
@pytest.mark.parametrize("lost", COMMIT_FAULTS)
def test_connections_cut_around_every_tenth_commit_change_nothing(bench, lost):
    check_commits(bench, COMMIT_FAULTS[lost], 0.1, 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW_SEEDS)
@pytest.mark.parametrize("lost", COMMIT_FAULTS)
def test_connections_cut_around_any_commit_change_nothing(bench, lost, seed):
    check_commits(bench, COMMIT_FAULTS[lost], 0.15, seed)


@pytest.mark.parametrize(("lost", "tries"), [("answer", 1), pytest.param("commit", 2, marks=SLOW)])
def test_a_publication_whose_commit_was_cut_is_made_once(bench, lost, tries):
    disturbed = bench.disturbed(batch_max_objects=100)
    rule = Rule(COMMIT_FAULTS[lost], COMMIT, most=1, after=b"INSERT INTO ops.publication")
    with proxy(target(disturbed, "postgres_url"), rule) as address:
        persist(through(address, disturbed, "postgres_url"), disturbed.let_time_pass)
        assert address.faults == 1
    found: list[Any] = disturbed.world.rows(
        "SELECT state, attempt FROM ops.batch JOIN ops.publication USING (batch_id) WHERE publication.kind = 'load'"
    )
    assert found == [("published", tries)]
