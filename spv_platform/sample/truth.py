"""What must come out of the sample: every patient against every cohort, and what must be set aside.

What belongs here: answers written by hand from the charts, never computed by the code they judge. Verdicts and reasons
are in the words of `trials.evaluate`.
"""

from dataclasses import dataclass

LUNG = ("NCT00000001", "lung")
MELANOMA = ("NCT00000001", "melanoma")
BREAST = ("NCT00000002", "breast")

_ELIGIBLE = "potentially_eligible"
_NOT_ELIGIBLE = "not_eligible"
_NEEDS_INFORMATION = "needs_information"
_NOT_LUNG = ("criterion:lung-diagnosis", "criterion:lung-stage")
_NOT_MELANOMA = ("criterion:melanoma-diagnosis", "criterion:melanoma-stage")
#: The breast trial is completed: that is a reason for everybody.
_OVER = "trial_not_recruiting"
_NOT_BREAST = (_OVER, "criterion:breast-diagnosis", "criterion:breast-stage")


@dataclass(frozen=True)
class Expected:
    """The truth about one patient and one cohort.

    Attributes:
        patient: label; the Patient's id is `sample-<label>`.
        verdict: potentially_eligible, needs_information or not_eligible.
        reasons: why not, a set: deceased, opted_out, trial_not_recruiting, `criterion:<id>`.
        missing: criteria without an answer yet, a set; of those who still may qualify.
    """

    tenant: str
    patient: str
    trial: str
    cohort: str
    verdict: str
    reasons: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()

    @property
    def approved(self) -> bool:
        """Whether the patient becomes an approved patient of the cohort."""
        return self.verdict == _ELIGIBLE


@dataclass(frozen=True)
class BrokenEntry:
    """An entry that must land in quarantine while its neighbours land."""

    tenant: str
    file: str
    entry: int
    pointer: str
    reason: str


#: An Observation without a status.
BROKEN = BrokenEntry("north", "oncology-002.json", 3, "/status", "missing_element")


def expected() -> list[Expected]:
    """The truth about every patient of both tenants and every cohort."""
    return [
        _approved("north", "aster", LUNG),
        # Her report rules a BRAF mutation out, too.
        _refused("north", "aster", MELANOMA, *_NOT_MELANOMA, "criterion:melanoma-braf"),
        _refused("north", "aster", BREAST, *_NOT_BREAST),
        _asked("north", "birch", LUNG, "lung-egfr"),
        _refused("north", "birch", MELANOMA, *_NOT_MELANOMA),
        _refused("north", "birch", BREAST, *_NOT_BREAST),
        _refused("north", "cedar", LUNG, "criterion:lung-ecog"),
        _refused("north", "cedar", MELANOMA, *_NOT_MELANOMA),
        _refused("north", "cedar", BREAST, *_NOT_BREAST, "criterion:breast-ecog"),
        _refused("north", "dogwood", LUNG, "deceased"),
        _refused("north", "dogwood", MELANOMA, "deceased", *_NOT_MELANOMA),
        _refused("north", "dogwood", BREAST, "deceased", *_NOT_BREAST),
        # What the record of a person who opted out says is not looked at.
        _refused("north", "elm", LUNG, "opted_out"),
        _refused("north", "elm", MELANOMA, "opted_out"),
        _refused("north", "elm", BREAST, "opted_out", _OVER),
        _refused("north", "fern", LUNG, *_NOT_LUNG),
        _refused("north", "fern", MELANOMA, *_NOT_MELANOMA),
        _refused("north", "fern", BREAST, _OVER),
        _refused("north", "ginkgo", LUNG, *_NOT_LUNG),
        _refused("north", "ginkgo", MELANOMA, "criterion:melanoma-braf"),
        _refused("north", "ginkgo", BREAST, *_NOT_BREAST),
        _refused("north", "hazel", LUNG, "criterion:lung-kras"),
        _refused("north", "hazel", MELANOMA, *_NOT_MELANOMA),
        _refused("north", "hazel", BREAST, *_NOT_BREAST),
        _approved("south", "ivy", LUNG),
        _refused("south", "ivy", MELANOMA, *_NOT_MELANOMA),
        _refused("south", "ivy", BREAST, *_NOT_BREAST),
        _asked("south", "juniper", LUNG, "lung-egfr", "lung-kras"),
        _refused("south", "juniper", MELANOMA, *_NOT_MELANOMA),
        _refused("south", "juniper", BREAST, *_NOT_BREAST),
    ]


def _approved(tenant: str, patient: str, cohort: tuple[str, str]) -> Expected:
    return Expected(tenant, patient, *cohort, _ELIGIBLE)


def _asked(tenant: str, patient: str, cohort: tuple[str, str], *missing: str) -> Expected:
    return Expected(tenant, patient, *cohort, _NEEDS_INFORMATION, missing=frozenset(missing))


def _refused(tenant: str, patient: str, cohort: tuple[str, str], *reasons: str) -> Expected:
    return Expected(tenant, patient, *cohort, _NOT_ELIGIBLE, frozenset(reasons))
