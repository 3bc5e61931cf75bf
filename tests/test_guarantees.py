"""Every proof that docs/guarantees.md names is a test that there is."""

import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_PAGE = (_ROOT / "docs" / "guarantees.md").read_text()
_PROOFS = sorted(set(re.findall(r"`(tests/(?:\w+/)*test_\w+\.py(?:::\w+)?)`", _PAGE)))


@pytest.mark.parametrize("proof", _PROOFS)
def test_the_proof_of_a_guarantee_is_a_test(proof: str) -> None:
    file, _, name = proof.partition("::")
    assert (f"def {name}(" if name else "def test_") in (_ROOT / file).read_text()
