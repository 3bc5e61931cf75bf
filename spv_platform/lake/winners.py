"""Which version of a resource is current. The one implementation of the rule, for tables and for person states.

The rule (docs/architecture.md, "Versions and winners"): rows of equal key and digest are one version. Of the versions
of a key wins: versioned before unversioned; then the later `version_time`; then, only if unversioned, the greater
`_landing_seq` and `source_entry`; then a tombstone; then the greater `digest`. But an unversioned tombstone wins over
all versioned ones if it landed after the best of these. It is a version of its own beside a versioned tombstone, whose
digest it has.

A version is represented by one of its rows: of those with the greatest `versioned` and `version_time` by those made
when most was known of what its references mean (`_candidates`, which only grows), and of these by the one with the
least `source_object` and `source_entry`, so that the pointer does not depend on the order of landing. Its
`_landing_seq` is the least of all rows with that `versioned` and `version_time`: an unversioned version keeps the place
of its first landing however often it comes again, and what a source dated otherwise is of no account.

What belongs here: the order of rows. What does not: where rows come from (`lake.read`) and go (`lake.compact`).
"""

from collections.abc import Sequence

import polars as pl

from spv_platform.lake.spec import RESOURCE_KEY

_TIMES = ("versioned", "version_time")
#: Within one version, best first: column -> descending. The two private ones are not in every frame.
_REPRESENTATIVE = {
    **dict.fromkeys(_TIMES, True),
    "_candidates": True,
    "source_object": False,
    "source_entry": False,
    "_batch_id": False,
}
#: Why the best version is before the next: see `winners`.
DECIDED_BY = ("only", "version", "landing", "digest")
#: All columns beside the key that the rule looks at.
RULE_COLUMNS: tuple[str, ...] = (*_REPRESENTATIVE, "_landing_seq", "digest", "deleted")
_LANDING, _ENTRY, _TAKES_BACK = "__landing", "__entry", "__takes_back"
_NEVER = 2**63 - 1
#: Between the versions of a key, best first; all descending. The two private columns are null if versioned.
_ORDER = ("versioned", "version_time", _LANDING, _ENTRY, "deleted", "digest")


def versions(frame: pl.LazyFrame, key: Sequence[str] = RESOURCE_KEY) -> pl.LazyFrame:
    """One row per version: rows of equal key and digest collapse, see above for the one that is kept.

    Args:
        frame: rows with the key columns, `digest`, `deleted`, `versioned`, `version_time`, `_landing_seq`,
            `source_object` and `source_entry`; other columns ride along, and `_candidates` and `_batch_id` take part
            where they are present.
        key: the columns that identify a resource; not null.
    """
    present = frame.collect_schema()
    order = {name: descending for name, descending in _REPRESENTATIVE.items() if name in present}
    same = (*key, "digest")
    ordered = frame.sort(*same, *order, descending=[*(False for _ in same), *order.values()], nulls_last=True)
    first_landing = pl.col("_landing_seq").min().over(_begins((*same, *_TIMES)).cum_sum())
    undated_after_dated = _undated_delete() & pl.col("versioned").shift(1, fill_value=False)
    return ordered.with_columns(first_landing).filter(_begins(same) | undated_after_dated)


def winners(frame: pl.LazyFrame, key: Sequence[str] = RESOURCE_KEY, *, keep_deleted: bool = False) -> pl.LazyFrame:
    """The winning version of each key.

    The result depends on the set of rows only, not on their order, repetition or chunking.

    Args:
        frame: as for `versions`.
        key: the columns that identify a resource.
        keep_deleted: keep winners that are tombstones.

    Returns:
        The rows with a column `decided_by`: `only` (one version), `version`, `landing` or `digest`, the rule that
        put the winner before the next version. In no particular order.
    """
    best = _ranked(frame, key).filter(pl.col("decided_by").is_not_null())
    return best if keep_deleted else best.filter(_alive())


