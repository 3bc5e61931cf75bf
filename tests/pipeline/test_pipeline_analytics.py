"""Analyst tables of a whole installation: nobody can be recognised, and their key opens nothing else."""

import base64
import json
from datetime import UTC, datetime

import boto3
import dagster as dg
import polars as pl
import pytest
from click.testing import CliRunner
from pipeline_bundles import MRN, bundle, patient, result

from spv_platform.analytics.pseudonyms import MOST_SHIFT_DAYS
from spv_platform.analytics.store import open_table, url
from spv_platform.analytics.tables import SMALLEST_CELL, TABLES, schema_of
from spv_platform.assets import analyst_tables
from spv_platform.errors import UsageError
from spv_platform.pipeline.analytics import analyst_lake, build_analytics, store_key
from spv_platform.pipeline.criteria import refresh_criteria
from spv_platform.pipeline.dictionary import page
from spv_platform.pipeline.landing.send import send
from spv_platform.pipeline.opting_out import change_list
from spv_platform.pipeline.patient_facts import unmapped_codes
from spv_platform.pipeline.setup import add_tenant
from spv_platform.resources.platform import PlatformResource
from spv_platform.sample.world import FEEDS
from spv_platform.sample.world import world as sample_world

TENANT = "north"
CANARIES = ("zqxfamilyqxz", "zqxgivenqxz", "zqxmrnqxz", "zqxstreetqxz", "zqxcityqxz", "zqxphoneqxz", "zqxwordsqxz")
FAMILY, GIVEN, NUMBER, STREET, CITY, PHONE, WORDS = CANARIES
ID = "zqxidqxz"
BORN, DIED = "1931-05-06", "2026-02-03"


def planted():
    """Somebody with identifying text wherever a record can have it."""
    who = patient(
        ID,
        family=FAMILY,
        mrn=NUMBER,
        ssn="987-65-4321",
        birth=BORN,
        gender="female",
        deceasedDateTime=DIED,
        address=[{"line": [STREET], "city": CITY, "postalCode": "03603", "country": "US"}],
        telecom=[{"system": "phone", "value": PHONE}],
    )
    who["name"][0]["given"] = [GIVEN]
    coded = result(f"{ID}-1", ID, 7, note=[{"text": WORDS}])
    coded["code"] |= {"text": WORDS}
    local = result(f"{ID}-2", ID, 8)
    local["code"] = {"coding": [{"system": "http://hospital.example.org/local", "code": WORDS, "display": WORDS}]}
    local["valueQuantity"]["unit"] = WORDS
    del local["valueQuantity"]["code"], local["valueQuantity"]["system"]
    said = result(f"{ID}-3", ID, 9)
    del said["valueQuantity"]
    said["valueString"] = WORDS
    problem = {
        "resourceType": "Condition",
        "id": f"{ID}-4",
        "subject": {"reference": f"Patient/{ID}"},
        "code": {"text": WORDS, "coding": [{"system": "http://snomed.info/sct", "code": "59621000", "display": WORDS}]},
        "onsetDateTime": "2015-06-07",
    }
    return bundle(who, coded, local, said, problem)


@pytest.fixture(scope="module")
def built(new_world):
    """An installation with a part of the sample world and the planted person, and its analyst tables."""
    world = new_world()
    platform = world.platform
    add_tenant(platform, TENANT, FEEDS[TENANT])
    sample = sample_world(1, 80, today=datetime.now(UTC).date())
    for file in sample.feeds[0]:
        platform.s3.put_object(Bucket=platform.settings.feeds_bucket, Key=file.name, Body=file.data)
    refresh_criteria(platform)
    for drop in sample.drops[0]:
        if drop.tenant == TENANT:
            send(platform, drop.name, drop.data, drop.content_type, tenant=TENANT, feed=drop.feed)
    world.land("planted", planted())
    world.drain()
    report = build_analytics(platform, TENANT)
    return world, report


def table(world, name):
    return pl.from_arrow(open_table(analyst_lake(world.platform), TENANT, name).to_pyarrow_table())


