"""The ways in which a tree of criteria can be met: its disjunctive normal form."""

from dataclasses import dataclass
from itertools import combinations, product

from spv_platform.errors import UsageError
from spv_platform.trials.model import Criterion, Node

MAX_PATHS = 20_000


class TooManyPathsError(UsageError):
    """The tree can be met in more ways than can be listed."""


@dataclass(frozen=True)
class Literal:
    """A criterion that has to hold, or (`negated`) must not."""

    criterion: Criterion
    negated: bool

    @property
    def asks(self) -> tuple[object, ...]:
        """What is asked and in which words, whatever the criterion is called."""
        return self.criterion.test, self.criterion.within_days, self.criterion.wording, self.negated


Path = tuple[Literal, ...]


def paths(node: Node, *, negated: bool = False) -> list[Path]:
    """Every way to meet a node, each once; a question that is repeated in one counts once.

    Raises:
        TooManyPathsError: there are more than `MAX_PATHS`.
    """
    if isinstance(node, Criterion):
        return [(Literal(node, negated),)]
    turned = negated != (node.op == "none")
    members = [paths(member, negated=turned) for member in node.members]
    # of n, at least k are met: some k of them; fewer than k: some n - k + 1 fail
    all_of = {"all": len(members), "any": 1, "none": 1, "at_least": node.n}[node.op]
    needed = len(members) - all_of + 1 if turned else all_of
    return _distinct(path for chosen in combinations(members, needed) for path in _together(chosen))


def _together(members: tuple[list[Path], ...]) -> list[Path]:
    count = 1
    for member in members:
        count *= len(member)
    if count > MAX_PATHS:
        raise TooManyPathsError(f"the criteria can be met in {count} ways: more than {MAX_PATHS} are not listed")
    return [_once(literal for part in parts for literal in part) for parts in product(*members)]


def _once(literals) -> Path:  # type: ignore[no-untyped-def]
    return tuple({literal.asks: literal for literal in literals}.values())


def _distinct(found) -> list[Path]:  # type: ignore[no-untyped-def]
    known: dict[tuple[object, ...], Path] = {}
    for path in found:
        known.setdefault(tuple(literal.asks for literal in path), path)
        if len(known) > MAX_PATHS:
            raise TooManyPathsError(f"the criteria can be met in more than {MAX_PATHS} ways: they are not listed")
    return list(known.values())
