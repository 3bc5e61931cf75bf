"""Columns of lists from all their members, which Polars is slow to make of anything else."""

import numpy as np
import polars as pl
import pyarrow as pa

from spv_platform.trials.kleene import Array

#: Rows that are made at once. To write a row group with lists takes as long as all rows that were made with it: of
#: some million in one piece nearly all time would go there.
ROWS_AT_ONCE = 250_000


def lists_of(members: pl.Series, lengths: Array) -> pl.Series:
    """A column of lists.

    Args:
        members: of all lists, one list after the other.
        lengths: how many members each list has.
    """
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    # of the newest kind, texts are handed over as they are
    flat = members.to_arrow(compat_level=pl.CompatLevel.newest())
    return pl.Series(pa.LargeListArray.from_arrays(pa.array(offsets), flat))
