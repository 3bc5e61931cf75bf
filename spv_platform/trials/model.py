"""The criteria language as types: a trial, its cohorts, and what a criterion can ask for.

What belongs here: the structs and the checks of one value. What does not: reading files (`criteria`), judging
(`leaves`). All structs are frozen and compare by value, so that equal questions are asked once.
"""

import math
from typing import Literal, TypeAlias

import msgspec

from spv_platform.trials.notation import protein_change, stage_group
from spv_platform.trials.terms import canonical_code

Op: TypeAlias = Literal["all", "any", "none"]
FindingKind: TypeAlias = Literal["condition", "metastasis", "medication", "allergy", "procedure", "immunization"]
Alteration: TypeAlias = Literal["mutation", "fusion", "copy_number_gain", "copy_number_loss"]

_settle = msgspec.structs.force_setattr


class _Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all: immutable, by keyword, no unknown keys."""


def _check_range(low: float | None, high: float | None) -> None:
    if low is None and high is None:
        raise ValueError("needs `min`, `max` or both")
    if any(bound is not None and not math.isfinite(bound) for bound in (low, high)):
        raise ValueError("`min` and `max` must be finite numbers")
    if low is not None and high is not None and low > high:
        raise ValueError("`min` is greater than `max`")


def _codes(codes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(canonical_code(code) for code in codes)


class Range(_Struct, frozen=True, kw_only=True):
    """Numbers between `min` and `max`, both included."""

    min: float | None = None
    max: float | None = None

    def __post_init__(self) -> None:
        _check_range(self.min, self.max)


class Age(_Struct, frozen=True, kw_only=True):
    """Completed years on the day of evaluation, bounds included."""

    min: int | None = None
    max: int | None = None

    def __post_init__(self) -> None:
        _check_range(self.min, self.max)


class Diagnosis(_Struct, frozen=True, kw_only=True):
    """A primary cancer with one of these codes (`system|code`, `*` at the end for a prefix)."""

    codes: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.codes:
            raise ValueError("needs at least one code")
        _settle(self, "codes", _codes(self.codes))


class Finding(_Struct, frozen=True, kw_only=True):
    """A recorded fact of a kind with one of the codes; without codes any fact of the kind."""

    kind: FindingKind
    codes: tuple[str, ...] = ()
    state: Literal["present", "absent"] = "present"

    def __post_init__(self) -> None:
        _settle(self, "codes", _codes(self.codes))


class Stage(_Struct, frozen=True, kw_only=True):
    """The latest stage group is one of these or a subdivision of one."""

    one_of: tuple[str, ...] = msgspec.field(name="in")

    def __post_init__(self) -> None:
        stages = tuple(stage_group(stage) for stage in self.one_of)
        if not stages or None in stages:
            raise ValueError("`in` needs stage groups such as IIIB, IV")
        _settle(self, "one_of", stages)


class Biomarker(_Struct, frozen=True, kw_only=True):
    """A variant of a gene, the state of a marker, the mutational burden, or microsatellite instability.

    Exactly one of `gene`, `marker`, `tmb` (mutations per megabase) and `msi`. `change`, `alteration` and `origin`
    narrow a gene; `codes` replace the table's codes of a marker's tests.
    """

    gene: str | None = None
    change: str | None = None
    alteration: Alteration | None = None
    origin: Literal["somatic", "germline"] | None = None
    marker: str | None = None
    codes: tuple[str, ...] = ()
    state: Literal["present", "absent", "positive", "negative"] | None = None
    tmb: Range | None = None
    msi: Literal["high", "stable"] | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("gene", "marker", "tmb", "msi") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("needs exactly one of `gene`, `marker`, `tmb`, `msi`")
        self._check_belongs("gene", given[0], ("change", "alteration", "origin"))
        self._check_belongs("marker", given[0], ("codes",))
        states = {"gene": ("present", "absent"), "marker": ("positive", "negative")}.get(given[0], ())
        if self.state is not None and self.state not in states:
            raise ValueError(
                f"`state` is {' or '.join(states)}" if states else f"`state` does not go with `{given[0]}`"
            )
        if states and self.state is None:
            _settle(self, "state", states[0])
        if self.change is not None:
            change = protein_change(self.change)
            if change is None:
                raise ValueError(f"`change: {self.change}` is not a protein change such as L858R or E746_A750del")
            _settle(self, "change", change)
        _settle(self, "codes", _codes(self.codes))

    def _check_belongs(self, owner: str, given: str, names: tuple[str, ...]) -> None:
        wrong = [name for name in names if getattr(self, name)] if given != owner else []
        if wrong:
            raise ValueError(f"`{wrong[0]}` belongs to `{owner}`")


class PerformanceStatus(_Struct, frozen=True, kw_only=True):
    """The latest ECOG (0-5) or Karnofsky (0-100) status; the two scales are not converted."""

    ecog: Range | None = None
    karnofsky: Range | None = None

    def __post_init__(self) -> None:
        if (self.ecog is None) == (self.karnofsky is None):
            raise ValueError("needs exactly one of `ecog`, `karnofsky`")


class Lab(_Struct, frozen=True, kw_only=True):
    """The latest result of a laboratory test, in `unit` (UCUM), bounds included."""

    code: str | tuple[str, ...]
    unit: str
    min: float | None = None
    max: float | None = None

    def __post_init__(self) -> None:
        codes = _codes((self.code,) if isinstance(self.code, str) else self.code)
        if not codes:
            raise ValueError("needs a code")
        _settle(self, "code", codes)
        _check_range(self.min, self.max)

    @property
    def codes(self) -> tuple[str, ...]:
        """The test's codes, as `system-url|code`."""
        return (self.code,) if isinstance(self.code, str) else self.code


