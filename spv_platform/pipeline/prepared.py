"""What a batch comes to before it is published: the hand-over from the fold to the matching and the commit."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import polars as pl

from spv_platform.lake.stage import StagedFile
from spv_platform.ledger.leases import Token
from spv_platform.ledger.publications import Publication
from spv_platform.ledger.references import Target


@dataclass(frozen=True)
class Slice:
    """Persons who are matched at once, with all that is known of them.

    Attributes:
        facts: of every person, with `person_id`.
        persons: those that have a Patient resource, sorted.
        known: of these and of persons that are gone, those that an earlier publication may have rows of.
        views: rows of `patient_view` of the persons.
    """

    facts: pl.DataFrame
    persons: list[str]
    known: frozenset[str]
    views: pl.DataFrame


@dataclass(frozen=True)
class Prepared:
    """Candidates of one batch, valid while the token's lease is.

    Attributes:
        seq: the publication that they become.
        before: the newest publication, on which they build.
        slices: the persons concerned. May be gone through again, and gives the same each time.
        persons: how many persons are concerned and present.
        retired: how many were there before and are not any more.
        records: how many records have a new state.
        facts: how many facts of the persons there are.
        measured: what the gate on the views measures, of all slices.
        files: staged files of derived tables.
        targets: what resources of the batch can be found by.
        homes: which records hold which resources, as far as it is new; see `pipeline.homes`.
    """

    token: Token
    seq: int
    before: Publication | None
    slices: Iterable[Slice]
    persons: int
    retired: int
    records: int
    facts: int
    measured: pl.DataFrame
    files: list[StagedFile]
    targets: list[Target] = field(default_factory=list)
    homes: list[bytes] = field(default_factory=list)
