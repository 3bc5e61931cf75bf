"""Projection: resources to rows of their tables, as `lake.tables` describes them, a lot at a time.

Each table's paths are compiled once for each type of resource. A column without a value is null; nothing is made up to
fill it. A resource comes read by `structs`, or is read here, leniently; the row is the same. What an element comes to
is kept with it, so elements that come again cost little; only what references mean is asked anew in each object.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import Any, NamedTuple

import msgspec
import numpy as np

from spv_platform.fhir import contract
from spv_platform.fhir.frames import Cell, Cells
from spv_platform.fhir.kinds import CONVERT, RESOLVING, Convert, worded_codings
from spv_platform.fhir.lot import Lot, Resource, Taken
from spv_platform.fhir.paths import Getter, Step, getter_of, lenient, reaches, steps_of, struct_of
from spv_platform.fhir.problems import pointer_of, refused
from spv_platform.fhir.references import EntryReferences, LotReferences
from spv_platform.fhir.version import Version
from spv_platform.lake.describe import Table
from spv_platform.lake.tables import table_of

#: Combinations of elements whose plans are remembered of one table.
_MOST_PLANS = 5_000

#: By type of resource; those of one table have one.
_projectors: dict[str, "Projector"] = {}


class _Way(NamedTuple):
    """One alternative of one column: how to come by its values, from the element that it begins with."""

    column: int
    steps: tuple[Step, ...]
    get: Getter
    convert: Convert

    @property
    def element(self) -> str:
        """The name of that element."""
        return self.steps[0].element


class _WrongValueError(Exception):
    """A value is not what FHIR says: in which place of its maker's columns, at which JSON pointer."""

    def __init__(self, place: int, pointer: str) -> None:
        super().__init__()
        self.place, self.pointer = place, pointer


class _Whom(msgspec.Struct, gc=False, eq=False):
    """The references of an element that says whom a resource is about; `inward`: one of them points into it."""

    references: list[Any]
    inward: bool

    def ask(self, resolve: EntryReferences) -> str | None:
        """The patient's id; None also if there are several."""
        keys = {resolved.key for each in self.references if (resolved := resolve(each)) and resolved.key}
        patients = [key.removeprefix("Patient/") for key in keys if key.startswith("Patient/")]
        return patients[0] if len(patients) == 1 else None


class _Made(msgspec.Struct, gc=False, eq=False):
    """What an element comes to.

    Attributes:
        maker: who made it.
        cells: beside the columns of its part.
        asks: cells that depend on what references mean: their places, and how to resolve them.
        inward: whether one of these references points into the resource.
        whom: None: it is no element that says it.
    """

    maker: "_Maker"
    cells: tuple[Cell, ...]
    asks: list[tuple[int, Convert, list[Any]]] = []
    inward: bool = False
    whom: _Whom | None = None

    def ask(self, resolve: EntryReferences) -> tuple[Cell, ...]:
        """The cells, with what the references mean."""
        cells = list(self.cells)
        for place, convert, values in self.asks:
            cells[place] = convert(values, resolve)
        return tuple(cells)


class _Maker:
    """Makes the cells of an element. Types of resources that read an element alike have one maker for it.

    Args:
        ways: place in the columns and way of each alternative.
        whom: how to come by the references that say whom the resource is about; None: they are not there.
    """

    def __init__(self, ways: list[tuple[int, _Way]], whom: Getter | None) -> None:
        self.whom = whom
        self._ways = ways
        self.height = len({place for place, _ in ways})

    def make(self, value: Any) -> _Made:
        """The cells of one value of the element.

        Raises:
            _WrongValueError: it, or a part of it, is not what FHIR says.
        """
        cells: list[Cell] = [None] * self.height
        asks: list[tuple[int, Convert, list[Any]]] = []
        filled = -1
        for place, way in self._ways:
            if place == filled or not (found := way.get(value)):
                continue
            filled = place
            if way.convert in RESOLVING:
                asks.append((place, way.convert, found))
                continue
            try:
                cells[place] = way.convert(found, None)
            except ValueError:
                raise _WrongValueError(place, _pointer(way.steps)) from None
        made = _Made(self, tuple(cells))
        if asks:
            made.asks = asks
            made.inward = any(_points_inward(values) for _, _, values in asks)
        if self.whom:
            references = self.whom(value)
            made.whom = _Whom(references, _points_inward(references))
        return made

    def make_all(self, values: list[Taken]) -> tuple[list[_Made], list[int]]:
        """The cells of each value; those that are not what FHIR says, by number, have none."""
        found, wrong = [], []
        for number, taken in enumerate(values):
            made = taken.made
            if made is None or made.maker is not self:
                try:
                    made = taken.made = self.make(taken.value)
                except _WrongValueError:
                    made = _Made(self, (None,) * self.height)
                    wrong.append(number)
            found.append(made)
        return found, wrong