def survivors(frame: pl.LazyFrame, key: Sequence[str] = RESOURCE_KEY) -> pl.LazyFrame:
    """The versions that must be remembered so that `winners` stays exact whatever comes later.

    These are, per key, the two best versioned ones (the second says how the first was decided), and all unversioned
    ones: an unversioned version's place can only fall, when an earlier landing of it turns up, so any of them may win
    yet. For any rows `a` and `b`, `winners(survivors(a) + b)` equals `winners(a + b)`.

    Returns:
        The rows with `decided_by` (null but for the winner) and `current`: the winner, unless a tombstone.
    """
    first = _begins(key)
    return (
        _ranked(frame, key)
        .filter(first | first.shift(1, fill_value=False) | ~pl.col("versioned"))
        .with_columns(current=pl.col("decided_by").is_not_null() & _alive())
    )


def contenders(frame: pl.LazyFrame, key: Sequence[str] = RESOURCE_KEY) -> pl.LazyFrame:
    """The versions that must be remembered where nobody asks how the winner was decided; fewer than `survivors`.

    For any rows `a` and `b`, `winners(contenders(a) + b)` equals `winners(a + b)` but for `decided_by`.

    Returns:
        The rows with `decided_by` (null but for the winner).
    """
    first = _begins(key)
    none_dated = pl.when(first).then(~pl.col("versioned")).forward_fill()
    return _ranked(frame, key).filter(first | none_dated | _undated_delete())


def latest(frame: pl.LazyFrame, key: Sequence[str]) -> pl.LazyFrame:
    """The row of the greatest `_seq` of each key, tombstones included.

    Args:
        frame: rows with the key columns and `_seq`. A key has one row per `_seq`, which may be repeated.
        key: the columns that identify a row; not null.
    """
    return frame.sort(*key, "_seq", descending=[*(False for _ in key), True]).filter(_begins(key))


def _ranked(frame: pl.LazyFrame, key: Sequence[str]) -> pl.LazyFrame:
    """One row per version, by key; `decided_by` is set on the winner of each key.

    Best first, but for the unversioned tombstone that wins over versioned ones, which stays among the unversioned.
    """
    unversioned = ~pl.col("versioned")
    last = pl.any_horizontal(_differs(name) for name in key)
    decided = (
        pl.when(last)
        .then(pl.lit("only"))
        .when(_differs("versioned") | _differs("version_time"))
        .then(pl.lit("version"))
        .when(unversioned & (_differs(_LANDING) | _differs(_ENTRY)))
        .then(pl.lit("landing"))
        .when(_differs("deleted"))
        .then(pl.lit("version"))
        .otherwise(pl.lit("digest"))
    )
    # A window over each key takes longer than to carry what is known of a key along its rows, down and up.
    best_dated = pl.when("versioned").then("_landing_seq").fill_null(_NEVER)
    after = pl.col("_landing_seq") > pl.when(_begins(key)).then(best_dated).forward_fill()
    takes_back = (_undated_delete() & after).fill_null(value=False)
    taken_back = pl.when(pl.col(_TAKES_BACK) | last).then(_TAKES_BACK).backward_fill()
    return (
        versions(frame, key)
        .with_columns(
            pl.when(unversioned).then("_landing_seq").alias(_LANDING),
            pl.when(unversioned).then("source_entry").alias(_ENTRY),
        )
        .sort(*key, *_ORDER, descending=[*(False for _ in key), *(True for _ in _ORDER)], nulls_last=True)
        .with_columns(takes_back.alias(_TAKES_BACK))
        .with_columns(
            decided_by=pl.when(_TAKES_BACK).then(pl.lit("landing")).when(_begins(key) & ~taken_back).then(decided)
        )
        .drop(_LANDING, _ENTRY, _TAKES_BACK)
    )


def _undated_delete() -> pl.Expr:
    return ~_alive() & ~pl.col("versioned")


def _alive() -> pl.Expr:
    return pl.col("deleted").ne_missing(True)


def _differs(name: str) -> pl.Expr:
    return pl.col(name).ne_missing(pl.col(name).shift(-1))


def _begins(columns: Sequence[str]) -> pl.Expr:
    """Whether a row of a sorted frame is the first of its values in these columns (the first of them not null)."""
    return pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in columns)
