"""Which cancer a code means, and whether one cancer is another: by the table of classes, and by OncoTree.

SNOMED CT and ICD-10 codes stand in classes (`data/diagnosis.json`), and a class is a node of OncoTree or lies inside of
some. Two codes of classes are compared by their classes, which are finer for these systems; everything else by nodes.
"""

from dataclasses import dataclass
from functools import cache

from spv_platform.trials import oncotree
from spv_platform.trials.kleene import MET, NOT_MET, UNKNOWN
from spv_platform.trials.terms import canonical_code, code_matches, fold_code, table


@dataclass(frozen=True)
class Extent:
    """What a code covers of OncoTree.

    Attributes:
        nodes: all of it lies inside of these together.
        whole: it covers each of them wholly.
    """

    nodes: tuple[str, ...]
    whole: bool


@cache
def _classes() -> dict[str, tuple[str, bool]]:
    """Folded code -> (cancer class, whether the code means the whole class)."""
    found: dict[str, tuple[str, bool]] = {}
    for path, codes in table("diagnosis")["classes"].items():
        for how in ("whole", "part"):
            found.update({fold_code(canonical_code(code)): (path, how == "whole") for code in codes[how]})
    return found


@cache
def cancer_class(code: str) -> tuple[str, bool] | None:
    """The cancer class of a code or pattern, and whether it means the whole class; None: not in the table."""
    folded = fold_code(code).removesuffix("*")
    if not folded.startswith("icd10|"):
        return _classes().get(folded) if not code.endswith("*") else None
    known = _classes().get(folded[: len("icd10|") + 3])
    if known is None:
        return None
    return known[0], known[1] and len(folded) == len("icd10|") + 3


@cache
def extent(code: str) -> Extent | None:
    """What a code or pattern covers of OncoTree; None: that is not known."""
    system, _, name = code.partition("|")
    if system == oncotree.SYSTEM:
        nodes = oncotree.nodes(name)
        return Extent(nodes, whole=True) if nodes else None
    known = cancer_class(code)
    if known is None:
        return None
    entry = table("diagnosis")["classes"][known[0]]
    if "oncotree" in entry:
        return Extent(tuple(entry["oncotree"]), whole=known[1])
    return Extent(tuple(entry["inside_oncotree"]), whole=False) if "inside_oncotree" in entry else None


@cache
def judge_cancer(pattern: str, code: str) -> int:
    """Whether a cancer with this code is what the pattern asks for: 1 yes, -1 certainly not, 0 cannot be told.

    "Not" needs both codes in the tables, in classes or nodes of which neither contains the other.
    """
    if code_matches(pattern, code):
        return MET
    wanted, given = cancer_class(pattern), cancer_class(code)
    if wanted is None or given is None:
        return _judge_extents(extent(pattern), extent(code))
    inside = f"{given[0]}/".startswith(f"{wanted[0]}/")
    around = f"{wanted[0]}/".startswith(f"{given[0]}/")
    if inside and wanted[1]:
        return MET
    return UNKNOWN if inside or around else NOT_MET


def _judge_extents(wanted: Extent | None, given: Extent | None) -> int:
    if wanted is None or given is None:
        return UNKNOWN
    within = [oncotree.inside(node, wanted.nodes) for node in given.nodes]
    if all(within):
        return MET if wanted.whole else UNKNOWN
    if any(within) or any(oncotree.inside(node, given.nodes) for node in wanted.nodes):
        return UNKNOWN
    return NOT_MET


def judge_cancer_codes(patterns: tuple[str, ...], codes: list[str]) -> int:
    """`judge_cancer` for one diagnosis with several codings; codings that contradict each other give 0."""
    verdicts = {max(judge_cancer(pattern, code) for pattern in patterns) for code in codes}
    if MET in verdicts:
        return UNKNOWN if NOT_MET in verdicts else MET
    return NOT_MET if NOT_MET in verdicts else UNKNOWN
