import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spv_platform.trials.kleene import MET, NOT_MET, UNKNOWN, combine, first_against, value_of
from spv_platform.trials.model import Criterion, Group, criteria_of

VALUES = (MET, UNKNOWN, NOT_MET)
NAMES = [f"x{at}" for at in range(5)]


def leaf(name):
    return Criterion(id=name, text=True)


def plain(node, values):
    """Kleene's strong logic, written down as the truth tables say."""
    if isinstance(node, Criterion):
        return values[node.id]
    members = [plain(member, values) for member in node.members]
    if node.op == "all":
        if NOT_MET in members:
            return NOT_MET
        return UNKNOWN if UNKNOWN in members else MET
    if node.op == "at_least":
        return sorted(members)[-node.n]
    truth = {"any": (MET, NOT_MET), "none": (NOT_MET, MET)}[node.op]
    if MET in members:
        return truth[0]
    return UNKNOWN if UNKNOWN in members else truth[1]


def one_row(tree, values):
    return combine(tree, {name: np.array([value], np.int8) for name, value in values.items()})


@pytest.mark.parametrize("op", ["all", "any", "none"])
def test_two_members_combine_as_the_truth_tables_say(op):
    pairs = list(itertools.product(VALUES, repeat=2))
    a, b = (np.array([pair[at] for pair in pairs], np.int8) for at in (0, 1))
    tree = Group(op=op, members=(leaf("a"), leaf("b")))
    expected = [plain(tree, {"a": pair[0], "b": pair[1]}) for pair in pairs]
    assert combine(tree, {"a": a, "b": b}).value.tolist() == expected


@st.composite
def trees(draw):
    """A tree in which every leaf stands once, with more leaves than one group holds."""
    nodes = [leaf(name) for name in NAMES[: draw(st.integers(1, len(NAMES)))]]
    for _ in range(draw(st.integers(1, 4))):
        cut = draw(st.integers(1, len(nodes)))
        op = draw(st.sampled_from(["all", "any", "none", "at_least"]))
        grouped = Group(op=op, members=tuple(nodes[:cut]), n=draw(st.integers(1, cut)))
        nodes = [*nodes[cut:], grouped]
    return Group(op="all", members=tuple(nodes))


def completions(values):
    """Every way in which the UNKNOWN could turn out."""
    unknown = [name for name, value in values.items() if value == UNKNOWN]
    for answers in itertools.product((MET, NOT_MET), repeat=len(unknown)):
        yield {**values, **dict(zip(unknown, answers, strict=True))}


assignments = st.fixed_dictionaries({name: st.sampled_from(VALUES) for name in NAMES})


@settings(max_examples=60, deadline=None)
@given(trees(), st.lists(assignments, min_size=1, max_size=6))
def test_columns_combine_as_single_values_do(tree, rows):
    columns = {name: np.array([row[name] for row in rows], np.int8) for name in NAMES}
    assert combine(tree, columns).value.tolist() == [plain(tree, row) for row in rows]


@settings(max_examples=60, deadline=None)
@given(trees(), assignments)
def test_a_decided_verdict_survives_every_answer(tree, values):
    value = one_row(tree, values).value[0]
    if value != UNKNOWN:
        assert {plain(tree, completed) for completed in completions(values)} == {value}


@settings(max_examples=60, deadline=None)
@given(trees(), assignments)
def test_answers_needed_is_the_least_number_that_can_make_it_met(tree, values):
    unknown = [name for name in NAMES if values[name] == UNKNOWN]
    counts = [
        sum(how is not None for how in answers)
        for answers in itertools.product((MET, NOT_MET, None), repeat=len(unknown))
        if plain(tree, values | {n: how or UNKNOWN for n, how in zip(unknown, answers, strict=True)}) == MET
    ]
    combined = one_row(tree, values)
    assert combined.reachable[0] == bool(counts)
    assert not counts or combined.answers_needed[0] == min(counts)


@settings(max_examples=60, deadline=None)
@given(trees(), assignments)
def test_open_criteria_are_unknown_and_stand_in_undecided_trees_only(tree, values):
    combined = one_row(tree, values)
    open_names = [name for name, column in combined.open.items() if column[0]]
    assert all(values[name] == UNKNOWN for name in open_names)
    assert bool(open_names) == (combined.value[0] == UNKNOWN)


@settings(max_examples=60, deadline=None)
@given(trees(), assignments)
def test_what_speaks_against_is_named_exactly_when_the_tree_is_not_met(tree, values):
    combined = one_row(tree, values)
    against = {name for name, column in combined.against.items() if column[0]}
    assert bool(against) == (combined.value[0] == NOT_MET)
    # the named criteria alone, all others unknown, are enough
    if against:
        assert plain(tree, {name: values[name] if name in against else UNKNOWN for name in NAMES}) == NOT_MET


@pytest.mark.parametrize("value", VALUES)
def test_a_tree_of_one_criterion_is_that_criterion(value):
    combined = one_row(leaf("a"), {"a": value})
    assert combined.value.tolist() == [value]
    assert combined.value.dtype == np.int8


@settings(max_examples=60, deadline=None)
@given(trees(), assignments)
def test_the_first_criterion_that_speaks_against_is_the_first_of_those_that_do(tree, values):
    columns = {name: np.array([value], np.int8) for name, value in values.items()}
    combined = combine(tree, columns)
    assert value_of(tree, columns)[0] == combined.value[0]
    if combined.value[0] == NOT_MET:
        position = {criterion.id: at for at, criterion in enumerate(criteria_of(tree))}
        against = [at for name, at in position.items() if combined.against[name][0]]
        assert first_against(tree, columns, position)[0] == min(against)
