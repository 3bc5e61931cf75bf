"""The trials of the sample world: criteria files, and two editions of the registry feed.

What belongs here: what is put into the feeds bucket. Whom it approves is worked out in `truth`, from this table of
statuses and from the model, never from the criteria files.
"""

from datetime import date
from importlib import resources

import msgspec

from spv_platform.sample.files import SampleFile
from spv_platform.sample.world.model import DAYS, day_of

#: Trial -> its overall status in the registry's first and second edition.
STATUSES: dict[str, tuple[str, str]] = {
    "NCT99000001": ("RECRUITING", "RECRUITING"),
    "NCT99000002": ("RECRUITING", "RECRUITING"),
    "NCT99000003": ("RECRUITING", "RECRUITING"),
    "NCT99000004": ("RECRUITING", "RECRUITING"),
    "NCT99000005": ("RECRUITING", "RECRUITING"),
    "NCT99000006": ("RECRUITING", "RECRUITING"),
    "NCT99000007": ("RECRUITING", "ACTIVE_NOT_RECRUITING"),
    "NCT99000008": ("NOT_YET_RECRUITING", "RECRUITING"),
}
#: The day on which the second edition comes.
SECOND_EDITION = DAYS - 1
_SITES = (("Portland", "Maine", "04101"), ("Savannah", "Georgia", "31401"))


def recruiting(trial: str, day: int) -> bool:
    """Whether a trial takes patients once a day's feed is in."""
    return STATUSES[trial][day >= SECOND_EDITION] == "RECRUITING"


def feeds(today: date) -> list[list[SampleFile]]:
    """By day, the files that are put into the feeds bucket."""
    folder = resources.files("spv_platform.sample.world") / "criteria"
    criteria = [
        SampleFile(f"criteria/{file.name}", "application/yaml", file.read_bytes())
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
    ]
    by_day: list[list[SampleFile]] = [[] for _ in range(DAYS)]
    by_day[0] = [*criteria, _edition(0, today)]
    by_day[SECOND_EDITION].append(_edition(1, today))
    return by_day


def _edition(number: int, today: date) -> SampleFile:
    """A page of studies as ClinicalTrials.gov's API v2 gives it; both editions have one name, as a download has."""
    updated = day_of(today, SECOND_EDITION if number else 0)
    page = {"studies": [_study(trial, statuses[number], updated) for trial, statuses in STATUSES.items()]}
    return SampleFile(
        "ctgov/studies.json", "application/json", msgspec.json.format(msgspec.json.encode(page), indent=1)
    )


def _study(trial: str, status: str, updated: date) -> dict[str, object]:
    locations = [
        {
            "facility": f"Invented Cancer Center of {city}",
            "city": city,
            "state": state,
            "zip": code,
            "country": "United States",
        }
        for city, state, code in _SITES
    ]
    return {
        "protocolSection": {
            "identificationModule": {
                "nctId": trial,
                "organization": {"fullName": "Invented Trials Institute", "class": "OTHER"},
                "briefTitle": f"An Invented Study {trial[-1]}",
            },
            "statusModule": {
                "overallStatus": status,
                "startDateStruct": {"date": "2025-02", "type": "ACTUAL"},
                "completionDateStruct": {"date": "2031-12", "type": "ESTIMATED"},
                "lastUpdatePostDateStruct": {"date": updated.isoformat(), "type": "ACTUAL"},
            },
            "sponsorCollaboratorsModule": {"leadSponsor": {"name": "Invented Trials Institute", "class": "OTHER"}},
            "designModule": {"studyType": "INTERVENTIONAL", "phases": ["PHASE2"]},
            "contactsLocationsModule": {"locations": locations},
        }
    }
