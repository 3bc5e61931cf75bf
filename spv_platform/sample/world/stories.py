"""What happens to the people of the sample world: who has which cancer, tests and visits, and what changes later.

What belongs here: the cast, which every world has first, and everybody else, who has little on record. What does not:
what the trials make of it (`truth`).
"""

from dataclasses import dataclass, replace
from datetime import date
from random import Random

from spv_platform.sample.world import people
from spv_platform.sample.world.model import DELETED, FEEDS, Entry, Identity, Person
from spv_platform.sample.world.twists import TWISTS, Draft

#: Organisations of a tenant: those that a practice stands for, and one that none does.
CLINICS = 3
OUTSIDE = CLINICS

_SILENT = ("emr",)
_TWO = ("emr", "lab")
_ALL = ("emr", "lab", "registry")


@dataclass(frozen=True)
class Story:
    """How a person of the cast comes about.

    Attributes:
        plot: whose criteria the person meets but for the twist.
        twist: what is different: a name in `twists.TWISTS`, or one that this module knows.
        kin: whom of `people.kin` the person is to the one before.
        care: practice, old (no visit for more than a year), outside (a clinic no practice stands for), moved (from one
            practice to another), gp (named in the record, no visit).
        feeds: which source systems know the person.
    """

    plot: str
    twist: str = ""
    kin: str = ""
    care: str = "practice"
    feeds: tuple[str, ...] = _TWO


CAST: tuple[Story, ...] = (
    Story("egfr", feeds=_ALL),
    Story("egfr", "untested", kin="twin"),
    Story("egfr", "late_result"),
    Story("kras", care="moved"),
    Story("kras", "other_allele", kin="namesake"),
    Story("her2"),
    Story("her2", "preliminary"),
    Story("pik3ca", feeds=_ALL),
    Story("pik3ca", "negative", kin="borrower"),
    Story("tnbc"),
    Story("msi", feeds=_ALL),
    Story("tmb"),
    Story("tmb", "negative"),
    Story("braf"),
    Story("braf", "early_stage", kin="double"),
    Story("brca2"),
    Story("brca2", "old_lab"),
    Story("egfr", "dies"),
    Story("kras", "opts_out"),
    Story("braf", "corrected"),
    Story("msi", "taken_back"),
    Story("egfr", "dead"),
    Story("kras", "opted_out"),
    Story("egfr", "frail"),
    Story("her2", "amended"),
    Story("exon19", "late_record"),
    Story("kras", care="old"),
    Story("braf", "progresses"),
    Story("msi", "minor"),
    Story("kras", "excluded"),
    Story("egfr", "unspecific", feeds=_SILENT),
    Story("egfr", "registered_by_mistake", feeds=_SILENT),
    Story("egfr", "new_name", feeds=_ALL),
    Story("exon19", care="gp"),
    Story("v600k"),
    Story("tnbc", "very_old", care="outside"),
    Story("her2", "born_in_a_year", feeds=_SILENT),
)
#: One in so many of the others has a story of the cast.
_CAST_SHARE = 0.2
_TWIN_SHARE = 0.02
_CARE = ("practice", "practice", "practice", "moved", "old", "outside", "gp")
#: Number of somebody who is treated by both tenants.
_CROSSER = 7

