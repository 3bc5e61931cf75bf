"""The match: every person against every cohort, in three values.

Each distinct question is put to the facts once, over all persons and all trials; the trees of the cohorts then combine
columns. What each criterion says, with its evidence, is made for the pairs that no gating criterion speaks against; of
any other pair the first criterion that does is told. An approval is a suggestion to a clinician (`describe.WORDING`).
Silence of the data never approves and never rejects.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from spv_platform.trials.describe import describe, evidence_summary
from spv_platform.trials.evidence import Facts, Verdicts, is_asked
from spv_platform.trials.kleene import MET, NAMES, NOT_MET, UNKNOWN, Array, Combined, combine, first_against, value_of
from spv_platform.trials.leaves import judge
from spv_platform.trials.model import (
    Biomarker,
    Cohort,
    Criterion,
    Diagnosis,
    Finding,
    Lab,
    Node,
    Stage,
    Test,
    Therapy,
    Trial,
    criteria_of,
    gating_tree,
)
from spv_platform.trials.registry import Study
from spv_platform.trials.tables import COHORT_VERDICT_COLUMNS, CRITERION_RESULT_COLUMNS, EVIDENCE

MAX_EVIDENCE = 5  # facts that are named per person and criterion, the latest ones

POTENTIALLY_ELIGIBLE = "potentially_eligible"
NOT_ELIGIBLE = "not_eligible"
NEEDS_INFORMATION = "needs_information"

#: What is asked, of the last so many days, and about which cancer.
Question = tuple[Test, int | None, tuple[Diagnosis, ...]]
#: How a person stands apart from all criteria.
_STATES = (None, "opted_out", "deceased")
#: Rows that are made at once.
_ROWS_AT_ONCE = 1_000_000
#: Columns of what can be told of a person and a cohort.
_TOLD = ("trial", "cohort", "verdict", "approved", "reasons")
_ROW = {"person": pl.UInt32(), "verdict": pl.Int8(), "of": pl.UInt32(), "question": pl.UInt32()}
_NOT_REACHABLE = -1
_NOBODY = np.empty(0, np.int64)


@dataclass(frozen=True)
class _Cohort:
    """A cohort of a trial, with what is the same for all persons.

    Attributes:
        tree: its gating criteria.
        asked: all its criteria, in the order of the file.
        reasons: why nobody is taken, whatever a person is like.
        listed: the registry has the trial.
    """

    trial: Trial
    cohort: Cohort
    tree: Node
    asked: tuple[Criterion, ...]
    reasons: tuple[str, ...]
    listed: bool

    @cached_property
    def takes(self) -> bool:
        """Whether patients are taken."""
        return not {"cohort_closed", "trial_not_recruiting"} & set(self.reasons)

    @cached_property
    def questions(self) -> list[tuple[str, "Question"]]:
        """Criterion id and what it asks."""
        return [(criterion.id, self.question(criterion)) for criterion in self.asked]

    def question(self, criterion: Criterion) -> "Question":
        """What a criterion of the cohort asks."""
        return criterion.test, criterion.within_days, self.cancers if _is_of_a_cancer(criterion.test) else ()

    @cached_property
    def cancers(self) -> tuple[Diagnosis, ...]:
        """The cancers that the cohort is about."""
        return tuple(_wanted_diagnoses(self.tree))

    @cached_property
    def position(self) -> dict[str, int]:
        """Criterion id -> its place."""
        return {criterion.id: at for at, criterion in enumerate(self.asked)}

    @cached_property
    def words(self) -> list[str]:
        """Each criterion in words."""
        return [describe(criterion) for criterion in self.asked]

    @property
    def outcomes(self) -> int:
        """How many things can be told of a person; see `told`."""
        return len(_STATES) * (2 + len(self.asked))

    def told(self, place: int) -> tuple[str, bool, list[str]]:
        """Verdict, approval and reasons of a person whose state and whose outcome of the criteria have this place."""
        state, outcome = divmod(place, 2 + len(self.asked))
        reasons = list(self.reasons) if state == 0 else [str(_STATES[state]), *self.reasons]
        if outcome > 1:
            reasons.append(f"criterion:{self.asked[outcome - 2].id}")
        if state or outcome > 1 or not self.takes:
            return NOT_ELIGIBLE, False, reasons
        approved = outcome == 0 and self.listed
        return POTENTIALLY_ELIGIBLE if approved else NEEDS_INFORMATION, approved, reasons


class Evaluation:
    """What came out, as columns; rows are made on demand.

    Args:
        persons: `person_id`, and `state`: an index of `_STATES`.
        facts: ready for judging.
        cohorts: that were matched.
        answers: of each question.
    """

    def __init__(
        self, persons: pl.DataFrame, facts: Facts, cohorts: Sequence[_Cohort], answers: dict[Question, Verdicts]
    ) -> None:
        self._persons, self._facts, self._cohorts, self._answers = persons, facts, cohorts, answers
        self._state = persons["state"].to_numpy()
        self._willing = self._state != _STATES.index("opted_out")

    @cached_property
    def criteria(self) -> pl.DataFrame:
        """What each criterion says (`tables.CRITERION_RESULT_COLUMNS`), of the pairs that nothing speaks against."""
        return self._criterion_rows()

    @cached_property
    def cohorts(self) -> pl.DataFrame:
        """One row per person, trial and cohort (`tables.COHORT_VERDICT_COLUMNS`)."""
        return pl.concat([pl.DataFrame(schema=COHORT_VERDICT_COLUMNS), *self.cohort_frames()])

    def cohort_frames(self) -> Iterator[pl.DataFrame]:
        """The rows of `cohorts`, some cohorts at a time: of many they do not fit into memory together."""
        at_once = max(1, _ROWS_AT_ONCE // max(1, self._persons.height))
        for start in range(0, len(self._judged), at_once):
            yield self._cohort_rows(self._judged[start : start + at_once])

    @cached_property
    def _judged(self) -> list[tuple[_Cohort, dict[str, Array], Array]]:
        """Each cohort, the verdicts of its criteria by id, and that of its tree; one a person."""
        found = []
        for each in self._cohorts:
            leaves = {
                criterion.id: with_missing(criterion, self._answers[question])
                for criterion, (_, question) in zip(each.asked, each.questions, strict=True)
            }
            found.append((each, leaves, value_of(each.tree, leaves)))
        return found

    def _cohort_rows(self, judged: Sequence[tuple[_Cohort, dict[str, Array], Array]]) -> pl.DataFrame:
        """Rows of all persons. What can be told of a cohort is a small table; each row has a place in it."""
        persons = self._persons.height
        cohorts = [each for each, _, _ in judged]
        begins = np.cumsum([0, *(each.outcomes for each in cohorts)])
        codes: list[Array] = []
        missing = _Missing()
        needed = np.full(persons * len(cohorts), _NOT_REACHABLE, np.int32)
        for number, (each, leaves, value) in enumerate(judged):
            codes.append(begins[number] + self._outcomes(each, value, leaves))
            open_ = np.flatnonzero((value != NOT_MET) & (self._state == 0)) if each.takes else _NOBODY
            if len(open_):
                combined = combine(each.tree, {name: leaves[name][open_] for name in leaves})
                rows = open_ + number * persons
                needed[rows] = np.where(combined.reachable, combined.answers_needed, _NOT_REACHABLE)
                missing.add(combined, rows)
        schema = {name: COHORT_VERDICT_COLUMNS[name] for name in _TOLD}
        # of all that can be told, little occurs
        together = np.concatenate(codes)
        occurring = np.flatnonzero(np.bincount(together, minlength=begins[-1]))
        places = np.zeros(begins[-1], np.int64)
        places[occurring] = np.arange(len(occurring))
        of = np.searchsorted(begins, occurring, side="right") - 1
        told = [cohorts[number].told(place) for number, place in zip(of, occurring - begins[of], strict=True)]
        verdicts, approved, reasons = zip(*told, strict=True) if told else ((), (), ())
        columns = {
            "trial": pl.Series([each.trial.trial for each in cohorts], dtype=pl.String)[of],
            "cohort": pl.Series([each.cohort.id for each in cohorts], dtype=pl.String)[of],
            "verdict": verdicts,
            "approved": approved,
            "reasons": _lists([name for each in reasons for name in each], np.array([len(each) for each in reasons])),
        }
        found = pl.DataFrame(columns, schema=schema)[places[together]]
        return found.with_columns(
            person_id=self._persons["person_id"][np.tile(np.arange(persons), len(cohorts))],
            missing=missing.lists(found.height),
            answers_needed=pl.Series(needed).replace(int(_NOT_REACHABLE), None),
        ).select(pl.col(name).cast(dtype) for name, dtype in COHORT_VERDICT_COLUMNS.items())

    def _outcomes(self, each: _Cohort, value: Array, leaves: dict[str, Array]) -> Array:
        """Per person the place of what is told, see `_Cohort.told`."""
        # 0 MET, 1 UNKNOWN, then the criterion that speaks against
        outcome = np.where(value == MET, 0, 1).astype(np.int32)
        failed = np.flatnonzero((value == NOT_MET) & self._willing)
        if len(failed):
            of_failed = {name: column[failed] for name, column in leaves.items()}
            outcome[failed] = 2 + first_against(each.tree, of_failed, each.position)
        return self._state.astype(np.int32) * (2 + len(each.asked)) + outcome

    def _criterion_rows(self) -> pl.DataFrame:
        """Rows without evidence first; then the evidence of all of them at once."""
        numbers = {question: at for at, question in enumerate(self._answers)}
        static: list[tuple[Any, ...]] = []
        columns: dict[str, list[Array]] = {name: [] for name in _ROW}
        for each, leaves, value in self._judged:
            chosen = np.flatnonzero((value != NOT_MET) & self._willing)
            if not len(chosen):
                continue
            for position, criterion in enumerate(each.asked):
                same = (len(static), numbers[each.questions[position][1]])
                row = (chosen, leaves[criterion.id][chosen], *(np.full(len(chosen), number) for number in same))
                for name, column in zip(_ROW, row, strict=True):
                    columns[name].append(column)
                static.append(
                    (each.trial.trial, each.cohort.id, criterion.id, position, criterion.gating, each.words[position])
                )
        if not static:
            return pl.DataFrame(schema=CRITERION_RESULT_COLUMNS)
        names = ("trial", "cohort", "criterion", "position", "gating", "wording")
        schema = {name: CRITERION_RESULT_COLUMNS[name] for name in names}
        described = pl.DataFrame(static, schema=schema, orient="row").with_row_index("of")
        rows = pl.DataFrame({n: pl.Series(np.concatenate(columns[n])).cast(t) for n, t in _ROW.items()})
        evidence = self._evidence(rows.select("question", "person").unique())
        found = (
            rows.lazy()
            .join(described.lazy(), on="of", how="left", maintain_order="left")
            .join(evidence.lazy(), on=["question", "person"], how="left", maintain_order="left")
            .join(self._persons.lazy().select("person_id").with_row_index("person"), on="person", maintain_order="left")
            .with_columns(
                pl.col("verdict").replace_strict(NAMES, return_dtype=pl.String),
                pl.col("evidence").fill_null([]),
                # what speaks for it and what speaks against it cannot both be true
                conflict=(pl.col("verdict") == UNKNOWN) & pl.col("conflict").fill_null(value=False),
            )
        )
        return found.select(pl.col(name).cast(dtype) for name, dtype in CRITERION_RESULT_COLUMNS.items()).collect()

    def _evidence(self, wanted: pl.DataFrame) -> pl.DataFrame:
        """The facts weighed, latest first, of pairs of question and person."""
        weighed = []
        persons = {question: part["person"].to_numpy() for (question,), part in wanted.group_by("question")}
        for at, verdicts in enumerate(self._answers.values()):
            if at not in persons or not len(verdicts.weighed.row):
                continue
            needed = np.zeros(self._persons.height, bool)
            needed[persons[at]] = True
            facts = verdicts.weighed.where(needed[verdicts.weighed.person])
            columns = {"row": facts.row.astype(np.uint32), "judgement": facts.judgement}
            weighed.append(pl.DataFrame(columns).with_columns(question=pl.lit(at, pl.UInt32)))
        if not weighed:
            nothing = {"evidence": CRITERION_RESULT_COLUMNS["evidence"], "conflict": pl.Boolean()}
            return wanted.clear().with_columns(pl.lit(None, dtype).alias(name) for name, dtype in nothing.items())
        pairs = pl.concat(weighed)
        line = evidence_summary(self._facts.as_of)
        pointers = [pl.col(name) for name in EVIDENCE if name != "summary"]
        shown = self._facts.usable[np.unique(pairs["row"].to_numpy())].select(
            "row", "person", "start", fact=pl.struct(*pointers, line.alias("summary"))
        )
        return (
            pairs.join(shown, on="row", how="left", maintain_order="left")
            .sort("question", "person", "start", "row", descending=[False, False, True, False], nulls_last=True)
            .group_by("question", "person", maintain_order=True)
            .agg(
                evidence=pl.col("fact").head(MAX_EVIDENCE),
                conflict=(pl.col("judgement") == MET).any() & (pl.col("judgement") == NOT_MET).any(),
            )
        )


class Matcher:
    """Criteria made ready for matching: what can be told of cohorts, and each distinct question once.

    Args:
        trials: the criteria; each registry id at most once.
        registry: studies by registry id. A trial that is not in it approves nobody.

    Raises:
        ValueError: a trial stands twice, or a cohort has no gating criterion.
    """

    def __init__(self, trials: Sequence[Trial], registry: Mapping[str, Study]) -> None:
        if len({trial.trial for trial in trials}) != len(trials):
            raise ValueError("a trial stands twice")
        self._cohorts = [
            _cohort(trial, cohort, registry.get(trial.trial)) for trial in trials for cohort in trial.cohorts
        ]
        self._questions = list(dict.fromkeys(question for each in self._cohorts for _, question in each.questions))
        self._lab_codes = {code for test, _, _ in self._questions if isinstance(test, Lab) for code in test.codes}

    def evaluate(self, persons: pl.DataFrame, facts: pl.DataFrame, as_of: date) -> Evaluation:
        """Match persons against all cohorts.

        Args:
            persons: `person_id` (String, unique), `opted_out` (Boolean); other columns are ignored.
            facts: the columns of `view.schema.SCHEMA` and `person_id`; only the rows of current resource versions.
            as_of: the day of evaluation: ages and windows are counted from it, facts after it do not count.

        Raises:
            ValueError: a person stands twice.
        """
        if persons["person_id"].is_duplicated().any():
            raise ValueError("a person_id stands twice")
        facts = facts.filter(
            pl.col("usable").fill_null(False), ~pl.col("deleted").fill_null(False), is_asked(facts, self._lab_codes)
        )
        # who does not say is taken to refuse
        opted_out = pl.col("opted_out").fill_null(True) | _states("opt_out", facts, date.max)
        state = pl.when(opted_out).then(1).when(_states("deceased", facts, as_of)).then(2).otherwise(0).cast(pl.UInt8)
        persons = persons.select("person_id", state=state)
        # what an opted-out person's record says is not looked at
        willing = persons.filter(pl.col("state") != 1).select("person_id")
        ready = Facts(persons, facts.join(willing, on="person_id", how="semi"), as_of)
        judged: dict[Question, Verdicts] = {}
        answers = {}
        for test, days, of in self._questions:
            # where nobody's facts are told apart by it, the cancer makes no other question
            bound = of if of and ready.of_other_cancers(of) is not None else ()
            if (test, days, bound) not in judged:
                judged[test, days, bound] = judge(test, days, ready, bound)
            answers[test, days, of] = judged[test, days, bound]
        return Evaluation(persons, ready, self._cohorts, answers)


def evaluate(
    persons: pl.DataFrame, facts: pl.DataFrame, trials: Sequence[Trial], registry: Mapping[str, Study], as_of: date
) -> Evaluation:
    """Match persons against the cohorts of trials, once; see `Matcher`."""
    return Matcher(trials, registry).evaluate(persons, facts, as_of)


def _cohort(trial: Trial, cohort: Cohort, study: Study | None) -> _Cohort:
    tree = gating_tree(cohort.criteria)
    if tree is None:
        raise ValueError("a cohort has no gating criterion")
    reasons = [
        *(["cohort_closed"] if "closed" in (cohort.status, trial.status) else []),
        *(["trial_not_recruiting"] if study is not None and not study.recruiting else []),
        *(["trial_not_in_registry"] if study is None else []),
    ]
    asked = tuple(criteria_of(cohort.criteria))
    return _Cohort(trial, cohort, tree, asked, tuple(reasons), listed=study is not None)


def _is_of_a_cancer(test: Test) -> bool:
    """Whether an answer is about one cancer of a person, where the record says about which."""
    if isinstance(test, Therapy):  # what must not have been taken must not have been taken for anything
        return test.state == "taken" and test.washout_days is None
    return isinstance(test, Stage | Biomarker) or (isinstance(test, Finding) and test.kind == "metastasis")


def _wanted_diagnoses(node: Node) -> Iterator[Diagnosis]:
    if isinstance(node, Criterion):
        if node.diagnosis is not None:
            yield node.diagnosis
        return
    for member in node.members if node.op != "none" else ():
        yield from _wanted_diagnoses(member)


def with_missing(criterion: Criterion, verdicts: Verdicts) -> Array:
    """The verdicts, with what it means that there is no evidence."""
    if criterion.missing == "unknown" or verdicts.stated is None:
        return verdicts.value
    fill = MET if criterion.missing == "met" else NOT_MET
    return np.where(verdicts.stated, verdicts.value, fill).astype(np.int8)


def _states(kind: str, facts: pl.DataFrame, by: date) -> pl.Expr:
    """Whether any fact of a person states this, by the end of a day."""
    dated = pl.col("time_start").is_null() | (pl.col("time_start").dt.date() <= by)
    stating = facts.filter(pl.col("kind") == kind, pl.col("polarity") == "present", dated)
    return pl.col("person_id").is_in(stating["person_id"].unique().to_list())


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
        return _lists(pl.Series(self._names)[np.concatenate(self._which)], lengths)


def _lists(flat: pl.Series | list[str], lengths: Array) -> pl.Series:
    """A column of lists from all their members and how many each has: Polars is slow to read lists of Python."""
    values = pl.Series(flat, dtype=pl.String).to_arrow()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return pl.Series(pa.LargeListArray.from_arrays(pa.array(offsets), values))