def everything(world):
    return {name.name: table(world, name.name) for name in TABLES}


def test_the_tables_have_the_described_columns_and_the_rows_that_were_reported(built):
    world, report = built
    for description in TABLES:
        found = table(world, description.name)
        assert dict(found.schema) == schema_of(description)
        assert found.height == report.rows[description.name] > 0


def test_everybody_who_takes_part_is_there_once(built):
    world, report = built
    views = world.read("patient_view")
    persons = table(world, "person")
    assert report.left_out == views["opted_out"].sum() > 0
    assert persons.height == views.height - report.left_out
    assert persons["person_key"].is_unique().all()
    for name in ("diagnosis", "biomarker", "result", "patient_fact"):
        assert set(table(world, name)["person_key"]) <= set(persons["person_key"])


def test_no_direct_identifier_is_in_any_table(built):
    world, _ = built
    text = "\n".join(frame.write_csv() for frame in everything(world).values()).lower()
    assert not [canary for canary in (*CANARIES, ID, "987-65-4321", BORN) if canary in text]
    views = world.read("patient_view")
    for row in views.iter_rows(named=True):
        assert row["person_id"] not in text
        for item in row["identifiers"]:
            assert item["value"].lower() not in text
        for item in (*row["names"], *row["addresses"], *row["telecoms"]):
            assert item["text"].lower() not in text
    # The same text is in the tenant's own tables: else this would prove nothing.
    assert FAMILY in str(views["name"].to_list())


def test_the_planted_person_is_told_by_group_and_area_only(built):
    world, _ = built
    (who,) = table(world, "person").filter(age="90+", zip3="000", sex="female", deceased=True).to_dicts()
    found = table(world, "result").filter(person_key=who["person_key"])
    # Of the three results one has a public code; what was said in words, and the local test, are left out.
    assert [(row["code"], row["value"], row["unit"]) for row in found.to_dicts()] == [
        ("http://loinc.org|718-7", 7, "g/dL"),
    ]
    assert set(table(world, "person")["age"].drop_nulls().str.strip_chars_end("+").cast(pl.Int32)) <= set(range(91))


def test_facts_of_analysts_hold_what_the_narrower_tables_hold_and_nothing_in_words(built):
    world, _ = built
    facts = table(world, "patient_fact")
    (who,) = table(world, "person").filter(age="90+", zip3="000", sex="female", deceased=True).to_dicts()
    mine = facts.filter(person_key=who["person_key"])
    # the second result was said in words, which are left out
    assert mine.select("kind", "code", "value").sort("kind", "value", nulls_last=True).rows() == [
        ("condition", "http://snomed.info/sct|59621000", None),
        ("lab", "http://loinc.org|718-7", 7.0),
        ("lab", "http://loinc.org|718-7", None),
    ]
    for name, kinds in (("biomarker", {"marker": "tumor_marker"}), ("diagnosis", {"problem": "condition"})):
        shown = table(world, name).with_columns(kind=pl.col("kind").replace(kinds))
        assert shown.join(facts, on=["person_key", "kind", "code"], how="anti", nulls_equal=True).is_empty()


def test_no_date_is_the_true_one_and_intervals_are_kept(built):
    world, _ = built
    facts = world.read("patient_view").explode("problems").select("problems").unnest("problems")
    assert "2015-06-07" in facts["date"].to_list()
    ours = table(world, "person").filter(age="90+", zip3="000", sex="female", deceased=True)["person_key"].item()
    onset = table(world, "diagnosis").filter(person_key=ours, kind="problem")["onset_shifted"].item()
    taken = table(world, "result").filter(person_key=ours)["taken_shifted"].unique().item()
    true_onset, true_taken = datetime(2015, 6, 7).date(), datetime(2026, 3, 2).date()
    assert 1 <= (true_onset - onset).days <= MOST_SHIFT_DAYS
    assert taken - onset == true_taken - true_onset


