"""A rebuild of the view gives what the batches gave, heals what was damaged, and tells nobody anything twice."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline_bundles import at, bundle, deletes, patient, result
from pipeline_world import TENANT, World, approved, decisions_of, everything, records_of, tables_of

from spv_platform.envelope.keys import seal_state
from spv_platform.ledger import batches
from spv_platform.pipeline import deciding, homes, matching, slices
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.reading import reader
from spv_platform.pipeline.states import States
from spv_platform.pipeline.upkeep import rebuild
from spv_platform.sample import bundles
from spv_platform.view.fold import pack

EARLY, LATER, LATEST = "2026-01-01T08:00:00Z", "2026-01-02T08:00:00Z", "2026-01-03T08:00:00Z"
#: Late versions, tombstones before creates, resources that move to and fro, repetitions, persons who merge and part.
FILES = (
    bundle(patient("ann", mrn="M-1"), result("moved", "ann", 1), result("gone", "ann", 1)),
    deletes("Observation/gone", "Observation/not-yet"),
    bundle(result("moved", "ben", 2), patient("ben", family="Ben")),
    bundle(at(LATER, result("dated", "ben", 2)), result("not-yet", "ben", 1)),
    bundle(at(EARLY, result("dated", "ann", 1)), result("again", "ann", 1)),
    bundle(at(LATEST, result("dated", "cleo", 3)), result("again", "ann", 2), result("moved", "cleo", 3)),
    bundle(result("again", "ann", 1), patient("cleo", mrn="M-1", ssn="999-12-3456")),
    bundle(patient("dan", ssn="999-12-3456"), result("of-nobody", "nobody", 1), result("moved", "ann", 1)),
    bundle(patient("cleo", mrn="M-7", ssn="999-12-3456"), {**result("adrift", "ann", 1), "subject": {}}),
    deletes("Patient/ben"),
    bundle(result("adrift", "dan", 1), result("moved", "dan", 4)),
    bundle(at(LATER, result("dated", "ann", 4))),
)


def rebuilt(world: World, tenant: str = TENANT) -> World:
    with world.platform.db.transaction() as cur:
        batches.form_rebuild(cur, tenant)
    assert world.drain() == 1
    return world


@contextmanager
def thin_slices() -> Iterator[None]:
    """Every record is a slice of its own, as far as it can be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "MAX_RECORDS", 1)
        patch.setattr(rebuild, "SLICE_ROWS", 3)
        patch.setattr(rebuild, "KEYS_AT_ONCE", 2)
        yield


def one_by_one(world: World, files: Sequence[bytes]) -> World:
    world.tolerate_quarantine()
    for number, plain in enumerate(files):
        world.land(f"{number:02}", plain)
        world.process(world.form(1))
    return world


@pytest.fixture(scope="module")
def filled(new_world: Callable[..., World]) -> World:
    """The sample with its criteria, and the files above, each in a batch of its own."""
    world = new_world()
    world.put_criteria()
    for file in bundles():
        world.land(file.name, file.data, content_type=file.content_type)
    world.drain()
    return one_by_one(world, FILES)


def test_a_rebuild_of_what_nobody_touched_changes_nothing(filled):
    before, seq = everything(filled), reader(filled.platform, TENANT).seq
    assert everything(rebuilt(filled)) == before
    assert reader(filled.platform, TENANT).seq == seq + 1
    with thin_slices():
        assert everything(rebuilt(filled)) == before


@pytest.mark.slow
def test_batches_after_a_rebuild_find_what_they_would_have_found(new_world):
    world = one_by_one(new_world(), FILES[:6])
    rebuilt(world)
    for number, plain in enumerate(FILES[6:]):
        world.land(f"then-{number:02}", plain)
        world.process(world.form(1))
    other = one_by_one(new_world(), FILES)
    assert (tables_of(world), records_of(world)) == (tables_of(other), records_of(other))


@pytest.fixture
def damaged(filled: World) -> Iterator[tuple[World, dict[str, object]]]:
    """An installation, and all that it was before a test damages it; the damage has to be healed."""
    before = everything(filled)
    yield filled, before
    rebuilt(filled)
    assert everything(filled) == before


def test_states_that_are_gone_or_broken_or_wrong_are_made_anew(damaged):
    world, before = damaged
    lost, broken, wrong = sorted(records_of(world))[:3]
    world.rows("DELETE FROM ops.record_state WHERE record = %s RETURNING 1", bytes.fromhex(lost))
    world.rows(
        "UPDATE ops.record_state SET state = 'broken', blocks = '{}' WHERE record = %s RETURNING 1",
        bytes.fromhex(broken),
    )
    facts = States(world.platform, TENANT).load([wrong]).head(1)
    (document,) = pack(facts).values()
    sealed = seal_state(world.platform.tenant_keys(TENANT).state, document, bytes.fromhex(wrong))
    world.rows(
        "UPDATE ops.record_state SET state = %s, person_id = 'p-wrong' WHERE record = %s RETURNING 1",
        sealed,
        bytes.fromhex(wrong),
    )
    rebuilt(world)
    assert everything(world) == before


