"""What the trials of the sample world require, a second time and in plain Python: none of the code that they judge.

What belongs here: a person's chart on one day, and rules over it. A requirement is worth 1 (it holds), -1 (it does not)
or 0 (that is not known). What does not: what follows from them (`truth`).
"""

from collections.abc import Callable
from datetime import date

from spv_platform.sample.world.model import COUNTS, Person

#: What each diagnosis of the model is, from the general to the special.
DIAGNOSES = {
    "lung-icd": "lung",
    "lung-nsclc": "lung/nsclc",
    "lung-adeno": "lung/nsclc/adeno",
    "lung-squamous": "lung/nsclc/squamous",
    "lung-small": "lung/small",
    "breast": "breast",
    "breast-ductal": "breast/ductal",
    "breast-icd": "breast",
    "colon": "colorectal/colon",
    "colon-icd": "colorectal/colon",
    "rectum": "colorectal/rectum",
    "melanoma": "melanoma",
    "melanoma-icd": "melanoma",
    "prostate": "prostate",
    "prostate-icd": "prostate",
    "pancreas": "pancreas",
}


class Chart:
    """What counts of one person's record once a day's drops are in."""

    def __init__(self, person: Person, day: int, today: date) -> None:
        present = person.present(day)
        # Results that came before their Patient belong to nobody yet.
        entries = [entry for entry in person.in_force(day) if entry.feed in present]
        self.person = person
        self.today = today
        self.dead = any(entry.says == "patient" and entry.value == "dead" for entry in entries)
        self.opted_out = any(entry.says == "consent" for entry in entries)
        self.visits = sorted((e.days_ago, int(e.value)) for e in entries if e.says == "visit")
        self._said: dict[str, list[tuple[int, str]]] = {}
        for entry in sorted(entries, key=lambda entry: entry.days_ago):
            if entry.status in COUNTS:
                self._said.setdefault(entry.says, []).append((entry.days_ago, entry.value))

    def of(self, says: str) -> list[str]:
        """All that is said about it, the latest first."""
        return [value for _, value in self._said.get(says, [])]

    def latest(self, says: str, within: int | None = None) -> str | None:
        """The latest result, if it is not older than so many days."""
        days_ago, value = self._said.get(says, [(0, "")])[0]
        return value if value and (within is None or days_ago <= within) else None


Rule = Callable[[Chart], int]


def _yes(holds: bool) -> int:
    return 1 if holds else -1


def _adult(years: int) -> Rule:
    def rule(chart: Chart) -> int:
        born, today = chart.person.birth, chart.today
        return _yes(today.year - born.year - ((today.month, today.day) < (born.month, born.day)) >= years)

    return rule


def _sex(wanted: str) -> Rule:
    return lambda chart: _yes(chart.person.sex == wanted)


def _diagnosis(wanted: str) -> Rule:
    def judge(given: str) -> int:
        if f"{given}/".startswith(f"{wanted}/"):
            return 1
        return 0 if f"{wanted}/".startswith(f"{given}/") else -1

    return lambda chart: max((judge(DIAGNOSES[value]) for value in chart.of("cancer")), default=0)


def _stage(*wanted: str) -> Rule:
    def rule(chart: Chart) -> int:
        stage = chart.latest("stage")
        return _yes(stage.rstrip("ABC") in wanted) if stage else 0

    return rule


def _mutation(gene: str, change: str = "") -> Rule:
    def rule(chart: Chart) -> int:
        found = chart.of(f"gene:{gene}")
        if any(value == change or (not change and value != "negative") for value in found):
            return 1
        return -1 if "negative" in found else 0

    return rule


def _marker(name: str, wanted: str) -> Rule:
    def rule(chart: Chart) -> int:
        value = chart.latest(f"marker:{name}")
        return _yes(value == wanted) if value in ("positive", "negative") else 0

    return rule


def _number(says: str, *, least: float | None = None, most: float | None = None, within: int | None = None) -> Rule:
    def rule(chart: Chart) -> int:
        value = chart.latest(says, within)
        if value is None:
            return 0
        return _yes((least is None or float(value) >= least) and (most is None or float(value) <= most))

    return rule


def _msi_high(chart: Chart) -> int:
    value = chart.latest("msi")
    return _yes(value == "high") if value else 0


def _any(*rules: Rule) -> Rule:
    return lambda chart: max(rule(chart) for rule in rules)


def _not(rule: Rule) -> Rule:
    return lambda chart: -rule(chart)


_LUNG, _BREAST, _MELANOMA = _diagnosis("lung/nsclc"), _diagnosis("breast"), _diagnosis("melanoma")


def _ecog(most: int) -> Rule:
    return _number("ecog", most=most)


#: (trial, cohort) -> all that has to hold.
COHORTS: dict[tuple[str, str], tuple[Rule, ...]] = {
    ("NCT99000001", "L858R"): (
        _adult(18), _LUNG, _stage("IV"), _mutation("EGFR", "L858R"), _ecog(1),
        _number("lab:anc", least=1.5, within=180), _not(_mutation("KRAS")),
    ),
    ("NCT99000001", "exon19"): (_adult(18), _LUNG, _stage("IV"), _mutation("EGFR", "E746_A750del"), _ecog(1)),
    ("NCT99000002", "G12C"): (
        _adult(18), _LUNG, _stage("III", "IV"), _mutation("KRAS", "G12C"), _ecog(1), _not(_mutation("EGFR")),
    ),
    ("NCT99000003", "HER2"): (
        _adult(18), _BREAST, _stage("III", "IV"), _marker("HER2", "positive"), _ecog(2),
        _number("lab:hemoglobin", least=9, within=180),
    ),
    ("NCT99000004", "PIK3CA"): (
        _adult(18), _sex("female"), _BREAST, _stage("IV"), _any(_marker("ER", "positive"), _marker("PR", "positive")),
        _marker("HER2", "negative"), _mutation("PIK3CA", "H1047R"), _ecog(1),
    ),
    ("NCT99000005", "MSI-TMB"): (
        _adult(18), _diagnosis("colorectal"), _stage("IV"), _any(_msi_high, _number("tmb", least=10)), _ecog(1),
    ),
    ("NCT99000006", "V600E"): (_adult(12), _MELANOMA, _stage("III", "IV"), _mutation("BRAF", "V600E"), _ecog(1)),
    ("NCT99000006", "V600K"): (_adult(12), _MELANOMA, _stage("III", "IV"), _mutation("BRAF", "V600K"), _ecog(1)),
    ("NCT99000007", "BRCA2"): (
        _adult(18), _sex("male"), _diagnosis("prostate"), _stage("IV"), _mutation("BRCA2"),
        _number("lab:psa", least=2, within=180), _ecog(2),
    ),
    ("NCT99000008", "TNBC"): (
        _adult(18), _BREAST, _stage("III", "IV"), _marker("ER", "negative"), _marker("PR", "negative"),
        _marker("HER2", "negative"), _marker("PD-L1", "positive"), _ecog(1),
    ),
}  # fmt: skip
#: Cohorts that are full.
CLOSED = {("NCT99000006", "V600K")}
