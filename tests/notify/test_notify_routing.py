"""Who is told is the practice that treated the person recently."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from spv_platform.errors import UsageError
from spv_platform.fhir.parse import parse_object
from spv_platform.notify.message import body, news_id
from spv_platform.notify.routing import RECENT_DAYS, TreatedBy, check_organization, choose, treated_by
from spv_platform.view.facts import facts_of

TODAY = date(2026, 6, 1)


def known(*resources: dict[str, Any], source: str = "emr") -> pl.DataFrame:
    """Facts of resources of one source, all of one person."""
    parsed = parse_object(
        "\n".join(json.dumps(resource) for resource in resources).encode(),
        content_type="application/fhir+ndjson",
        source=source,
        landing_seq=1,
        source_object="object",
        batch_id="batch",
        max_entries=1000,
        check=lambda _type, _raw: [],
    )
    assert not parsed.quarantined
    return facts_of(parsed.tables).with_columns(person_id=pl.lit("person"))


def visit(id_: str, days_ago: int, provider: str | None, status: str = "finished") -> dict[str, Any]:
    named = {"serviceProvider": {"reference": provider}} if provider else {}
    return {
        "resourceType": "Encounter",
        "id": id_,
        "status": status,
        "subject": {"reference": "Patient/p"},
        "period": {"start": str(TODAY - timedelta(days=days_ago))},
        **named,
    }


def patient(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": "p", **more}


CUSTODIAN = {"managingOrganization": {"reference": "Organization/keeps"}}
NAMED = {"generalPractitioner": [{"reference": "Practitioner/x"}, {"reference": "Organization/named"}]}


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ([visit("a", 300, "Organization/one"), visit("b", 3, "Organization/two")], ["two", "one"]),
        ([visit("a", RECENT_DAYS, "Organization/one")], ["one"]),
        ([visit("a", RECENT_DAYS + 1, "Organization/one")], []),
        ([visit("a", 3, "Organization/one"), visit("b", 1, "Organization/two", "planned")], ["one"]),
        ([visit("a", 3, "Organization/one"), visit("b", 1, "Organization/two", "entered-in-error")], ["one"]),
        ([visit("a", -2, "Organization/one")], []),
        ([visit("a", 3, "Organization/one"), patient(**CUSTODIAN)], ["one"]),
        ([visit("a", 3, None), patient(**CUSTODIAN)], ["keeps"]),
        ([patient(**NAMED, **CUSTODIAN)], ["keeps", "named"]),
        ([visit("a", RECENT_DAYS + 1, "Organization/one"), patient(**CUSTODIAN)], []),
        ([visit("a", 3, "Organization?identifier=x|1"), patient()], []),
        ([patient()], []),
    ],
)
def test_organizations_come_by_the_latest_visit_and_custodians_only_where_none_is_known(resources, expected):
    found = treated_by(known(*resources), TODAY).get("person", [])
    assert [item.organization.removeprefix("Organization/") for item in found] == expected


def test_the_last_of_many_visits_to_an_organization_counts_and_sources_are_told_apart():
    facts = pl.concat(
        [
            known(visit("a", 200, "Organization/one"), visit("b", 2, "Organization/one"), visit("c", 9, None)),
            known(visit("d", 5, "Organization/one"), source="lab"),
        ]
    )
    assert treated_by(facts, TODAY) == {
        "person": [
            TreatedBy("emr", "Organization/one", str(TODAY - timedelta(days=2))),
            TreatedBy("lab", "Organization/one", str(TODAY - timedelta(days=5))),
        ]
    }


def test_a_practice_is_chosen_for_the_first_organization_that_has_one():
    order = [TreatedBy("emr", "Organization/lab", "2026-05-01"), TreatedBy("emr", "Organization/one", "2026-04-01")]
    assert choose(order, {"Organization/one": "lakeside"}, TODAY) == "lakeside"
    assert choose(order, {"Organization/one": "lakeside", "emr/Organization/lab": "hill"}, TODAY) == "hill"
    assert choose(order, {"other/Organization/one": "lakeside"}, TODAY) is None
    assert choose([], {"Organization/one": "lakeside"}, TODAY) is None


def test_what_was_recent_once_does_not_count_for_ever():
    seen = [TreatedBy("emr", "Organization/one", "2025-06-01")]
    assert choose(seen, {"Organization/one": "lakeside"}, TODAY) == "lakeside"
    assert choose(seen, {"Organization/one": "lakeside"}, TODAY + timedelta(days=1)) is None
    custodian = [TreatedBy("emr", "Organization/one", None)]
    assert choose(custodian, {"Organization/one": "lakeside"}, date(2036, 1, 1)) == "lakeside"


@pytest.mark.parametrize("name", ["Organization/77", "emr/Organization/a.b-c"])
def test_an_organization_is_named_as_encounters_name_it(name):
    check_organization(name)


@pytest.mark.parametrize(
    "name", ["", "77", "Practitioner/77", "Organization/", "Organization/a b", "a/b/Organization/1"]
)
def test_what_names_no_organization_is_refused(name):
    with pytest.raises(UsageError, match="write Organization/ID"):
        check_organization(name)


def test_the_name_of_news_is_one_for_ever_and_says_nothing_without_the_key():
    key, other = bytes(32), bytes(31) + b"\x01"
    assert news_id(key, "person", "trial") == news_id(key, "person", "trial")
    names = {news_id(key, "person", "trial"), news_id(key, "person", "trial-2"), news_id(other, "person", "trial")}
    assert len(names) == 3


def test_a_message_holds_an_id_and_a_link_only():
    told = json.loads(body("potentially_eligible", "e-1", datetime(2026, 6, 1, tzinfo=UTC), "https://x.example/n/"))
    assert told == {
        "type": "patient.potentially_eligible",
        "timestamp": "2026-06-01T00:00:00+00:00",
        "data": {"id": "e-1", "link": "https://x.example/n/e-1"},
    }
