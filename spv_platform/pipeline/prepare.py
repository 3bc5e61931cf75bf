"""From staged rows to candidates: new states of the touched records, their persons, the persons' views.

Runs under the tenant's publish lease, so that no other batch folds the same records at the same time. Writes nothing
that a reader sees.
"""

import polars as pl

from spv_platform.lake.spec import TableSpec
from spv_platform.lake.stage import stage_all
from spv_platform.lake.tables import TABLES
from spv_platform.ledger import batches, records
from spv_platform.pipeline.catalog import DERIVED_TABLES
from spv_platform.pipeline.claims import Holding, take_publish_lease
from spv_platform.pipeline.gate import pass_staged_gate
from spv_platform.pipeline.healing import targets_of
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.prepared import Prepared
from spv_platform.pipeline.reading import reader
from spv_platform.pipeline.stage import stage_batch
from spv_platform.pipeline.staged import read_staged
from spv_platform.pipeline.states import States
from spv_platform.pipeline.unowned import UNOWNED_VERSION, find_unowned
from spv_platform.view.facts import bearing, facts_of
from spv_platform.view.fold import fold
from spv_platform.view.patient import patient_view


def prepare(platform: Platform, holding: Holding) -> Prepared:
    """Fold the staged rows of the batch into the states of the records that they touch.

    A re-match batch has no rows: it takes every record as it is.

    Raises:
        LeaseLostError: the batch is no longer ours.
        GateRefusedError: the staged rows did not pass their gate.
        TransientError: a store did not answer, or the publish lease was not free in time.
    """
    claim = holding.claim
    _ensure_ready(platform, holding)
    token = take_publish_lease(platform, holding)
    published = reader(platform, claim.tenant)
    staged = read_staged(platform, claim, [table.name for table in TABLES])
    tables = bearing(staged)
    unowned = find_unowned(published, tables)
    states = States(platform, claim.tenant)
    new = states.named(pl.concat([facts_of(tables), unowned.facts]))
    touched = frozenset(new["record"].unique())
    old = states.load_all() if claim.kind == "rematch" else states.load(touched)
    linked = states.link(fold(old, new) if touched else old, touched)
    present, seq = sorted(linked.present), published.seq + 1
    retired = sorted(linked.before - linked.present)
    facts = linked.facts.filter(pl.col("person_id").is_in(present))
    gone = pl.DataFrame({"person_id": retired}, schema={"person_id": pl.String})
    views = patient_view(facts)
    view_rows = with_tombstones(DERIVED_TABLES["patient_view"], views, gone, seq)
    holding.check()
    frames = {"patient_view": view_rows, UNOWNED_VERSION.name: unowned.rows}
    files = stage_all(platform.lake, claim.tenant, frames, batch_id=claim.batch_id, attempt=claim.attempt)
    with platform.db.transaction() as cur:
        records.put_candidates(cur, claim, linked.changed)
    holding.prepared = Prepared(
        token,
        seq,
        published.publication,
        facts,
        present,
        retired,
        linked.before,
        len(touched),
        views,
        files,
        targets_of(staged, platform.tenant_keys(claim.tenant)),
    )
    return holding.prepared


def _ensure_ready(platform: Platform, holding: Holding) -> None:
    """Stage and judge the batch if this attempt has not: a run may begin in the middle, as a re-execution does."""
    with platform.db.transaction() as cur:
        progress = batches.progress(cur, holding.claim)
    if not progress.staged:
        stage_batch(platform, holding)
    if not progress.gated:
        pass_staged_gate(platform, holding)


def with_tombstones(spec: TableSpec, rows: pl.DataFrame, gone: pl.DataFrame, seq: int) -> pl.DataFrame:
    """Rows of a derived table at a publication, with a tombstone for every key that has no row any more.

    Args:
        spec: of the table.
        rows: its rows, without `deleted` and `_seq`.
        gone: the keys that are gone.
        seq: the publication.
    """
    frames = [rows.with_columns(deleted=pl.lit(value=False)), gone.with_columns(deleted=pl.lit(value=True))]
    both = pl.concat(frames, how="diagonal_relaxed").with_columns(_seq=pl.lit(seq, pl.Int64))
    return both.select(pl.col(name).cast(dtype) for name, dtype in spec.schema.items())
