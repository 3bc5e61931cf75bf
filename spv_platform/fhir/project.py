"""Projection: one resource to one row of its table, as `lake.tables` describes it.

Each table's paths are compiled once. A column without a value is null; nothing is made up to fill it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any

import msgspec

from spv_platform.fhir.datatypes import Reference
from spv_platform.fhir.frames import arrow_schema
from spv_platform.fhir.kinds import CONVERT, Convert, Resolve
from spv_platform.fhir.paths import Getter, getter_of, lenient, steps_of, struct_of
from spv_platform.fhir.problems import pointer_of, refused
from spv_platform.fhir.references import SOUGHT_TYPES, EntryReferences
from spv_platform.lake.describe import PHYSICAL, SYSTEM_COLUMNS, Table

#: Reads a number as its text, so that no number is out of range.
_any_decoder = msgspec.json.Decoder(float_hook=str)

#: By table name: to hash a whole description for every row costs more than to project it.
_projectors: dict[str, "Projector"] = {}


@dataclass(slots=True)
class Version:
    """One resource version, as far as it is known before projection.

    Attributes:
        entry: number in its object.
        version_time: what the source stated, naive UTC; None: nothing.
    """

    entry: int
    resource_type: str
    resource_id: str
    digest: str
    full_url: str | None = None
    deleted: bool = False
    version_time: datetime | None = None
    version_id: str | None = None
    profiles: list[str] | None = field(default=None)

    @property
    def key(self) -> tuple[str, str]:
        """(type, id)."""
        return (self.resource_type, self.resource_id)


@dataclass(frozen=True, slots=True)
class Origin:
    """What all rows of one object share."""

    source: str
    source_object: str
    landing_seq: int
    batch_id: str


class Projector:
    """Makes the rows of one table.

    Attributes:
        schema: the Arrow schema of its rows.
    """

    def __init__(self, table: Table) -> None:
        self.schema = arrow_schema(table.schema)
        self._columns: list[tuple[Getter, Convert, tuple[None, ...], str]] = [
            (getter_of(column.path), CONVERT[column.type], (None,) * len(PHYSICAL[column.type]), column.path)
            for column in table.columns
        ]
        # most columns of most resources are absent: one call finds which, before any path is walked
        self._roots = attrgetter(*(_root_of(column.path) for column in table.columns))
        paths = [(column.path, column.type) for column in table.columns]
        self._patient: Getter | None = None
        if table.patient_path:
            paths.append((table.patient_path, "reference"))
            self._patient = getter_of(table.patient_path)
        struct = struct_of(f"{table.name}_resource", paths)
        self._read: Callable[[bytes], Any] = (
            msgspec.json.Decoder(struct).decode if table.resource_types else lenient(struct)
        )
        self._width = len(table.schema) - len(SYSTEM_COLUMNS)

    def row(self, version: Version, raw: bytes, origin: Origin, resolve: EntryReferences) -> tuple[Any, ...]:
        """The row of one resource, in the order of the table's schema.

        Args:
            version: what is known of it.
            raw: its JSON text.
            origin: where it comes from.
            resolve: resolves the references that stand in it, and counts candidates.

        Raises:
            EntryRefusedError: an element is not of the type that FHIR gives it.
        """
        try:
            resource = self._read(raw)
            extensions = extension_urls(raw)
        except msgspec.ValidationError as error:
            raise refused("invalid_resource", pointer_of(error)) from None
        values: list[Any] = []
        for root, (get, convert, nothing, path) in zip(self._roots(resource), self._columns, strict=True):
            found = None if root is None else get(resource)
            if not found:
                values += nothing
                continue
            try:
                values += convert(found, resolve)
            except ValueError:
                raise refused("invalid_resource", _pointer(path, resource)) from None
        patient_id = _patient_id(version, self._patient, resource, resolve)
        return (*_system(version, origin, patient_id, extensions, resolve.candidates), *values)

    def tombstone(self, version: Version, origin: Origin) -> tuple[Any, ...]:
        """The row of a deleted resource: every described column is null."""
        patient_id = version.resource_id if version.resource_type == "Patient" else None
        return (*_system(version, origin, patient_id, None, None), *(None,) * self._width)


def projector_of(table: Table) -> Projector:
    """The table's projector, compiled once a process."""
    projector = _projectors.get(table.name)
    if projector is None:
        projector = _projectors[table.name] = Projector(table)
    return projector


def extension_urls(raw: bytes) -> list[str] | None:
    """Every extension url in a resource, at any depth, sorted, with repetitions; None when there are none."""
    if b'xtension"' not in raw:
        return None
    return sorted(_urls(_any_decoder.decode(raw))) or None


def _system(
    version: Version,
    origin: Origin,
    patient_id: str | None,
    extensions: list[str] | None,
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
        extensions,
        origin.source_object,
        version.entry,
        version.full_url if version.resource_type in SOUGHT_TYPES else None,
        origin.landing_seq,
        origin.batch_id,
        candidates,
    )


def _patient_id(version: Version, get: Getter | None, resource: Any, resolve: Resolve) -> str | None:
    if version.resource_type == "Patient":
        return version.resource_id
    if get is None:
        return None
    references: list[Reference] = get(resource)
    keys = [resolved.key for reference in references if (resolved := resolve(reference)) and resolved.key]
    return next((key.removeprefix("Patient/") for key in keys if key.startswith("Patient/")), None)


def _root_of(path: str) -> str:
    alternatives = steps_of(path)
    # with alternatives, any of them may be present
    return alternatives[0][0].attribute if len(alternatives) == 1 else "__class__"


def _pointer(path: str, resource: Any) -> str:
    alternatives = steps_of(path)
    if len(alternatives) > 1:
        alternatives = [steps for steps in alternatives if getattr(resource, steps[0].attribute) is not None]
    return "".join(f"/{step.element}" for step in alternatives[0])


def _urls(value: Any) -> list[str]:
    found: list[str] = []
    if isinstance(value, list):
        for part in value:
            found += _urls(part)
    elif isinstance(value, dict):
        for name, part in value.items():
            if name in ("extension", "modifierExtension") and isinstance(part, list):
                found += [url for one in part if isinstance(one, dict) and isinstance(url := one.get("url"), str)]
            found += _urls(part)
    return found
