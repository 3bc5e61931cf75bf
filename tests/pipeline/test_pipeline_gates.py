"""The gates in a whole installation: what they refuse becomes visible by decision only; nothing goes around them."""

import json
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from pipeline_bundles import bundle, patient, result
from pipeline_world import TENANT, World, approved, reasons

from spv_platform.errors import UsageError
from spv_platform.ledger import decisions
from spv_platform.ledger.batches import DueBatch
from spv_platform.pipeline import deciding, drain, gate, matching, slices
from spv_platform.pipeline.claims import hold
from spv_platform.pipeline.gate import GateRefusedError
from spv_platform.pipeline.landing.discover import form_batches
from spv_platform.pipeline.publish import publish_batch
from spv_platform.pipeline.tenancy import add_tenant
from spv_platform.quality import expectations
from spv_platform.sample import bundles

CANARY = "zqxgateqxz"
BAD = bundle(patient("ann", family=CANARY, birth="1850-05-05"))
SSN_CODE = "078-05-1120"


def detail(world: World, batch: DueBatch) -> dict[str, Any]:
    with world.platform.db.transaction() as cur:
        return decisions.batch(cur, batch.batch_id)


def refuse(world: World, name: str, content: bytes) -> DueBatch:
    """A batch that a gate has set aside."""
    world.land(name, content)
    batch = world.form(1)
    assert not drain.process(world.platform, batch)
    return batch


def again(world: World) -> bool:
    """Carry the one batch that wants a run."""
    (due,) = form_batches(world.platform)
    return drain.process(world.platform, due)


def test_who_is_born_today_at_the_tenant_is_not_born_in_the_future(world: World) -> None:
    add_tenant(world.platform, TENANT, time_zone="Pacific/Kiritimati")  # for most of a day it is tomorrow there
    ((day,),) = world.rows("SELECT (now() AT TIME ZONE 'Pacific/Kiritimati')::date::text")
    world.land("newborn", bundle(patient("ann", birth=day)))
    assert drain.process(world.platform, world.form(1))


def test_a_refused_batch_is_set_aside_with_what_it_fell_short_of_and_the_next_goes_on(world: World) -> None:
    late = bundle(patient("ann", birth="2999-01-01"), result("one", "ann", 1, effectiveDateTime="1850-01-01"))
    batch = refuse(world, "late", late)
    row = detail(world, batch)
    assert (row["state"], row["reason"]) == ("set_aside", "gate_failed")
    assert row["details"]["gate"] == "staged_batch"
    assert row["details"]["rows"] == 2
    assert row["details"]["places"] == {
        "times_in_the_future": {"patient.birth_date": 1},
        "times_too_early": {"observation.effective": 1},
    }
    assert [(item["column"], item["unexpected"]) for item in row["details"]["failed"]] == [
        ("times_too_early", 1),
        ("times_in_the_future", 1),
    ]
    world.land("next", bundle(patient("ben")))
    assert world.drain() == 1
    assert reasons(world) == {"late": ("set_aside", "gate_failed"), "next": ("published", None)}
    assert list(world.read("patient")["resource_id"]) == ["ben"]


def test_a_batch_that_lost_more_entries_than_its_feed_may_is_set_aside(world: World) -> None:
    half = bundle(patient("ann"), {"resourceType": "Astrology", "id": "x"})
    most = bundle({"resourceType": "Astrology", "id": "x"})
    world.land("half", half)
    assert world.drain() == 1
    batch = refuse(world, "most", most)
    (failed,) = detail(world, batch)["details"]["failed"]
    assert (failed["column"], failed["unexpected"]) == ("quarantine_limit, quarantined_share", 1)
    world.tolerate_quarantine()
    deciding.release(world.platform, batch.batch_id, who="test")
    assert again(world)
    assert reasons(world)["most"] == ("published", None)


def test_the_share_is_counted_by_feed(world: World) -> None:
    world.land("bad", bundle({"resourceType": "Astrology", "id": "x"}), feed="lab")
    world.land("good", bundle(*(patient(f"p{n}") for n in range(9))))
    assert world.drain() == 0
    assert reasons(world) == {"bad": ("set_aside", "gate_failed"), "good": ("set_aside", "gate_failed")}


