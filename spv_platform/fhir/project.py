"""Projection: one resource to one row of its table, as `lake.tables` describes it.

Each table's paths are compiled once for each type of resource. A column without a value is null; nothing is made up to
fill it. A resource comes read by `structs`, or is read here, leniently; the row is the same.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from spv_platform.fhir import contract
from spv_platform.fhir.frames import Row
from spv_platform.fhir.kinds import CONVERT, Convert
from spv_platform.fhir.paths import Getter, Step, getter_of, lenient, reaches, steps_of, struct_of
from spv_platform.fhir.problems import pointer_of, refused
from spv_platform.fhir.references import SOUGHT_TYPES, EntryReferences
from spv_platform.lake.describe import MODIFIER, Table

#: Reads a number as its text, so that no number is out of range.
_any_decoder = msgspec.json.Decoder(float_hook=str)

#: Of ASCII: no writer escapes one, but it may stand in the name of an extension.
_ESCAPED_LETTER = re.compile(rb"\\u00[67]")
_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"

#: By table name: to hash a whole description for every row costs more than to project it.
_projectors: dict[str, "Projector"] = {}


@dataclass(slots=True)
class Version:
    """One resource version, as far as it is known before projection.

    Attributes:
        entry: number in its object.
        digest: of its content (`fhir.digest`); empty until that is read.
        version_time: what the source stated, naive UTC; None: nothing.
        container: `Type/id` of the resource that holds it; None: it is an entry's own.
        standing: by its status, before others of the same time.
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
    profiles: list[str] | None = field(default=None)
    standing: int = 0

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
    """One alternative of one column: how to come by its values."""

    column: int
    get: Getter
    convert: Convert
    path: str


class _Ways(NamedTuple):
    """All ways from one type of resource to the columns of a table: first the elements that they begin with."""

    roots: Callable[[Any], tuple[Any, ...]]
    ways: list[_Way]
    patients: list[tuple[str, Getter]]


class Projector:
    """Makes the rows of one table."""

    def __init__(self, table: Table) -> None:
        paths = [(column.path, column.type) for column in table.columns]
        if table.patient_path:
            paths.append((table.patient_path, "reference"))
        struct = struct_of(f"{table.name}_resource", paths)
        self._read: Callable[[bytes], Any] = (
            msgspec.json.Decoder(struct).decode if table.resource_types else lenient(struct)
        )
        self._table = table
        self._ways: dict[str, _Ways] = {}

    def row(
        self,
        version: Version,
        text: bytes,
        resource: Any,
        origin: Origin,
        resolve: EntryReferences,
        patient_id: str | None = None,
    ) -> Row:
        """The row of one resource.

        Args:
            version: what is known of it.
            text: its JSON text.
            resource: as `contract.read` gave it; None: it did not.
            origin: where it comes from.
            resolve: resolves the references that stand in it, and counts candidates.
            patient_id: whom it is about if it could say so and does not.

        Raises:
            EntryRefusedError: an element is not of the type that FHIR gives it.
        """
        try:
            resource = self._read(text) if resource is None else resource
            extensions = extensions_of(text)
        except msgspec.ValidationError as error:
            raise refused("invalid_resource", pointer_of(error)) from None
        roots, ways, patients = self._ways.get(version.resource_type) or self._compile(version.resource_type)
        cells: list[tuple[int, tuple[Any, ...]]] = []
        filled = -1
        for root, way in zip(roots(resource), ways, strict=True):
            if root is None:
                continue
            column, get, convert, path = way
            if column == filled:
                continue
            found = get(root)
            if not found:
                continue
            filled = column
            try:
                cells.append((column, convert(found, resolve)))
            except ValueError:
                raise refused("invalid_resource", path) from None
        patient_id = _patient_id(version, patients, resource, resolve) or (patient_id if patients else None)
        return _system(version, origin, patient_id, extensions, resolve.candidates), cells

    def tombstone(self, version: Version, origin: Origin) -> Row:
        """The row of a deleted resource: every described column is null."""
        patient_id = version.resource_id if version.resource_type == "Patient" else None
        return _system(version, origin, patient_id, (None, None), None), []

    def _compile(self, resource_type: str) -> _Ways:
        model = contract.model_of(resource_type)
        ways: list[_Way] = []
        roots: list[str] = []
        for number, column in enumerate(self._table.columns):
            for steps in steps_of(column.path):
                # the same name means different things in different types: another thing is no value of the column
                if model is None or reaches(model, steps, column.type):
                    ways.append(_Way(number, getter_of(steps), CONVERT[column.type], _pointer(steps)))
                    roots.append(steps[0].attribute)
        patients = [
            (steps[0].attribute, getter_of(steps))
            for steps in (steps_of(self._table.patient_path) if self._table.patient_path else ())
            if model is None or reaches(model, steps, "reference")
        ]
        found = self._ways[resource_type] = _Ways(_all_of(roots), ways, patients)
        return found


def projector_of(table: Table) -> Projector:
    """The table's projector, compiled once a process."""
    projector = _projectors.get(table.name)
    if projector is None:
        projector = _projectors[table.name] = Projector(table)
    return projector


def extensions_of(text: bytes) -> tuple[list[str] | None, list[tuple[str, str]] | None]:
    """What the extensions of a resource say, at any depth; None when there is nothing.

    Returns:
        Every url, sorted, with repetitions; the elements that are absent for a reason: JSON pointer and reason, sorted.
    """
    if b'xtension":[' not in text and not (b"\\" in text and _ESCAPED_LETTER.search(text)):
        return None, None
    urls: list[str] = []
    absent: list[tuple[str, str]] = []
    _collect(_any_decoder.decode(text), "", urls, absent)
    return sorted(urls) or None, sorted(absent) or None


def _system(
    version: Version,
    origin: Origin,
    patient_id: str | None,
    extensions: tuple[list[str] | None, list[tuple[str, str]] | None],
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


def _patient_id(
    version: Version, patients: list[tuple[str, Getter]], resource: Any, resolve: EntryReferences
) -> str | None:
    if version.resource_type == "Patient":
        return version.resource_id
    for attribute, get in patients:
        root = getattr(resource, attribute)
        if root is None:
            continue
        keys = [resolved.key for reference in get(root) if (resolved := resolve(reference)) and resolved.key]
        return next((key.removeprefix("Patient/") for key in keys if key.startswith("Patient/")), None)
    return None


def _all_of(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """One call that gives all attributes: most are absent from most resources."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda resource: tuple(getattr(resource, name) for name in names)


def _pointer(steps: list[Step]) -> str:
    return "".join(f"/{step.element}" for step in steps)


def _collect(value: Any, at: str, urls: list[str], absent: list[tuple[str, str]]) -> None:
    if isinstance(value, list):
        for number, part in enumerate(value):
            _collect(part, f"{at}/{number}", urls, absent)
    elif isinstance(value, dict):
        for name, part in value.items():
            if name in ("extension", "modifierExtension") and isinstance(part, list):
                for one in part:
                    if isinstance(one, dict) and isinstance(url := one.get("url"), str):
                        urls.append(url if name == "extension" else f"{MODIFIER}{url}")
                        if url == _ABSENT and isinstance(reason := one.get("valueCode"), str):
                            absent.append((at, reason))
            _collect(part, f"{at}/{name.removeprefix('_')}", urls, absent)
