"""Who the people of the sample world are: names, numbers, addresses, and those who are mistaken for each other.

What belongs here: identities, and how sources differ about them. Nobody exists: social security numbers begin with 9,
telephone numbers with 555-01.
"""

import calendar
from dataclasses import replace
from datetime import date, timedelta
from random import Random

from spv_platform.sample.world.model import Identity

FAMILIES = (
    "Abernale", "Brightwater", "Castellyn", "Dunmarrow", "Eastergard", "Fennwick", "Garrowby", "Hollisande",
    "Ivershaw", "Jessamyn", "Kettering", "Lindqvale", "Marchetti-Vane", "Northcoate", "Okonwelle", "Pemberlake",
    "Quillmore", "Ravensholt", "Sandovale", "Thistlewood", "Umberfield", "Vantreight", "Wexcombe", "Yarrowby",
    "Zelenkova", "Nguyendale", "O'Farrowan", "De la Brisa", "Müllerau", "Çelikoy",
)  # fmt: skip
GIVEN = {
    "female": (
        "Adela", "Beatrix", "Corinne", "Delphine", "Esmé", "Fiona", "Greta", "Honora", "Imogen", "Juliet", "Katharine",
        "Lucinda", "Marisol", "Nadia", "Ottilie", "Philippa", "Rosalind", "Saskia", "Theodora", "Winifred",
    ),
    "male": (
        "Alistair", "Benedict", "Caspian", "Dominic", "Edmund", "Fabian", "Gideon", "Hugo", "Isidor", "Jonathan",
        "Konrad", "Leopold", "Matthias", "Nikolai", "Octavio", "Prosper", "Reginald", "Santiago", "Tobias", "Wendell",
    ),
}  # fmt: skip
#: City, state, ZIP: sparsely populated ZIP areas among them.
_PLACES = {
    "north": (
        ("Portland", "ME", "04101"), ("Concord", "NH", "03301"), ("Charlestown", "NH", "03603"),
        ("Burlington", "VT", "05401"), ("Guildhall", "VT", "05905"), ("Bangor", "ME", "04401"),
    ),
    "south": (
        ("Mobile", "AL", "36602"), ("Jackson", "MS", "39201"), ("Savannah", "GA", "31401"),
        ("Silver City", "NM", "87901"), ("Truth or Consequences", "NM", "87901"), ("Macon", "GA", "31201"),
    ),
}  # fmt: skip
_STREETS = ("Alder Street", "Birchwood Lane", "Commerce Road", "Dogwood Court", "Elm Avenue", "Foundry Row")
_SSN_PRIME, _SSN_SPACE = 7_919_927, 89_999_999


def base(seed: int, tenant: str, number: int, sex: str, ages: tuple[int, int], today: date) -> tuple[Identity, date]:
    """A person who is like nobody else, and the date of birth.

    Args:
        seed: of the world.
        tenant: whose patient.
        number: which one, from 0.
        sex: female, male, or empty for either.
        ages: youngest and oldest age in whole years; nobody has a birthday around today.
        today: of the world.
    """
    rng = Random(f"{seed}/{tenant}/{number}/who")  # noqa: S311
    sex = sex or rng.choice(("female", "male"))
    birth = _birth(rng, rng.randint(*ages), today)
    city, state, postal_code = rng.choice(_PLACES[tenant])
    identity = Identity(
        family=rng.choice(FAMILIES),
        given=rng.choice(GIVEN[sex]),
        sex=sex,
        birth_date=birth.isoformat(),
        mrn=f"{tenant[0].upper()}{number:08d}",
        ssn=_ssn(tenant, number),
        street=f"{rng.randint(1, 999)} {rng.choice(_STREETS)}",
        city=city,
        state=state,
        postal_code=postal_code,
        phone=f"555-01{rng.randint(0, 99):02d}",
    )
    return identity, birth


def kin(relation: str, own: Identity, birth: date, other: Identity, other_birth: date) -> tuple[Identity, date]:
    """A person who is easily mistaken for another one.

    Args:
        relation: twin (same family, birth, home), namesake (same name), double (same name and birth), borrower (the
            other's social security number).
        own: the person as a stranger would be.
        birth: the person's own date of birth.
        other: the one that the person is mistaken for.
        other_birth: that one's date of birth.
    """
    match relation:
        case "twin":
            given = GIVEN[other.sex][(GIVEN[other.sex].index(other.given) + 1) % len(GIVEN[other.sex])]
            return replace(other, given=given, mrn=own.mrn, ssn=own.ssn), other_birth
        case "namesake":
            return replace(own, family=other.family, given=other.given, sex=other.sex), birth
        case "double":
            return replace(other, mrn=own.mrn, ssn=own.ssn, street=own.street, phone=own.phone), other_birth
        case "borrower":
            birth = birth - timedelta(days=366) if birth == other_birth else birth
            return replace(own, ssn=other.ssn, birth_date=birth.isoformat()), birth
    raise ValueError(relation)


def as_known_to(feed: str, identity: Identity, rng: Random) -> Identity:
    """The same person as a source system has written it down: it differs in what does not matter."""
    if feed == "lab":
        family = identity.family.upper() if rng.random() < 0.5 else identity.family
        # A laboratory knows the hospital's number, seldom the social security number, and no telephone.
        ssn = identity.ssn if rng.random() < 0.3 else ""
        return replace(identity, family=family, given=f"{identity.given[0]}.", ssn=ssn, phone="")
    if feed == "registry":
        street = identity.street.replace("Street", "St").replace("Avenue", "Ave")
        return replace(identity, ssn=identity.ssn.replace("-", ""), mrn="", street=street)
    return identity


def _birth(rng: Random, age: int, today: date) -> date:
    """A day on which somebody of that age was born whose birthday is not near."""
    month = (today.month - 1 + rng.randint(2, 10)) % 12 + 1
    year = today.year - age - (month > today.month)
    return date(year, month, rng.randint(1, calendar.monthrange(year, month)[1]))


def _ssn(tenant: str, number: int) -> str:
    digits = 900_000_001 + (number * _SSN_PRIME + (tenant == "south") * 17) % _SSN_SPACE
    return f"{digits // 1_000_000:03d}-{digits // 10_000 % 100:02d}-{digits % 10_000:04d}"
