"""The truth about the sample world: who is who, who is approved on which day and why others are not, who is told.

What belongs here: answers from the hidden model by the rules of `requirements`; none of the code that they judge.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from spv_platform.sample.world.model import DAYS, Person
from spv_platform.sample.world.requirements import CLOSED, COHORTS, Chart
from spv_platform.sample.world.stories import CLINICS
from spv_platform.sample.world.trials import recruiting

#: Reasons why somebody is not approved, the strongest first. `against`: something on record rules the person out;
#: `not_known`: nothing does, but something that decides is not known.
REASONS = ("opted_out", "deceased", "closed", "against", "not_known")
_RECENT_DAYS = 365


def reason_against(chart: Chart, cohort: tuple[str, str], day: int) -> str:
    """Why a person is not approved for a cohort, one of `REASONS`; empty: approved."""
    if chart.opted_out:
        return "opted_out"
    if chart.dead:
        return "deceased"
    if cohort in CLOSED or not recruiting(cohort[0], day):
        return "closed"
    worth = min(rule(chart) for rule in COHORTS[cohort])
    return {1: "", 0: "not_known", -1: "against"}[worth]


def practice_of(chart: Chart) -> str | None:
    """The practice that is told: the clinic visited last in a year that a practice stands for; else None.

    Of somebody who has no visit on record, the clinic that the record names.
    """
    recent = [clinic for days_ago, clinic in chart.visits if days_ago <= _RECENT_DAYS]
    if not chart.visits and chart.person.named_clinic is not None:
        recent = [chart.person.named_clinic]
    return next((practice_name(clinic) for clinic in recent if clinic < CLINICS), None)


def practice_name(clinic: int) -> str:
    """Name of the practice that stands for a clinic."""
    return f"clinic-{clinic + 1}"


@dataclass(frozen=True)
class PersonTruth:
    """The truth about one person.

    Attributes:
        present: the source systems with a record of the person, at the end.
        reasons: by cohort, why not, at the end; empty: approved.
        approved: by day, the cohorts that approve the person once the day's drops are in.
        practice: who is told; None: nobody treated the person recently.
    """

    person: Person
    present: list[str]
    reasons: dict[tuple[str, str], str]
    approved: list[set[tuple[str, str]]]
    practice: str | None


def truth_about(person: Person, today: date) -> PersonTruth:
    """Judge one person, on every day."""
    charts = [Chart(person, day, today) for day in range(DAYS)]
    by_day = [
        {cohort: reason_against(chart, cohort, day) for cohort in COHORTS} if person.present(day) else {}
        for day, chart in enumerate(charts)
    ]
    approved = [{cohort for cohort, reason in reasons.items() if not reason} for reasons in by_day]
    return PersonTruth(person, person.present(DAYS - 1), by_day[-1], approved, practice_of(charts[0]))


@dataclass
class Truth:
    """What must come out of a world, once all its days are worked off.

    News is one event per person and trial, for ever: what is approved at the end of the first day is told in one
    digest per practice, what is first approved later in an event each.

    Attributes:
        records: (tenant, feed, Patient id) -> label of the person; filled for small worlds only.
        reasons: (tenant, label, trial, cohort) -> why not, empty: approved; likewise.
        persons: number of persons, by tenant.
        approved: number of persons approved for a cohort at the end, by tenant; a person counts once a cohort.
        digests: number of news in the digest of (tenant, practice).
        events: number of events sent to (tenant, practice) after the first load.
        unrouted: number of news in force at the end, by tenant, that nobody can be told.
        quarantined: reason codes of the entries set aside, by tenant, sorted.
    """

    records: dict[tuple[str, str, str], str] = field(default_factory=dict)
    reasons: dict[tuple[str, str, str, str], str] = field(default_factory=dict)
    persons: Counter[str] = field(default_factory=Counter)
    approved: Counter[str] = field(default_factory=Counter)
    digests: Counter[tuple[str, str]] = field(default_factory=Counter)
    events: Counter[tuple[str, str]] = field(default_factory=Counter)
    unrouted: Counter[str] = field(default_factory=Counter)
    quarantined: dict[str, list[str]] = field(default_factory=dict)

    @property
    def notified(self) -> int:
        """Messages that receivers get: digests and single events."""
        return len(self.digests) + self.events.total()

    def count(self, about: PersonTruth) -> None:
        """Add one person to the numbers."""
        tenant = about.person.tenant
        self.persons[tenant] += bool(about.present)
        self.approved[tenant] += len(about.approved[-1])
        known: set[str] = set()
        for day, cohorts in enumerate(about.approved):
            new = {trial for trial, _ in cohorts} - known
            known |= new
            if about.practice and new:
                told = self.digests if day == 0 else self.events
                told[tenant, about.practice] += len(new)
        if about.practice is None:
            self.unrouted[tenant] += len({trial for trial, _ in about.approved[-1]})

    def name(self, about: PersonTruth) -> None:
        """Keep who one person is, and why not."""
        person = about.person
        for feed in about.present:
            self.records[person.tenant, feed, person.patient_id(feed)] = person.label
        for (trial, cohort), reason in about.reasons.items():
            self.reasons[person.tenant, person.label, trial, cohort] = reason


def counted(abouts: Iterable[PersonTruth]) -> Truth:
    """The numbers of a world of any size."""
    truth = Truth()
    for about in abouts:
        truth.count(about)
    return truth
