"""One resource version as far as it is known beside its content, and the columns that say so in every table."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from spv_platform.fhir.references import SOUGHT_TYPES


class Version(msgspec.Struct, gc=False):
    """One resource version, as far as it is known before projection.

    Attributes:
        entry: number in its object.
        digest: of its content (`fhir.digest`); empty until that is read.
        version_time: what the source stated, naive UTC; None: nothing.
        container: `Type/id` of the resource that holds it; None: it is an entry's own.
        standing: by its status, before others of the same time.
        own_id: what the resource itself says its id is.
        condition: the search that it is to be created or updated by, as `Type?search`.
        if_absent: whether it is to be created only if there is no such resource.
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
    own_id: str | None = None
    condition: str | None = None
    if_absent: bool = False

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


def systems_of(
    versions: Sequence[Version],
    origin: Origin,
    patients: Sequence[str | None],
    extensions: Sequence[tuple[Any, Any]],
    candidates: Sequence[int | None],
) -> list[Sequence[Any]]:
    """The values of the system columns of rows, column by column.

    Args:
        versions: one a row.
        origin: of all of them.
        patients: whom each is about.
        extensions: what each one's extensions say, see `extensions.extensions_of`.
        candidates: how many resources are known that its open references could mean.
    """
    rows = len(versions)
    return [
        [origin.source] * rows,
        [version.resource_type for version in versions],
        [version.resource_id for version in versions],
        patients,
        [version.deleted for version in versions],
        [version.version_time is not None for version in versions],
        [version.version_time for version in versions],
        [version.version_id for version in versions],
        [version.digest for version in versions],
        [version.profiles for version in versions],
        [urls for urls, _ in extensions],
        [absent for _, absent in extensions],
        [origin.source_object] * rows,
        [version.entry for version in versions],
        [version.container for version in versions],
        [version.full_url if version.resource_type in SOUGHT_TYPES else None for version in versions],
        [origin.landing_seq] * rows,
        [origin.batch_id] * rows,
        candidates,
    ]
