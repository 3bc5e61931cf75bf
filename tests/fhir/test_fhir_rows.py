"""Resources come to the same rows whichever others they are read with."""

from typing import Any

from fhir_samples import bundle, entry, observation, parse, patient, quick
from hypothesis import given
from hypothesis import strategies as st

CONTAINED = {"resourceType": "Organization", "id": "org", "name": "an organization"}
EXTENSION = {"url": "http://example.org/e", "valueString": "x"}
#: Elements that may stand beside each other in a Patient, in an Observation; some break the contract.
PATIENT = {
    "gender": ["male", "female", "of old"],
    "birthDate": ["1970", "1970-02-30", "1970-02-28"],
    "name": [[{"family": "A", "given": ["B"]}], [{"text": 'quoted "A"'}], [], [{"family": ""}]],
    "extension": [[EXTENSION], [{**EXTENSION, "url": "http://example.org/f"}]],
    "contained": [[CONTAINED], [CONTAINED, CONTAINED], [{**CONTAINED, "x": 1}], [{"resourceType": "Bundle"}]],
    "managingOrganization": [{"reference": "#org"}, {"reference": "Organization/o"}, {"reference": "Patient/p"}],
    "multipleBirthBoolean": [True, "true"],
    "multipleBirthInteger": [2],
}
OBSERVATION = {
    "status": ["final", "amended", "finished"],
    "code": [{"text": "a test"}, {"coding": [{"system": "http://loinc.org", "code": "1-8"}]}, {}],
    "subject": [{"reference": "http://example.org/Patient/1"}, {"identifier": {"system": "s", "value": "v"}}],
    "effectiveDateTime": ["2020", "2020-01-01T10:00:00Z", "2020-01-01T25:00:00Z"],
    "valueQuantity": [{"value": 1.5, "unit": "g"}, {"value": "1.5"}, {"value": 2, "unit": "g", "code": "\u00b5g"}],
    "valueString": ["two\nlines", " ", "x"],
    "_valueString": [{"extension": [EXTENSION]}],
    "contained": [[CONTAINED]],
    "performer": [[{"reference": "#org"}], [{"reference": "#none"}, {"display": "somebody"}]],
}


def made(elements: dict[str, list[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in elements.items()})


RESOURCES = made(PATIENT).map(lambda more: patient(None, **more)) | made(OBSERVATION).map(
    lambda more: observation(None, **more)
)


def rows_of(data: bytes) -> dict[int, list[Any]]:
    """By entry: its rows, by table, and what is wrong with it."""
    parsed = parse(data)
    assert parsed.balances
    found: dict[int, list[Any]] = {}
    for name, frame in sorted(parsed.tables.items()):
        for row in frame.iter_rows(named=True):
            found.setdefault(row.pop("source_entry"), []).append((name, row))
    for problem in parsed.quarantined:
        found.setdefault(problem.entry, []).append((problem.pointer, problem.reason))
    return found


@quick
@given(st.lists(RESOURCES, min_size=1, max_size=12), st.sampled_from([None, 1]), st.integers(0, 11))
def test_a_resource_comes_to_the_same_rows_alone_and_among_others(
    resources: list[dict[str, Any]], indent: int | None, chosen: int
) -> None:
    number = chosen % len(resources)
    named = [{**each, "id": f"r{place}"} for place, each in enumerate(resources)]
    among = rows_of(bundle(*map(entry, named), indent=indent))
    assert sorted(among) == list(range(len(named)))
    assert among[number] == rows_of(bundle(entry(named[number])))[0]