#: Plot -> sex, cancer, and what the criteria ask for. Results of the laboratory are on the lab feed where it knows the
#: person.
_PLOTS: dict[str, tuple[str, str, tuple[tuple[str, str], ...]]] = {
    "egfr": ("", "lung-adeno", (("stage", "IV"), ("gene:EGFR", "L858R"), ("gene:KRAS", "negative"), ("lab:anc", "+"))),
    "exon19": ("", "lung-nsclc", (("stage", "IVA"), ("gene:EGFR", "E746_A750del"))),
    "kras": ("", "lung-squamous", (("stage", "IIIB"), ("gene:KRAS", "G12C"), ("gene:EGFR", "negative"))),
    "her2": ("female", "breast", (("stage", "IV"), ("marker:HER2", "positive"), ("lab:hemoglobin", "+"))),
    "pik3ca": (
        "female",
        "breast-ductal",
        (("stage", "IV"), ("gene:PIK3CA", "H1047R"), ("marker:ER", "positive"), ("marker:HER2", "negative")),
    ),
    "tnbc": (
        "female",
        "breast-icd",
        (
            ("stage", "IIIC"),
            ("marker:PD-L1", "positive"),
            ("marker:ER", "negative"),
            ("marker:PR", "negative"),
            ("marker:HER2", "negative"),
        ),
    ),
    "msi": ("", "colon", (("stage", "IV"), ("msi", "high"))),
    "tmb": ("", "colon-icd", (("stage", "IVB"), ("tmb", "14.2"), ("msi", "stable"))),
    "braf": ("", "melanoma", (("stage", "IIIC"), ("gene:BRAF", "V600E"))),
    "v600k": ("", "melanoma-icd", (("stage", "IV"), ("gene:BRAF", "V600K"))),
    "brca2": ("male", "prostate", (("stage", "IV"), ("gene:BRCA2", "S1982fs"), ("lab:psa", "+"))),
}
_CANCERS = {
    "female": ("breast", "breast-ductal", "breast-icd", "lung-adeno", "lung-icd", "colon", "melanoma", "pancreas"),
    "male": ("prostate", "prostate-icd", "lung-squamous", "lung-small", "lung-icd", "colon-icd", "melanoma", "rectum"),
}
_GOOD = {"anc": ("1.8", "6.9"), "hemoglobin": ("9.4", "15.8"), "psa": ("2.6", "88"), "creatinine": ("0.6", "1.3")}
_BAD = {"anc": ("0.4", "1.2"), "hemoglobin": ("6.1", "8.6"), "psa": ("0.1", "1.6"), "creatinine": ("1.9", "4.8")}


def person(seed: int, tenant: str, number: int, today: date) -> Person:
    """The person of that number; depends on nothing else."""
    story = story_of(seed, tenant, number)
    identity, birth = _identity(seed, tenant, number, today)
    rng = Random(f"{seed}/{tenant}/{number}/what")  # noqa: S311
    draft = Draft(rng, tuple(feed for feed in story.feeds if feed in FEEDS[tenant]))
    draft.entries = [Entry(feed, "", "patient", "alive", 900) for feed in draft.feeds]
    if story.plot:
        _play(draft, story)
    else:
        _live(draft, identity.sex)
    if "emr" in draft.feeds:
        _visit(draft, story.care)
    if story.twist == "registered_by_mistake":
        draft.entries += [replace(entry, status=DELETED, day=2) for entry in draft.entries]
    return Person(
        tenant=tenant,
        number=number,
        label=f"{tenant}-{number:07d}",
        birth=birth,
        sex=identity.sex,
        records={feed: people.as_known_to(feed, identity, rng) for feed in draft.feeds},
        entries=tuple(sorted(draft.entries, key=lambda entry: entry.day)),
        named_clinic=rng.randrange(CLINICS) if story.care == "gp" else None,
    )


def story_of(seed: int, tenant: str, number: int) -> Story:
    """The story of the person of that number: the cast comes first, then mostly people without any."""
    if number < len(CAST):
        return CAST[number]
    rng = Random(f"{seed}/{tenant}/{number}/story")  # noqa: S311
    if rng.random() < _CAST_SHARE:
        return replace(rng.choice(CAST), kin="")
    feeds = rng.choice((_SILENT, _SILENT, _TWO, _TWO, _ALL, ("registry",)))
    known = tuple(feed for feed in feeds if feed in FEEDS[tenant]) or _SILENT
    return Story("", kin="twin" if rng.random() < _TWIN_SHARE else "", care=rng.choice(_CARE), feeds=known)


def _identity(seed: int, tenant: str, number: int, today: date) -> tuple[Identity, date]:
    story = story_of(seed, tenant, number)
    ages = {"minor": (10, 16), "very_old": (91, 97)}.get(story.twist, (24, 86))
    sex = _PLOTS[story.plot][0] if story.plot else ""
    identity, birth = people.base(seed, tenant, number, sex, ages, today)
    if story.twist == "born_in_a_year":
        return replace(identity, birth_date=str(birth.year)), birth
    if tenant == "south" and number == _CROSSER:
        # Treated in both places: two persons, since tenants never see each other.
        other, other_birth = people.base(seed, "north", number, sex, ages, today)
        return replace(other, mrn=identity.mrn), other_birth
    if story.kin and not story_of(seed, tenant, number - 1).kin:
        return people.kin(story.kin, identity, birth, *_identity(seed, tenant, number - 1, today))
    return identity, birth


