"""References between objects: whenever the target comes, rows, states, view and matches are as if it had come first."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pipeline_bundles import MRN, Resource, bundle, patient, result
from pipeline_practices import TRIAL, put_trials
from pipeline_world import World, approved, reasons, records_of, tables_of

from spv_platform.errors import PermanentError
from spv_platform.fhir import parse
from spv_platform.fhir.parse import parse_object
from spv_platform.pipeline.claims import hold
from spv_platform.pipeline.publish import publish_batch
from spv_platform.pipeline.stage import stage_batch

BASE = "http://hospital.example.org/fhir"
URN = "urn:uuid:6f1d3c8e-0b7a-4f0e-9a54-0c0ffee00001"


def entry(resource: Resource, full_url: str) -> bytes:
    made = {"resourceType": "Bundle", "type": "collection", "entry": [{"fullUrl": full_url, "resource": resource}]}
    return json.dumps(made).encode()


def about(id_: str, **subject: Any) -> bytes:
    """A result whose subject leads out of its bundle."""
    return bundle({**result(id_, "nobody", 7), "subject": subject})


ANN = patient("ann", mrn="M-1")
WAYS = {
    "conditional": {"reference": f"Patient?identifier={MRN}|M-1"},
    "escaped": {"reference": f"Patient?identifier={MRN.replace(':', '%3A')}%7CM-1"},
    "logical": {"type": "Patient", "identifier": {"system": MRN, "value": "M-1"}},
    "absolute": {"reference": f"{BASE}/Patient/ann"},
    "versioned": {"reference": f"{BASE}/Patient/ann/_history/3"},
    "urn": {"reference": URN},
}


def waiting(world: World) -> int:
    ((count,),) = world.rows("SELECT coalesce(sum(waiting), 0) FROM ops.reference_queue WHERE candidates <> 1")
    return int(count)


@pytest.mark.parametrize("way", WAYS)
def test_a_reference_that_waits_is_resolved_when_its_target_comes(world: World, way: str) -> None:
    world.land("result", about("r", **WAYS[way]))
    world.drain()
    assert waiting(world) == 1
    assert world.read("observation")["patient_id"].to_list() == [None]
    world.land("ann", entry(ANN, URN if way == "urn" else f"{BASE}/Patient/ann"))
    world.drain()
    assert waiting(world) == 0
    assert world.read("observation")["patient_id"].to_list() == ["ann"]
    ((person,),) = (world.read("patient_view").select("latest_results").rows(),)
    assert [found["value_number"] for found in person[0]] == [7.0]
    assert set(reasons(world).values()) == {("published", None)}


@pytest.mark.parametrize(("way", "times"), [("conditional", 1), ("escaped", 1), ("absolute", 2), ("logical", 2)])
def test_what_is_asked_for_by_a_search_is_looked_up_before_the_content_is_parsed(
    world: World, monkeypatch: pytest.MonkeyPatch, way: str, times: int
) -> None:
    world.land("ann", entry(ANN, f"{BASE}/Patient/ann"))
    world.drain()
    parsed: list[str] = []

    def count(*content: Any, **more: Any) -> Any:
        parsed.append(more["source"])
        return parse_object(*content, **more)

    monkeypatch.setattr(parse, "parse_object", count)
    world.land("result", about("r", **WAYS[way]))
    world.drain()
    assert world.read("observation")["patient_id"].to_list() == ["ann"]
    assert len(parsed) == times


def test_a_target_of_another_feed_or_type_is_none(world: World) -> None:
    world.land("result", about("r", reference=f"Patient?identifier={MRN}|M-1"))
    world.land("lab", bundle(ANN), feed="lab")
    organization = {"resourceType": "Organization", "id": "o", "identifier": [{"system": MRN, "value": "M-1"}]}
    world.land("organization", bundle(organization))
    world.drain()
    assert waiting(world) == 1
    assert world.read("observation")["patient_id"].to_list() == [None]


def test_a_reference_that_two_resources_answer_means_neither_and_says_so(world: World) -> None:
    world.land("result", about("r", **WAYS["conditional"]))
    world.land("ann", bundle(ANN))
    world.drain()
    assert world.read("observation")["patient_id"].to_list() == ["ann"]
    world.land("twin", bundle(patient("twin", mrn="M-1", birth="1990-01-01")))
    world.drain()
    assert world.read("observation")["patient_id"].to_list() == [None]
    assert waiting(world) == 1
    assert all(not row["latest_results"] for row in world.read("patient_view").to_dicts())


def test_batches_that_are_staged_side_by_side_find_each_other(world: World) -> None:
    world.land("result", about("r", **WAYS["logical"]))
    first = world.form(1)
    world.land("ann", bundle(ANN))
    second = world.form(1)
    with hold(world.platform, "run-1", first.tenant, first.batch_id) as one:
        assert one
        stage_batch(world.platform, one)
        with hold(world.platform, "run-2", second.tenant, second.batch_id) as two:
            assert two
            publish_batch(world.platform, two)
        report = publish_batch(world.platform, one)
    assert report.objects_staged_again == 1
    world.drain()
    assert world.read("observation")["patient_id"].to_list() == ["ann"]


def test_the_person_is_matched_again_when_a_reference_is_resolved(world: World) -> None:
    lab = 'lab: {code: "http://loinc.org|718-7", min: 5, unit: g/dL}'
    put_trials(world, "sex: female", lab)
    world.land("result", about("r", **WAYS["conditional"]))
    world.drain()
    assert approved(world) == []
    world.land("ann", bundle(ANN))
    world.drain()
    assert [found[1:] for found in approved(world)] == [(TRIAL, "adults"), (TRIAL, "women")]


FILES = (
    bundle(ANN),
    about("r", **WAYS["conditional"]),
    about("s", **WAYS["logical"]),
    bundle(
        patient("ann", mrn="M-2"), {**result("t", "x", 1), "subject": {"reference": f"Patient?identifier={MRN}|M-2"}}
    ),
    bundle(patient("ben", mrn="M-2", birth="1970-07-07")),
    about("u", reference="Patient/ben"),
)


@pytest.fixture(scope="module")
def in_order(new_world: Callable[..., World]) -> World:
    world = new_world()
    for number, plain in enumerate(FILES):
        world.land(f"{number}", plain)
    world.drain()
    return world


def known_of(world: World) -> dict[str, list[str]]:
    """The tables; which versions were without a patient for a while is another matter."""
    return {table: rows for table, rows in tables_of(world).items() if table != "unowned_version"}


def states_of(world: World) -> dict[str, tuple[Any, ...]]:
    """What each record holds; that it once held a resource which means nobody now is another matter too."""
    held = records_of(world)
    return {
        record: (*rest, [fact for fact in facts if json.loads(fact)["kind"] != "none"])
        for record, (*rest, facts) in held.items()
    }


@given(order=st.permutations(range(len(FILES))))
@example(order=[0, 1, 4, 3, 2, 5])
@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_of_processing_gives_the_same_tables_and_states(
    new_world: Callable[..., World], in_order: World, order: list[int]
) -> None:
    world = new_world()
    for number, plain in enumerate(FILES):
        world.land(f"{number}", plain)
    cut = [world.form(1) for _ in FILES]
    for place in order:
        world.process(cut[place])
    world.drain()
    assert known_of(world) == known_of(in_order)
    assert states_of(world) == states_of(in_order)


def test_what_the_ledger_refuses_while_an_object_is_opened_is_no_fault_of_the_object(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermanentError("internal_error", "57014")

    world.land("first", entry(ANN, f"{BASE}/Patient/ann"))
    with monkeypatch.context() as patch:
        patch.setattr("spv_platform.ledger.objects.find_published_digest", refuse)
        world.drain()
    # the object waits with its batch, it is not quarantined
    assert world.rows("SELECT state, reason FROM ops.object") == [("set_aside", "internal_error")]
    assert world.rows("SELECT state, reason FROM ops.batch") == [("set_aside", "internal_error")]
