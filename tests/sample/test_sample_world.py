"""The sample world's own promises: equal for equal arguments, valid, of any size in little memory."""

import importlib
import json
import subprocess
import sys
from collections import Counter
from datetime import date

import pytest

from spv_platform.fhir.parse import parse_object
from spv_platform.sample.files import FHIR_NDJSON
from spv_platform.sample.world import DAYS, FEEDS, TENANTS, generate, numbers, practices, world
from spv_platform.sample.world.files import people
from spv_platform.sample.world.stories import CAST
from spv_platform.sample.world.truth import COHORTS, REASONS, truth_about
from spv_platform.trials.criteria import parse_trial
from spv_platform.trials.lint import lint
from spv_platform.trials.registry import parse_studies

TODAY = date(2026, 3, 10)


def entries_of(drop):
    if drop.content_type == FHIR_NDJSON:
        return [json.loads(line) for line in drop.data.splitlines() if line.endswith(b"}")]
    return [entry["resource"] for entry in json.loads(drop.data)["entry"] if "resource" in entry]


def test_equal_arguments_give_equal_bytes_and_another_seed_other_people():
    assert world(5, 40, today=TODAY) == world(5, 40, today=TODAY)
    assert world(5, 40, today=TODAY).drops != world(6, 40, today=TODAY).drops


def test_the_streaming_form_tells_the_same():
    small = world(5, 90, today=TODAY)
    assert [drop for day in small.drops for drop in day] == list(generate(5, 90, today=TODAY))
    counted = numbers(5, 90, today=TODAY)
    for name in ("persons", "approved", "digests", "events", "unrouted", "notified"):
        assert getattr(counted, name) == getattr(small.truth, name), name


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_contract_takes_everything_but_the_broken_entries(seed):
    for at, drop in enumerate(generate(seed, 120, today=TODAY)):
        parsed = parse_object(
            drop.data,
            content_type=drop.content_type,
            source=drop.feed,
            landing_seq=at,
            source_object=drop.name,
            batch_id="batch",
            max_entries=100_000,
        )
        assert tuple(entry.reason for entry in parsed.quarantined) == drop.broken, drop.name
        assert parsed.balances
        assert parsed.references == []


def test_resources_are_valid_by_another_implementation_too():
    for drop in generate(1, 2 * len(CAST), today=TODAY):
        for resource in entries_of(drop):
            if resource["id"] == "without-status":
                continue
            kind = resource["resourceType"]
            module = importlib.import_module(f"fhir.resources.R4B.{kind.lower()}")
            getattr(module, kind).model_validate_json(json.dumps(resource))


def test_every_feed_sends_on_the_first_day_and_things_change_later():
    days = world(1, 2 * len(CAST), today=TODAY).drops
    assert {(drop.tenant, drop.feed) for drop in days[0]} == {(t, feed) for t in TENANTS for feed in FEEDS[t]}
    assert all(days)
    assert any(b"DELETE" in drop.data for drop in days[2])


def test_all_reasons_occur_and_every_cohort_but_the_full_one_approves_somebody():
    truth = world(1, 2 * len(CAST), today=TODAY).truth
    assert set(truth.reasons.values()) == {*REASONS, ""}
    approved = {(trial, cohort) for (_, _, trial, cohort), reason in truth.reasons.items() if not reason}
    assert set(COHORTS) - approved == {("NCT99000006", "V600K"), ("NCT99000007", "BRCA2")}


def test_most_people_lack_most_tests():
    tests = Counter()
    everybody = list(people(1, 1000, TENANTS, TODAY))
    for person in everybody:
        tests.update({entry.says for entry in person.entries if entry.says.startswith(("gene:", "marker:", "msi"))})
    assert tests
    assert all(count < len(everybody) / 4 for count in tests.values())


def test_whoever_is_told_of_has_no_record_that_is_linked_later():
    # An approved person who gains a record may get another enterprise id, and so would be news again.
    for person in people(3, 2000, TENANTS, TODAY):
        approved = truth_about(person, TODAY).approved
        for day in range(1, DAYS):
            assert not approved[day - 1] or set(person.present(day)) <= set(person.present(day - 1))


def test_criteria_are_well_written_and_the_truth_knows_every_cohort():
    cohorts = set()
    for file in world(1, 2, today=TODAY).feeds[0]:
        if file.name.startswith("criteria/"):
            trial = parse_trial(file.data.decode(), file.name)
            assert lint(trial) == []
            cohorts |= {(trial.trial, cohort.id) for cohort in trial.cohorts}
    assert cohorts == set(COHORTS)


def test_the_second_edition_of_the_registry_opens_one_trial_and_closes_another():
    first, second = (
        {study.nct_id: study.recruiting for file in files if "ctgov" in file.name for study in parse_studies(file.data)}
        for files in (world(1, 2, today=TODAY).feeds[0], world(1, 2, today=TODAY).feeds[-1])
    )
    assert {trial for trial in first if second[trial] and not first[trial]} == {"NCT99000008"}
    assert {trial for trial in first if first[trial] and not second[trial]} == {"NCT99000007"}


def test_identifiers_are_nobodys():
    for drop in generate(1, 60, today=TODAY):
        for resource in entries_of(drop):
            for identifier in resource.get("identifier", []):
                if identifier["system"].endswith("us-ssn"):
                    assert identifier["value"].startswith("9")
            for telecom in resource.get("telecom", []):
                assert telecom["value"].startswith("555-01")


def test_every_practice_stands_for_something():
    assert all(organizations for organizations in practices().values())


def test_ten_thousand_people_take_hardly_more_memory_than_five_hundred():
    program = (
        "import resource, sys, datetime\n"
        "from spv_platform.sample.world import generate\n"
        "day = datetime.date(2026, 3, 10)\n"
        "sys.stdout.write(str(sum(len(d.data) for d in generate(1, int(sys.argv[1]), today=day))) + ' ')\n"
        "sys.stdout.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024))\n"
    )

    def run(patients):
        output = subprocess.run([sys.executable, "-c", program, patients], check=True, capture_output=True).stdout
        return map(int, output.split())

    (small_bytes, small_mb), (large_bytes, large_mb) = run("500"), run("10000")
    assert large_bytes > 10 * small_bytes
    assert large_mb < small_mb + 40
