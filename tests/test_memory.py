"""A frame stays the same when its empty columns are kept as one value; the search for garbage is only put off."""

import gc

import polars as pl

from spv_platform.memory import no_collections, slim

FRAME = pl.DataFrame(
    {"text": ["a", None], "nothing": [None, None], "lists": [None, None]},
    schema={"text": pl.String, "nothing": pl.String, "lists": pl.List(pl.Struct({"code": pl.String}))},
)


def test_a_slim_frame_is_equal_to_what_it_was_made_of():
    assert slim(FRAME).equals(FRAME)
    assert slim(FRAME).schema == FRAME.schema
    assert slim(FRAME).null_count().equals(FRAME.null_count())


def test_of_a_slim_frame_empty_columns_are_not_kept_row_by_row():
    lists = pl.concat([FRAME] * 10_000).rechunk()
    assert slim(lists).estimated_size() < lists.estimated_size()


def test_a_frame_without_rows_or_without_empty_columns_stays_as_it_is():
    assert slim(FRAME.clear()).equals(FRAME.clear())
    assert slim(FRAME.select("text")).equals(FRAME.select("text"))


def test_the_search_for_garbage_goes_on_after_an_error():
    try:
        with no_collections():
            assert not gc.isenabled()
            raise ValueError
    except ValueError:
        pass
    assert gc.isenabled()