class _Part(NamedTuple):
    """An element of a type that its table needs: the numbers of the columns that it may fill, and how."""

    columns: tuple[int, ...]
    maker: _Maker


class _Plan(NamedTuple):
    """How resources of one type with the same elements become rows.

    Attributes:
        parts: places of the elements that are needed, and how they fill their columns.
        rivals: by columns that several parts may fill: which of them, the first alternative first.
        whom: the part that says whom it is about; None: none does.
        of_patient: whether the type has such an element.
    """

    parts: list[tuple[int, _Part]]
    rivals: dict[int, list[int]]
    whom: int | None
    of_patient: bool


class _Type(NamedTuple):
    """All ways from one type of resource to the columns of a table, and to whom it is about."""

    ways: list[_Way]
    whom: list[str]
    parts: dict[str, _Part]


class MadeLot(NamedTuple):
    """What the elements of a lot come to.

    Attributes:
        parts: of each part of the plan, beside the values of its element.
        wrong: resources with an element that is not of the type that FHIR gives it, by number: its JSON pointer.
    """

    lot: Lot
    plan: _Plan
    parts: list[list[_Made]]
    wrong: dict[int, str]

    def columns(self, references: LotReferences) -> dict[int, Cells]:
        """The described columns, by number; those without a value are left out.

        Args:
            references: resolves those that stand in the resources, and counts what leads out.
        """
        found: defaultdict[int, dict[int, Cells]] = defaultdict(dict)
        for number, ((place, part), mades) in enumerate(zip(self.plan.parts, self.parts, strict=True)):
            codes = self.lot.columns[place].codes
            made: Sequence[tuple[Cell, ...]] = [each.cells for each in mades]
            if any(each.asks for each in mades):
                answers, codes = references.answer([each if each.asks else None for each in mades], codes)
                made = [*map(_answered, answers, made), *answers[len(made) :]]
            for column, values in zip(part.columns, zip(*made, strict=True), strict=True):
                if any(values):
                    found[column][number] = Cells(values, codes)
        for column, rivals in self.plan.rivals.items():
            there = [found[column][number] for number in rivals if number in found[column]]
            found[column] = {0: reduce(Cells.first_of, there)} if there else {}
        return {column: cells for column, given in found.items() for cells in given.values()}

    def patients(
        self, versions: Sequence[Version], references: LotReferences, otherwise: Sequence[str | None]
    ) -> Sequence[str | None]:
        """Whom each resource is about; if it could say so and does not, what is said otherwise."""
        if self.lot.type == "Patient":
            return [version.resource_id for version in versions]
        if not self.plan.of_patient:
            return [None] * len(versions)
        if self.plan.whom is None:
            return otherwise
        place, _ = self.plan.parts[self.plan.whom]
        asked = [made.whom for made in self.parts[self.plan.whom]]
        answers, codes = references.answer(asked, self.lot.columns[place].codes)
        return [answers[code] or other for code, other in zip(codes.tolist(), otherwise, strict=True)]


def _answered(answer: tuple[Cell, ...] | None, made: tuple[Cell, ...]) -> tuple[Cell, ...]:
    return made if answer is None else answer


