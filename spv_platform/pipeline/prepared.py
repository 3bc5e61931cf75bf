"""What a batch comes to before it is published: the hand-over from the fold to the matching and the commit."""

from dataclasses import dataclass

import polars as pl

from spv_platform.lake.stage import StagedFile
from spv_platform.ledger.leases import Token
from spv_platform.ledger.publications import Publication
from spv_platform.ledger.references import Target


@dataclass(frozen=True)
class Prepared:
    """Candidates of one batch, valid while the token's lease is.

    Attributes:
        seq: the publication that they become.
        before: the newest publication, on which they build.
        facts: facts of every present person concerned, with `person_id`.
        persons: the persons concerned that have a Patient resource, sorted.
        retired: persons that were there before and are not any more.
        known: the persons concerned that an earlier publication has rows of; the others are new.
        records: number of records whose state is new.
        views: rows of `patient_view` of the persons.
        files: staged files of derived tables.
        targets: what resources of the batch can be found by.
    """

    token: Token
    seq: int
    before: Publication | None
    facts: pl.DataFrame
    persons: list[str]
    retired: list[str]
    known: frozenset[str]
    records: int
    views: pl.DataFrame
    files: list[StagedFile]
    targets: list[Target]
