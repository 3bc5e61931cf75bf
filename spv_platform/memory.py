"""The memory of this process."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


def give_back() -> None:
    """Give what was freed, and is kept for more of the same, back to the host: some milliseconds."""
    import pyarrow as pa

    # of the pool that `spv_platform/__init__.py` chooses it is the C library's whole heap
    pa.default_memory_pool().release_unused()


@contextmanager
def no_collections() -> Iterator[None]:
    """Make many objects that stay, or that hold no cycles, without looking for garbage among them all the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def slim(frame: "pl.DataFrame") -> "pl.DataFrame":
    """The same frame, its columns without any value kept as one null each: they are not copied with the rows."""
    import polars as pl

    return frame.with_columns(
        pl.lit(None, dtype=dtype).alias(name)
        for (name, dtype), nulls in zip(frame.schema.items(), frame.null_count().row(0), strict=True)
        if nulls == frame.height
    )
