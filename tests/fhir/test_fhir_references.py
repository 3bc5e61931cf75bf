import pytest
from fhir_samples import bundle, entry, observation, parse, patient, rows

from spv_platform.fhir.datatypes import Identifier, Reference
from spv_platform.fhir.references import Identified, Resolver, target_type, text_of

BASE = "http://one.example/fhir/"
RESOLVER = Resolver(
    [
        Identified("urn:uuid:aaaa", "Patient", "p1"),
        Identified(BASE + "Patient/p8", "Patient", "p8", version_id="3"),
        Identified(BASE + "Patient/p2", "Patient", "p2"),
        Identified(None, "Patient", "p3"),
        Identified("urn:uuid:cccc", "Patient", "p4"),
        Identified("urn:uuid:cccc", "Patient", "p5"),
        Identified(BASE + "Patient/p6", "Patient", "p6"),
        Identified(BASE + "Patient/p6", "Patient", "p7"),
    ]
)


@pytest.mark.parametrize(
    ("text", "full_url", "key", "how"),
    [
        ("urn:uuid:aaaa", None, "Patient/p1", "urn"),
        ("urn:uuid:bbbb", None, None, "unresolved"),
        ("urn:uuid:cccc", None, None, "ambiguous"),
        ("urn:oid:1.2", None, None, "unresolved"),
        (BASE + "Patient/p2", None, "Patient/p2", "full_url"),
        (BASE + "Patient/p2/_history/3", None, "Patient/p2", "full_url"),
        (BASE + "Patient/p9", None, None, "absolute"),
        (BASE + "Patient/p9", BASE + "Observation/o1", "Patient/p9", "relative"),
        ("http://two.example/Patient/p2", BASE + "Observation/o1", None, "absolute"),
        ("https://registry.example/thing", None, None, "absolute"),
        ("Patient/p2", BASE + "Observation/o1", "Patient/p2", "relative"),
        ("Patient/p2", "urn:uuid:bbbb", "Patient/p2", "relative"),
        ("Patient/p3", None, "Patient/p3", "relative"),
        ("Patient/p9", None, "Patient/p9", "relative"),
        ("Patient/p9/_history/2", None, "Patient/p9", "relative"),
        ("Patient/p1", None, "Patient/p1", "fallback"),
        ("Patient/p1", BASE + "Observation/o1", "Patient/p1", "fallback"),
        ("Patient/p2", "http://two.example/fhir/Observation/o1", "Patient/p2", "fallback"),
        ("Patient/p3", "http://two.example/fhir/Observation/o1", "Patient/p3", "relative"),
        ("Patient/p9", "http://two.example/fhir/Observation/o1", "Patient/p9", "relative"),
        ("Patient/p6", BASE + "Observation/o1", None, "ambiguous"),
        (BASE + "Patient/p6", None, None, "ambiguous"),
        ("Patient/p8/_history/3", BASE + "Observation/o1", "Patient/p8", "relative"),
        ("Patient/p8/_history/2", BASE + "Observation/o1", "Patient/p8", "other_version"),
        (BASE + "Patient/p8/_history/3", None, "Patient/p8", "full_url"),
        (BASE + "Patient/p8/_history/4#x", None, "Patient/p8", "other_version"),
        ("#p", None, None, "contained"),
        ("Patient?identifier=a|b", None, None, "conditional"),
        ("Patient/", None, None, "unresolved"),
        ("patient p1", None, None, "unresolved"),
        ("Patient/p 1", None, None, "unresolved"),
        ("", None, None, "unresolved"),
    ],
)
def test_a_reference_says_how_it_was_resolved(text: str, full_url: str | None, key: str | None, how: str) -> None:
    assert RESOLVER.resolve(Reference(reference=text), full_url) == (text, key, how)


def test_an_identifier_alone_is_logical_and_a_display_alone_is_nothing() -> None:
    assert RESOLVER.resolve(Reference(identifier=Identifier(value="x")), None) == ("identifier=|x", None, "logical")
    assert RESOLVER.resolve(Reference(), None) is None


@pytest.mark.parametrize(
    ("reference", "type_", "text"),
    [
        (Reference(reference="Patient?identifier=a|b"), "Patient", "Patient?identifier=a|b"),
        (Reference(reference="http://x.example/Patient/1"), "Patient", "http://x.example/Patient/1"),
        (Reference(reference="urn:uuid:1", type="Group"), "Group", "urn:uuid:1"),
        (Reference(identifier=Identifier(system="s", value="v"), type="Patient"), "Patient", "s|v"),
        (Reference(identifier=Identifier(value="v")), None, "|v"),
    ],
)
def test_an_open_end_tells_its_target_type(reference: Reference, type_: str | None, text: str) -> None:
    assert (target_type(reference), text_of(reference)) == (type_, text)


def test_a_patient_that_is_refused_still_gives_its_name_to_its_neighbours() -> None:
    parsed = parse(
        bundle(
            entry(patient("p1", birthDate="yesterday"), "urn:uuid:1"),
            entry(observation(subject={"reference": "urn:uuid:1"}), "urn:uuid:2"),
        )
    )
    assert rows(parsed, "observation")[0]["patient_id"] == "p1"
