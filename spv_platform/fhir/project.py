"""Projection: one resource to one row of its table, as `lake.tables` describes it.

Each table's paths are compiled once for each type of resource. A column without a value is null; nothing is made up to
fill it. A resource comes read by `structs`, or is read here, leniently; the row is the same. What an element comes to
is kept with it, so elements that come again cost little; only what references mean is asked anew in each object.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from spv_platform.fhir import contract
from spv_platform.fhir.frames import Cell, Row
from spv_platform.fhir.kinds import CONVERT, RESOLVING, Convert, worded_codings
from spv_platform.fhir.paths import Getter, Step, getter_of, lenient, reaches, steps_of, struct_of
from spv_platform.fhir.problems import pointer_of, refused
from spv_platform.fhir.references import SOUGHT_TYPES, EntryReferences
from spv_platform.fhir.structs import Resource, Taken
from spv_platform.lake.describe import MODIFIER, Table
from spv_platform.lake.tables import table_of

#: Reads a number as its text, so that no number is out of range.
_any_decoder = msgspec.json.Decoder(float_hook=str)

#: Of ASCII: no writer escapes one, but it may stand in the name of an extension.
_ESCAPED_LETTER = re.compile(rb"\\u00[67]")
_EXTENSIONS = ("extension", "modifierExtension")
_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"

#: Combinations of elements whose plans are remembered of one table.
_MOST_PLANS = 5_000

#: What extensions say, see `extensions_of`.
Extensions = tuple[list[str] | None, list[tuple[str, str]] | None]

#: By type of resource; those of one table have one.
_projectors: dict[str, "Projector"] = {}


class Version(msgspec.Struct, gc=False):
    """One resource version, as far as it is known before projection.

    Attributes:
        entry: number in its object.
        digest: of its content (`fhir.digest`); empty until that is read.
        version_time: what the source stated, naive UTC; None: nothing.
        container: `Type/id` of the resource that holds it; None: it is an entry's own.
        standing: by its status, before others of the same time.
        own_id: whether the resource says its id itself.
    """

    entry: int
    resource_type: str
    resource_id: str
    digest: str = ""
    full_url: str | None = None
    deleted: bool = False
    version_time: datetime | None = None
    version_id: str | None = None
    container: str | None = None
    profiles: list[str] | None = None
    standing: int = 0
    own_id: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """(type, id)."""
        return (self.resource_type, self.resource_id)

    @property
    def name(self) -> str:
        """`Type/id`, as references say it."""
        return f"{self.resource_type}/{self.resource_id}"


@dataclass(frozen=True, slots=True)
class Origin:
    """What all rows of one object share."""

    source: str
    source_object: str
    landing_seq: int
    batch_id: str


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


class _Part(NamedTuple):
    """An element of a type that its table needs: the numbers of the columns that it may fill, and how."""

    columns: tuple[int, ...]
    maker: _Maker


class _Plan(NamedTuple):
    """How resources of one type with the same elements become rows.

    Attributes:
        parts: places of the elements that are needed, and their makers.
        columns: of all parts together.
        rivals: places in `columns` that are of one column, the first alternative first.
        whom: place of the element that says whom it is about; None: none does.
        of_patient: whether the type has such an element.
    """

    parts: list[tuple[int, _Maker]]
    columns: tuple[int, ...]
    rivals: list[list[int]]
    whom: int | None
    of_patient: bool


class _Type(NamedTuple):
    """All ways from one type of resource to the columns of a table, and to whom it is about."""

    ways: list[_Way]
    whom: list[str]
    parts: dict[str, _Part]


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

    def row(
        self,
        version: Version,
        resource: Resource,
        extensions: Extensions,
        origin: Origin,
        resolve: EntryReferences,
        patient_id: str | None = None,
    ) -> Row:
        """The row of one resource.

        Args:
            version: what is known of it.
            resource: as `contract.read` gave it, or `read`.
            extensions: what its extensions say.
            origin: where it comes from.
            resolve: resolves the references that stand in it, and counts candidates.
            patient_id: whom it is about if it could say so and does not.

        Raises:
            EntryRefusedError: an element is not of the type that FHIR gives it.
        """
        plan = self._plans.get((version.resource_type, resource.names))
        if plan is None:
            plan = self._plan(version.resource_type, resource.names)
        elements = resource.elements
        cells: list[Cell] = []
        try:
            for place, maker in plan.parts:
                element = elements[place]
                made = element.made
                if made is None or made.maker is not maker:
                    made = element.made = maker.make(element.value)
                cells += resolve.answer(made) if made.asks else made.cells
        except _WrongValueError:
            raise refused("invalid_resource", _first_wrong(plan, elements)) from None
        for rivals in plan.rivals:
            for place in [place for place in rivals if cells[place] is not None][1:]:
                cells[place] = None
        about = None
        if version.resource_type == "Patient":
            about = version.resource_id
        elif plan.of_patient:
            about = (resolve.answer(elements[plan.whom].made.whom) if plan.whom is not None else None) or patient_id
        return Row(_system(version, origin, about, extensions, resolve.candidates), plan.columns, cells)

    def tombstone(self, version: Version, origin: Origin) -> Row:
        """The row of a deleted resource: every described column is null."""
        patient_id = version.resource_id if version.resource_type == "Patient" else None
        return Row(_system(version, origin, patient_id, (None, None), None), (), ())

    def _plan(self, resource_type: str, names: tuple[str, ...]) -> _Plan:
        if resource_type not in self._types:
            self._types[resource_type] = self._compile(resource_type)
        if len(self._plans) >= _MOST_PLANS:
            self._plans.clear()
        ways, whom, needed = self._types[resource_type]
        parts = [(names.index(name), part) for name, part in needed.items() if name in names]
        places = [(column, names[place]) for place, part in parts for column in part.columns]
        rivals = []
        for column, number in Counter(column for column, _ in places).items():
            if number > 1:
                alternatives = dict.fromkeys((way.column, way.element) for way in ways if way.column == column)
                rivals.append([places.index(each) for each in alternatives if each in places])
        plan = self._plans[resource_type, names] = _Plan(
            [(place, part.maker) for place, part in parts],
            tuple(column for column, _ in places),
            rivals,
            next((names.index(name) for name in whom if name in names), None),
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


def extensions_of(text: bytes, resource: Resource | None = None) -> Extensions:
    """What the extensions of a resource say, at any depth; None when there is nothing.

    Args:
        text: its JSON text.
        resource: as `contract.read` gave it; None: it did not.

    Returns:
        Every url, sorted, with repetitions; the elements that are absent for a reason: JSON pointer and reason, sorted.
    """
    if b'xtension":[' not in text and not (b"\\" in text and _ESCAPED_LETTER.search(text)):
        return None, None
    urls: list[str] = []
    absent: list[tuple[str, str]] = []
    if resource is None:
        _collect(_read_any(text), "", urls, absent)
    else:
        for name, part, element in zip(resource.names, resource.texts, resource.elements, strict=True):
            if element.extensions is None:
                element.extensions = [], []
                if name in _EXTENSIONS or b'xtension":[' in part:
                    _collect({name: _read_any(part)}, "", *element.extensions)
            urls += element.extensions[0]
            absent += element.extensions[1]
    return sorted(urls) or None, sorted(absent) or None


def _read_any(text: bytes) -> Any:
    try:
        return _any_decoder.decode(text)
    except msgspec.ValidationError:  # a whole number of more digits than Python reads
        return json.loads(text, parse_int=str, parse_float=str)


def _system(
    version: Version,
    origin: Origin,
    patient_id: str | None,
    extensions: Extensions,
    candidates: int | None,
) -> tuple[Any, ...]:
    return (
        origin.source,
        version.resource_type,
        version.resource_id,
        patient_id,
        version.deleted,
        version.version_time is not None,
        version.version_time,
        version.version_id,
        version.digest,
        version.profiles,
        *extensions,
        origin.source_object,
        version.entry,
        version.container,
        version.full_url if version.resource_type in SOUGHT_TYPES else None,
        origin.landing_seq,
        origin.batch_id,
        candidates,
    )


def _first_wrong(plan: _Plan, elements: list[Taken]) -> str:
    """JSON pointer of the wrong value of the first column that has one."""
    wrong: list[tuple[int, str]] = []
    before = 0
    for place, maker in plan.parts:
        try:
            before += len(maker.make(elements[place].value).cells)
        except _WrongValueError as error:
            wrong.append((plan.columns[before + error.place], error.pointer))
            before += maker.height
    return min(wrong)[1]


def _points_inward(references: list[Any]) -> bool:
    return any((getattr(each, "reference", None) or "").startswith("#") for each in references)


def _pointer(steps: Iterable[Step]) -> str:
    return "".join(f"/{step.element}" for step in steps)


def _collect(value: Any, at: str, urls: list[str], absent: list[tuple[str, str]]) -> None:
    if isinstance(value, list):
        for number, part in enumerate(value):
            _collect(part, f"{at}/{number}", urls, absent)
    elif isinstance(value, dict):
        for name, part in value.items():
            if name in _EXTENSIONS and isinstance(part, list):
                for one in part:
                    if isinstance(one, dict) and isinstance(url := one.get("url"), str):
                        urls.append(url if name == "extension" else f"{MODIFIER}{url}")
                        if url == _ABSENT and isinstance(reason := one.get("valueCode"), str):
                            absent.append((at, reason))
            _collect(part, f"{at}/{name.removeprefix('_')}", urls, absent)
