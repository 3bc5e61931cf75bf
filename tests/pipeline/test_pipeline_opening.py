from typing import Any, NamedTuple

import pytest

from spv_platform.errors import PermanentError
from spv_platform.pipeline.opening import MOST_AHEAD, opened_ahead


class Item(NamedTuple):
    seq: int
    size_bytes: int = 1


def test_a_batch_without_objects_opens_none() -> None:
    assert list(opened_ahead(lambda _: pytest.fail("opened"), [])) == []


def test_objects_come_in_order_and_large_ones_are_opened_at_their_turn() -> None:
    items: Any = [Item(1), Item(2), Item(3, MOST_AHEAD + 1), Item(4)]
    opened: list[int] = []

    def open_(item: Any) -> int:
        opened.append(item.seq)
        return item.seq * 10

    found = []
    for item, get in opened_ahead(open_, items):
        if item.seq == 3:
            assert 3 not in opened
        found.append((item.seq, get()))
    assert found == [(1, 10), (2, 20), (3, 30), (4, 40)]
    assert sorted(opened) == [1, 2, 3, 4]


def test_what_cannot_be_opened_is_told_at_its_turn_and_costs_no_neighbour() -> None:
    def open_(item: Any) -> int:
        if item.seq == 2:
            raise PermanentError("object_gone")
        return item.seq

    items: Any = [Item(1), Item(2), Item(3)]
    found: list[Any] = []
    for _, get in opened_ahead(open_, items):
        try:
            found.append(get())
        except PermanentError as error:
            found.append(error.reason)
    assert found == [1, "object_gone", 3]
