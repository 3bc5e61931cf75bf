"""The rows of cohorts: the verdict on each person, why not, and what could still change it.

What can be told of a cohort is a small table; each row has a place in it.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import polars as pl

from spv_platform.trials.asked import STATES, JudgedCohort
from spv_platform.trials.kleene import MET, NOT_MET, Array, Combined, combine, first_against
from spv_platform.trials.lists import lists_of
from spv_platform.trials.tables import COHORT_VERDICT_COLUMNS

#: Columns of what can be told of a person and a cohort.
_TOLD = ("trial", "cohort", "verdict", "approved", "reasons")
_NOT_REACHABLE = -1


def cohort_rows(persons: pl.DataFrame, judged: Sequence[JudgedCohort]) -> pl.DataFrame:
    """Rows of all persons for some cohorts (`tables.COHORT_VERDICT_COLUMNS`), cohort by cohort.

    Args:
        persons: `person_id`, and `state`: an index of `asked.STATES`.
        judged: the cohorts, with the verdicts of all persons.
    """
    state = persons["state"].to_numpy()
    cohorts = [each.asked for each in judged]
    begins = np.cumsum([0, *(each.outcomes for each in cohorts)], dtype=np.int32)
    together = np.concatenate([begin + _outcomes(each, state) for begin, each in zip(begins, judged, strict=False)])
    missing = _Missing()
    needed = np.full(len(together), _NOT_REACHABLE, np.int32)
    for number, each in enumerate(judged):
        if not each.asked.takes:
            continue
        open_ = np.flatnonzero((each.value != NOT_MET) & (state == 0))
        if len(open_):
            combined = combine(each.asked.tree, {name: column[open_] for name, column in each.leaves.items()})
            rows = open_ + number * persons.height
            needed[rows] = np.where(combined.reachable, combined.answers_needed, _NOT_REACHABLE)
            missing.add(combined, rows)
    # of all that can be told, little occurs
    occurring = np.flatnonzero(np.bincount(together, minlength=begins[-1]))
    places = np.zeros(begins[-1], np.uint32)
    places[occurring] = np.arange(len(occurring))
    of = np.searchsorted(begins, occurring, side="right") - 1
    told = [cohorts[number].told(place) for number, place in zip(of, occurring - begins[of], strict=True)]
    verdicts, approved, reasons = zip(*told, strict=True) if told else ((), (), ())
    columns = {
        "trial": pl.Series([each.trial.trial for each in cohorts], dtype=pl.String)[of],
        "cohort": pl.Series([each.cohort.id for each in cohorts], dtype=pl.String)[of],
        "verdict": verdicts,
        "approved": approved,
        "reasons": lists_of(pl.Series(chain(*reasons), dtype=pl.String), np.array([len(each) for each in reasons])),
    }
    found = pl.DataFrame(columns, schema={name: COHORT_VERDICT_COLUMNS[name] for name in _TOLD})[places[together]]
    answers = pl.Series("answers_needed", needed)
    return found.with_columns(
        person_id=persons["person_id"][np.tile(np.arange(persons.height, dtype=np.uint32), len(cohorts))],
        missing=missing.lists(found.height),
        answers_needed=pl.when(answers != _NOT_REACHABLE).then(answers),
    ).select(pl.col(name).cast(dtype) for name, dtype in COHORT_VERDICT_COLUMNS.items())


def _outcomes(judged: JudgedCohort, state: Array) -> Array:
    """Per person the place of what is told, see `AskedCohort.told`."""
    # 0 MET, 1 UNKNOWN, then the criterion that speaks against
    outcome = np.where(judged.value == MET, 0, 1).astype(np.int32)
    failed = np.flatnonzero((judged.value == NOT_MET) & (state != STATES.index("opted_out")))
    if len(failed):
        outcome[failed] = 2 + first_against(judged.asked.tree, judged.leaves, judged.asked.position)[failed]
    return state.astype(np.int32) * (2 + len(judged.asked.asked)) + outcome


class _Missing:
    """Gathers, of rows, the criteria that could still decide."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._rows: list[Array] = []
        self._which: list[Array] = []

    def add(self, combined: Combined, rows: Array) -> None:
        """Take the open criteria of some rows; rows come in ascending order."""
        place, which = np.nonzero(np.stack(list(combined.open.values()), axis=1))
        self._rows.append(rows[place])
        self._which.append(which + len(self._names))
        self._names += combined.open

    def lists(self, height: int) -> pl.Series:
        """Of each row the names, in the order of the file."""
        if not self._rows:
            return pl.Series([[]], dtype=pl.List(pl.String))[np.zeros(height, np.int64)]
        lengths = np.bincount(np.concatenate(self._rows), minlength=height)
        return lists_of(pl.Series(self._names, dtype=pl.String)[np.concatenate(self._which)], lengths)
