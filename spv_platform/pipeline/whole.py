"""Batches that concern every person of a tenant: a re-match takes all records as they are, a rebuild makes them anew.

Both go through the persons a slice at a time, twice: first for states and views, then for the matching. The persons of
whom the tables or the approvals know, and that nobody is any more, are a last slice of their own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import polars as pl

from spv_platform.ledger import approvals, records
from spv_platform.ledger.leases import Token
from spv_platform.ledger.records import Shelf
from spv_platform.pipeline.catalog import DERIVED_TABLES, UNOWNED_VERSION
from spv_platform.pipeline.claims import Holding
from spv_platform.pipeline.derived import gone, with_tombstones
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.prepared import Prepared, Slice
from spv_platform.pipeline.reading import TenantReader
from spv_platform.pipeline.slices import ROWS_PER_FILE, cut, linked_of, slice_of
from spv_platform.pipeline.stage import Staging
from spv_platform.pipeline.upkeep.rebuild import Remade, remake
from spv_platform.quality import candidate_view
from spv_platform.view.facts import EMPTY
from spv_platform.view.patient import patient_view

_VIEW = "patient_view"


@dataclass(frozen=True)
class _Slices:
    """The slices of a tenant by the names of their records; see `Prepared.slices`."""

    platform: Platform
    tenant: str
    shelf: Shelf
    names: list[list[str]]
    vanished: frozenset[str]

    def __iter__(self) -> Iterator[Slice]:
        for names in self.names:
            linked = linked_of(self.platform, self.tenant, self.shelf, names)
            yield slice_of(linked, linked.present)
        yield _nobody(self.vanished)


def prepare_whole(platform: Platform, holding: Holding, token: Token, published: TenantReader) -> Prepared:
    """Candidates of a batch that concerns all persons of its tenant; see `prepare.prepare`."""
    claim, seq = holding.claim, published.seq + 1
    with platform.db.transaction() as cur:
        records.put_candidates(cur, claim, [])  # of an earlier preparation there may be some
    anew = claim.kind == "rebuild"
    remade = remake(platform, holding, published) if anew else Remade()
    first = records.unlinked(claim) if anew else records.in_force(claim.tenant)
    names, present, facts = list[list[str]](), set[str](), 0
    measured = [candidate_view.measure([], _no_views())]
    staging = Staging(platform, claim, ROWS_PER_FILE)
    for linked in cut(platform, claim.tenant, first):
        holding.check()
        found = slice_of(linked, linked.present)
        with platform.db.transaction() as cur:
            records.add_candidates(cur, claim, linked.changed)
        staging.add({_VIEW: with_tombstones(DERIVED_TABLES[_VIEW], found.views, _no_keys(), seq)})
        measured.append(candidate_view.measure(found.persons, found.views))
        names.append(linked.facts["record"].unique().to_list())
        present |= linked.present
        facts += found.facts.height
    vanished = _vanished(platform, published, present)
    retired = gone(published, {_VIEW: _no_views()}, vanished)[_VIEW]
    last = with_tombstones(DERIVED_TABLES[_VIEW], _no_views(), retired, seq)
    staging.add({_VIEW: last, UNOWNED_VERSION.name: remade.unowned})
    staging.flush()
    then = records.linked(claim) if anew else first
    return Prepared(
        token,
        seq,
        published.publication,
        _Slices(platform, claim.tenant, then, names, vanished),
        persons=len(present),
        retired=retired.height,
        records=remade.records,
        facts=facts,
        measured=pl.concat(measured),
        files=staging.files,
        homes=remade.homes,
    )


def _vanished(platform: Platform, published: TenantReader, present: set[str]) -> frozenset[str]:
    """Persons who are not present, and of whom a derived table or an approval may say something all the same."""
    with platform.db.transaction() as cur:
        told = approvals.persons(cur, published.tenant)
    tables = [name for name in DERIVED_TABLES if name in published.tables()]
    ids = [published.stored(name).select("person_id").unique() for name in tables]
    stored = pl.concat(ids).unique().collect(engine="streaming")["person_id"].to_list() if ids else []
    return frozenset([*told, *stored]) - present


def _nobody(known: frozenset[str]) -> Slice:
    return Slice(_no_facts(), [], known, _no_views())


def _no_facts() -> pl.DataFrame:
    return EMPTY.with_columns(record=pl.lit(None, pl.String), person_id=pl.lit(None, pl.String))


@cache
def _no_views() -> pl.DataFrame:
    return patient_view(_no_facts())


def _no_keys() -> pl.DataFrame:
    return pl.DataFrame(schema={"person_id": pl.String})
