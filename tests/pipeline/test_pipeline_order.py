"""Any order and repetition of processing, and of landing where versions are stated, gives the same current tables."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline_bundles import at, bundle, coded, deletes, patient, report, result
from pipeline_world import World, everything, ledger_of, records_of, tables_of

from spv_platform.fhir import frames
from spv_platform.pipeline import stage
from spv_platform.sample import bundles

File = tuple[str, bytes]

EARLY, LATER, LATEST = "2026-01-01T08:00:00Z", "2026-01-02T08:00:00Z", "2026-01-03T08:00:00Z"

#: Resources that say which version they are: feed and content, in an order that is not that of the versions.
DATED: tuple[File, ...] = (
    ("emr", bundle(at(LATER, result("dated", "ann", 2)), at(EARLY, patient("ann", family="Ann")))),
    ("emr", bundle(at(LATEST, patient("ann", family="Ann-Married")), at(EARLY, result("dated", "ann", 1)))),
    ("emr", bundle(at(EARLY, result("same", "ann", 5)), at(EARLY, result("dated", "ann", 1)))),
    ("emr", bundle(at(EARLY, result("same", "ann", 5)), at(LATER, result("tie", "ann", 7)))),
    ("emr", bundle(at(LATER, result("tie", "ann", 8)))),
    ("emr", deletes("Observation/deleted", timestamp=LATER)),
    ("emr", bundle(result("deleted", "ann", 1), result("renewed", "ann", 1), timestamp=EARLY)),
    ("emr", deletes("Observation/renewed", timestamp=LATER)),
    ("emr", bundle(at(LATEST, result("renewed", "ann", 2)))),
    # one person in two feeds; a third record makes two persons one
    ("emr", bundle(at(EARLY, patient("ben", family="Ben", mrn="M-1")))),
    ("lab", bundle(at(EARLY, patient("ben-lab", family="Benjamin", mrn="M-1")), result("b", "ben-lab", 3))),
    ("emr", bundle(at(EARLY, patient("cleo", family="Cleo", mrn="M-2")))),
    ("emr", bundle(at(EARLY, patient("cleo-too", family="Cleo", ssn="999-12-3456")))),
    ("lab", bundle(at(EARLY, patient("cleo-lab", family="Cleo", mrn="M-2", ssn="999-12-3456")))),
    # what looked like one person turns out to be two
    ("emr", bundle(at(EARLY, patient("dan", family="Dan", mrn="M-3")))),
    ("lab", bundle(at(EARLY, patient("not-dan", family="Dan", mrn="M-3")))),
    ("lab", bundle(at(LATER, patient("not-dan", family="Dan", mrn="M-3", birth="1999-09-09")))),
    # a person whose record was deleted, and one of whom only results are known
    ("emr", deletes("Patient/eve", timestamp=LATER)),
    ("emr", bundle(patient("eve", family="Eve"), result("of-eve", "eve", 4), timestamp=EARLY)),
    ("emr", bundle(at(EARLY, result("of-nobody", "nobody", 6)))),
    # results inside of a report: one is corrected, one is taken back, one moves to another patient with its report
    ("emr", bundle(at(EARLY, report("r", "ann", coded("1-8", result("a", "", 1)), coded("2-6", result("b", "", 2)))))),
    ("emr", bundle(at(LATER, report("r", "ann", coded("1-8", result("a", "", 3)), status="corrected")))),
    ("emr", bundle(at(EARLY, report("moved", "ann", coded("3-4", result("c", "", 4)))))),
    ("emr", bundle(at(LATER, report("moved", "dan", coded("3-4", result("c", "", 4)), status="amended")))),
    # a report that is still final, and has less in it or nothing
    ("emr", bundle(at(LATER, report("less", "ann", coded("7-5", result("d", "", 1)))))),
    (
        "emr",
        bundle(at(EARLY, report("less", "ann", coded("7-5", result("d", "", 1)), coded("8-3", result("e", "", 2))))),
    ),
    ("emr", bundle(at(LATER, report("emptied", "ann")))),
    ("emr", bundle(at(EARLY, report("emptied", "ann", coded("9-1", result("f", "", 2)))))),
)
#: Resources for which nothing but landing decides.
UNDATED: tuple[File, ...] = (
    ("emr", bundle(result("undated", "flo", 1), patient("flo", family="Flo"))),
    ("emr", bundle(result("undated", "flo", 2), result("again", "flo", 1))),
    ("emr", bundle(result("again", "flo", 2))),
    ("emr", bundle(result("again", "flo", 1))),
    ("emr", deletes("Observation/undated-deleted", "Observation/undated-renewed")),
    ("emr", bundle(result("undated-renewed", "flo", 1), result("undated-gone", "flo", 1))),
    ("emr", deletes("Observation/undated-gone")),
    ("emr", bundle(result("of-gus", "gus", 1))),
    ("emr", bundle({"resourceType": "Patient", "id": "gus"})),
    # deleted without a time although their versions have one: an older version changes nothing, a newer one does
    (
        "emr",
        bundle(
            *(
                at(LATER, coded(code, result(name, "flo", 1)))
                for code, name in (("4-2", "taken-back"), ("5-9", "recreated"), ("6-7", "elsewhere"))
            )
        ),
    ),
    ("emr", deletes("Observation/taken-back", "Observation/recreated", "Observation/elsewhere")),
    (
        "emr",
        bundle(
            at(EARLY, coded("4-2", result("taken-back", "flo", 2))),
            at(LATEST, coded("5-9", result("recreated", "flo", 2))),
        ),
    ),
    ("emr", bundle(at(EARLY, coded("6-7", result("elsewhere", "gus", 2))))),
)
ALL = DATED + UNDATED


def land(world: World, files: Sequence[File]) -> None:
    for number, (feed, plain) in enumerate(files):
        world.land(f"{number:02}", plain, feed=feed)


def processed(world: World, files: Sequence[File], sizes: Sequence[int], order: Sequence[int]) -> World:
    """Land the files, cut them into batches of these sizes, and process the batches in this order."""
    land(world, files)
    cut = [world.form(size) for size in sizes]
    for place in order:
        world.process(cut[place])
    return world


def at_once(world: World, files: Sequence[File]) -> World:
    return processed(world, files, [len(files)], [0])


@pytest.fixture(scope="module")
def whole(new_world: Callable[..., World]) -> World:
    """All files in one batch."""
    return at_once(new_world(), ALL)


@pytest.fixture(scope="module")
def backwards(new_world: Callable[..., World]) -> World:
    """Every file in a batch of its own, the last one first."""
    return processed(new_world(), ALL, [1] * len(ALL), range(len(ALL))[::-1])


@pytest.fixture(scope="module", params=["whole", "backwards"])
def either(request: pytest.FixtureRequest) -> World:
    return request.getfixturevalue(request.param)


def values(world: World) -> dict[str, tuple[float, str]]:
    """Value and deciding rule of every result that is current."""
    rows = world.read("observation").select("resource_id", "value_value", "decided_by")
    return {name: (value, rule) for name, value, rule in rows.iter_rows()}


def shown(world: World) -> set[tuple[str, str, float]]:
    """Name, code and value of every result that the view shows."""
    return {
        (name, result["codes"][0].rpartition("|")[2], result["value_number"])
        for name, results in world.read("patient_view").select("name", "latest_results").iter_rows()
        for result in results
    }


def persons(world: World) -> list[list[str]]:
    """The records of every person."""
    views = world.read("patient_view")["records"].to_list()
    return sorted(sorted(record["patient_id"] for record in records) for records in views)


def test_the_last_batch_first_gives_equal_tables_and_states(whole, backwards):
    assert tables_of(backwards) == tables_of(whole)
    assert records_of(backwards) == records_of(whole)


def test_the_newest_stated_version_wins_in_whatever_order_they_come(either):
    found = values(either)
    assert (found["dated"], found["same"]) == ((2, "version"), (5, "only"))
    assert found["tie"][1] == "digest"
    assert either.read("patient").filter(resource_id="ann")["name"].item()[0]["family"] == "Ann-Married"


def test_without_stated_versions_the_later_landing_wins_and_the_row_says_so(either):
    found = values(either)
    assert found["undated"] == (2, "landing")
    # content that comes again keeps the place of its first landing
    assert found["again"] == (2, "landing")


def test_a_tombstone_hides_what_is_older_and_nothing_else(either):
    found = values(either)
    assert {"deleted", "undated-gone"}.isdisjoint(found)
    assert (found["renewed"], found["undated-renewed"]) == ((2, "version"), (1, "landing"))


def test_a_tombstone_without_a_time_hides_what_landed_before_it_with_one(either):
    assert {"taken-back", "elsewhere"}.isdisjoint(values(either))
    assert values(either)["recreated"] == (2, "version")
    assert {code for _, code, _ in shown(either)}.isdisjoint({"4-2", "6-7"})
    assert ("Flo", "5-9", 2) in shown(either)


def test_records_of_two_feeds_become_one_person_and_are_taken_apart_again(either):
    assert persons(either) == [
        ["ann"],
        ["ben", "ben-lab"],
        ["cleo", "cleo-lab", "cleo-too"],
        ["dan"],
        ["flo"],
        ["gus"],
        ["not-dan"],
    ]


def test_a_person_whose_record_was_deleted_has_no_view_and_a_bare_record_has_one(either):
    names = dict(either.read("patient_view").select("name", "person_id").iter_rows())
    assert "Eve" not in names
    assert None in names
    assert {"of-eve", "of-nobody"} <= set(values(either))


def test_results_inside_of_a_report_come_and_go_with_it(either):
    of_reports = {found for found in shown(either) if found[1] in ("1-8", "2-6", "3-4", "7-5", "8-3", "9-1")}
    assert of_reports == {("Ann-Married", "1-8", 3), ("Dan", "3-4", 4), ("Ann-Married", "7-5", 1)}


def test_any_order_of_landing_gives_the_same_tables_where_versions_are_stated(new_world):
    straight = at_once(new_world(), DATED)
    mixed = DATED[1::2] + DATED[::2][::-1]
    assert tables_of(at_once(new_world(), mixed)) == tables_of(straight)
    assert tables_of(processed(new_world(), DATED[::-1], [10, 9, 9], [1, 2, 0])) == tables_of(straight)


_POOL = (DATED[0], DATED[1], DATED[12], DATED[13], DATED[5], DATED[6], UNDATED[1], UNDATED[0], *UNDATED[9:])


@st.composite
def schedules(draw: st.DrawFn) -> tuple[list[File], list[int], list[int]]:
    """Some files in an order of landing, cut into up to four batches, in an order of processing."""
    files = draw(st.lists(st.sampled_from(_POOL), min_size=2, max_size=5))
    cuts = sorted({0, len(files), *draw(st.lists(st.integers(1, len(files) - 1), max_size=3))})
    sizes = [end - start for start, end in pairwise(cuts)]
    return files, sizes, draw(st.permutations(range(len(sizes))))


@pytest.mark.slow
@given(schedules())
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_schedule_of_processing_changes_tables_or_states(new_world, schedule):
    scheduled, reference = processed(new_world(), *schedule), at_once(new_world(), schedule[0])
    assert tables_of(scheduled) == tables_of(reference)
    assert records_of(scheduled) == records_of(reference)


def test_sending_everything_again_changes_nothing(new_world):
    world = new_world()
    world.put_criteria()
    sent = [(file.data, file.content_type) for file in bundles()] + [
        (plain, "application/fhir+json") for _, plain in UNDATED
    ]
    for number, (plain, content_type) in enumerate(sent):
        world.land(f"first-{number}", plain, content_type=content_type)
    world.drain()
    before = everything(world)
    for number, (plain, content_type) in enumerate(sent[::-1]):
        world.land(f"again-{number}", plain, content_type=content_type)
    world.drain()
    after = everything(world)
    repeated = [row for row in after.pop("ledger") if "again-" in row["object"]]
    assert len(repeated) == len(sent)
    for row in repeated:
        assert (row["state"], row["duplicates"], row["accepted"]) == ("published", row["entries"], 0)
    ledger = before.pop("ledger")
    assert [row for row in ledger_of(world) if "again-" not in row["object"]] == ledger
    assert after == before


def test_rows_are_the_same_in_however_many_files_they_are_staged(new_world, monkeypatch):
    def staged(bytes_per_file: int, rows_per_frame: int) -> tuple[World, int]:
        monkeypatch.setattr(stage, "BYTES_PER_FILE", bytes_per_file)
        monkeypatch.setattr(frames, "CHUNK_ROWS", rows_per_frame)
        world = new_world()
        for number in range(3):
            world.land(f"{number}", bundle(patient(f"p{number}"), result(f"r{number}", f"p{number}", number)))
        world.process(world.form(3))
        ((files,),) = world.rows("SELECT count(*) FROM ops.staged_file WHERE table_name = 'observation'")
        return world, files

    (whole, one), (split, several) = staged(2**30, 1000), staged(1, 1)
    assert (one, several) == (1, 3)
    assert tables_of(split) == tables_of(whole)