def test_a_code_that_looks_like_an_identifier_is_refused_and_stays_unseen(world: World) -> None:
    code = {"coding": [{"system": "http://loinc.org", "code": SSN_CODE}]}
    batch = refuse(world, "ssn", bundle(patient("ann"), result("one", "ann", 1, code=code)))
    assert detail(world, batch)["details"]["places"] == {"identifier_like_codes": {"observation.code": 1}}
    assert SSN_CODE not in str(world.rows("SELECT t::text FROM ops.batch AS t"))


def test_references_that_nothing_waits_for_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spv_platform.ledger.references.put_queue", lambda *_: None)
    batch = refuse(world, "lost", bundle(patient("ann", generalPractitioner=[{"reference": "Practitioner?x=1"}])))
    (failed,) = detail(world, batch)["details"]["failed"]
    assert failed["column"] == "queued_references, open_references"


def test_a_name_that_two_entries_have_stops_no_batch(world: World) -> None:
    doctors = [{"resourceType": "Practitioner", "id": name} for name in ("ann", "ben")]
    twins = [{"fullUrl": "urn:uuid:a", "resource": doctor} for doctor in doctors]
    asks = {"resource": result("r", "x", 1, performer=[{"reference": "urn:uuid:a"}])}
    content = {"resourceType": "Bundle", "type": "collection", "entry": [*twins, asks]}
    world.land("twins", json.dumps(content).encode())
    world.drain()
    assert reasons(world)["twins"] == ("published", None)
    (row,) = world.read("observation")["performer"].to_list()
    assert row == [{"reference": "urn:uuid:a", "key": None, "how": "ambiguous"}]


def test_a_released_batch_is_judged_again_and_a_waiver_lets_it_pass_once(world: World) -> None:
    batch = refuse(world, "bad", BAD)
    deciding.release(world.platform, batch.batch_id, who="ann")
    assert not again(world)
    assert reasons(world)["bad"] == ("set_aside", "gate_failed")
    deciding.release(world.platform, batch.batch_id, waive=True, who="ann")
    assert again(world)
    assert reasons(world)["bad"] == ("published", None)
    assert list(world.read("patient")["birth_date"]) == ["1850-05-05"]
    other = refuse(world, "other", bundle(patient("ben", birth="1850-05-05")))
    assert detail(world, other)["state"] == "set_aside"
    audit = world.rows("SELECT who, action, tenant, what FROM ops.audit WHERE action LIKE 'batch %%' ORDER BY id")
    assert audit == [
        ("ann", "batch release", TENANT, f"{batch.batch_id} (gate_failed)"),
        ("ann", "batch release", TENANT, f"{batch.batch_id} (gate_failed) with gate staged_batch waived"),
    ]


def test_a_rejected_batch_leaves_nothing_but_its_reason_and_the_same_may_be_sent_again(world: World) -> None:
    batch = refuse(world, "bad", BAD)
    bucket = world.settings.lake_bucket
    assert world.platform.s3.list_objects_v2(Bucket=bucket).get("KeyCount")
    deciding.reject(world.platform, batch.batch_id, who="ann")
    assert reasons(world) == {"bad": ("rejected", "gate_failed")}
    assert detail(world, batch)["details"]["failed"]
    assert not world.platform.s3.list_objects_v2(Bucket=bucket).get("KeyCount")
    assert world.drain() == 0
    with pytest.raises(UsageError, match="not set aside"):
        deciding.release(world.platform, batch.batch_id, who="ann")
    world.land("good", bundle(patient("ann")))
    assert world.drain() == 1
    assert reasons(world) == {"bad": ("rejected", "gate_failed"), "good": ("published", None)}


def test_a_rejection_waives_nothing(world: World) -> None:
    batch = refuse(world, "bad", BAD)
    with pytest.raises(UsageError, match="not for one rejected"):
        deciding.reject(world.platform, batch.batch_id, waive=True, who="ann")
    assert detail(world, batch)["state"] == "set_aside"


@pytest.mark.parametrize("waive", [False, True])
def test_a_suite_that_cannot_be_evaluated_sets_the_batch_aside_and_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, waive: bool
) -> None:
    def fail(_: object) -> None:
        raise OSError(CANARY)

    with monkeypatch.context() as patch:
        patch.setattr(expectations, "_loaded", fail)
        batch = refuse(world, "good", bundle(patient("ann", family=CANARY)))
        row = detail(world, batch)
        assert (row["state"], row["reason"]) == ("set_aside", "gate_unevaluable")
        assert row["details"]["unevaluable"] == "staged_rows: OSError"
    deciding.release(world.platform, batch.batch_id, waive=waive, who="ann")
    assert again(world)
    assert reasons(world) == {"good": ("published", None)}


