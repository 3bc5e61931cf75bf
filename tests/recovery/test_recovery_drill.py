"""The drill: from sealed objects, an export of the ledger and the keys, everything comes out as it was."""

import json
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from installations import fresh_settings

from spv_platform.cli import spv
from spv_platform.errors import UsageError
from spv_platform.ledger import contracts, quarantine, replays
from spv_platform.ledger.contracts import FeedContract
from spv_platform.local import stack
from spv_platform.notify.receiver import Receiver, receiving
from spv_platform.pipeline import deciding
from spv_platform.pipeline.criteria import refresh_criteria
from spv_platform.pipeline.drain import drain
from spv_platform.pipeline.landing.discover import discover
from spv_platform.pipeline.landing.send import BUNDLE, send
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.setup import prepare_home
from spv_platform.pipeline.telling import notifying
from spv_platform.pipeline.telling.practices import add_practice
from spv_platform.pipeline.upkeep.reprocess import discard
from spv_platform.recovery.contents import contents
from spv_platform.recovery.drill import drill
from spv_platform.recovery.replica import export
from spv_platform.sample import bundles, trial_files
from spv_platform.settings import Settings

CANARY = "zqxdrillqxz"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving(Receiver()) as running:
        yield running


@pytest.fixture(scope="module")
def lost(
    servers: Settings, mongo_url: str, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """An installation that has lived: published, waived, rejected, discarded and waiting objects; criteria; news."""
    database = f"lost_{secrets.token_hex(4)}"
    home = tmp_path_factory.mktemp("lost") / "home"
    with fresh_settings(servers, home, mongo_url=mongo_url, mongo_database=database) as settings:
        prepare_home(settings)
        platform = Platform(settings)
        _live(platform, receiver)
        yield platform
        platform.mongo.drop_database(database)
        platform.db.close()


def _live(platform: Platform, receiver: Receiver) -> None:
    notifying.go_live(platform, "north", who="test")
    treating = ["Organization/sample-practice"]
    added = add_practice(platform, "north", "lakeside", receiver.url("lakeside"), treating, who="test")
    receiver.trust("lakeside", added.secret or "")
    for file in trial_files():
        platform.s3.put_object(Bucket=platform.settings.feeds_bucket, Key=file.name, Body=file.data)
    refresh_criteria(platform)
    for file in bundles():
        send(platform, file.name, file.data, file.content_type, tenant="north", feed="emr")
    encounter = {
        "resourceType": "Encounter",
        "id": "visit",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": "Patient/sample-aster"},
        "period": {"start": str(datetime.now(UTC).date() - timedelta(days=10))},
        "serviceProvider": {"reference": "Organization/sample-practice"},
    }
    _send(platform, encounter)
    drain(platform)
    assert notifying.relay(platform, "north").sent
    # a batch that a gate refuses, taken all the same; another one that is rejected; a third that waits for a decision
    for number in range(3):
        person = {"resourceType": "Patient", "id": f"{CANARY}-{number}", "birthDate": "2999-01-01"}
        _send(platform, person)
        drain(platform)
    with platform.db.transaction() as cur:
        cur.execute("SELECT batch_id FROM ops.batch WHERE state = 'set_aside' ORDER BY created_at")
        waived, rejected, _ = [batch_id for (batch_id,) in cur.fetchall()]
        contracts.put_contract(cur, "south", "emr", FeedContract(quarantine_limit=1))
    deciding.release(platform, waived, waive=True, who="test")
    deciding.reject(platform, rejected, who="test")
    drain(platform)
    _send(platform, {"resourceType": "Observation", "id": "no-status"}, tenant="south")
    _send(platform, {"resourceType": "Patient", "id": "south", "birthDate": "1970-01-01"}, tenant="south")
    drain(platform)
    with platform.db.transaction() as cur:
        (item,) = quarantine.items(cur, "south")
    discard(platform, item["item"], who="test")
    # one that is processed again while the replica is made, one of nobody's feed, and one that was refused with others
    again = {"resourceType": "Patient", "id": "again", "birthDate": "1970-01-01"}
    _send(platform, again, tenant="south")
    platform.s3.put_object(Bucket=platform.settings.landing_bucket, Key="north/typo/x.spv", Body=b"x")
    drain(platform)
    with platform.db.transaction() as cur:
        cur.execute("SELECT max(seq) FROM ops.object WHERE tenant = 'south'")
        ((newest,),) = cur.fetchall()
        assert replays.replay(cur, newest)
    _send(platform, {"resourceType": "Patient", "id": "waits"}, tenant="south")
    discover(platform)


def _send(platform: Platform, resource: dict[str, Any], tenant: str = "north") -> None:
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": resource}]}
    send(platform, "", json.dumps(bundle).encode(), BUNDLE, tenant=tenant, feed="emr")


@pytest.fixture(scope="module")
def replica(lost: Platform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replica") / "replica"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spv_platform.cli.dr.open_platform", lambda: lost)
        (said,) = commanded("export", "--to", str(folder), "--with-keys")
    assert said["rows"]["north"] > 0
    return folder


def commanded(*arguments: str) -> list[dict[str, Any]]:
    """What a command of `spv dr` prints."""
    result = CliRunner().invoke(spv, ["dr", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def states(platform: Platform) -> list[tuple[object, ...]]:
    with platform.db.transaction() as cur:
        cur.execute("SELECT seq, key, state, reason, entries, accepted, quarantined FROM ops.object ORDER BY seq")
        return cur.fetchall()


def deliveries(platform: Platform) -> list[tuple[object, ...]]:
    with platform.db.transaction() as cur:
        cur.execute("SELECT event_id, attempts, delivered_at IS NOT NULL FROM ops.outbox ORDER BY event_id")
        return cur.fetchall()


def told(receiver: Receiver) -> dict[str, set[str]]:
    """Ids of the messages that each practice has."""
    return {name: set(inbox.messages) for name, inbox in receiver._inboxes.items()}


def test_everything_comes_out_as_it_was_and_nobody_is_notified(
    lost: Platform, replica: Path, receiver: Receiver, tmp_path: Path
) -> None:
    home, before = tmp_path / "home", told(receiver)
    assert before["lakeside"]
    try:
        report, *compared = commanded("drill", "--from", str(replica), "--to", str(home), "--keep")
        assert report["equal"]
        assert [(each["tenant"], each["content"]) for each in compared if not each["equal"]] == []
        assert {each["content"] for each in compared if each["tenant"] == "north" and each["rows"]} >= {
            "table patient",
            "table patient_view",
            "table approved_patients",
            "person states",
            "approvals",
            "news",
            "history persons",
        }
        assert report["rpo_s"] is not None
        assert report["rto_s"] > 0
        assert report["waiting_objects"] == 1
        rebuilt = Platform(stack.start_servers(home))
        drain(lost)
        drain(rebuilt)
        assert states(rebuilt) == states(lost)
        with rebuilt.db.transaction() as cur:
            assert [row["state"] for row in quarantine.items(cur, "south")] == ["discarded"]
        assert notifying.relay(rebuilt, "north").sent == 0
        assert told(receiver) == before
        assert deliveries(rebuilt) == deliveries(lost)
        rebuilt.db.close()
    finally:
        stack.stop(home)


def test_a_replica_holds_nothing_in_the_clear(replica: Path) -> None:
    kept = b"".join(file.read_bytes() for file in replica.rglob("*") if file.is_file())
    assert CANARY.encode() not in kept
    assert b"SAMPLE-0001" not in kept


def test_a_difference_is_found_and_named(lost: Platform) -> None:
    before = contents(lost, "north")
    with lost.db.transaction() as cur:
        cur.execute(
            "UPDATE ops.record_state SET person_id = 'p-other' WHERE record IN"
            " (SELECT min(record) FROM ops.record_state WHERE tenant = 'north')"
        )
        cur.execute("DELETE FROM ops.outbox WHERE event_id IN (SELECT event_id FROM ops.outbox LIMIT 1)")
    after = contents(lost, "north")
    assert {name for name in before if before[name] != after[name]} == {"person states", "news"}


@pytest.mark.parametrize(
    ("break_", "problem"),
    [
        (lambda replica, home: (replica / "manifest.json").unlink(), "holds no replica"),
        (lambda replica, home: (replica / "manifest.json").write_text('{"format": "other"}'), "of format"),
        (lambda replica, home: (replica / "keys" / "root.key").unlink(), "holds no key files"),
        (lambda replica, home: (home / "something").write_text("x"), "is not empty"),
    ],
)
def test_a_drill_that_cannot_work_is_refused_at_once(
    tmp_path: Path, break_: Callable[[Path, Path], object], problem: str
) -> None:
    replica, home = tmp_path / "replica", tmp_path / "home"
    (replica / "keys").mkdir(parents=True)
    home.mkdir()
    (replica / "keys" / "root.key").write_text("{}")
    manifest = {"format": "spv-replica/1", "landing_bucket": "landing", "exported_at": "2026-11-25T00:00:00+00:00"}
    (replica / "manifest.json").write_text(json.dumps(manifest | {"newest_landed_at": None, "contents": {}}))
    break_(replica, home)
    with pytest.raises(UsageError, match=problem):
        drill(replica, home)
    result = CliRunner().invoke(spv, ["dr", "drill", "--from", str(replica), "--to", str(home)])
    assert problem in str(result.exception)


def test_an_export_into_a_folder_in_use_is_refused(lost: Platform, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is not empty"):
        export(lost, tmp_path)
