"""A person of the sample world in the making, and the twists that make a story out of a plain record.

What belongs here: how entries are put together and changed. What does not: who gets which twist (`stories`).
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from spv_platform.sample.world.model import DELETED, Entry


class Draft:
    """A person in the making."""

    def __init__(self, rng: Random, feeds: tuple[str, ...]) -> None:
        self.rng = rng
        self.feeds = feeds
        self.key = ""  # what the plot turns on, such as `gene:EGFR`
        self.entries: list[Entry] = []

    def add(self, feed: str, says: str, value: str, days_ago: int, status: str = "final", day: int = 0) -> None:
        """Enter one resource; what a feed cannot say that does not know the person, the first one says."""
        feed = feed if feed in self.feeds else self.feeds[0]
        part = f"{says.replace(':', '-').lower()}-{len(self.entries)}"
        self.entries.append(Entry(feed, part, says, value, days_ago, status, day))

    def change(self, says: str, day: int, **changes: str | int) -> None:
        """Enter a further version of the first resource that says something about it."""
        known = next(entry for entry in self.entries if entry.says == says)
        self.entries.append(replace(known, day=day, **changes))  # type: ignore[arg-type]

    def drop(self, says: str) -> None:
        """Leave out what was said about it."""
        self.entries = [entry for entry in self.entries if entry.says != says]

    def amend(self, says: str, feed: str = "", **changes: str | int) -> None:
        """Say something else about it from the beginning, in one feed or in all."""
        self.entries = [
            replace(entry, **changes) if entry.says == says and feed in ("", entry.feed) else entry  # type: ignore[arg-type]
            for entry in self.entries
        ]


def _late_result(draft: Draft) -> None:
    """The laboratory knows the person only from the second day on, and has the result that decides."""

    def later(entry: Entry) -> Entry:
        if entry.feed != "lab":
            return entry
        if entry.part and entry.says != draft.key:
            return replace(entry, feed="emr")
        return replace(entry, day=1, days_ago=4 if entry.part else entry.days_ago)

    draft.entries = [later(entry) for entry in draft.entries]


def _preliminary(draft: Draft) -> None:
    draft.amend(draft.key, status="preliminary")
    draft.change(draft.key, 1, status="final")


def _amended(draft: Draft) -> None:
    draft.amend(draft.key, value="negative")
    draft.change(draft.key, 1, value="positive", status="amended")


def _progresses(draft: Draft) -> None:
    draft.amend("stage", value="II")
    draft.add("emr", "stage", "IV", 3, day=2)


def _old_lab(draft: Draft) -> None:
    draft.drop("lab:psa")
    draft.add("lab", "lab:psa", "9.9", 420)


def _refuses(days_ago: int, day: int) -> Callable[[Draft], None]:
    return lambda draft: draft.add("emr", "consent", "deny", days_ago, day=day)


_NEGATIVE = {"msi": "stable", "tmb": "3.1"}

TWISTS: dict[str, Callable[[Draft], None]] = {
    "untested": lambda draft: draft.drop(draft.key),
    "negative": lambda draft: draft.amend(draft.key, value=_NEGATIVE.get(draft.key, "negative")),
    "other_allele": lambda draft: draft.amend(draft.key, value="G12D"),
    "excluded": lambda draft: draft.amend("gene:EGFR", value="L858R"),
    "unspecific": lambda draft: draft.amend("cancer", value="lung-icd"),
    "early_stage": lambda draft: draft.amend("stage", value="II"),
    "frail": lambda draft: draft.amend("ecog", value="3"),
    "old_lab": _old_lab,
    "dead": lambda draft: draft.amend("patient", "emr", value="dead", days_ago=30),
    "opted_out": _refuses(200, 0),
    "late_result": _late_result,
    "late_record": lambda draft: draft.amend("patient", "lab", day=1),
    "preliminary": _preliminary,
    "amended": _amended,
    "corrected": lambda draft: draft.change(draft.key, 1, status="entered-in-error"),
    "dies": lambda draft: draft.change("patient", 1, value="dead", days_ago=2),
    "new_name": lambda draft: draft.change("patient", 1, value="married"),
    "taken_back": lambda draft: draft.change(draft.key, 2, status=DELETED),
    "progresses": _progresses,
    "opts_out": _refuses(1, 2),
}
