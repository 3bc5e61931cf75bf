"""Notations of findings, brought to one form: protein changes, consequences and stage groups."""

import re
from functools import cache

from spv_platform.trials.terms import canonical_code, table

_RESIDUES = {
    "Ala": "A", "Arg": "R", "Asn": "N", "Asp": "D", "Cys": "C", "Gln": "Q", "Glu": "E", "Gly": "G", "His": "H",
    "Ile": "I", "Leu": "L", "Lys": "K", "Met": "M", "Phe": "F", "Pro": "P", "Ser": "S", "Thr": "T", "Trp": "W",
    "Tyr": "Y", "Val": "V", "Sec": "U", "Pyl": "O", "Ter": "*", "Xaa": "X",
}  # fmt: skip
_THREE = re.compile("|".join(_RESIDUES))
_RES = r"[ACDEFGHIKLMNPQRSTUVWYOX*]"
_CHANGE = re.compile(
    rf"{_RES}\d+(?:_{_RES}\d+)?(?:{_RES}|=|del|dup|ins{_RES}+|delins{_RES}+|{_RES}?fs(?:\*(?:\d+|\?)?)?|ext.+)"
)
#: Residues as they follow each other, the number of the first one, and what becomes of them.
_LISTED = re.compile(r"(?P<residues>[A-Z]{2,})(?P<first>\d+)(?P<rest>(?:del|dup).*)")
_GROUP = r"(?P<main>IV|I{1,3}|0|[1-4])(?P<sub>[A-Ea-e]?(?:[1-3]|is)?)"
_NAMED_STAGE = re.compile(rf"\bstage\s+(?:group\s+)?{_GROUP}(?=$|[\s(,;:])", re.IGNORECASE)
_BARE_STAGE = re.compile(rf"{_GROUP}(?:\s*\([^)]*\))?", re.IGNORECASE)
#: A choice, a range, a negation or a past: not one stage.
_NO_ONE_STAGE = re.compile(
    r"\b(?:not|no|ruled out|unlikely|previous(?:ly)?|formerly|versus|vs|or)\b"
    r"|\b(?:IV|I{1,3}|[1-4])[A-E]?\s*(?:-|/|\bto\b)\s*I",
    re.IGNORECASE,
)
#: Staging systems whose "II" is not the stage group II of the TNM, FIGO or Ann Arbor systems.
_OTHER_SYSTEM = re.compile(
    r"\b(iss|riss|rai|binet|inrg|inss|wilms|nwts|neuroblastoma|rhabdomyosarcoma|clark|breslow|salmon|"
    r"international staging system|chronic lymphocytic leukemia|plasma cell)\b",
    re.IGNORECASE,
)
_ROMAN = {"1": "I", "2": "II", "3": "III", "4": "IV"}


@cache
def protein_change(text: str) -> str | None:
    """A protein change in one-letter form without `p.`, such as `L858R`, `E746_A750del`, `R213*`; None: not one.

    Follows the HGVS recommendations for proteins: one- and three-letter residues, a reference before a colon,
    parentheses of a predicted change, `Ter` for `*`. Residues listed after a deletion are dropped.
    Beside HGVS, the residues before a deletion (`ELREA746del`) and `>` for `delins` are understood.
    """
    change = text.strip().rpartition(":")[2].strip()
    change = change[2:] if change[:2].lower() == "p." else change
    change = _THREE.sub(lambda match: _RESIDUES[match.group()], re.sub(r"[()\[\]\s]", "", change))
    if listed := _LISTED.fullmatch(change):
        residues, first = listed["residues"], int(listed["first"])
        change = f"{residues[0]}{first}_{residues[-1]}{first + len(residues) - 1}{listed['rest']}"
    change = re.sub(r"^([A-Z*]\d+_[A-Z*]\d+)>", r"\1delins", change)
    change = re.sub(r"del[A-Z]+$", "del", change)
    return change if _CHANGE.fullmatch(change) else None


@cache
def any_change(text: str) -> str | None:
    """The residue of which any replacement is meant, as in `V600 any` or `p.Val600`: `V600`; None: not such a text."""
    change = text.strip()
    change = change[2:] if change[:2].lower() == "p." else change
    change = _THREE.sub(lambda match: _RESIDUES[match.group()], re.sub(r"\s+any$", "", change, flags=re.IGNORECASE))
    return change if re.fullmatch(rf"{_RES}\d+", change) else None


@cache
def codons_of(change: str) -> tuple[int, int]:
    """First and last residue that a protein change in the form of `protein_change` concerns."""
    numbers = [int(number) for number in re.findall(r"(?<=[A-Z*])\d+", change.partition("ins")[0])]
    return numbers[0], numbers[-1]


@cache
def replaces(residue: str, change: str) -> bool:
    """Whether a change puts something else in the place of this one residue."""
    return (
        re.fullmatch(rf"{re.escape(residue)}(?:{_RES}|delins{_RES}+)", change) is not None and change[-1] != residue[0]
    )


@cache
def consequence_name(text: str) -> str | None:
    """The Sequence Ontology name of a consequence, given as such or as a class of the mutation annotation format."""
    name = re.sub(r"[\s_-]+", "_", text.strip()).casefold()
    known: dict[str, str] = table("consequences")["names"]
    return name if name in known.values() else known.get(name)


def stage_group(text: str) -> str | None:
    """A stage group such as `0`, `II`, `IIIC1`, `IVA` out of a code's display or text; None: no stage group."""
    text = text.strip()
    if _NO_ONE_STAGE.search(text):
        return None
    match = _BARE_STAGE.fullmatch(text) or _NAMED_STAGE.search(text)
    if match is None:
        return None
    main = match["main"].upper()
    return _ROMAN.get(main, main) + match["sub"].upper()


def is_other_stage(text: str) -> bool:
    """Whether a text names a staging system whose numerals are not TNM, FIGO or Ann Arbor stage groups."""
    return _OTHER_SYSTEM.search(text) is not None


def other_stage_systems() -> list[str]:
    """Codes of the tests that give stages of such systems."""
    return [canonical_code(code) for code in table("stages")["other_systems"]]


def stage_of_code(code: str) -> str | None:
    """A stage group out of `system|code`; None: the code is not known."""
    known = {canonical_code(key): stage for key, stage in table("stages")["codes"].items()}
    if code in known:
        return known[code]
    system, _, value = code.partition("|")
    return stage_group(value) if system.rstrip("/").endswith("cancerstaging.org") else None


def judge_stage(wanted: tuple[str, ...], given: str) -> int:
    """Whether a stage group is among the wanted ones: 1 yes, -1 no, 0 it is less specific than they are.

    A stage covers its subdivisions: IVA is a IV.
    """
    verdict = -1
    for stage in wanted:
        if _parts(given)[0] != _parts(stage)[0]:
            continue
        if given.startswith(stage):
            return 1
        if stage.startswith(given):
            verdict = 0
    return verdict


def _parts(stage: str) -> tuple[str, str]:
    main = re.match(r"IV|I{1,3}|0", stage)
    end = main.end() if main else 0
    return stage[:end], stage[end:]
