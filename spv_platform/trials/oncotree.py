"""OncoTree: the nodes that a code or name means, and whether one diagnosis lies inside of another.

Source: OncoTree (`data/oncotree.csv`); names of older versions of the tree are in `data/oncotree.json`. Nothing here
knows other code systems (`terms`).
"""

import csv
from functools import cache
from importlib.resources import files

from spv_platform.trials.terms import table

SYSTEM = "http://oncotree.mskcc.org/oncotree"
#: Names of CTML that stand for the halves of the tree.
SOLID, LIQUID = "_SOLID_", "_LIQUID_"


@cache
def _rows() -> list[dict[str, str]]:
    text = (files("spv_platform.trials") / "data" / "oncotree.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


@cache
def _above() -> dict[str, tuple[str, ...]]:
    """Each code -> itself and its ancestors.

    Raises:
        ValueError: a node is its own ancestor.
    """
    parents = {row["code"]: row["parent"] for row in _rows()}
    found: dict[str, tuple[str, ...]] = {}
    for code in parents:
        line, at = [], code
        while at:
            if at in line:
                raise ValueError(f"oncotree.csv: {at} is its own ancestor: correct its parent")
            line.append(at)
            at = parents[at]
        found[code] = tuple(line)
    return found


@cache
def _named() -> dict[str, tuple[str, ...]]:
    """Case-folded code or name -> the nodes that it means; a name can stand at several places of the tree."""
    liquid = tuple(table("oncotree")["liquid"])
    found = {name.casefold(): tuple(codes) for name, codes in table("oncotree")["older_names"].items()}
    names: dict[str, list[str]] = {}
    for row in _rows():
        names.setdefault(row["name"].casefold(), []).append(row["code"])
    found |= {name: tuple(codes) for name, codes in names.items()}
    found |= {row["code"].casefold(): (row["code"],) for row in _rows()}
    solid = tuple(row["code"] for row in _rows() if not row["parent"] and row["code"] not in liquid)
    return found | {SOLID.casefold(): solid, LIQUID.casefold(): liquid}


def nodes(name: str) -> tuple[str, ...]:
    """The nodes that a code or name of OncoTree means; empty: the tree does not have it."""
    return _named().get(name.strip().casefold(), ())


def inside(code: str, wanted: tuple[str, ...]) -> bool:
    """Whether a node is one of the wanted ones or below one."""
    return any(above in wanted for above in _above()[code])


def close_to(name: str) -> str | None:
    """The name in the tree that a misspelt one most likely means, if any."""
    import difflib

    known = {name: name for name in _named()} | {row["name"].casefold(): row["name"] for row in _rows()}
    found = difflib.get_close_matches(name.casefold(), known, n=1, cutoff=0.85)
    return known[found[0]] if found else None
