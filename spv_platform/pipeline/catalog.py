"""Every table that the lake may hold, resource tables and derived ones."""

from spv_platform.lake.spec import RESOURCE_TABLES, TableSpec
from spv_platform.pipeline.unowned import UNOWNED_VERSION
from spv_platform.trials import tables as trial_tables
from spv_platform.view.tables import PATIENT_VIEW

DERIVED_TABLES: dict[str, TableSpec] = {
    table.name: TableSpec(table.name, table.schema, table.key, "seq") for table in (PATIENT_VIEW, *trial_tables.TABLES)
}
ALL_TABLES: tuple[TableSpec, ...] = (*RESOURCE_TABLES, UNOWNED_VERSION, *DERIVED_TABLES.values())
