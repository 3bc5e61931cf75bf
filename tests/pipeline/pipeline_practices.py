"""Practices, receivers and trials that are easy to qualify for, for the tests of notifications."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pipeline_bundles import Resource, bundle, patient
from pipeline_world import TENANT, World

from spv_platform.notify.receiver import Receiver
from spv_platform.pipeline.criteria import refresh_criteria
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.telling import notifying
from spv_platform.pipeline.telling.notifying import RelayReport
from spv_platform.pipeline.telling.practices import add_practice
from spv_platform.sample import trial_files

TRIAL, OTHER_TRIAL = "NCT00000001", "NCT00000002"
#: The first trial has two cohorts, so that a woman is approved for both.
_CRITERIA = {
    TRIAL: [("adults", "age: {min: 18}"), ("women", "sex: female")],
    OTHER_TRIAL: [("men", "sex: male")],
}


class Scripted(Receiver):
    """A receiver that answers by a script, one status a request, then as the real one does.

    Attributes:
        script: what is answered next; a request that the script answers is refused or lost, but seen.
        seen: event ids in the order of the requests.
    """

    def __init__(self) -> None:
        super().__init__()
        self.script: list[Callable[[], int] | int] = []
        self.seen: list[str] = []
        self.bodies: list[bytes] = []

    def answer(self, practice: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str]]:
        self.seen.append(headers["webhook-id"])
        self.bodies.append(body)
        if not self.script:
            return super().answer(practice, headers, body)
        step = self.script.pop(0)
        status = step if isinstance(step, int) else step()
        if 200 <= status < 300:
            super().answer(practice, headers, body)
        return status, {"location": self.url(practice)} if 300 <= status < 400 else {}


def put_trials(world: World, old: str = "", new: str = "") -> None:
    """Put the trials of this module, with one text replaced by another in all files, and match by them."""
    (recruiting,) = (file.data.decode() for file in trial_files() if file.name == f"ctgov/{TRIAL}.json")
    files = {f"ctgov/{trial}.json": recruiting.replace(TRIAL, trial) for trial in _CRITERIA}
    for trial, cohorts in _CRITERIA.items():
        lines = [f"trial: {trial}", "title: Invented", "version: 1", "cohorts:"]
        for name, question in cohorts:
            criterion = f"{{id: {name}-1, wording: Invented, {question}}}"
            lines += [f"  - {{id: {name}, title: Invented, status: open, criteria: {{all: [{criterion}]}}}}"]
        files[f"criteria/{trial}.yaml"] = "\n".join(lines)
    for name, text in files.items():
        body = text.replace(old, new) if old else text
        world.platform.s3.put_object(Bucket=world.settings.feeds_bucket, Key=name, Body=body.encode())
    refresh_criteria(world.platform)
    world.drain()


#: One moment for all visits: what is compared may be made before and after midnight.
_NOW = datetime.now(UTC)


def visit(patient_id: str, organization: str = "lake", days_ago: int = 10, id_: str = "") -> Resource:
    """An encounter of a patient with an organisation."""
    return {
        "resourceType": "Encounter",
        "id": id_ or f"visit-{patient_id}",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": f"Patient/{patient_id}"},
        "period": {"start": str((_NOW - timedelta(days=days_ago)).date())},
        "serviceProvider": {"reference": f"Organization/{organization}"},
    }


def land_person(world: World, id_: str, *further: Resource, gender: str = "female", **more: object) -> None:
    """Land one person who qualifies for the first trial, and publish."""
    who = patient(id_, family=f"Family{id_}", mrn=f"M-{id_}", gender=gender, **more)
    world.land(f"file-{id_}", bundle(who, *(further or [visit(id_)])))
    world.drain()


def add(world: World, receiver: Receiver, name: str = "lakeside", organization: str = "lake") -> None:
    """A practice whose messages the receiver gets."""
    done = add_practice(world.platform, TENANT, name, receiver.url(name), [f"Organization/{organization}"], who="test")
    if done.secret:
        receiver.trust(name, done.secret)


def go_live(world: World) -> None:
    """End the first load, before there is anything to tell."""
    assert notifying.go_live(world.platform, TENANT, who="test")


def relay(world: World) -> RelayReport:
    return notifying.relay(world.platform, TENANT)


def states(world: World) -> list[str]:
    return sorted(row["state"] for row in notifying.notifications(world.platform, TENANT))


def let_time_pass(world: World, seconds: float) -> None:
    """Let time pass for every pause of messages and receivers."""
    with world.platform.db.transaction() as cur:
        cur.execute("UPDATE ops.outbox SET next_attempt_at = next_attempt_at - make_interval(secs => %s)", (seconds,))
        cur.execute("UPDATE ops.practice SET paused_until = paused_until - make_interval(secs => %s)", (seconds,))


def with_settings(world: World, **changes: object) -> World:
    """The same installation, with other settings."""
    return World(Platform(replace(world.settings, **changes)))  # type: ignore[arg-type]
