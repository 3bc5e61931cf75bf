"""What the lake has to know about a table to store and read it: name, schema, key, and which row of a key is current.

What belongs here: the small common face of resource tables and derived tables. What does not: columns and their
meaning (`lake.tables`, `view.tables`, `trials.tables`).
"""

from dataclasses import dataclass
from typing import Literal

import polars as pl

from spv_platform.lake.tables import TABLES

RESOURCE_KEY: tuple[str, ...] = ("source", "resource_type", "resource_id")


@dataclass(frozen=True)
class TableSpec:
    """One table of the lake.

    Attributes:
        schema: columns of the stored rows, in order. A column may be added later, never removed or retyped.
        key: the columns whose values one current row has to itself; never null.
        order: which row of a key is current: `resource` by the rule of `lake.winners`, `seq` the greatest `_seq`
            (a key has one row per `_seq`). A `seq` table may have a Boolean column `deleted` for its tombstones.
    """

    name: str
    schema: dict[str, pl.DataType]
    key: tuple[str, ...]
    order: Literal["resource", "seq"]

    def __post_init__(self) -> None:
        wanted = {*self.key, "_seq"} if self.order == "seq" else set(self.key)
        if missing := wanted - set(self.schema):
            raise ValueError(f"table {self.name}: no columns {', '.join(sorted(missing))}")

    @property
    def base_schema(self) -> dict[str, pl.DataType]:
        """Columns of the compacted table `current/<name>`: the table's own, then `decided_by` and `current`."""
        decided: dict[str, pl.DataType] = {"decided_by": pl.String()} if self.order == "resource" else {}
        return {**self.schema, **decided, "current": pl.Boolean()}

    @property
    def read_schema(self) -> dict[str, pl.DataType]:
        """Columns of the current rows as readers get them."""
        return {name: dtype for name, dtype in self.base_schema.items() if name != "current"}


RESOURCE_TABLES: tuple[TableSpec, ...] = tuple(
    TableSpec(table.name, table.schema, RESOURCE_KEY, "resource") for table in TABLES
)