def test_a_view_that_is_there_twice_is_refused_before_anything_is_visible(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = slices.patient_view

    def twice(facts: pl.DataFrame) -> pl.DataFrame:
        return pl.concat([made(facts)] * 2)

    with monkeypatch.context() as patch:
        patch.setattr(slices, "patient_view", twice)
        batch = refuse(world, "ann", bundle(patient("ann")))
        row = detail(world, batch)
        assert (row["reason"], row["details"]["gate"]) == ("gate_failed", "candidate_view")
        assert world.read("patient_view").is_empty()
    deciding.release(world.platform, batch.batch_id, who="ann")
    assert again(world)
    assert world.read("patient_view").height == 1


def everybody(result: matching.Evaluation) -> matching.Evaluation:
    """Approves everybody for everything."""
    result.cohorts = result.cohorts.with_columns(approved=pl.lit(value=True), verdict=pl.lit("potentially_eligible"))
    return result


def test_approvals_that_break_a_rule_are_refused_before_the_commit_and_nobody_can_waive_that(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put_criteria()
    evaluate = matching.Matcher.evaluate
    with monkeypatch.context() as patch:
        patch.setattr(matching.Matcher, "evaluate", lambda *given: everybody(evaluate(*given)))
        world.drain()  # the re-match of nobody
        batch = refuse(world, "ann", bundle(patient("ann", family=CANARY, deceasedBoolean=True)))
        row = detail(world, batch)
        assert (row["reason"], row["details"]["gate"]) == ("gate_failed", "candidate_approvals")
        columns = {item["column"] for item in row["details"]["failed"]}
        assert columns >= {"criteria", "alive"}
        assert world.read("patient").is_empty()
        assert approved(world) == []
        assert world.rows("SELECT * FROM ops.outbox") == []
        with pytest.raises(UsageError, match="nobody can waive"):
            deciding.release(world.platform, batch.batch_id, waive=True, who="ann")
    deciding.release(world.platform, batch.batch_id, who="ann")
    assert again(world)
    assert approved(world) == []
    assert world.read("patient").height == 1


def test_the_sample_with_its_approvals_passes_every_gate(world: World) -> None:
    world.put_criteria()
    for file in bundles(TENANT):
        world.land(file.name, file.data, content_type=file.content_type)
    world.drain()
    assert {state for state, _ in reasons(world).values()} == {"published"}
    assert approved(world)


def publish_now(world: World, batch: DueBatch) -> None:
    with hold(world.platform, "run", TENANT, batch.batch_id) as holding:
        assert holding
        publish_batch(world.platform, holding)


@pytest.mark.parametrize("name", ["staged_batch", "candidate_view", "candidate_approvals"])
def test_no_way_to_the_commit_leads_around_a_gate(world: World, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A gate refuses everything; a publish called by itself fails at it."""

    def refuse_all(_platform: object, _holding: object, report: gate.GateReport) -> gate.GateReport:
        if report.gate == name:
            raise GateRefusedError(report)
        return report

    monkeypatch.setattr(gate, "_settled", refuse_all)
    world.put_criteria()
    world.land("ann", bundle(patient("ann")))
    batch = world.form(1)
    with pytest.raises(GateRefusedError, match=name):
        publish_now(world, batch)
    assert world.read("patient").is_empty()
    assert reasons(world) == {"ann": ("set_aside", "gate_failed")}


def test_nothing_of_a_refused_patient_is_in_the_ledger_or_the_logs(
    new_world: Callable[..., World], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    world = new_world()
    with caplog.at_level("DEBUG"):
        refuse(world, "bad", BAD)
    tables = [name for (name,) in world.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'ops'")]
    assert "batch" in tables
    stored = "".join(str(world.rows(f"SELECT t::text FROM ops.{name} AS t")) for name in tables)  # noqa: S608
    shown = capfd.readouterr()
    assert "gate_failed" in stored
    assert CANARY not in stored + caplog.text + shown.out + shown.err
