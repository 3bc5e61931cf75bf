"""What people and other parts of the platform ask the pipeline for: bodies, persons, criteria, waiting."""

import gzip
import json
from collections.abc import Callable

import pytest
from pipeline_bundles import MRN, bundle, patient, result
from pipeline_world import TENANT, World, reasons

from spv_platform.errors import PermanentError, UsageError
from spv_platform.ledger import criteria
from spv_platform.pipeline import criteria as criteria_files
from spv_platform.pipeline.bodies import body
from spv_platform.pipeline.criteria import cohort_rows, feeds_digest, is_behind, put_file, refresh_criteria
from spv_platform.pipeline.landing import send
from spv_platform.pipeline.matching import ready_criteria
from spv_platform.pipeline.opting_out import change_list
from spv_platform.pipeline.persons import look_up
from spv_platform.pipeline.reading import reader
from spv_platform.pipeline.setup import prepare_home
from spv_platform.pipeline.waiting import wait_for
from spv_platform.sample import bundles

ANN = patient("ann", mrn="M-1", family="Ann")


@pytest.fixture(scope="module")
def world(new_world: Callable[..., World]) -> World:
    """Two tenants with patients of equal ids and numbers, and criteria."""
    world = new_world()
    world.put_criteria()
    for tenant, value in ((TENANT, 1), ("south", 2)):
        content = bundle(ANN, result("r", "ann", value))
        send.send(world.platform, "file", content, send.BUNDLE, tenant=tenant, feed="emr")
    for file in bundles("south"):
        send.send(world.platform, file.name, file.data, file.content_type, tenant="south", feed="emr")
    world.drain()
    return world


def test_tenants_do_not_see_each_other(world):
    assert list(world.read("observation")["value_value"]) == [1]
    assert (
        world.read("patient_view")["person_id"].is_in(world.read("patient_view", "south")["person_id"]).any() is False
    )
    assert world.read("patient_view").height == 1
    assert world.rows("SELECT DISTINCT tenant FROM ops.approval") == [("south",)]
    blocks = world.rows("SELECT tenant, unnest(blocks) FROM ops.record_state")
    north, south = ({block for tenant, block in blocks if tenant == name} for name in (TENANT, "south"))
    assert north
    assert north.isdisjoint(south)


def test_the_body_of_a_resource_is_as_sent_and_looking_is_audited(world):
    assert json.loads(body(world.platform, TENANT, "emr", "Patient/ann", who="me")) == ANN
    (seen,) = world.rows("SELECT who, action, tenant, what FROM ops.audit WHERE action = 'resource show'")
    assert seen[:3] == ("me", "resource show", TENANT)
    assert "ann" not in seen[3]


def test_a_body_that_nobody_has_is_said_to_be_missing(world):
    for reference in ("Patient/nobody", "Device/none"):
        with pytest.raises(UsageError, match="has no current"):
            body(world.platform, TENANT, "emr", reference, who="me")
    with pytest.raises(UsageError, match="TYPE/ID"):
        body(world.platform, TENANT, "emr", "ann", who="me")


def test_a_body_whose_object_is_gone_is_a_permanent_failure(new_world):
    world = new_world()
    key = world.land("one", bundle(ANN))
    world.drain()
    ((version,),) = world.rows("SELECT version FROM ops.object")
    world.platform.s3.delete_object(Bucket=world.settings.landing_bucket, Key=key, VersionId=version)
    with pytest.raises(PermanentError, match="object_gone"):
        body(world.platform, TENANT, "emr", "Patient/ann", who="me")


def test_a_person_is_found_by_record_number_and_enterprise_id(world):
    person = look_up(world.platform, TENANT, "Patient/ann", source="emr", who="me")
    assert person.view["name"] == "Ann"
    assert person.cohorts.height == 3
    for wanted in (f"{MRN}|M-1", person.view["person_id"]):
        assert look_up(world.platform, TENANT, wanted, source="emr", who="me").view == person.view
    assert len(world.rows("SELECT 1 FROM ops.audit WHERE action = 'patient show'")) == 3


@pytest.mark.parametrize("wanted", ["Patient/nobody", "p-nobody", f"{MRN}|nobody"])
def test_nobody_is_found_by_what_nobody_has(world, wanted):
    with pytest.raises(UsageError, match="no such person"):
        look_up(world.platform, TENANT, wanted, source="emr", who="me")


