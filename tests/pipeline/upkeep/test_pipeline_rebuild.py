"""Compaction changes nothing that readers get; criteria and opt-outs reach everybody."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from pipeline_bundles import at, bundle, deletes, patient, result
from pipeline_world import TENANT, World, approved, decisions_of, everything, lines, tables_of

from spv_platform.lake import compact
from spv_platform.ledger import publications
from spv_platform.pipeline.opting_out import change_list
from spv_platform.pipeline.reading import reader
from spv_platform.pipeline.upkeep.compact import form_compactions
from spv_platform.sample import bundles

ASTER_MRN = "http://sample-hospital.example.org/mrn|SAMPLE-0001"
LUNG = ("NCT00000001", "lung")
FIRST = (
    bundle(patient("ann", mrn="M-1"), result("r", "ann", 1), result("gone", "ann", 1)),
    bundle(result("r", "ann", 2), at("2026-01-02T00:00:00Z", result("dated", "ann", 2))),
    deletes("Observation/gone", "Observation/not-yet"),
    bundle(*(at("2026-01-02T00:00:00Z", result(name, "ann", 1)) for name in ("taken-back", "recreated", "kept"))),
    deletes("Observation/taken-back", "Observation/recreated"),
)
#: Versions that win and lose against those before, and a create that its tombstone preceded.
SECOND = (
    bundle(result("r", "ann", 1), at("2026-01-01T00:00:00Z", result("dated", "ann", 1))),
    bundle(at("2026-01-03T00:00:00Z", result("dated", "ann", 3)), result("late", "ann", 1)),
    bundle(result("not-yet", "ann", 1), patient("ben", mrn="M-1")),
    bundle(
        at("2026-01-01T00:00:00Z", result("taken-back", "ann", 2)),
        at("2026-01-03T00:00:00Z", result("recreated", "ann", 2)),
    ),
    deletes("Observation/kept"),
)


def send_sample(world: World) -> World:
    world.put_criteria()
    for file in bundles():
        world.land(file.name, file.data, content_type=file.content_type)
    return world


def send_small(world: World, prefix: str, files: tuple[bytes, ...]) -> None:
    for number, plain in enumerate(files):
        world.land(f"{prefix}{number}", plain)
    world.drain()


@contextmanager
def eager_compaction() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compact, "_LEAST_TAIL_ROWS", 1)
        patch.setattr(compact, "_TAIL_SHARE", 0)
        yield


@pytest.fixture(scope="module")
def filled(new_world: Callable[..., World]) -> World:
    """The sample, and small files in two batches."""
    world = send_sample(new_world())
    world.drain()
    send_small(world, "first", FIRST)
    send_small(world, "second", SECOND)
    return world


@pytest.fixture(scope="module")
def compacted(new_world: Callable[..., World]) -> World:
    """The same, compacted before the second half of the small files."""
    world = send_sample(new_world())
    world.drain()
    send_small(world, "first", FIRST)
    before = everything(world)
    with eager_compaction():
        form_compactions(world.platform)
        assert world.drain() == 1
    assert everything(world) == before
    send_small(world, "second", SECOND)
    return world


def pins(world: World) -> dict:
    with world.platform.db.transaction() as cur:
        newest = publications.newest(cur, TENANT)
    assert newest
    return newest.tables


def test_readers_get_the_same_from_base_and_tail_as_from_the_tail_alone(filled, compacted):
    assert all(pin.get("current") is None for pin in pins(filled).values())
    assert all(pin["current"] is not None for pin in pins(compacted).values())
    assert everything(compacted) == everything(filled)


def test_a_second_compaction_changes_nothing_either(filled, compacted):
    before = pins(compacted)
    with eager_compaction():
        form_compactions(compacted.platform)
        assert compacted.drain() == 1
        form_compactions(compacted.platform)
        assert compacted.drain() == 0
    assert pins(compacted)["observation"]["base_seq"] > before["observation"]["base_seq"]
    assert everything(compacted) == everything(filled)


def test_the_past_reads_as_it_was(filled, compacted):
    ((compaction,),) = compacted.rows("SELECT min(seq) FROM ops.publication WHERE kind = 'compact'")
    past = reader(filled.platform, TENANT, compaction - 1)
    again = reader(compacted.platform, TENANT, compaction - 1)
    assert past.tables() == again.tables()
    for table in past.tables():
        assert lines(past.current(table).collect()) == lines(again.current(table).collect())
    assert "dated" in past.current("observation").collect()["resource_id"]
    assert "late" not in past.current("observation").collect()["resource_id"]


def test_without_enough_of_a_tail_there_is_no_compaction(filled):
    form_compactions(filled.platform)
    assert filled.rows("SELECT count(*) FROM ops.batch WHERE kind = 'compact'") == [(0,)]


@pytest.fixture
def sample(new_world: Callable[..., World]) -> World:
    world = send_sample(new_world())
    world.drain()
    assert [row[1:] for row in approved(world)] == [LUNG]
    return world


def events(world: World) -> int:
    return len(decisions_of(world)["outbox"])


def test_new_criteria_match_everybody_again(sample):
    (aster,) = approved(sample)
    sample.put_criteria("ecog: {max: 1}", "ecog: {max: 3}")
    sample.drain()
    (cedar,) = sample.read("patient_view").filter(name="Sample-Cedar, Fictor")["person_id"]
    assert approved(sample) == sorted([aster, (cedar, *LUNG)])
    assert sorted(sample.read("approved_patients")["person_id"]) == sorted([aster[0], cedar])
    assert events(sample) == 2
    # the same criteria again are no reason to match anybody
    sample.put_criteria("ecog: {max: 1}", "ecog: {max: 3}")
    assert sample.drain() == 0


def test_a_trial_that_closes_withdraws_and_one_that_opens_again_tells_nobody_twice(sample):
    before = tables_of(sample)
    sample.put_criteria('"overallStatus": "RECRUITING"', '"overallStatus": "SUSPENDED"')
    sample.drain()
    assert approved(sample) == []
    assert sample.read("approved_patients").is_empty()
    assert sample.rows("SELECT status FROM ops.approval") == [("withdrawn",)]
    sample.put_criteria()
    sample.drain()
    assert len(approved(sample)) == 1
    assert events(sample) == 1
    assert tables_of(sample) == before


def test_the_opt_out_list_withdraws_and_taking_back_approves_again_without_news(sample, tmp_path):
    listed = tmp_path / "list"
    listed.write_text(f"{ASTER_MRN}\n\n")
    assert change_list(sample.platform, TENANT, listed, "add", who="test") == 1
    sample.drain()
    assert approved(sample) == []
    assert sample.read("approved_patients").is_empty()
    (person,) = sample.read("patient_view").filter(name="Sample-Aster, Testina")["person_id"]
    verdicts = sample.read("cohort_verdict").filter(person_id=person)
    assert set(verdicts["reasons"].explode()) >= {"opted_out"}
    assert sample.read("criterion_result").filter(person_id=person).is_empty()
    assert change_list(sample.platform, TENANT, listed, "remove", who="test") == 1
    sample.drain()
    assert [row[1:] for row in approved(sample)] == [LUNG]
    assert events(sample) == 1


def test_a_deleted_patient_loses_the_approval(sample):
    sample.land("deletion", deletes("Patient/sample-aster"))
    sample.drain()
    assert approved(sample) == []
    assert sample.read("approved_patients").is_empty()
    assert sample.read("patient_view").filter(name="Sample-Aster, Testina").is_empty()
