import hashlib
import json
from typing import Any

import msgspec
import pytest
from fhir_samples import patient, quick
from hypothesis import given
from hypothesis import strategies as st

from spv_platform.fhir.digest import EMPTY, compact
from spv_platform.fhir.digest import digest as digest_of_compact

DIV = "<div xmlns='http://www.w3.org/1999/xhtml'>{}</div>"


def digest(raw: bytes) -> str:
    return digest_of_compact(compact(raw))


def of(resource: Any, indent: int | None = None) -> str:
    return digest(json.dumps(resource, indent=indent).encode())


def test_it_is_the_sha256_of_the_compact_text() -> None:
    assert digest(b'{ "a" : 1.50 }') == hashlib.sha256(b'{"a":1.50}').hexdigest()
    assert hashlib.sha256(b"").hexdigest() == EMPTY


@pytest.mark.parametrize("status", ["generated", "extensions"])
def test_a_generated_narrative_does_not_count(status: str) -> None:
    plain = patient(gender="male")
    told = {"text": {"status": status, "div": DIV.format("1")}, **plain}
    assert of(told) == of(plain) == of(told, indent=2)


@pytest.mark.parametrize("text", [{"status": "additional", "div": DIV.format("1")}, "words", 5, [], {"status": 5}, {}])
def test_any_other_text_counts(text: Any) -> None:
    assert of(patient(text=text)) != of(patient())


def test_the_narrative_of_a_contained_resource_counts() -> None:
    narrative = {"status": "generated", "div": DIV.format("1")}
    inside = patient(contained=[{"resourceType": "Patient", "text": narrative}])
    assert of(inside) != of(patient(contained=[{"resourceType": "Patient"}]))
    assert of({**inside, "text": narrative}) == of(inside)


def test_number_text_counts() -> None:
    assert digest(b'{"a":1.50}') != digest(b'{"a":1.5}')


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        digest(b"{")


@quick
@given(st.dictionaries(st.text(max_size=5), st.text() | st.integers(), max_size=4), st.text())
def test_layout_and_generated_narrative_never_count(rest: dict[str, Any], div: str) -> None:
    rest.pop("text", None)
    told = {**rest, "text": {"status": "generated", "div": div}}
    assert digest(json.dumps(told, ensure_ascii=False).encode()) == digest(
        json.dumps(rest, ensure_ascii=False, indent=1).encode()
    )