def _play(draft: Draft, story: Story) -> None:
    _, cancer, wanted = _PLOTS[story.plot]
    rng = draft.rng
    draft.key = wanted[1][0]
    draft.add("emr", "cancer", cancer, rng.randint(420, 900))
    if "registry" in draft.feeds:
        draft.add("registry", "cancer", cancer, rng.randint(420, 900))
        draft.add("registry", "stage", "II", rng.randint(420, 900))
    for says, value in wanted:
        feed = "emr" if says == "stage" else "lab"
        if says.startswith("lab:"):
            name = says.removeprefix("lab:")
            draft.add(feed, says, _number(rng, _BAD[name]), rng.randint(420, 700))
            value = _number(rng, _GOOD[name])
        draft.add(feed, says, value, rng.randint(20, 150))
    draft.add("emr", "ecog", rng.choice("01"), rng.randint(6, 90))
    if rng.random() < 0.4:
        draft.add("emr", "ecog", "2", rng.randint(200, 400))
    if rng.random() < 0.3:
        draft.add("emr", "metastasis", rng.choice(("bone", "liver", "brain")), rng.randint(20, 150))
    if story.twist in TWISTS:
        TWISTS[story.twist](draft)


def _live(draft: Draft, sex: str) -> None:
    """Somebody of whom little is on record: most tests were never done, some are old, some do not count."""
    rng = draft.rng
    cancer = rng.choice(_CANCERS[sex])
    home = draft.feeds[0]
    draft.add(home, "cancer", cancer, rng.randint(100, 2000))
    if "registry" in draft.feeds:
        draft.add("registry", "cancer", cancer, rng.randint(100, 2000))

    def maybe(share: float, feed: str, says: str, values: tuple[str, ...]) -> None:
        if rng.random() < share:
            status = rng.choices(("final", "preliminary", "entered-in-error", "amended"), (88, 5, 3, 4))[0]
            days_ago = rng.choice((rng.randint(8, 150), rng.randint(420, 1500)))
            draft.add(feed, says, rng.choice(values), days_ago, status)

    maybe(0.7, home, "stage", ("I", "II", "IIB", "III", "IIIC", "IV"))
    maybe(0.5, "emr", "ecog", ("0", "1", "1", "2", "3"))
    for name in ("anc", "hemoglobin", "creatinine"):
        maybe(0.3, "lab", f"lab:{name}", (_number(rng, _GOOD[name]), _number(rng, _BAD[name])))
    if cancer.startswith("lung"):
        maybe(0.2, "lab", "gene:EGFR", ("negative", "negative", "L858R", "E746_A750del"))
        maybe(0.2, "lab", "gene:KRAS", ("negative", "negative", "G12C", "G12D"))
    if cancer.startswith("breast"):
        for name in ("ER", "PR", "HER2", "PD-L1"):
            maybe(0.4, "lab", f"marker:{name}", ("positive", "negative", "equivocal"))
        maybe(0.1, "lab", "gene:PIK3CA", ("negative", "H1047R"))
    if cancer in ("colon", "colon-icd", "rectum"):
        maybe(0.2, "lab", "msi", ("high", "stable", "stable"))
        maybe(0.1, "lab", "tmb", ("3.1", "8.8", "12", "31.5"))
    if cancer == "melanoma":
        maybe(0.3, "lab", "gene:BRAF", ("negative", "V600E", "V600K"))
    if cancer.startswith("prostate"):
        maybe(0.5, "lab", "lab:psa", (_number(rng, _GOOD["psa"]), _number(rng, _BAD["psa"])))
        maybe(0.1, "lab", "gene:BRCA2", ("negative", "S1982fs"))
    maybe(0.3, home, "problem", ("hypertension", "diabetes", "copd"))
    maybe(0.3, "emr", "medication", ("anastrozole", "metformin", "ondansetron"))
    if rng.random() < 0.08:
        draft.amend("patient", home, value="dead", days_ago=rng.randint(10, 400))
    elif rng.random() < 0.03:
        draft.add(home, "consent", "deny", rng.randint(10, 400))


def _visit(draft: Draft, care: str) -> None:
    """Encounters; only the EMR has them."""
    rng = draft.rng
    first, second = rng.sample(range(CLINICS), 2)
    visits = {
        "practice": [(first, rng.randint(6, 60)), (first, rng.randint(100, 300))],
        "moved": [(first, rng.randint(6, 60)), (second, rng.randint(100, 300))],
        "outside": [(OUTSIDE, rng.randint(6, 60))],
        "old": [(first, rng.randint(420, 800))],
        "gp": [],
    }
    for clinic, days_ago in visits[care]:
        draft.add("emr", "visit", str(clinic), days_ago)


def _number(rng: Random, bounds: tuple[str, str]) -> str:
    low, high = map(float, bounds)
    return f"{rng.uniform(low, high):.1f}"
