"""Trials as types: their cohorts, and the criteria of these, combined to a tree.

What belongs here: the structs. What does not: what a criterion can ask for (`questions`), reading files (`criteria`).
"""

from typing import Any, Literal, TypeAlias

from spv_platform.trials.questions import (
    Age,
    Biomarker,
    Diagnosis,
    Distance,
    Finding,
    Lab,
    PerformanceStatus,
    Sex,
    Site,
    Stage,
    Struct,
    Test,
    Therapy,
)

Op: TypeAlias = Literal["all", "any", "none", "at_least"]
Level: TypeAlias = Literal["step", "arm", "dose"]

#: The keys of a criterion of which exactly one says what is asked for.
KINDS = (
    "age",
    "sex",
    "diagnosis",
    "finding",
    "stage",
    "biomarker",
    "performance_status",
    "lab",
    "therapy",
    "site",
    "text",
)
#: Kinds that ask for a state, not for a dated result: `within_days` has no meaning for them.
TIMELESS = ("age", "sex", "site", "text")


class Criterion(Struct, frozen=True, kw_only=True):
    """One question about a person.

    Attributes:
        gating: it decides; without it the criterion is judged and shown for the clinic only.
        within_days: only evidence of the last so many days counts, the day of evaluation included.
        text: the question cannot be put to the data; it stays open for the clinic.
        missing: what it means that a record has no evidence at all; nothing, unless the protocol says otherwise.
    """

    id: str
    wording: str = ""
    gating: bool = True
    for_clinic: bool = False
    within_days: int | None = None
    age: Age | None = None
    missing: Literal["unknown", "met", "not_met"] = "unknown"
    sex: Literal["female", "male"] | Sex | None = None
    diagnosis: Diagnosis | None = None
    finding: Finding | None = None
    stage: Stage | None = None
    biomarker: Biomarker | None = None
    performance_status: PerformanceStatus | None = None
    lab: Lab | None = None
    therapy: Therapy | None = None
    site: Distance | None = None
    text: bool = False

    def __post_init__(self) -> None:
        if not self.id.strip():
            raise ValueError("`id` is empty")
        given = [kind for kind in KINDS if getattr(self, kind)]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of {', '.join(KINDS)}; it has {', '.join(given) or 'none'}")
        if self.for_clinic and self.gating:
            raise ValueError("`for_clinic: true` needs `gating: false`: what the clinic judges does not decide")
        if self.text and self.missing != "unknown":
            raise ValueError("`missing` does not go with `text`: what people have to answer is never on record")
        if self.within_days is None:
            return
        if self.within_days < 0:
            raise ValueError("`within_days` is negative")
        if given[0] in TIMELESS:
            raise ValueError(f"`within_days` has no meaning for `{given[0]}`")

    @property
    def kind(self) -> str:
        """Which of `KINDS` it asks for."""
        return next(kind for kind in KINDS if getattr(self, kind))

    @property
    def test(self) -> Test:
        """What is asked for."""
        return "text" if self.text else getattr(self, self.kind)


class Group(Struct, frozen=True, kw_only=True):
    """Criteria combined: `all` hold, `any` holds, `none` holds, or `at_least` `n` of them hold."""

    op: Op
    members: tuple["Criterion | Group", ...]
    n: int = 1


Node: TypeAlias = Criterion | Group


class Cohort(Struct, frozen=True, kw_only=True):
    """A part of a trial with criteria of its own.

    Attributes:
        status: `closed` closes it whatever the registry says.
        level: what it is in a trial that came as CTML.
        level_id: its id there.
    """

    id: str
    title: str = ""
    status: Literal["open", "closed"] = "open"
    level: Level = "arm"
    level_id: str = ""
    criteria: Group


class Trial(Struct, frozen=True, kw_only=True):
    """A trial by its registry id, as its criteria file says.

    Attributes:
        status: `closed` closes all cohorts whatever the registry says.
        sites: where it runs; without any, those of the registry's study.
        ctml: the document of a trial that came as CTML, without its criteria.
    """

    trial: str
    title: str = ""
    version: int = 1
    status: Literal["open", "closed"] = "open"
    cohorts: tuple[Cohort, ...]
    sites: tuple[Site, ...] = ()
    ctml: dict[str, Any] | None = None


def criteria_of(node: Node) -> list[Criterion]:
    """All criteria under a node, in the order of the file."""
    if isinstance(node, Criterion):
        return [node]
    return [criterion for member in node.members for criterion in criteria_of(member)]


def gating_tree(node: Node) -> Node | None:
    """The node without what does not decide; None: nothing of it decides."""
    if isinstance(node, Criterion):
        return node if node.gating else None
    members = tuple(kept for member in node.members if (kept := gating_tree(member)) is not None)
    return Group(op=node.op, members=members, n=node.n) if members else None
