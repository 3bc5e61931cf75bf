"""Where trials run, and how far that is from where a person lives."""

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trials_facts import AS_OF, NCT, OPEN, fact, frame, run, trial_of, verdict

from spv_platform.trials.criteria import CriteriaError, from_document, parse_trial, to_document
from spv_platform.trials.evaluate import evaluate
from spv_platform.trials.explain import explain
from spv_platform.trials.lint import lint
from spv_platform.trials.model import Trial
from spv_platform.trials.questions import Site
from spv_platform.trials.registry import Site as RegistrySite
from spv_platform.trials.registry import Study
from spv_platform.trials.sites import RADIUS_KM, great_circle_km, point_of, sites_of

BOSTON, WORCESTER = "02115", "01608"  # 59 km apart
NEAR = {"within_km": 80}


def home(postal_code="", *, geo=None, country="US", state="MA", person="p", **columns):
    said = {"value_text": geo, "value_codes": [country, state, postal_code]}
    return fact("place", person=person, resource_type="Patient", resource_id=person, **said, **columns)


def site(postal_code=BOSTON, **more):
    return {"name": "Hospital", "postal_code": postal_code, "country": "US"} | more


def trial(*sites, within_km=80):
    document = to_document(trial_of({"site": {"within_km": within_km}}))
    return from_document({**document, "sites": list(sites)})


def judged(trial_, *facts):
    return {"potentially_eligible": "MET", "needs_information": "UNKNOWN", "not_eligible": "NOT_MET"}[
        run(trial_, list(facts)).cohorts["verdict"].item()
    ]


def test_a_person_lives_near_enough_to_an_open_site_or_not():
    assert judged(trial(site()), home(WORCESTER)) == "MET"
    assert judged(trial(site(), within_km=50), home(WORCESTER)) == "NOT_MET"
    assert judged(trial(site("10001"), site()), home(WORCESTER)) == "MET"
    assert judged(trial(site("10001"), site(status="closed")), home(WORCESTER)) == "NOT_MET"


def test_coordinates_count_before_a_postal_code():
    assert judged(trial(site()), home("90001", geo="geo:42.34,-71.1")) == "MET"
    assert (
        judged(trial(site("90001", latitude=42.34, longitude=-71.1)), home(geo="geo:42.3,-71.2", country="")) == "MET"
    )


@pytest.mark.parametrize("geo", ["geo:0.0,0.0", "geo:423.4,-71.1", "geo:42.34,-711.0"])
def test_coordinates_of_nowhere_are_no_place(geo):
    assert judged(trial(site()), home(BOSTON, geo=geo)) == "UNKNOWN"


def test_what_is_not_known_is_unknown():
    assert judged(trial(site())) == "UNKNOWN"
    assert judged(trial(site()), home("99999")) == "UNKNOWN"
    assert judged(trial(site()), home(BOSTON, country="DE")) == "UNKNOWN"
    assert judged(trial(), home(BOSTON)) == "UNKNOWN"
    elsewhere = site("10115", country="DE")
    assert judged(trial(elsewhere), home(BOSTON)) == "UNKNOWN"
    assert judged(trial(elsewhere, site()), home(BOSTON)) == "MET"
    assert judged(trial(elsewhere, site()), home("90001")) == "UNKNOWN"
    assert verdict({"site": NEAR}, home(BOSTON)) == "UNKNOWN"


@pytest.mark.parametrize("country", ["US", "usa", "United States", ""])
def test_the_united_states_have_several_names_and_none_beside_one_of_their_states(country):
    assert judged(trial(site()), home(f"{WORCESTER}-1234", country=country)) == "MET"


def test_a_postal_code_without_country_and_state_is_no_place():
    assert judged(trial(site()), home(WORCESTER, country="", state="")) == "UNKNOWN"


def test_an_address_that_somebody_has_left_does_not_count():
    left = home(BOSTON) | {"time_end": fact("x", "2024-06-14")["time_end"]}
    last_day = home(BOSTON) | {"time_end": fact("x", str(AS_OF))["time_end"]}
    assert judged(trial(site()), left) == "UNKNOWN"
    assert judged(trial(site()), left, home("90001")) == "NOT_MET"
    assert judged(trial(site()), last_day) == "MET"


def test_records_that_disagree_about_the_place_are_in_conflict():
    found = run(trial(site()), [home(BOSTON), home("90001", source="lab")])
    (row,) = found.criteria.to_dicts()
    assert (row["verdict"], row["conflict"], len(row["evidence"])) == ("UNKNOWN", True, 2)


def test_the_explanation_tells_distance_and_site_and_no_address():
    found = run(trial(site(), site("10001", name="Other")), [home(WORCESTER)])
    line = explain(found.cohorts, found.criteria)[-1]
    assert "yes: place of residence, 59 km from Hospital (emr, Patient/p)." in line
    assert WORCESTER not in line
    unknown = run(trial(site()), [home("99999")])
    assert "not known: place of residence (emr, Patient/p)." in explain(unknown.cohorts, unknown.criteria)[-1]


