"""From staged rows to candidates: new states of the touched records, their persons, the persons' views.

Runs under the tenant's publish lease, so that no other batch folds the same records at the same time. Writes nothing
that a reader sees.
"""

import polars as pl

from spv_platform.lake.stage import stage_all
from spv_platform.ledger import batches, records
from spv_platform.ledger.leases import Token
from spv_platform.ledger.references import Target
from spv_platform.memory import give_back
from spv_platform.pipeline import homes
from spv_platform.pipeline.catalog import DERIVED_TABLES, UNOWNED_VERSION
from spv_platform.pipeline.claims import Holding, take_publish_lease
from spv_platform.pipeline.derived import with_tombstones
from spv_platform.pipeline.gate import pass_staged_gate
from spv_platform.pipeline.healing import targets_of
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.prepared import Prepared
from spv_platform.pipeline.reading import TenantReader, reader
from spv_platform.pipeline.slices import slice_of
from spv_platform.pipeline.stage import stage_batch
from spv_platform.pipeline.staged import staged_rows
from spv_platform.pipeline.states import States
from spv_platform.pipeline.unowned import Elsewhere, find_elsewhere
from spv_platform.pipeline.whole import prepare_whole
from spv_platform.quality import candidate_view
from spv_platform.view.facts import bearing, facts_of
from spv_platform.view.fold import fold


def prepare(platform: Platform, holding: Holding) -> Prepared:
    """Fold the staged rows of the batch into the states of the records that they touch.

    A batch without rows of its own, a re-match or a rebuild, concerns every record; see `whole`.

    Raises:
        LeaseLostError: the batch is no longer ours.
        GateRefusedError: the staged rows did not pass their gate.
        TransientError: a store did not answer, or the publish lease was not free in time.
    """
    _ensure_ready(platform, holding)
    token = take_publish_lease(platform, holding)
    published = reader(platform, holding.claim.tenant)
    work = _prepare_load if holding.claim.kind == "load" else prepare_whole
    holding.prepared = work(platform, holding, token, published)
    return holding.prepared


def _prepare_load(platform: Platform, holding: Holding, token: Token, published: TenantReader) -> Prepared:
    claim, seq, keys = holding.claim, published.seq + 1, platform.tenant_keys(holding.claim.tenant)
    states = States(platform, claim.tenant)
    new, elsewhere, targets = _read_staged(platform, holding, published, states)
    give_back()
    touched = frozenset(new["record"].unique())
    linked = states.link(fold(states.load(touched), new), touched)
    found = slice_of(linked, linked.before)
    retired = sorted(linked.before - linked.present)
    gone = pl.DataFrame({"person_id": retired}, schema={"person_id": pl.String})
    view_rows = with_tombstones(DERIVED_TABLES["patient_view"], found.views, gone, seq)
    holding.check()
    frames = {"patient_view": view_rows, UNOWNED_VERSION.name: elsewhere.unowned}
    files = stage_all(platform.lake, claim.tenant, frames, batch_id=claim.batch_id, attempt=claim.attempt)
    with platform.db.transaction() as cur:
        records.put_candidates(cur, claim, linked.changed)
    return Prepared(
        token,
        seq,
        published.publication,
        [found],
        persons=len(found.persons),
        retired=len(retired),
        records=len(touched),
        facts=found.facts.height,
        measured=candidate_view.measure(found.persons, found.views),
        files=files,
        targets=targets,
        homes=homes.seal(keys, claim.tenant, seq, elsewhere.pairs),
    )


def _read_staged(
    platform: Platform, holding: Holding, published: TenantReader, states: States
) -> tuple[pl.DataFrame, Elsewhere, list[Target]]:
    """The facts of the staged rows, what these mean to other records, and what the resources can be found by.

    The rows take more memory than what is made of them: they are gone when this returns.
    """
    staged, holding.staged = staged_rows(platform, holding), None
    tables = bearing(staged)
    elsewhere = find_elsewhere(platform, published, tables)
    targets = targets_of(staged, platform.tenant_keys(holding.claim.tenant))
    facts = pl.concat([facts_of(tables), elsewhere.facts])
    return states.named(facts), elsewhere, targets


def _ensure_ready(platform: Platform, holding: Holding) -> None:
    """Stage and judge the batch if this attempt has not: a run may begin in the middle, as a re-execution does."""
    with platform.db.transaction() as cur:
        progress = batches.progress(cur, holding.claim)
    if not progress.staged:
        stage_batch(platform, holding)
    if not progress.gated:
        pass_staged_gate(platform, holding)
