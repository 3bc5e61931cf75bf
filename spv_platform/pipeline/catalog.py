"""Every table that the lake may hold, resource tables and derived ones."""

from spv_platform.lake.spec import RESOURCE_KEY, RESOURCE_TABLES, TableSpec
from spv_platform.quality.drift import FEED_CONTENT
from spv_platform.trials import tables as trial_tables
from spv_platform.view.schema import SCHEMA, VERSION_COLUMNS
from spv_platform.view.tables import PATIENT_VIEW

DERIVED_TABLES: dict[str, TableSpec] = {
    table.name: TableSpec(table.name, table.schema, table.key, "seq") for table in (PATIENT_VIEW, *trial_tables.TABLES)
}
#: Versions that name no patient; see `pipeline.unowned`.
UNOWNED_VERSION = TableSpec(
    "unowned_version", {name: SCHEMA[name] for name in VERSION_COLUMNS}, RESOURCE_KEY, "resource"
)
#: What the content of the feeds is made of; see `pipeline.drift`.
FEED_CONTENT_SPEC = TableSpec(FEED_CONTENT.name, FEED_CONTENT.schema, FEED_CONTENT.key, "seq")
#: The tables whose rows are entries of objects.
RESOURCE_TABLE_NAMES: tuple[str, ...] = tuple(spec.name for spec in RESOURCE_TABLES)
ALL_TABLES: tuple[TableSpec, ...] = (*RESOURCE_TABLES, UNOWNED_VERSION, FEED_CONTENT_SPEC, *DERIVED_TABLES.values())