def test_an_identifier_of_several_persons_finds_none_of_them(new_world):
    world = new_world()
    with pytest.raises(UsageError, match="no published patients"):
        look_up(world.platform, TENANT, "p", source="emr", who="me")
    world.land("two", bundle(ANN, patient("ben", mrn="M-1", birth="1999-01-01")))
    world.drain()
    with pytest.raises(UsageError, match="2 persons"):
        look_up(world.platform, TENANT, f"{MRN}|M-1", source="emr", who="me")


def test_a_publication_that_never_was_cannot_be_read(world):
    with pytest.raises(UsageError, match="no publication 99"):
        reader(world.platform, TENANT, 99)
    assert reader(world.platform, "nobody").tables() == []


def test_preparing_a_home_again_changes_nothing(world):
    before = world.rows("SELECT tenant, feed FROM ops.feed ORDER BY 1, 2")
    prepare_home(world.settings)
    assert world.rows("SELECT tenant, feed FROM ops.feed ORDER BY 1, 2") == before
    assert look_up(world.platform, TENANT, "Patient/ann", source="emr", who="me").view["name"] == "Ann"


@pytest.mark.parametrize("packed", [False, True])
def test_files_are_read_plain_or_packed_and_their_type_is_told_by_name(tmp_path, packed):
    for name, kind in (("a.json", send.BUNDLE), ("b.ndjson", send.NDJSON)):
        file = tmp_path / (f"{name}.gz" if packed else name)
        file.write_bytes(gzip.compress(b"{}") if packed else b"{}")
        assert list(send.read_parts(file)) == [(b"{}", kind)]


def test_a_file_that_cannot_be_read_is_said_so(tmp_path):
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(b"{}" * 1000)[:-12])
    for file in (cut, tmp_path / "none.json"):
        with pytest.raises(UsageError, match="cannot be read"):
            list(send.read_parts(file))


