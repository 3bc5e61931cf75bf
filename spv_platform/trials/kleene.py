"""Three-valued logic over columns: a tree of criteria becomes verdicts, open questions and reasons, per person.

A verdict is an Int8: 1 MET, 0 UNKNOWN, -1 NOT_MET. `all` is the least of its members, `any` the greatest, `none` the
opposite of the greatest, `at_least` the n-th greatest (Kleene's strong logic).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from spv_platform.trials.model import Criterion, Group, Node, criteria_of

MET, UNKNOWN, NOT_MET = 1, 0, -1
NAMES = {MET: "MET", UNKNOWN: "UNKNOWN", NOT_MET: "NOT_MET"}

Array: TypeAlias = np.ndarray[Any, Any]

_NEVER = 10_000  # more answers than any tree has: this value cannot be reached


def value_of(node: Node, leaves: Mapping[str, Array]) -> Array:
    """The verdict of a tree, Int8, one a person.

    Args:
        node: criteria, all of which decide.
        leaves: per criterion id its verdicts, Int8, all of one length.
    """
    if isinstance(node, Criterion):
        return leaves[node.id]
    members = [value_of(member, leaves) for member in node.members]
    match node.op:
        case "all":
            return reduce(np.minimum, members)
        case "any":
            return reduce(np.maximum, members)
        case "none":
            return -reduce(np.maximum, members)
        case _:
            return np.sort(np.stack(members), axis=0)[-node.n]


def first_against(node: Node, leaves: Mapping[str, Array], position: Mapping[str, int], wanted: int = NOT_MET) -> Array:
    """The least position of a criterion because of which the tree is NOT_MET, Int16; where it is not, no meaning.

    Args:
        node: criteria, all of which decide.
        leaves: per criterion id its verdicts.
        position: per criterion id its place, in the order of the tree.
        wanted: the verdict that is to be explained.
    """
    if isinstance(node, Criterion):
        return np.full(len(leaves[node.id]), position[node.id], np.int16)
    of_members = -wanted if node.op == "none" else wanted
    # one NOT_MET of `all` is enough, one MET of `any`; and of `none` one MET, to be NOT_MET
    one_is_enough = (node.op, wanted) in (("all", NOT_MET), ("any", MET), ("none", NOT_MET)) or node.op == "at_least"
    if not one_is_enough:
        return first_against(node.members[0], leaves, position, of_members)
    explains = np.stack([value_of(member, leaves) for member in node.members]) == of_members
    # positions grow, so the first member that explains it has the least; it weighs most
    count = len(node.members)
    first = count - (explains * np.arange(count, 0, -1, dtype=np.int16)[:, None]).max(axis=0)
    of_criteria = [position[member.id] if isinstance(member, Criterion) else 0 for member in node.members]
    found = np.array([*of_criteria, 0], np.int16)[first]
    for at, member in enumerate(node.members):
        there = np.flatnonzero(first == at) if isinstance(member, Group) else ()
        if len(there):
            among = {criterion.id: leaves[criterion.id][there] for criterion in criteria_of(member)}
            found[there] = first_against(member, among, position, of_members)
    return found


@dataclass
class Combined:
    """What a tree says, one row a person, in the order of the leaves' columns.

    Attributes:
        value: Int8, the verdict of the whole tree.
        answers_needed: the least number of UNKNOWN criteria that must turn out right for MET; `_NEVER` or more when
            MET cannot be reached any more (`reachable`).
        open: per criterion id: UNKNOWN, and still able to change the verdict.
        against: per criterion id: it is why the tree is NOT_MET.
    """

    value: Array
    answers_needed: Array
    open: dict[str, Array] = field(default_factory=dict)
    against: dict[str, Array] = field(default_factory=dict)

    @property
    def reachable(self) -> Array:
        """Whether answers can still make it MET."""
        return self.answers_needed < _NEVER


def alone(tree: Node, leaves: Mapping[str, Array]) -> dict[str, Array]:
    """Of each criterion: where it is UNKNOWN, and its answer alone could make the tree MET; Boolean, one a person.

    Args:
        tree: criteria, all of which decide.
        leaves: per criterion id its verdicts, Int8, all of one length.
    """
    found: dict[str, Array] = {}
    _spread(tree, MET, value_of(tree, leaves) == UNKNOWN, leaves, found)
    return found


def _spread(node: Node, wanted: int, needed: Array, leaves: Mapping[str, Array], found: dict[str, Array]) -> None:
    """Hand to the members where it is them alone that keep the node from the wanted verdict."""
    if isinstance(node, Criterion):
        found[node.id] = needed & (leaves[node.id] == UNKNOWN)
        return
    wanted = -wanted if node.op == "none" else wanted
    enough = {"all": len(node.members), "any": 1, "none": 1}.get(node.op, node.n)
    # so many members are NOT_MET when fewer than enough are MET
    others = (enough if wanted == MET else len(node.members) - enough + 1) - 1
    values = [value_of(member, leaves) for member in node.members]
    agree = reduce(np.add, [(value == wanted).astype(np.int32) for value in values])
    for member, value in zip(node.members, values, strict=True):
        _spread(member, wanted, needed & (value == UNKNOWN) & (agree == others), leaves, found)


class _Judged(NamedTuple):
    value: Array
    to_met: Array  # how many UNKNOWN leaves must be answered right to make it MET
    to_not_met: Array


def combine(tree: Node, leaves: Mapping[str, Array]) -> Combined:
    """Evaluate a tree, and tell what could change its verdict and what it rests on.

    Args:
        tree: criteria, all of which decide.
        leaves: per criterion id its verdicts, Int8, all of one length.
    """
    # of all leaves at once: each is small
    values = np.stack(list(leaves.values()))
    costs = zip(values, _cost(values, MET), _cost(values, NOT_MET), strict=True)
    single = {name: _Judged(*each) for name, each in zip(leaves, costs, strict=True)}
    judged: dict[int, _Judged] = {}
    root = _judge(tree, single, judged)
    combined = Combined(root.value, root.to_met)
    _trace(tree, 1, root.value == UNKNOWN, root.value == NOT_MET, judged, combined)
    return combined


def _judge(node: Node, single: Mapping[str, _Judged], judged: dict[int, _Judged]) -> _Judged:
    if isinstance(node, Criterion):
        result = single[node.id]
    else:
        members = [_judge(member, single, judged) for member in node.members]
        result = _combine_members(node.op, node.n, members)
    judged[id(node)] = result
    return result


def _cost(value: Array, wanted: int) -> Array:
    return np.where(value == wanted, 0, np.where(value == UNKNOWN, 1, _NEVER)).astype(np.int32)


def _combine_members(op: str, n: int, members: list[_Judged]) -> _Judged:
    values, to_met, to_not = (list(columns) for columns in zip(*members, strict=True))
    if op == "at_least":
        # the cheapest answers that reach n, or that leave fewer than n
        ordered, met, no = (np.sort(np.stack(columns), axis=0) for columns in (values, to_met, to_not))
        return _Judged(ordered[-n], _sum(list(met[:n])), _sum(list(no[: len(members) - n + 1])))
    if op == "all":
        return _Judged(reduce(np.minimum, values), _sum(to_met), reduce(np.minimum, to_not))
    any_value = reduce(np.maximum, values)
    any_met, any_not = reduce(np.minimum, to_met), _sum(to_not)
    return _Judged(any_value, any_met, any_not) if op == "any" else _Judged(-any_value, any_not, any_met)


def _sum(columns: list[Array]) -> Array:
    return np.minimum(reduce(np.add, columns), _NEVER)


def _trace(
    node: Node, sign: int, undecided: Array, failing: Array, judged: dict[int, _Judged], combined: Combined
) -> None:
    """From the root to the leaves: which UNKNOWN still matters, and which verdict makes the root NOT_MET.

    Under `none` the sign turns: there a MET speaks against.
    """
    if isinstance(node, Criterion):
        combined.open[node.id], combined.against[node.id] = undecided, failing
        return
    sign = -sign if node.op == "none" else sign
    for member in node.members:
        value = judged[id(member)].value
        open_, against = undecided & (value == UNKNOWN), failing & (value == sign * NOT_MET)
        _trace(member, sign, open_, against, judged, combined)
