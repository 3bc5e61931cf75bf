"""The sample world through the whole line, day by day, against its truth."""

from collections import Counter
from datetime import UTC, datetime

import pytest

from spv_platform.ledger.practices import Practice, put
from spv_platform.pipeline.criteria import refresh_criteria
from spv_platform.pipeline.landing.send import send
from spv_platform.pipeline.reading import reader
from spv_platform.pipeline.setup import add_tenant
from spv_platform.pipeline.telling.notifying import go_live
from spv_platform.sample.world import FEEDS, TENANTS, practices
from spv_platform.sample.world import world as sample_world

PATIENTS = 80


def live_through(world, sample):
    """Land every day's files and work them off; notifications are written, and sent to nobody."""
    platform = world.platform
    for tenant in TENANTS:
        add_tenant(platform, tenant, FEEDS[tenant])
        with platform.db.transaction() as cur:
            for name, organizations in practices().items():
                put(cur, tenant, Practice(name, "http://127.0.0.1:9/", organizations, b"sealed"))
    for day, (drops, files) in enumerate(zip(sample.drops, sample.feeds, strict=True)):
        for file in files:
            platform.s3.put_object(Bucket=platform.settings.feeds_bucket, Key=file.name, Body=file.data)
        assert not refresh_criteria(platform).problems
        for drop in drops:
            send(platform, drop.name, drop.data, drop.content_type, tenant=drop.tenant, feed=drop.feed)
        world.drain()
        if day == 0:
            for tenant in TENANTS:
                go_live(platform, tenant, who="test")


def persons_of(world, tenant):
    """Person id -> the records that it is made of."""
    views = reader(world.platform, tenant).current("patient_view").collect()
    return {
        row["person_id"]: {(record["source"], record["patient_id"]) for record in row["records"]}
        for row in views.iter_rows(named=True)
    }


def reason_of(row):
    """A verdict in the words of the truth."""
    if row["approved"]:
        return ""
    for reason, word in (("opted_out", "opted_out"), ("deceased", "deceased")):
        if reason in row["reasons"]:
            return word
    if {"cohort_closed", "trial_not_recruiting"} & set(row["reasons"]):
        return "closed"
    return "against" if row["verdict"] == "not_eligible" else "not_known"


@pytest.fixture(scope="module", params=[1, pytest.param(2, marks=pytest.mark.slow)])
def lived(request, new_world):
    sample = sample_world(request.param, PATIENTS, today=datetime.now(UTC).date())
    world = new_world()
    live_through(world, sample)
    return world, sample.truth


def test_records_are_one_person_exactly_where_they_are(lived):
    world, truth = lived
    for tenant in TENANTS:
        found = sorted(sorted(records) for records in persons_of(world, tenant).values())
        by_label = {}
        for (of, feed, patient_id), label in truth.records.items():
            if of == tenant:
                by_label.setdefault(label, []).append((feed, patient_id))
        assert found == sorted(sorted(records) for records in by_label.values())
        assert len(found) == truth.persons[tenant]


def test_everybody_is_approved_or_not_for_the_reason_that_is_true(lived):
    world, truth = lived
    for tenant in TENANTS:
        labels = {
            person: {truth.records[tenant, *record] for record in records}
            for person, records in persons_of(world, tenant).items()
        }
        verdicts = reader(world.platform, tenant).current("cohort_verdict").collect()
        found = {
            (tenant, label, row["trial"], row["cohort"]): reason_of(row)
            for row in verdicts.iter_rows(named=True)
            for label in labels[row["person_id"]]
        }
        expected = {key: reason for key, reason in truth.reasons.items() if key[0] == tenant}
        assert {key: (found.get(key), reason) for key, reason in expected.items() if found.get(key) != reason} == {}
        assert len(found) == len(expected)
    approved = world.rows("SELECT tenant, count(*) FROM ops.approval WHERE status = 'approved' GROUP BY tenant")
    assert dict(approved) == dict(truth.approved)


def test_practices_have_the_news_that_is_theirs(lived):
    world, truth = lived
    digests = world.rows("SELECT tenant, practice, (payload->>'count')::int FROM ops.outbox WHERE kind = 'digest'")
    assert {(tenant, practice): count for tenant, practice, count in digests} == dict(truth.digests)
    in_force = (
        "EXISTS (SELECT 1 FROM ops.approval a WHERE a.tenant = o.tenant AND a.person_id = o.payload->>'person'"
        " AND a.trial = o.payload->>'trial' AND a.status = 'approved')"
    )
    news = world.rows(
        f"SELECT tenant, practice, {in_force} FROM ops.outbox o"  # noqa: S608
        " WHERE kind <> 'digest' AND digest_id IS NULL"
    )
    events = Counter((tenant, practice) for tenant, practice, holds in news if practice and holds)
    unrouted = Counter(tenant for tenant, practice, holds in news if not practice and holds)
    assert events == truth.events
    assert unrouted == truth.unrouted
    assert truth.notified == len(digests) + events.total()


def test_only_what_was_broken_is_set_aside(lived):
    world, truth = lived
    for tenant in TENANTS:
        found = world.rows("SELECT reason FROM ops.entry_quarantine WHERE tenant = %s", tenant)
        assert sorted(reason for (reason,) in found) == truth.quarantined[tenant]
    assert {state for (state,) in world.rows("SELECT DISTINCT state FROM ops.batch")} == {"published"}
