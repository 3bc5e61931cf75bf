"""Compaction: new bases of tables whose tails have grown, pinned by a publication of their own.

The bases are written outside the publish lease, from one pinned publication; only the commit takes the lease. What was
published meanwhile stays in the tail.
"""

from spv_platform import faults
from spv_platform.errors import UsageError
from spv_platform.lake.compact import compact, should_compact
from spv_platform.ledger import batches, leases, publications, tenants
from spv_platform.pipeline.claims import Holding, let_go, take_publish_lease
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.reading import TenantReader, reader


def form_compactions(platform: Platform) -> int:
    """Form a compaction batch for each tenant that has a table whose tail is a large share of its base.

    Returns:
        How many were formed; a tenant has one at a time.
    """
    with platform.db.transaction() as cur:
        names = tenants.tenants(cur)
    formed = 0
    for tenant in names:
        if tables_to_compact(reader(platform, tenant)):
            with platform.db.transaction() as cur:
                formed += batches.form_compaction(cur, tenant) is not None
    return formed


def form_at_once(platform: Platform, tenant: str) -> str | None:
    """Form a compaction batch for a run that is there already.

    Returns:
        The batch, or None: one waits or is at work.

    Raises:
        UsageError: no such tenant.
    """
    with platform.db.transaction() as cur:
        if not tenants.tenant_exists(cur, tenant):
            raise UsageError(f"tenant {tenant!r} does not exist: see `spv tenant list`")
        batch_id = batches.form_compaction(cur, tenant)
        if batch_id:
            batches.mark_requested(cur, batch_id)
    return batch_id


def tables_to_compact(opened: TenantReader) -> list[str]:
    """The tables whose tails have grown enough since their last compaction."""
    due = []
    for table in opened.tables():
        files, rows = opened.tail(table)
        base_rows = opened.publication.tables[table].get("base_rows") or 0 if opened.publication else 0
        if should_compact(tail_rows=rows, base_rows=base_rows, tail_files=files):
            due.append(table)
    return due


def compact_batch(platform: Platform, holding: Holding) -> dict[str, int]:
    """Make new bases where it pays, and commit a publication that pins them.

    Returns:
        Rows of each new base, by table.

    Raises:
        LeaseLostError: the batch is no longer ours; nothing changed for readers.
        PermanentError: `tenant_removed`; nothing changed for readers.
        UsageError: the batch is no compaction.
    """
    claim = holding.claim
    if claim.kind != "compact":  # it would count as published, with its objects
        raise UsageError(f"batch {claim.batch_id} is no compaction: let the job process_batch carry it")
    opened = reader(platform, claim.tenant)
    bases = {}
    for table in tables_to_compact(opened):
        holding.check()
        bases[table] = compact(platform.lake, claim.tenant, table, opened.lake_reader)
        faults.point("base_written", table)
    token = take_publish_lease(platform, holding)
    with platform.db.transaction() as cur:
        tenants.check_active(cur, claim.tenant)
        leases.check_for_update(cur, token)
        batches.check(cur, claim)
        newest = publications.newest(cur, claim.tenant)
        if newest and bases:
            pins = dict(newest.tables)
            for table, base in bases.items():
                made = {"current": base.version, "base_seq": opened.seq, "base_rows": base.rows}
                pins[table] = {**pins[table], **made}
            publications.insert(
                cur,
                claim,
                newest.seq + 1,
                tables=pins,
                criteria_version=newest.criteria_version,
                counts={"compacted": sorted(bases)},
            )
        batches.mark_published(cur, claim)
    faults.point("bases_pinned")
    let_go(platform, claim.run_id)
    return {table: base.rows for table, base in bases.items()}