Test: TypeAlias = (
    Age | Diagnosis | Finding | Stage | Biomarker | PerformanceStatus | Lab | Literal["female", "male", "text"]
)

#: The keys of a criterion of which exactly one says what is asked for.
KINDS = ("age", "sex", "diagnosis", "finding", "stage", "biomarker", "performance_status", "lab", "text")
#: Kinds that ask for a state, not for a dated result: `within_days` has no meaning for them.
TIMELESS = ("age", "sex", "text")


class Criterion(_Struct, frozen=True, kw_only=True):
    """One question about a person.

    Attributes:
        gating: it decides; without it the criterion is judged and shown for the clinic only.
        within_days: only evidence of the last so many days counts, the day of evaluation included.
        text: the question cannot be put to the data; it stays open for the clinic.
    """

    id: str
    wording: str = ""
    gating: bool = True
    for_clinic: bool = False
    within_days: int | None = None
    age: Age | None = None
    sex: Literal["female", "male"] | None = None
    diagnosis: Diagnosis | None = None
    finding: Finding | None = None
    stage: Stage | None = None
    biomarker: Biomarker | None = None
    performance_status: PerformanceStatus | None = None
    lab: Lab | None = None
    text: bool = False

    def __post_init__(self) -> None:
        if not self.id.strip():
            raise ValueError("`id` is empty")
        given = [kind for kind in KINDS if getattr(self, kind)]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of {', '.join(KINDS)}; it has {', '.join(given) or 'none'}")
        if self.for_clinic and self.gating:
            raise ValueError("`for_clinic: true` needs `gating: false`: what the clinic judges does not decide")
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


class Group(_Struct, frozen=True, kw_only=True):
    """Criteria combined: `all` hold, `any` holds, or `none` holds."""

    op: Op
    members: tuple["Criterion | Group", ...]


Node: TypeAlias = Criterion | Group


class Cohort(_Struct, frozen=True, kw_only=True):
    """A part of a trial with criteria of its own; `status: closed` closes it whatever the registry says."""

    id: str
    title: str = ""
    status: Literal["open", "closed"] = "open"
    criteria: Group


class Trial(_Struct, frozen=True, kw_only=True):
    """A trial by its registry id, as its criteria file says."""

    trial: str
    title: str = ""
    version: int = 1
    cohorts: tuple[Cohort, ...]


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
    return Group(op=node.op, members=members) if members else None
