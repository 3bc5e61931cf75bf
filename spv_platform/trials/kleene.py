"""Three-valued logic over columns: a tree of criteria becomes verdicts, open questions and reasons, per person.

A verdict is an Int8: 1 MET, 0 UNKNOWN, -1 NOT_MET. `all` is the least of its members, `any` the greatest, `none` the
opposite of the greatest, `at_least` the n-th greatest (Kleene's strong logic).
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from spv_platform.trials.model import Criterion, Node

MET, UNKNOWN, NOT_MET = 1, 0, -1
NAMES = {MET: "MET", UNKNOWN: "UNKNOWN", NOT_MET: "NOT_MET"}

_NEVER = 100_000  # more answers than any tree has: this value cannot be reached


@dataclass(frozen=True)
class Combined:
    """What a tree says, one row a person, in the order of the leaves' columns.

    Attributes:
        value: Int8, the verdict of the whole tree.
        answers_needed: Int32, the least number of UNKNOWN criteria that must turn out right for MET; null when MET
            cannot be reached any more.
        open: per criterion id a Boolean: UNKNOWN, and still able to change the verdict.
        against: per criterion id a Boolean: it is why the tree is NOT_MET.
    """

    value: pl.Series
    answers_needed: pl.Series
    open: dict[str, pl.Series]
    against: dict[str, pl.Series]


@dataclass(frozen=True)
class _Judged:
    value: pl.Series
    to_met: pl.Series  # how many UNKNOWN leaves must be answered right to make it MET
    to_not_met: pl.Series


def combine(tree: Node, leaves: dict[str, pl.Series]) -> Combined:
    """Evaluate a tree.

    Args:
        tree: criteria, all of which decide.
        leaves: per criterion id its verdicts, Int8, all of one length.
    """
    judged: dict[int, _Judged] = {}
    root = _judge(tree, leaves, judged)
    is_open: dict[str, pl.Series] = {}
    against: dict[str, pl.Series] = {}
    _trace(tree, 1, root.value == UNKNOWN, root.value == NOT_MET, judged, is_open, against)
    needed = pl.select(pl.when(root.to_met < _NEVER).then(root.to_met)).to_series()
    return Combined(root.value, needed, is_open, against)


def _judge(node: Node, leaves: dict[str, pl.Series], judged: dict[int, _Judged]) -> _Judged:
    if isinstance(node, Criterion):
        value = leaves[node.id]
        result = _Judged(value, _cost(value, MET), _cost(value, NOT_MET))
    else:
        members = [_judge(member, leaves, judged) for member in node.members]
        result = _at_least(node.n, members) if node.op == "at_least" else _combine_members(node.op, members)
    judged[id(node)] = result
    return result


def _cost(value: pl.Series, wanted: int) -> pl.Series:
    cost = pl.when(value == wanted).then(0).when(value == UNKNOWN).then(1).otherwise(_NEVER).cast(pl.Int32)
    return pl.select(cost).to_series()


def _combine_members(op: str, members: list[_Judged]) -> _Judged:
    values, to_met, to_not = zip(*((m.value, m.to_met, m.to_not_met) for m in members), strict=True)
    if op == "all":
        return _Judged(_over(pl.min_horizontal, values), _sum(to_met), _over(pl.min_horizontal, to_not))
    any_value = _over(pl.max_horizontal, values)
    any_met, any_not = _over(pl.min_horizontal, to_met), _sum(to_not)
    if op == "any":
        return _Judged(any_value, any_met, any_not)
    return _Judged(-any_value, any_not, any_met)


def _at_least(n: int, members: list[_Judged]) -> _Judged:
    """The n-th greatest value; the cheapest answers that reach n, or that leave fewer than n."""
    values = np.sort(np.stack([member.value.to_numpy() for member in members]), axis=0)
    to_met = np.sort(np.stack([member.to_met.to_numpy() for member in members]), axis=0)
    to_not = np.sort(np.stack([member.to_not_met.to_numpy() for member in members]), axis=0)
    against = len(members) - n + 1
    return _Judged(
        pl.Series(values[-n], dtype=pl.Int8),
        pl.Series(np.minimum(to_met[:n].sum(axis=0), _NEVER), dtype=pl.Int32),
        pl.Series(np.minimum(to_not[:against].sum(axis=0), _NEVER), dtype=pl.Int32),
    )


def _over(function, columns) -> pl.Series:  # type: ignore[no-untyped-def]
    return pl.select(function(*(pl.lit(column) for column in columns))).to_series()


def _sum(columns: tuple[pl.Series, ...]) -> pl.Series:
    total = _over(pl.sum_horizontal, columns)
    return total.clip(upper_bound=_NEVER).cast(pl.Int32)


def _trace(
    node: Node,
    sign: int,
    undecided: pl.Series,
    failing: pl.Series,
    judged: dict[int, _Judged],
    is_open: dict[str, pl.Series],
    against: dict[str, pl.Series],
) -> None:
    """From the root to the leaves: which UNKNOWN still matters, and which verdict makes the root NOT_MET.

    Under `none` the sign turns: there a MET speaks against.
    """
    if isinstance(node, Criterion):
        is_open[node.id], against[node.id] = undecided, failing
        return
    sign = -sign if node.op == "none" else sign
    for member in node.members:
        value = judged[id(member)].value
        _trace(
            member,
            sign,
            undecided & (value == UNKNOWN),
            failing & (value == sign * NOT_MET),
            judged,
            is_open,
            against,
        )
