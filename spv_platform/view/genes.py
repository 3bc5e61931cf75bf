"""Genes: their numbers at HGNC and NCBI, symbols, earlier symbols and other names.

The table is `genes.csv`, which names source and date; other names that reports use for one gene only, whatever else
HGNC knows by them, are in `codes.csv`, list `gene_old`. A number and a name beside it that mean two genes are told to
disagree: which of them is right cannot be known.
"""

import csv
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from spv_platform.view.codes import table

#: How symbols look; other text is a description.
_SYMBOL = re.compile(r"[A-Za-z][A-Za-z0-9]{0,9}(?:-[A-Za-z0-9]{1,6})?")
#: HGNC symbols are upper case but for "orf": senders are not as careful.
_OPEN_READING_FRAME = re.compile(r"C\d+orf\d+")
_HGNC_NUMBER = re.compile(r"(?i)(?:HGNC:)?(\d+)")


@dataclass(frozen=True)
class Gene:
    """A gene of the table; `names` are all that it is or was called, upper case."""

    hgnc: str
    symbol: str
    names: frozenset[str]


@dataclass(frozen=True)
class Reading:
    """What a coding or a text says of genes.

    Attributes:
        symbols: of the genes; two of a fusion.
        ids: their HGNC ids, where known.
        numbered: a number of a known gene says so, not a text.
        disagrees: the text beside the number is another gene's.
        fused: they are written as a fusion, such as `EML4::ALK`.
    """

    symbols: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    numbered: bool = False
    disagrees: bool = False
    fused: bool = False


@cache
def by_number() -> dict[str, Gene]:
    """`hgnc|1097`, `entrez|673` -> gene."""
    found = {}
    for gene, entrez, _ in _rows():
        found[f"hgnc|{gene.hgnc}"] = gene
        if entrez:
            found[f"entrez|{entrez}"] = gene
    return found


@cache
def symbols() -> frozenset[str]:
    """The approved symbols."""
    return frozenset(gene.symbol for gene, _, _ in _rows())


def symbol_of(name: str) -> str | None:
    """The approved symbol for a symbol in any case, an earlier symbol, or another name; None: not in the tables."""
    return _by_name().get(name.strip().upper())


def read(system: str | None, code: str | None, text: str | None) -> Reading:
    """What a coding with its display, or a text alone, says of genes.

    Args:
        system: `hgnc`, `entrez`, or another system.
        code: a number of that system; a symbol is taken too.
        text: what stands beside it.
    """
    text = (text or "").strip()
    number = _HGNC_NUMBER.fullmatch(code or "") if system in ("hgnc", "entrez") else None
    known = by_number().get(f"{system}|{number[1]}") if number else None
    own_id = (f"HGNC:{number[1]}",) if number and system == "hgnc" else ()
    if known is not None:
        disagrees = text.upper() not in known.names and (_is_symbol(text) or symbol_of(text) is not None)
        return Reading((known.symbol,), (f"HGNC:{known.hgnc}",), numbered=True, disagrees=disagrees)
    if not text and system == "hgnc" and not number:
        text = code or ""
    pair = _pair(text)
    if pair:
        return Reading(pair, fused=True)
    symbol = symbol_of(text) or (_spelt(text) if _SYMBOL.fullmatch(text) else None)
    return Reading((symbol,) if symbol else (), own_id)


def _is_symbol(text: str) -> bool:
    """Whether a text can only be a symbol: a name such as Tyrosinase is none."""
    return _SYMBOL.fullmatch(text) is not None and text == _spelt(text)


def _spelt(text: str) -> str:
    return text if _OPEN_READING_FRAME.fullmatch(text) else text.upper()


def _pair(text: str) -> tuple[str, str] | None:
    """The partners of a fusion that a text names: by a double colon, or by a hyphen between two known genes."""
    left, colons, right = (part.strip() for part in text.partition("::"))
    if colons and _SYMBOL.fullmatch(left) and _SYMBOL.fullmatch(right):
        return symbol_of(left) or _spelt(left), symbol_of(right) or _spelt(right)
    if symbol_of(text):  # HLA-A, NKX2-1 and read-through transcripts are one gene
        return None
    for mark in re.finditer(r"[-/]", text):
        left_one, right_one = symbol_of(text[: mark.start()]), symbol_of(text[mark.end() :])
        if left_one and right_one and left_one != right_one:
            return left_one, right_one
    return None


@cache
def _by_name() -> dict[str, str]:
    earlier = {name: gene.symbol for gene, _, names in _rows() for name in names}
    approved = {symbol.upper(): symbol for symbol in symbols()}
    return earlier | approved | table("gene_old")


@cache
def _rows() -> list[tuple[Gene, str, list[str]]]:
    """Each gene, its number at NCBI, and the earlier symbols that no other gene has or had."""
    with Path(__file__).with_name("genes.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(line for line in file if not line.startswith("#")))
    curated: dict[str, set[str]] = {}
    for name, symbol in table("gene_old").items():
        curated.setdefault(symbol, set()).add(name)
    found = []
    for line in lines:
        previous = [name.upper() for name in line["previous"].split()]
        names = {line["symbol"].upper(), *previous, *line["aliases"].upper().split(), *curated.get(line["symbol"], ())}
        found.append((Gene(line["hgnc"], line["symbol"], frozenset(names)), line["entrez"], previous))
    return found