@pytest.mark.parametrize("packed", [False, True])
def test_long_ndjson_comes_in_parts_of_whole_lines(tmp_path, packed):
    lines = b"".join(b'{"resourceType":"Basic","id":"%d"}\n' % number for number in range(100)) + b"{}"
    file = tmp_path / "export.ndjson"
    file.write_bytes(gzip.compress(lines) if packed else lines)
    parts = [part for part, kind in send.read_parts(file, part_bytes=1000) if kind == send.NDJSON]
    assert b"".join(parts) == lines
    assert all(part.endswith(b"\n") for part in parts[:-1])
    assert {len(part) // 1000 for part in parts[:-1]} == {1}
    assert list(send.read_parts(file)) == [(lines, send.NDJSON)]


def test_a_long_file_that_only_says_that_it_is_ndjson_is_not_cut(tmp_path):
    file = tmp_path / "bundle.ndjson"
    file.write_bytes(b'{\n  "resourceType": "Bundle"\n}\n' * 100)
    with pytest.raises(UsageError, match=r"is no NDJSON.*name it \.json"):
        list(send.read_parts(file, part_bytes=100))
    assert len(list(send.read_parts(file))) == 1


def test_a_file_with_nothing_in_it_is_sent_all_the_same(tmp_path):
    (tmp_path / "none.ndjson").write_bytes(b"")
    assert list(send.read_parts(tmp_path / "none.ndjson")) == [(b"", send.NDJSON)]


def test_a_sent_file_is_named_by_tenant_feed_and_day_alone(world):
    landed = send.send(world.platform, "Jane Doe.json", bundle(ANN), send.BUNDLE, tenant=TENANT, feed="lab")
    assert landed.object.startswith(f"{world.settings.landing_bucket}/{TENANT}/lab/20")
    assert "Doe" not in landed.object
    world.drain()
    assert ("published", None) in reasons(world).values()


def test_files_that_change_while_they_are_read_are_read_again(new_world, tmp_path, monkeypatch):
    world = new_world()
    file = tmp_path / "bad.yaml"
    file.write_bytes(b"trial: [")
    read = criteria_files.parse_trial

    def meanwhile(*content):
        monkeypatch.setattr(criteria_files, "parse_trial", read)
        put_file(world.platform, file)
        return read(*content)

    monkeypatch.setattr(criteria_files, "parse_trial", meanwhile)
    assert is_behind(world.platform, feeds_digest(world.platform))
    world.put_criteria()
    assert not is_behind(world.platform, feeds_digest(world.platform))
    assert refresh_criteria(world.platform).problems


def test_a_criteria_file_that_cannot_be_read_is_reported_and_the_others_count(new_world, tmp_path):
    world = new_world()
    world.put_criteria()
    before = feeds_digest(world.platform)
    for name, content in (("bad.yaml", b"trial: ["), ("bad.json", b"{"), ("latin.yaml", b"\xff")):
        file = tmp_path / name
        file.write_bytes(content)
        put_file(world.platform, file)
    double = tmp_path / "double.yaml"
    double.write_bytes(
        world.platform.s3.get_object(Bucket=world.settings.feeds_bucket, Key="criteria/NCT00000001.yaml")["Body"].read()
    )
    put_file(world.platform, double)
    assert feeds_digest(world.platform) != before
    report = refresh_criteria(world.platform)
    assert (report.changed, report.trials, report.cohorts, report.studies) == (False, 2, 3, 2)
    assert sorted(problem.split(":")[0] for problem in report.problems) == [
        "criteria/bad.yaml",
        "criteria/double.yaml",
        "criteria/latin.yaml",
        "ctgov/bad.json",
    ]
    with pytest.raises(UsageError, match="rename it"):
        put_file(world.platform, tmp_path / "criteria.txt")


def test_what_is_probably_not_meant_is_told_once_of_files_that_come_in_force(new_world, tmp_path):
    world = new_world()
    world.put_criteria()
    odd = "{id: A, criteria: {id: x, wording: w, biomarker: {gene: EGRF}}}"
    (tmp_path / "odd.yaml").write_text(f"trial: NCT00000009\ncohorts: [{odd}]")
    put_file(world.platform, tmp_path / "odd.yaml")
    report = refresh_criteria(world.platform)
    place = "criteria/odd.yaml: NCT00000009: cohort A: criterion x"
    assert report.remarks == [f"{place}: gene `EGRF` is not a known HGNC symbol"]
    assert (report.trials, report.problems) == (3, [])
    assert refresh_criteria(world.platform).remarks == []


def test_criteria_are_made_ready_once_and_again_when_others_come(new_world):
    world = new_world()
    with world.platform.db.transaction() as cur:
        assert ready_criteria(cur).trials == []
    world.put_criteria()
    with world.platform.db.transaction() as cur:
        first = ready_criteria(cur)
        assert [trial.trial for trial in first.trials] == ["NCT00000001", "NCT00000002"]
        assert ready_criteria(cur) is first
        documents = criteria.newest(cur).documents
        criteria.put_version(cur, "another", {**documents, "trials": documents["trials"][:1]})
        assert [trial.trial for trial in ready_criteria(cur).trials] == ["NCT00000001"]


def test_cohorts_are_listed_with_the_registrys_status(world, new_world):
    rows = {(row["trial"], row["cohort"]): row["registry_status"] for row in cohort_rows(world.platform)}
    assert rows == {
        ("NCT00000001", "lung"): "RECRUITING",
        ("NCT00000001", "melanoma"): "RECRUITING",
        ("NCT00000002", "breast"): "COMPLETED",
    }
    assert cohort_rows(new_world().platform) == []


def test_an_opt_out_list_with_a_bad_line_changes_nothing(world, tmp_path):
    listed = tmp_path / "list"
    listed.write_text("http://x|1\nno identifier\n")
    with pytest.raises(UsageError, match="line 2"):
        change_list(world.platform, TENANT, listed, "add", who="me")
    assert world.rows("SELECT count(*) FROM ops.opt_out") == [(0,)]


def test_waiting_ends_when_all_is_done_and_says_what_is_missing_when_not(new_world):
    world = new_world()
    world.land("one", bundle(ANN))
    world.land("bad", b"[]")
    names = [f"{b}/{k}@{v}" for b, k, v in world.rows("SELECT bucket, key, version FROM ops.object")]
    with pytest.raises(UsageError, match="2 of 2 objects"):
        wait_for(world.platform, names, timeout_s=0)
    world.drain()
    seen: list[int] = []
    wait_for(world.platform, names, timeout_s=0, progress=seen.append)
    assert seen == [2]
    with pytest.raises(UsageError, match="0 of 2 objects"):
        wait_for(world.platform, names, timeout_s=0, criteria=True)