def test_equal_criteria_of_two_trials_ask_for_the_sites_of_each():
    near, far = trial(site()), trial(site("90001"))
    far = Trial(trial="NCT00000002", cohorts=far.cohorts, sites=far.sites)
    studies = OPEN | {"NCT00000002": Study(nct_id="NCT00000002", title="", overall_status="RECRUITING")}
    persons = pl.DataFrame({"person_id": ["p"], "opted_out": [False]})
    rows = evaluate(persons, frame([home(BOSTON)]), [near, far], studies, AS_OF)
    assert rows.cohorts.sort("trial")["verdict"].to_list() == ["potentially_eligible", "not_eligible"]


def test_without_sites_in_the_file_those_of_the_registry_count():
    sites = (
        RegistrySite(facility="A", status="RECRUITING", latitude=42.3, longitude=-71.1),
        RegistrySite(city="B", zip=BOSTON, country="United States"),
        RegistrySite(facility="C", status="WITHDRAWN", zip=BOSTON, country="United States"),
        RegistrySite(),
    )
    study = Study(nct_id=NCT, title="", overall_status="RECRUITING", sites=sites)
    found = sites_of(trial(), study)
    assert [(each.name, each.status, point_of(each) is not None) for each in found] == [
        ("A", "open", True),
        ("B", "open", True),
        ("C", "closed", True),
        ("unnamed site", "open", False),
    ]
    assert sites_of(trial(site()), study) == (Site(**site()),)
    asked = trial_of({"site": NEAR})
    assert run(asked, [home(BOSTON)], registry={NCT: study}).cohorts["verdict"].item() == "potentially_eligible"


def test_distances_are_those_of_the_sphere():
    assert great_circle_km((42.36, -71.06), (34.05, -118.24)) == pytest.approx(4170, abs=10)  # Boston, Los Angeles
    assert great_circle_km((0.0, 0.0), (0.0, 180.0)) == pytest.approx(math.pi * RADIUS_KM)
    assert great_circle_km((90.0, 12.0), (90.0, -100.0)) == pytest.approx(0, abs=1e-6)


_POINTS = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


@given(_POINTS, _POINTS)
def test_a_distance_is_the_same_both_ways_and_at_most_half_around_the_earth(one, other):
    there, back = float(great_circle_km(one, other)), float(great_circle_km(other, one))
    assert there == pytest.approx(back, abs=1e-3)
    assert 0 <= there <= math.pi * RADIUS_KM + 1e-6


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("sites: {name: A}", "`sites` is not a list"),
        ("sites: [{name: A}]", "site 1: needs `latitude` and `longitude`, or `postal_code` and `country`"),
        ("sites: [{name: A, postal_code: 02115, country: US}]", "postal codes stand in quotes"),
        ("sites: [{name: A, latitude: 3}]", "`latitude` and `longitude` go together"),
        ("sites: [{name: A, latitude: 93, longitude: 3}]", "`latitude` lies between"),
        ("sites: [{name: A, town: B}]", "unknown field `town`"),
        ("sites: [{name: ' ', latitude: 3, longitude: 3}]", "`name` is empty"),
    ],
)
def test_a_site_that_is_nowhere_is_refused(wrong, said):
    text = f"trial: {NCT}\n{wrong}\ncohorts: [{{id: A, criteria: {{all: [{{id: a, age: {{min: 18}}}}]}}}}]"
    with pytest.raises(CriteriaError, match=f"t.yaml: {NCT}: ") as raised:
        parse_trial(text, "t.yaml")
    assert said in str(raised.value)


@pytest.mark.parametrize("km", [0, -1, 20_041, math.inf, "near"])
def test_a_distance_is_one_that_exists(km):
    with pytest.raises(CriteriaError, match="criterion c1"):
        trial_of({"site": {"within_km": km}})


def test_a_window_has_no_meaning_for_a_distance():
    with pytest.raises(CriteriaError, match="`within_days` has no meaning for `site`"):
        trial_of({"site": NEAR, "within_days": 3})


def test_lint_knows_when_no_site_can_be_near():
    def advice(*sites, name=NCT):
        asked = trial(*sites)
        return [line for line in lint(Trial(trial=name, cohorts=asked.cohorts, sites=asked.sites)) if "site" in line]

    assert "only the sites of the registry's study count" in advice()[0]
    assert any("can never match: no site of the trial is known" in line for line in advice(name="LOCAL-1"))
    assert "can never match: all sites are closed" in advice(site(status="closed"))[0]
    assert "no table tells where the site Hospital is" in advice(site("10115", country="DE"))[0]
    assert advice(site()) == []