def test_a_person_whom_no_version_backs_is_taken_out_of_every_table(filled):
    before = everything(filled)
    keys = filled.platform.tenant_keys(TENANT)
    (real,) = approved(filled)
    names = filled.rows("SELECT record FROM ops.record_state WHERE person_id = %s", real[0])
    facts = States(filled.platform, TENANT).load(name.hex() for (name,) in names)
    anonymous = facts.drop("record").filter(pl.col("kind") != "identifier").with_columns(patient_id=pl.lit("phantom"))
    invented = States(filled.platform, TENANT).named(anonymous)
    ((_, document),) = pack(invented).items()
    record = bytes.fromhex(invented["record"][0])
    filled.rows(
        "INSERT INTO ops.record_state VALUES (%s, %s, NULL, true, '{}', %s, 1) RETURNING 1",
        TENANT,
        record,
        seal_state(keys.state, document, record),
    )
    filled.put_criteria("ecog: {max: 1}", "ecog: {max: 2}")
    filled.drain()
    assert len(approved(filled)) > 1
    filled.put_criteria()
    filled.drain()
    phantoms = {row[0] for row in approved(filled)} - {real[0]}
    assert phantoms
    events = len(decisions_of(filled)["outbox"])
    rebuilt(filled)
    assert approved(filled) == [real]
    assert len(decisions_of(filled)["outbox"]) == events
    after = everything(filled)
    assert (after["tables"], after["records"]) == (before["tables"], before["records"])


def test_which_record_holds_what_is_made_anew_too(filled):
    known = homes.known(filled.platform, TENANT).unique().sort("key", "home")
    filled.rows("DELETE FROM ops.resource_home WHERE tenant = %s RETURNING 1", TENANT)
    assert homes.known(Platform(filled.settings), TENANT).is_empty()
    rebuilt(filled)
    for platform in (filled.platform, Platform(filled.settings)):
        assert homes.known(platform, TENANT).sort("key", "home").equals(known)


def test_a_rebuild_tells_nobody_anything_twice(filled):
    before = decisions_of(filled)
    rebuilt(filled)
    assert decisions_of(filled) == before
    ((new,),) = filled.rows("SELECT counts->>'newly_approved' FROM ops.publication ORDER BY seq DESC LIMIT 1")
    assert new == "0"


@pytest.mark.slow
def test_the_gate_on_approvals_sees_those_of_all_slices(filled, monkeypatch):
    before = everything(filled)
    evaluate = matching.Matcher.evaluate
    rows = filled.read("patient_view").height

    def everybody(*given):
        found = evaluate(*given)
        found.cohorts = found.cohorts.with_columns(approved=pl.lit(value=True))
        return found

    with monkeypatch.context() as patch, thin_slices():
        patch.setattr(matching.Matcher, "evaluate", everybody)
        with filled.platform.db.transaction() as cur:
            batch_id = batches.form_rebuild(cur, TENANT)
        assert filled.drain() == 0
    ((reason, details),) = filled.rows("SELECT reason, details FROM ops.batch WHERE batch_id = %s", batch_id)
    assert (reason, details["gate"]) == ("gate_failed", "candidate_approvals")
    assert details["rows"] % rows == 0
    assert everything(filled) == before
    deciding.release(filled.platform, batch_id, who="test")
    assert filled.drain() == 1
    assert everything(filled) == before


@pytest.mark.slow
@pytest.mark.parametrize("point", ["after_files_added", "before_files_added"])
def test_a_rebuild_whose_worker_is_killed_is_taken_over(filled, point):
    before = everything(filled)
    with filled.platform.db.transaction() as cur:
        batches.form_rebuild(cur, TENANT)
    process = filled.worker(fault=point)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    filled.let_time_pass()
    filled.drain()
    assert filled.rows("SELECT DISTINCT state FROM ops.batch WHERE kind = 'rebuild'") == [("published",)]
    assert everything(filled) == before


@pytest.mark.slow
def test_a_rematch_in_slices_is_the_same_as_all_at_once(new_world):
    def rematched(world: World) -> World:
        world.put_criteria()
        for file in bundles():
            world.land(file.name, file.data, content_type=file.content_type)
        world.drain()
        return world

    whole, thin = rematched(new_world()), rematched(new_world())
    whole.put_criteria("ecog: {max: 1}", "ecog: {max: 3}")
    thin.put_criteria("ecog: {max: 1}", "ecog: {max: 3}")
    whole.drain()
    with thin_slices():
        thin.drain()
    assert len(approved(thin)) == 2
    assert everything(thin) == everything(whole)


def test_a_tenant_without_data_is_rebuilt_to_nothing(new_world):
    world = rebuilt(new_world())
    assert (world.read("patient_view").height, records_of(world)) == (0, {})


_CUTS = st.lists(st.integers(1, len(FILES) - 1), max_size=4)


@pytest.mark.slow
@given(st.lists(st.sampled_from(FILES), min_size=2, max_size=8), _CUTS, st.randoms(use_true_random=False))
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_split_into_batches_and_a_rebuild_give_equal_states(new_world, files, cuts, random):
    def landed() -> World:
        world = new_world()
        world.tolerate_quarantine()
        for number, plain in enumerate(files):
            world.land(f"{number:02}", plain)
        return world

    whole, split = landed(), landed()
    whole.process(whole.form(len(files)))
    edges = sorted({0, len(files), *(cut for cut in cuts if cut < len(files))})
    parts = [split.form(end - start) for start, end in pairwise(edges)]
    random.shuffle(parts)
    for part in parts:
        split.process(part)
    expected = tables_of(whole), records_of(whole)
    assert (tables_of(split), records_of(split)) == expected
    with thin_slices():
        rebuilt(split)
    assert (tables_of(split), records_of(split)) == expected