def test_of_everybody_each_date_is_earlier_than_the_true_one(built):
    world, _ = built
    persons = table(world, "person").drop_nulls("last_encounter_shifted")
    true = world.read("patient_view").filter(~pl.col("opted_out")).drop_nulls("last_encounter")
    assert persons.height == true.height > 10
    days = true["last_encounter"].str.slice(0, 10).str.to_date()
    # Who is who cannot be told, so the sums are compared: every date went back by one day at least.
    moved = days.cast(pl.Int32).sum() - persons["last_encounter_shifted"].cast(pl.Int32).sum()
    assert true.height <= moved <= true.height * MOST_SHIFT_DAYS


def test_the_shipped_summary_has_no_small_cell(built):
    world, _ = built
    summary = table(world, "cohort_summary")
    told = summary["persons"].drop_nulls()
    assert ((told == 0) | (told >= SMALLEST_CELL)).all()
    assert (summary["persons"].is_null() == summary["suppressed"]).all()
    hidden = summary.group_by("trial", "cohort").agg(pl.col("suppressed").sum())["suppressed"]
    assert (hidden != 1).all()
    verdicts = world.read("cohort_verdict").filter("approved")
    assert verdicts.height > 0


def test_the_tables_say_that_their_dates_are_shifted(built):
    world, _ = built
    for description in TABLES:
        opened = open_table(analyst_lake(world.platform), TENANT, description.name)
        assert "Shifted" in opened.metadata().description
        assert "intervals are true, the days are not" in opened.history(1)[0]["dates"]


def test_the_analysts_key_opens_their_tables_and_nothing_else_of_the_tenant(built):
    world, _ = built
    key = store_key(world.platform, TENANT, who="test")
    assert world.rows("SELECT count(*) > 0 FROM ops.audit WHERE action = 'analytics key'") == [(True,)]
    s3, bucket = world.platform.s3, world.settings.lake_bucket
    listed = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{TENANT}/")
    names = [item["Key"] for page_ in listed for item in page_.get("Contents", [])]

    def opens(name, customer_key):
        try:
            s3.get_object(Bucket=bucket, Key=name, SSECustomerAlgorithm="AES256", SSECustomerKey=customer_key)[
                "Body"
            ].read()
        except s3.exceptions.ClientError:
            return False
        return True

    theirs = [name for name in names if name.startswith(f"{TENANT}/analytics/")]
    others = [name for name in names if name not in theirs]
    assert len(theirs) > len(TABLES)
    assert len(others) > 10
    assert all(opens(name, key) for name in theirs)
    assert not any(opens(name, key) for name in others)
    assert not any(opens(name, world.platform.tenant_keys(TENANT).lake) for name in theirs)
    with pytest.raises(s3.exceptions.ClientError):
        s3.get_object(Bucket=bucket, Key=theirs[0])


def test_other_tools_read_them_with_the_key_and_the_analysts_credential(built):
    world, _ = built
    lake = analyst_lake(world.platform)
    options = lake.storage_options(TENANT) | {
        "aws_access_key_id": world.settings.analyst_access_key_id,
        "aws_secret_access_key": world.settings.analyst_secret_access_key,
    }
    assert (
        options["aws_sse_customer_key_base64"] == base64.b64encode(store_key(world.platform, TENANT, who="t")).decode()
    )
    assert pl.read_delta(url(lake, TENANT, "person"), storage_options=options).height > 0


def test_the_analysts_credential_reads_nothing_else_and_writes_nothing(built):
    world, _ = built
    settings = world.settings
    s3 = boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        region_name=settings.s3_region,
        aws_access_key_id=settings.analyst_access_key_id,
        aws_secret_access_key=settings.analyst_secret_access_key,
    )
    lake, theirs = settings.lake_bucket, f"{TENANT}/analytics/"
    assert s3.list_objects_v2(Bucket=lake, Prefix=theirs)["KeyCount"] > 0
    for refused in (
        lambda: s3.list_objects_v2(Bucket=lake),
        lambda: s3.list_objects_v2(Bucket=lake, Prefix=f"{TENANT}/log/"),
        lambda: s3.list_objects_v2(Bucket=settings.landing_bucket),
        lambda: s3.put_object(Bucket=lake, Key=f"{theirs}person/x", Body=b"x"),
        lambda: s3.delete_object(Bucket=lake, Key=f"{theirs}person/_delta_log/00000000000000000000.json"),
    ):
        with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
            refused()


