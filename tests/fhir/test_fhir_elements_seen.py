import json

from fhir_samples import bundle, entry, parse, patient
from hypothesis import given, settings
from hypothesis import strategies as st

from spv_platform.fhir.elements_seen import FIRST, THEN_EACH, ElementsSeen
from spv_platform.fhir.lot import Lot

LEAVES = st.one_of(st.booleans(), st.integers(0, 9), st.text(alphabet='a{}[]":,\\é', max_size=6))
RESOURCES = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.recursive(
        LEAVES,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=2),
            st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, min_size=1, max_size=3),
        ),
        max_leaves=8,
    ),
    min_size=1,
)


def paths(value, at=""):
    if isinstance(value, list):
        return {path for part in value for path in paths(part, at)}
    if not isinstance(value, dict):
        return {at}
    below = {path for name, part in value.items() for path in paths(part, f"{at}.{name}".lstrip("."))}
    return below | ({at} if at else set())


def text_of(resource):
    return json.dumps(resource, separators=(",", ":"), ensure_ascii=False).encode()


def seen_in(*lots):
    elements = ElementsSeen()
    for texts in lots:
        elements.look_at(Lot("Basic", (), texts, [()] * len(texts), []))
    return elements.paths


@settings(deadline=None)
@given(st.lists(RESOURCES, min_size=1, max_size=4))
def test_the_paths_of_a_resource_do_not_depend_on_what_the_process_has_seen_before(resources):
    assert seen_in(*([text_of(each)] for each in resources)) == {
        ("Basic", path) for resource in resources for path in paths(resource)
    }


def test_of_many_resources_of_a_lot_each_so_many_are_looked_at():
    many = [{"a": 1}] * (FIRST + THEN_EACH - 1) + [{"b": 1}] + [{"c": 1}]
    assert {path for _, path in seen_in([text_of(each) for each in many])} == {"a", "b"}


def test_a_number_beyond_any_float_is_an_element_like_any_other():
    assert seen_in([b'{"a":{"b":1e400},"c":-1E999}']) == {("Basic", "a"), ("Basic", "a.b"), ("Basic", "c")}


def test_a_resource_that_cannot_be_read_for_its_elements_is_passed_over():
    assert seen_in([b'{"a":{"d":' + b"1" * 5000 + b"}}", b'{"e":1}']) == {("Basic", "e")}


def test_what_is_seen_of_resources_that_the_structs_take_are_their_paths():
    name = {"family": "A", "given": ["B"], "period": {"start": "2020"}}
    patients = [
        patient("p1", name=[name, {"text": "x"}], active=True),
        patient("p2", name=[{"text": "y"}], active=False, extension=[{"url": "u", "valueCoding": {"code": "c"}}]),
        patient("p3", contact=[{"name": name, "telecom": [{"value": "1"}]}], _birthDate={"id": "d"}),
    ]
    found = parse(bundle(*map(entry, patients))).paths
    expected = {path for each in patients for path in paths(each)} - {"resourceType"}
    assert found == {("Patient", path) for path in expected}