class Projector:
    """Makes the rows of one table."""

    def __init__(self, table: Table) -> None:
        paths = [(column.path, column.type) for column in table.columns]
        if table.patient_path:
            paths.append((table.patient_path, "reference"))
        struct = struct_of(f"{table.name}_resource", paths)
        self._decode: Callable[[bytes], Any] = (
            msgspec.json.Decoder(struct).decode if table.resource_types else lenient(struct)
        )
        self._names = {field.name: field.encode_name for field in msgspec.structs.fields(struct)}
        self.table = table
        self._types: dict[str, _Type] = {}
        self._plans: dict[tuple[str, tuple[str, ...]], _Plan] = {}

    def read(self, text: bytes) -> Resource:
        """Read, leniently, what the columns need of a resource.

        Raises:
            EntryRefusedError: an element is not of the type that FHIR gives it.
        """
        try:
            resource = self._decode(text)
        except msgspec.ValidationError as error:
            raise refused("invalid_resource", pointer_of(error)) from None
        found = {
            name: Taken(value)
            for attribute, name in self._names.items()
            if (value := getattr(resource, attribute)) is not None and value != msgspec.Raw()
        }
        return Resource(tuple(found), [], list(found.values()))

    def made(self, lot: Lot) -> MadeLot:
        """What the elements of a lot come to, as far as the columns need them."""
        plan = self._plans.get((lot.type, lot.names)) or self._plan(lot.type, lot.names)
        parts: list[list[_Made]] = []
        wrong: dict[int, str] = {}
        for place, part in plan.parts:
            values, codes = lot.columns[place]
            made, bad = part.maker.make_all(values)
            parts.append(made)
            for number in np.flatnonzero(np.isin(codes, bad)).tolist() if bad else ():
                wrong[number] = _first_wrong(plan, lot.resource(number).elements)
        return MadeLot(lot, plan, parts, wrong)

    def _plan(self, resource_type: str, names: tuple[str, ...]) -> _Plan:
        if resource_type not in self._types:
            self._types[resource_type] = self._compile(resource_type)
        if len(self._plans) >= _MOST_PLANS:
            self._plans.clear()
        ways, whom, needed = self._types[resource_type]
        parts = [(names.index(name), part) for name, part in needed.items() if name in names]
        there = [names[place] for place, _ in parts]
        alternatives: defaultdict[int, dict[int, None]] = defaultdict(dict)
        for way in ways:
            if way.element in there:
                alternatives[way.column][there.index(way.element)] = None
        plan = self._plans[resource_type, names] = _Plan(
            parts,
            {column: list(some) for column, some in alternatives.items() if len(some) > 1},
            next((there.index(name) for name in whom if name in there), None),
            bool(whom),
        )
        return plan

    def _compile(self, resource_type: str) -> _Type:
        model = contract.model_of(resource_type)
        names = {column.name for column in self.table.columns}
        ways = [
            _Way(
                number,
                tuple(steps),
                getter_of(steps),
                worded_codings
                if column.type == "codings" and f"{column.name}_text" not in names
                else CONVERT[column.type],
            )
            for number, column in enumerate(self.table.columns)
            for steps in steps_of(column.path)
            # the same name means different things in different types: another thing is no value of the column
            if model is None or reaches(model, steps, column.type)
        ]
        whom = {
            steps[0].element: steps
            for steps in (steps_of(self.table.patient_path) if self.table.patient_path else ())
            if model is None or reaches(model, steps, "reference")
        }
        parts = {
            name: _part_of([way for way in ways if way.element == name], whom.get(name))
            for name in dict.fromkeys([*(way.element for way in ways), *whom])
        }
        return _Type(ways, list(whom), parts)


#: By what they do.
_makers: dict[Any, _Maker] = {}


def _part_of(ways: list[_Way], whom: list[Step] | None) -> _Part:
    columns = tuple(dict.fromkeys(way.column for way in ways))
    placed = [(columns.index(way.column), way) for way in ways]
    does = tuple((place, way.steps, way.convert) for place, way in placed), tuple(whom or ())
    if does not in _makers:
        _makers[does] = _Maker(placed, getter_of(whom) if whom else None)
    return _Part(columns, _makers[does])


def projector_of(resource_type: str) -> Projector:
    """The projector of the type's table, compiled once a process."""
    projector = _projectors.get(resource_type)
    if projector is None:
        table = table_of(resource_type)
        known = (each for each in _projectors.values() if each.table is table)
        projector = _projectors[resource_type] = next(known, None) or Projector(table)
    return projector


def _first_wrong(plan: _Plan, elements: Sequence[Taken]) -> str:
    """JSON pointer of the wrong value of the first column that has one."""
    wrong: list[tuple[int, str]] = []
    for place, part in plan.parts:
        try:
            part.maker.make(elements[place].value)
        except _WrongValueError as error:
            wrong.append((part.columns[error.place], error.pointer))
    return min(wrong)[1]


def _points_inward(references: list[Any]) -> bool:
    """Whether a reference, or an address, begins with `#`."""
    texts = (each if isinstance(each, str) else getattr(each, "reference", None) for each in references)
    return any((text or "").startswith("#") for text in texts)


def _pointer(steps: Iterable[Step]) -> str:
    return "".join(f"/{step.element}" for step in steps)