def test_the_command_prints_the_address_and_what_opens_it(built, monkeypatch):
    from spv_platform.cli import analytics

    world, _ = built
    monkeypatch.setattr(analytics, "open_platform", lambda: world.platform)
    printed = CliRunner().invoke(analytics.analytics, ["key", "--tenant", TENANT, "--json"])
    found = json.loads(printed.output)
    assert found["address"] == f"s3://{world.settings.lake_bucket}/{TENANT}/analytics"
    assert base64.b64decode(found["key"]) == store_key(world.platform, TENANT, who="t")
    assert found["access_key_id"] != world.settings.s3_access_key_id
    built_again = CliRunner().invoke(analytics.analytics, ["build", "--tenant", TENANT])
    assert built_again.exit_code == 0
    assert "person " in built_again.output


def test_whoever_opts_out_is_gone_with_the_next_build_and_the_others_keep_their_pseudonyms(built, tmp_path):
    world, first = built
    before = table(world, "person")
    listed = tmp_path / "list"
    listed.write_text(f"{MRN}|{NUMBER}\n")
    change_list(world.platform, TENANT, listed, "add", who="test")
    world.drain()
    again = build_analytics(world.platform, TENANT)
    change_list(world.platform, TENANT, listed, "remove", who="test")
    assert again.left_out == first.left_out + 1
    after = table(world, "person")
    assert before.join(after, on="person_key", how="anti").height == 1
    assert after.join(before, on="person_key", how="anti").height == 0


def test_building_twice_gives_the_same_rows(built):
    world, _ = built
    world.drain()
    build_analytics(world.platform, TENANT)
    first = everything(world)
    build_analytics(world.platform, TENANT)
    assert all(frame.equals(first[name]) for name, frame in everything(world).items())


def test_a_tenant_without_publications_has_no_tables_and_an_unknown_one_is_an_error(built):
    world, _ = built
    assert build_analytics(world.platform, "south").publication == 0
    with pytest.raises(UsageError, match="spv tenant list"):
        build_analytics(world.platform, "west")


def test_the_asset_reports_counts(built, monkeypatch):
    world, _ = built
    monkeypatch.setattr(PlatformResource, "open", lambda _: world.platform)
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions("tenant", [TENANT, "south"])
        made = {
            tenant: dg.materialize(
                [analyst_tables], partition_key=tenant, instance=instance, resources={"platform": PlatformResource()}
            )
            for tenant in (TENANT, "south")
        }
    (event,) = made[TENANT].asset_materializations_for_node("analyst_tables")
    assert event.metadata["person rows"].value == table(world, "person").height
    counted = {name: value.value for name, value in event.metadata.items() if name.startswith("unmapped facts")}
    codes = unmapped_codes(world.platform, TENANT).group_by("kind").agg(pl.col("facts").sum())
    assert counted == {f"unmapped facts, {kind}": count for kind, count in codes.iter_rows()}
    (event,) = made["south"].asset_materializations_for_node("analyst_tables")
    assert "nothing" in event.metadata["outcome"].value


def test_the_page_of_tables_is_up_to_date(request):
    written = (request.config.rootpath / "docs" / "tables.md").read_text()
    assert written == page(), "run `make docs`"


def test_the_command_prints_the_page():
    from spv_platform.cli.docs import docs

    result = CliRunner().invoke(docs, ["tables"])
    assert result.exit_code == 0
    assert result.output == page()


def test_every_column_of_every_analyst_table_is_in_the_page():
    text = page()
    assert all(f"| `{name}` |" in text for description in TABLES for name in schema_of(description))
