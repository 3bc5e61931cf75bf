"""The clock by which facts are judged: that of the place where the persons are."""

import polars as pl

_TIMES = ("time_start", "time_end")


def in_zone(facts: pl.DataFrame, zone: str) -> pl.DataFrame:
    """Facts with instants as the clock of a zone shows them; dates have no zone and stay as they are.

    Args:
        facts: instants in UTC, as `view` makes them.
        zone: IANA name.
    """
    if zone == "UTC":
        return facts
    # a time of day comes with an offset, so it is an instant
    instant = pl.col("time").str.contains("T", literal=True).fill_null(value=False)
    local = {
        name: pl.col(name).dt.replace_time_zone("UTC").dt.convert_time_zone(zone).dt.replace_time_zone(None)
        for name in _TIMES
    }
    return facts.with_columns(pl.when(instant).then(moved).otherwise(name).alias(name) for name, moved in local.items())
