"""A builder of fact rows and persons for the tests of trials."""

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import yaml

from spv_platform.trials.criteria import parse_trial
from spv_platform.trials.evaluate import Evaluation, evaluate
from spv_platform.trials.model import Trial
from spv_platform.trials.registry import Study
from spv_platform.view.schema import SCHEMA

AS_OF = date(2024, 6, 15)
NCT = "NCT00000001"
OPEN = {NCT: Study(nct_id=NCT, title="A study", overall_status="RECRUITING")}
FACT_SCHEMA = {**SCHEMA, "person_id": pl.String()}


def interval(text: str | None) -> tuple[datetime | None, datetime | None]:
    """The half-open interval of `2024`, `2024-05` or `2024-05-17`."""
    if text is None:
        return None, None
    parts = [int(part) for part in text.split("-")]
    start = datetime(*[*parts, 1, 1][:3])
    if len(parts) == 1:
        return start, datetime(parts[0] + 1, 1, 1)
    if len(parts) == 2:
        return start, datetime(parts[0] + parts[1] // 12, parts[1] % 12 + 1, 1)
    return start, start + timedelta(days=1)


def fact(kind: str, day: str | None = None, person: str = "p", **columns: Any) -> dict[str, Any]:
    start, end = interval(day)
    row: dict[str, Any] = dict.fromkeys(FACT_SCHEMA)
    row |= {
        "person_id": person,
        "patient_id": f"{person}-1",
        "source": "emr",
        "resource_type": "Observation",
        "resource_id": "r1",
        "deleted": False,
        "source_object": "ab" * 32,
        "source_entry": 3,
        "kind": kind,
        "usable": True,
        "time": day,
        "time_start": start,
        "time_end": end,
    }
    assert columns.keys() <= row.keys()
    return row | columns


def frame(facts: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(facts, schema=FACT_SCHEMA)


def trial_of(*criteria: dict[str, Any], **cohort: Any) -> Trial:
    """A trial of one cohort A whose criteria all have to hold."""
    named = [({"id": f"c{at}"} | item) if _is_leaf(item) else item for at, item in enumerate(criteria, start=1)]
    document = {"trial": NCT, "cohorts": [{"id": "A", "criteria": {"all": named}, **cohort}]}
    return parse_trial(yaml.safe_dump(document), "test.yaml")


def _is_leaf(item: dict[str, Any]) -> bool:
    return not item.keys() & {"all", "any", "none", "at_least"}


def run(
    trial: Trial,
    facts: list[dict[str, Any]],
    *,
    persons: dict[str, bool] | None = None,
    registry: dict[str, Study] | None = None,
    as_of: date = AS_OF,
) -> Evaluation:
    """Evaluate; persons maps ids to `opted_out`, and is person `p` alone unless said otherwise."""
    persons = {"p": False} if persons is None else persons
    frame_of_persons = pl.DataFrame(
        {"person_id": list(persons), "opted_out": list(persons.values())},
        schema={"person_id": pl.String, "opted_out": pl.Boolean},
    )
    return evaluate(frame_of_persons, frame(facts), [trial], OPEN if registry is None else registry, as_of)


def verdict(criterion: dict[str, Any], *facts: dict[str, Any], as_of: date = AS_OF) -> str:
    """The verdict of one criterion on one person with these facts."""
    result = run(trial_of(criterion), list(facts), as_of=as_of).cohorts
    assert result.height == 1
    return {"potentially_eligible": "MET", "needs_information": "UNKNOWN", "not_eligible": "NOT_MET"}[
        result["verdict"].item()
    ]
