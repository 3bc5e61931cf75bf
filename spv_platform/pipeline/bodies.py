"""Opening a master copy again for the body of one resource."""

import msgspec

from spv_platform.envelope.keys import mac
from spv_platform.errors import UsageError
from spv_platform.ledger import audit, objects
from spv_platform.ledger.contracts import contract_of
from spv_platform.pipeline.opening import open_item
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.reading import reader


def body(platform: Platform, tenant: str, source: str, reference: str, *, who: str) -> str:
    """The JSON text of a resource's current version, indented; numbers as sent.

    Args:
        reference: `Type/id`.
        who: for the audit trail.

    Raises:
        UsageError: there is no such resource now.
        PermanentError: the sealed object is gone or cannot be opened.
    """
    import polars as pl

    from spv_platform.fhir.parse import body_of
    from spv_platform.lake.tables import table_of

    resource_type, _, resource_id = reference.partition("/")
    if not resource_type or not resource_id:
        raise UsageError(f"{reference!r} names no resource: write it as TYPE/ID, for example Patient/123")
    published = reader(platform, tenant)
    table = table_of(resource_type).name
    rows = (
        published.current(table)
        .filter(source=source, resource_type=resource_type, resource_id=resource_id)
        .select("source_object", "source_entry")
        .collect()
        if table in published.tables()
        else pl.DataFrame()
    )
    if rows.is_empty():
        raise UsageError(
            f"tenant {tenant} has no current {resource_type} of that id from source {source}: see `spv tables {table}`"
        )
    digest, entry = rows.row(0)
    with platform.db.transaction() as cur:
        item = objects.by_digest(cur, tenant, source, digest)[0]
        # Who looked at what: by the keyed name, since ids may say who somebody is.
        name = mac(platform.tenant_keys(tenant).index, "resource", source, resource_type, resource_id).hex()
        audit.write(cur, who, "resource show", tenant, f"{resource_type} {name} object {item.seq} entry {entry}")
        contract = contract_of(cur, tenant, item.feed)
    opened_object = open_item(platform, item, contract)
    raw = body_of(opened_object.plain, opened_object.content_type, entry)
    return msgspec.json.format(raw, indent=2).decode()
