"""Small terminology tables and what is asked of them: code systems, markers, genes, units, bounds.

Each table is a file under `data/` that names its source. Cancers are in `cancers`. Nothing here knows facts or persons.
"""

import hashlib
import json
import re
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from spv_platform.view import genes

SYSTEMS: dict[str, str] = {
    "sct": "http://snomed.info/sct",
    "snomed": "http://snomed.info/sct",
    "loinc": "http://loinc.org",
    "icd10cm": "http://hl7.org/fhir/sid/icd-10-cm",
    "icd10": "http://hl7.org/fhir/sid/icd-10",
    "rxnorm": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "cvx": "http://hl7.org/fhir/sid/cvx",
    "ncit": "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl",
    "oncotree": "http://oncotree.mskcc.org/oncotree",
}
#: Other names that senders give to these systems.
OTHER_NAMES: dict[str, str] = {
    "urn:oid:2.16.840.1.113883.6.96": SYSTEMS["sct"],
    "urn:oid:2.16.840.1.113883.6.1": SYSTEMS["loinc"],
    "urn:oid:2.16.840.1.113883.6.88": SYSTEMS["rxnorm"],
    "urn:oid:2.16.840.1.113883.6.90": SYSTEMS["icd10cm"],
    "urn:oid:2.16.840.1.113883.6.3": SYSTEMS["icd10"],
}
_ICD = {SYSTEMS["icd10cm"], SYSTEMS["icd10"]}
_SPELLING = re.compile(r"(?<=[/dumnp])l\b")  # g/dl, mg/l, ul: the litre is written L


@cache
def table(name: str) -> dict[str, Any]:
    """One terminology table, as its file has it."""
    content: dict[str, Any] = json.loads((files("spv_platform.trials") / "data" / f"{name}.json").read_text())
    return content


@cache
def vocabulary() -> str:
    """Changes whenever one of the code tables does, those of the facts too."""
    data = files("spv_platform.trials") / "data"
    of_facts = [files("spv_platform.view") / name for name in ("codes.csv", "genes.csv")]
    tables = [*sorted(data.iterdir(), key=lambda file: file.name), *of_facts]
    digest = hashlib.sha256()
    for file in tables:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def canonical_code(code: str) -> str:
    """A code as `system-url|code`; the system may be given by its short name, the code may end in `*`.

    Raises:
        ValueError: no system, a system that is neither a URL nor a known short name, or no code.
    """
    system, bar, value = (part.strip() for part in code.partition("|"))
    if not bar or not system or not value.strip("*"):
        raise ValueError(f"`{code}` is not system|code")
    system = SYSTEMS.get(system.casefold(), system).rstrip("/")
    system = OTHER_NAMES.get(system, system)
    if ":" not in system:
        raise ValueError(f"code system `{system}` is not known: use its URL, or one of {', '.join(SYSTEMS)}")
    return f"{system}|{value}"


@lru_cache(maxsize=100_000)
def fold_code(code: str) -> str:
    """A code for comparison: both ICD-10 systems become one, and the dot of an ICD code does not matter."""
    system, _, value = code.partition("|")
    return f"icd10|{value.replace('.', '').upper()}" if system in _ICD else code


def code_matches(pattern: str, code: str) -> bool:
    """Whether a code is the pattern, or begins with it when the pattern ends in `*`."""
    pattern, code = fold_code(pattern), fold_code(code)
    return code.startswith(pattern[:-1]) if pattern.endswith("*") else code == pattern


@cache
def _marker_names() -> dict[str, str]:
    names = {}
    for marker, entry in table("markers")["markers"].items():
        names.update({name.casefold(): marker for name in (marker, *entry["names"])})
    return names


def marker_name(name: str) -> str | None:
    """The table's name of a marker; None: not in the table."""
    return _marker_names().get(name.casefold())


@cache
def marker_names(name: str) -> tuple[str, ...]:
    """All names of a marker, case-folded; the name alone for a marker that is not in the table."""
    known = marker_name(name)
    return tuple(other for other, marker in _marker_names().items() if marker == known) if known else (name.casefold(),)


@cache
def marker_codes(name: str) -> tuple[str, ...]:
    """The codes of the qualitative tests of a marker; empty for a marker that is not in the table."""
    known = marker_name(name)
    return tuple(canonical_code(code) for code in table("markers")["markers"][known]["codes"]) if known else ()


@cache
def marker_of_code() -> dict[str, str]:
    """Code of a qualitative test -> the marker's name."""
    return {code: marker for marker in table("markers")["markers"] for code in marker_codes(marker)}


def current_gene(symbol: str) -> str:
    """The symbol that HGNC has approved for an earlier one; any other symbol as it is."""
    known = genes.symbol_of(symbol)
    return symbol if known is None or known == symbol.upper() else known


def gene_advice(symbol: str) -> str | None:
    """What is wrong with a gene symbol, or None."""
    if symbol in genes.symbols():
        return None
    better = genes.symbol_of(symbol)
    return f"gene `{symbol}` is not a known HGNC symbol" + (f": did you mean {better}?" if better else "")


def _fold_unit(unit: str) -> str:
    return _SPELLING.sub("L", unit.strip().replace("µ", "u").replace("μ", "u"))


def known_unit(unit: str) -> bool:
    """Whether the table has a unit, so that others convert to it."""
    return any(_fold_unit(unit) in group for group in table("units")["groups"].values())


@cache
def unit_factor(unit: str, wanted: str) -> float | None:
    """The factor from one unit to another; None when they cannot be compared."""
    unit, wanted = _fold_unit(unit), _fold_unit(wanted)
    if unit == wanted:
        return 1.0
    for group in table("units")["groups"].values():
        if unit in group and wanted in group:
            return float(group[unit] / group[wanted])
    return None


def plausible_range(codes: tuple[str, ...], unit: str) -> tuple[float, float] | None:
    """The values, in the unit, that a correct report of this test can have; None: no bound is known."""
    for bound in table("bounds")["bounds"]:
        known = {canonical_code(code) for code in bound["codes"]}
        factor = unit_factor(bound["unit"], unit)
        if factor is not None and known.intersection(codes):
            return bound["low"] * factor, bound["high"] * factor
    return None
