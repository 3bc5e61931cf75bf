"""What is asked of persons: cohorts made ready for matching, with all that is the same for every person."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from spv_platform.trials.describe import describe
from spv_platform.trials.kleene import Array
from spv_platform.trials.model import Cohort, Criterion, Node, Trial, criteria_of, gating_tree
from spv_platform.trials.questions import Biomarker, Diagnosis, Distance, Finding, Reach, Site, Stage, Test, Therapy
from spv_platform.trials.registry import Study
from spv_platform.trials.sites import sites_of

POTENTIALLY_ELIGIBLE = "potentially_eligible"
NOT_ELIGIBLE = "not_eligible"
NEEDS_INFORMATION = "needs_information"
#: How a person stands apart from all criteria.
STATES = (None, "opted_out", "deceased")

#: What is asked, of the last so many days, and about which cancer.
Question: TypeAlias = tuple[Test, int | None, tuple[Diagnosis, ...]]


@dataclass(frozen=True)
class AskedCohort:
    """A cohort of a trial, with what is the same for all persons.

    Attributes:
        tree: its gating criteria.
        asked: all its criteria, in the order of the file.
        reasons: why nobody is taken, whatever a person is like.
        listed: the registry has the trial.
        sites: where it runs.
    """

    trial: Trial
    cohort: Cohort
    tree: Node
    asked: tuple[Criterion, ...]
    reasons: tuple[str, ...]
    listed: bool
    sites: tuple[Site, ...]

    @cached_property
    def takes(self) -> bool:
        """Whether patients are taken."""
        return not {"cohort_closed", "trial_not_recruiting"} & set(self.reasons)

    @cached_property
    def questions(self) -> list[Question]:
        """What each criterion asks."""
        return [self.question(criterion) for criterion in self.asked]

    def question(self, criterion: Criterion) -> Question:
        """What a criterion of the cohort asks."""
        test = criterion.test
        if isinstance(test, Distance):
            test = Reach(within_km=test.within_km, sites=self.sites)
        return test, criterion.within_days, self.cancers if _is_of_a_cancer(test) else ()

    @cached_property
    def cancers(self) -> tuple[Diagnosis, ...]:
        """The cancers that the cohort is about."""
        return tuple(_wanted_diagnoses(self.tree))

    @cached_property
    def position(self) -> dict[str, int]:
        """Criterion id -> its place."""
        return {criterion.id: at for at, criterion in enumerate(self.asked)}

    @cached_property
    def described(self) -> list[tuple[str, str, str, int, bool, str]]:
        """Of each criterion: trial, cohort, id, place, whether it is gating, and its words."""
        return [
            (self.trial.trial, self.cohort.id, criterion.id, at, criterion.gating, describe(criterion))
            for at, criterion in enumerate(self.asked)
        ]

    @property
    def outcomes(self) -> int:
        """How many things can be told of a person; see `told`."""
        return len(STATES) * (2 + len(self.asked))

    def told(self, place: int) -> tuple[str, bool, list[str]]:
        """Verdict, approval and reasons of a person whose state and whose outcome of the criteria have this place."""
        state, outcome = divmod(place, 2 + len(self.asked))
        reasons = list(self.reasons) if state == 0 else [str(STATES[state]), *self.reasons]
        if outcome > 1:
            reasons.append(f"criterion:{self.asked[outcome - 2].id}")
        if state or outcome > 1 or not self.takes:
            return NOT_ELIGIBLE, False, reasons
        approved = outcome == 0 and self.listed
        return POTENTIALLY_ELIGIBLE if approved else NEEDS_INFORMATION, approved, reasons


@dataclass(frozen=True)
class JudgedCohort:
    """A cohort with what was found of persons, one value a person.

    Attributes:
        questions: the numbers of what its criteria ask.
        leaves: per criterion id its verdicts, in the order of the file.
        value: the verdict of its tree.
    """

    asked: AskedCohort
    questions: Array
    leaves: dict[str, Array]
    value: Array


def asked_cohort(trial: Trial, cohort: Cohort, study: Study | None) -> AskedCohort:
    """A cohort of a trial, and what the registry says of it.

    Raises:
        ValueError: it has no gating criterion.
    """
    tree = gating_tree(cohort.criteria)
    if tree is None:
        raise ValueError("a cohort has no gating criterion")
    reasons = [
        *(["cohort_closed"] if "closed" in (cohort.status, trial.status) else []),
        *(["trial_not_recruiting"] if study is not None and not study.recruiting else []),
        *(["trial_not_in_registry"] if study is None else []),
    ]
    asked = tuple(criteria_of(cohort.criteria))
    listed, sites = study is not None, sites_of(trial, study)
    return AskedCohort(trial, cohort, tree, asked, tuple(reasons), listed=listed, sites=sites)


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
