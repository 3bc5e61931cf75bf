"""Resources as they are read: one, or a lot of one type with the same elements, an element at a time.

The elements of resources say the same again and again (a category, a code, whose it is), so a lot has each value of an
element once. What belongs here: the shape of what is read. What does not: reading (`structs`), and what becomes of it
(`project`).
"""

from collections.abc import Hashable, Sequence
from itertools import count
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np

from spv_platform.fhir.frames import Codes

T = TypeVar("T", bound=Hashable)


#: What extensions say where there are none.
NO_EXTENSIONS: tuple[list[str], list[tuple[str, str]]] = ([], [])


class Taken(msgspec.Struct, gc=False, eq=False):
    """One element as read.

    Attributes:
        value: absent elements in it are None; of `contained` a list of `Inside`.
        extensions: what its extensions say, see `extensions`; None: it was not asked.
        made: what a projection came to for it, see `project`; None: it was not asked.
        paths: see `elements_seen`; None: it was not asked.
    """

    value: Any
    extensions: tuple[list[str], list[tuple[str, str]]] | None = None
    made: Any = None
    paths: Any = None


class Resource(msgspec.Struct, gc=False, eq=False):
    """A resource as read: its elements' names, their JSON texts (none if it was read leniently), what they hold."""

    names: tuple[str, ...]
    texts: Sequence[bytes]
    elements: Sequence[Taken]


class Inside(NamedTuple):
    """A contained resource: its type, its id, its JSON text, itself if it was read."""

    type: str
    id: str | None
    text: bytes
    resource: Resource | None


class Elements(NamedTuple):
    """One element of a lot: its values, and which one each resource has."""

    values: list[Taken]
    codes: Codes

    def only(self, kept: list[int]) -> "Elements":
        """Those of the resources with these numbers."""
        used, codes = np.unique(self.codes[kept], return_inverse=True)
        return Elements([self.values[number] for number in used], codes)


class Lot(NamedTuple):
    """Resources of one type with the same elements in the same order.

    Attributes:
        type: the resource type.
        names: of the elements.
        texts: JSON text of each resource.
        parts: JSON texts of each one's elements; of those that were read leniently none.
        columns: beside the names.
    """

    type: str
    names: tuple[str, ...]
    texts: Sequence[bytes]
    parts: Sequence[Sequence[bytes]]
    columns: list[Elements]

    @property
    def lenient(self) -> bool:
        """Whether they were read leniently."""
        return not self.parts[0]

    def resource(self, number: int) -> Resource:
        """One of them."""
        elements = [column.values[column.codes[number]] for column in self.columns]
        return Resource(self.names, self.parts[number], elements)

    def only(self, kept: list[int]) -> "Lot":
        """Those with these numbers."""
        return Lot(
            self.type,
            self.names,
            [self.texts[number] for number in kept],
            [self.parts[number] for number in kept],
            [column.only(kept) for column in self.columns],
        )


def lot_of(resource_type: str, texts: Sequence[bytes], resources: Sequence[Resource]) -> Lot:
    """Resources that have the same elements, as a lot."""
    columns = [Elements(*coded(column)) for column in zip(*(each.elements for each in resources), strict=True)]
    return Lot(resource_type, resources[0].names, texts, [each.texts for each in resources], columns)


def coded(values: Sequence[T]) -> tuple[list[T], Codes]:
    """Each value once, and which one stands at each place."""
    if values.count(values[0]) == len(values):
        return [values[0]], np.zeros(len(values), np.int64)
    once = list(dict.fromkeys(values))
    number = dict(zip(once, count()))
    return once, np.fromiter(map(number.__getitem__, values), np.int64, len(values))
