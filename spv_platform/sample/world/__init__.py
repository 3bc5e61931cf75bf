"""The sample world: invented oncology patients of two tenants over several days, and the truth about them.

What belongs here: data of our own making, equal for equal arguments, from a few dozen people to millions. Nobody in it
exists. What is said about them is computed from a hidden model, never by the code that it judges.
"""

from dataclasses import dataclass
from datetime import date

from spv_platform.sample.files import SampleFile
from spv_platform.sample.world.files import Drop, generate, people
from spv_platform.sample.world.model import DAYS, FEEDS, TENANTS
from spv_platform.sample.world.records import organization_id
from spv_platform.sample.world.stories import CLINICS
from spv_platform.sample.world.trials import feeds
from spv_platform.sample.world.truth import Truth, counted, practice_name, truth_about

__all__ = ["DAYS", "FEEDS", "TENANTS", "Drop", "Truth", "World", "generate", "numbers", "practices", "world"]


@dataclass(frozen=True)
class World:
    """A small world, all of it.

    Attributes:
        drops: by day, the files that the source systems send.
        feeds: by day, the files that are put into the feeds bucket.
        truth: what must come out.
    """

    drops: list[list[Drop]]
    feeds: list[list[SampleFile]]
    truth: Truth


def world(seed: int, patients: int, *, today: date | None = None) -> World:
    """A world that fits into memory; of more than some thousand people use `generate` and `numbers`.

    Each day is to be worked off before the next one is landed: what is approved in between is not part of the truth.

    Args:
        seed: another one gives other people.
        patients: number of people, of all tenants.
        today: what all dates are counted back from; the day on which the world will be judged.
    """
    today = today or date.today()
    drops: list[list[Drop]] = [[] for _ in range(DAYS)]
    truth = Truth()
    for drop in generate(seed, patients, today=today):
        drops[drop.day].append(drop)
        if drop.broken:
            truth.quarantined[drop.tenant] = sorted([*truth.quarantined.get(drop.tenant, []), *drop.broken])
    for someone in people(seed, patients, TENANTS, today):
        about = truth_about(someone, today)
        truth.count(about)
        truth.name(about)
    return World(drops, feeds(today), truth)


def numbers(seed: int, patients: int, *, today: date) -> Truth:
    """The numbers of the truth about a world of any size, without names."""
    return counted(truth_about(someone, today) for someone in people(seed, patients, TENANTS, today))


def practices() -> dict[str, list[str]]:
    """The practices to set up for each tenant: name, and the organisations that it stands for."""
    return {practice_name(clinic): [f"Organization/{organization_id(clinic)}"] for clinic in range(CLINICS)}
