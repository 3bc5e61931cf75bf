import gzip
import itertools
import json

import pytest

from spv_platform.trials import registry
from spv_platform.trials.registry import Site, StudyError, newest, parse_studies, parse_study


def study(nct="NCT00000001", status="RECRUITING", updated="2024-01-01", **modules):
    return {
        "protocolSection": {
            "identificationModule": {"nctId": nct, "briefTitle": "A study"},
            "statusModule": {
                "overallStatus": status,
                "lastUpdatePostDateStruct": {"date": updated, "type": "ACTUAL"},
                "startDateStruct": {"date": "2023-05"},
            },
            **modules,
        }
    }


def encoded(document):
    return json.dumps(document).encode()


def test_a_study_has_its_status_dates_and_sites():
    locations = [
        {"facility": "Clinic", "status": "RECRUITING", "city": "Bern", "zip": "3000", "country": "Switzerland"}
    ]
    found = parse_study(encoded(study(contactsLocationsModule={"locations": locations})))
    assert (found.nct_id, found.title, found.overall_status) == ("NCT00000001", "A study", "RECRUITING")
    assert (found.last_update, found.start, found.recruiting) == ("2024-01-01", "2023-05", True)
    assert found.sites == (
        Site(facility="Clinic", status="RECRUITING", city="Bern", zip="3000", country="Switzerland"),
    )


def test_a_page_and_a_compressed_study_are_read_too():
    page = {"studies": [study(), study("NCT00000002")], "nextPageToken": "x"}
    assert [found.nct_id for found in parse_studies(encoded(page))] == ["NCT00000001", "NCT00000002"]
    assert parse_study(gzip.compress(encoded(study()))) == parse_study(encoded(study()))
    halves = encoded(study())[:50], encoded(study())[50:]
    assert parse_study(b"".join(map(gzip.compress, halves))) == parse_study(encoded(study()))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "neither a study nor a page"),
        (b'{"studies": 1}', "`studies` is not a list"),
        (b'{"studies": [3]}', "study 1: no nctId"),
        (b"{}", "no nctId"),
        (encoded(study(nct=7)), "no nctId"),
        (encoded(study(status=None)), "no overallStatus"),
        (encoded({"protocolSection": [1]}), "no nctId"),
        (encoded({"studies": [study(), study("NCT00000002")]}), "holds 2 studies"),
        (gzip.compress(encoded(study()))[:-9], "broken gzip"),
        (b"\x1f\x8bnonsense", "broken gzip"),
    ],
)
def test_what_is_no_study_is_refused_with_its_file(data, said):
    with pytest.raises(StudyError, match=said) as error:
        parse_study(data, "feed.json")
    assert str(error.value).startswith("feed.json: ")


def test_a_study_that_expands_over_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(registry, "MAX_BYTES", 1000)
    with pytest.raises(StudyError, match="larger than"):
        parse_study(gzip.compress(b" " * 100_000))


def test_odd_parts_of_a_study_are_left_empty():
    odd = study(contactsLocationsModule={"locations": [None, {"facility": 3}]})
    assert parse_study(encoded(odd)).sites == (Site(), Site())
    assert parse_study(encoded(study(contactsLocationsModule={"locations": "many"}))).sites == ()


def test_the_newest_version_of_a_study_wins_in_any_order():
    versions = [
        parse_study(encoded(study(status="RECRUITING", updated="2023-01-01"))),
        parse_study(encoded(study(status="WITHDRAWN", updated="2024-01-01"))),
        parse_study(encoded(study(status="SUSPENDED", updated="2024-01-01"))),
        parse_study(encoded(study("NCT00000002"))),
    ]
    results = [newest(order) for order in itertools.permutations(versions)]
    assert all(result == results[0] for result in results)
    assert results[0]["NCT00000001"].last_update == "2024-01-01"
    assert set(results[0]) == {"NCT00000001", "NCT00000002"}


def test_real_studies_of_the_registry_parse(corpus):
    files = sorted((corpus / "ctgov").glob("*.json.gz"))
    studies = [found for file in files for found in parse_studies(file.read_bytes(), file.name)]
    known = newest(studies)
    assert len(known) == 11
    assert not known["NCT02513394"].recruiting
    assert len(known["NCT02513394"].sites) == 437
    assert known["NCT06008288"].recruiting
    assert all(site.latitude and site.longitude for site in known["NCT06008288"].sites)
    assert all(study.title and study.last_update and study.start for study in studies)
