"""Trial criteria and registry studies: from files in the feeds bucket to one version that matching uses."""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from spv_platform.errors import TransientError, UsageError
from spv_platform.ledger import batches, criteria, tenants
from spv_platform.ledger.db import Cursor
from spv_platform.pipeline.platform import Platform
from spv_platform.trials.criteria import CriteriaError, Trial, from_document, parse_trial, to_document
from spv_platform.trials.lint import lint
from spv_platform.trials.registry import Study, StudyError, newest, parse_studies
from spv_platform.trials.sites import sites_of
from spv_platform.trials.terms import vocabulary

CRITERIA_PREFIX = "criteria/"
REGISTRY_PREFIX = "ctgov/"
_TRIES = 5


@dataclass(frozen=True)
class CriteriaReport:
    """What one reading of the feeds bucket came to.

    Attributes:
        version: the version in force afterwards.
        changed: whether it is a new one.
        problems: one line per file that was refused: file, place, what to do.
        remarks: what is probably not meant in the files that are new in force; see `trials.lint`.
    """

    version: int
    changed: bool
    trials: int
    cohorts: int
    studies: int
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def feeds_digest(platform: Platform) -> str:
    """Changes whenever a file of the feeds bucket comes, goes or changes, or a code table of the platform does."""
    digest = hashlib.sha256(vocabulary().encode())
    for key, etag in _listing(platform):
        digest.update(f"{key}\0{etag}\n".encode())
    return digest.hexdigest()


def is_behind(platform: Platform, feeds: str) -> bool:
    """Whether what is in force was read from other files than those of this `feeds_digest`."""
    with platform.db.transaction() as cur:
        return criteria.read_from(cur) != feeds


def refresh_criteria(platform: Platform) -> CriteriaReport:
    """Read all criteria and studies, keep them as a version if anything changed, and form re-match batches.

    A file that cannot be read is reported and left out; the others count. Files that change meanwhile are read again.

    Raises:
        TransientError: they change all the time.
    """
    for _ in range(_TRIES):
        report = _refresh(platform, feeds_digest(platform))
        if report:
            return report
    raise TransientError("store_unavailable", "the files of the feeds bucket change while they are read")


def _refresh(platform: Platform, feeds: str) -> CriteriaReport | None:
    """What one reading came to; None: the files are not those of this digest any more."""
    trials: dict[str, Trial] = {}
    files: dict[str, str] = {}
    studies: list[Study] = []
    problems: list[str] = []
    for key, _ in _listing(platform):
        data = platform.s3.get_object(Bucket=platform.settings.feeds_bucket, Key=key)["Body"].read()
        try:
            if key.startswith(CRITERIA_PREFIX):
                trial = parse_trial(data.decode(), key)
                files.setdefault(trial.trial, key)
                if trials.setdefault(trial.trial, trial) is not trial:
                    first = files[trial.trial]
                    problems.append(f"{key}: {trial.trial}: {first} has this trial already: remove one of them")
            elif key.startswith(REGISTRY_PREFIX):
                studies += parse_studies(data, key)
        except (CriteriaError, StudyError) as error:
            problems.append(str(error))
        except UnicodeDecodeError:
            problems.append(f"{key}: not UTF-8 text: save it as UTF-8")
    known = newest(studies)
    documents = {
        "trials": [to_document(trials[name]) for name in sorted(trials)],
        "studies": [msgspec.to_builtins(known[name]) for name in sorted(known)],
        # with other code tables the same criteria are other criteria
        "vocabulary": vocabulary(),
    }
    digest = hashlib.sha256(json.dumps(documents, sort_keys=True).encode()).hexdigest()
    with platform.db.transaction() as cur:
        criteria.lock(cur)
        # who read before another one and writes after it would bring back what has gone
        if feeds_digest(platform) != feeds:
            return None
        before = criteria.newest(cur)
        version = criteria.put_version(cur, digest, documents, feeds)
        changed = before is None or before.version != version
        if changed:
            _form(cur, tenants.tenants(cur), version)
    cohorts = sum(len(trial.cohorts) for trial in trials.values())
    known_trials = before.documents["trials"] if before else []
    new = [name for name in sorted(trials) if to_document(trials[name]) not in known_trials]
    remarks = [f"{files[name]}: {remark}" for name in new for remark in lint(trials[name])]
    return CriteriaReport(version, changed, len(trials), cohorts, len(known), problems, remarks)


def form_rematches(platform: Platform) -> int:
    """Form a re-match for every tenant at which another day has begun since the last time; how many were formed.

    Ages, windows and wash-outs go on by themselves.
    """
    with platform.db.transaction() as cur:
        newest_version = criteria.newest(cur)
        if newest_version is None:
            return 0
        names = [tenant for tenant in tenants.tenants(cur) if tenants.begin_day(cur, tenant)]
        _form(cur, names, newest_version.version)
    return len(names)


def _form(cur: Cursor, names: list[str], version: int) -> None:
    for tenant in names:
        batches.form_rematch(cur, tenant, version)


@dataclass(frozen=True)
class InForce:
    """What persons of a tenant are matched by, read at one moment.

    Attributes:
        version: of the criteria; None before the first.
        studies: by NCT id.
        zone: the tenant's time zone.
        day: the day that it is there.
    """

    version: int | None
    trials: list[Trial]
    studies: dict[str, Study]
    zone: str
    day: date


def in_force(cur: Cursor, tenant: str) -> InForce:
    """What the tenant's persons are matched by now.

    Raises:
        UsageError: no such tenant.
    """
    version = criteria.newest(cur)
    return InForce(version.version if version else None, *load_criteria(version), *tenants.zone_and_day(cur, tenant))


def load_criteria(version: criteria.CriteriaVersion | None) -> tuple[list[Trial], dict[str, Study]]:
    """The trials and the registry's studies (by NCT id) of a stored version; before the first there are none."""
    if version is None:
        return [], {}
    studies = msgspec.convert(version.documents["studies"], list[Study])
    trials = [from_document(document) for document in version.documents["trials"]]
    return trials, {study.nct_id: study for study in studies}


def _listing(platform: Platform) -> list[tuple[str, str]]:
    pages = platform.s3.get_paginator("list_objects_v2").paginate(Bucket=platform.settings.feeds_bucket)
    return sorted((item["Key"], item["ETag"]) for page in pages for item in page.get("Contents", []))


def put_file(platform: Platform, file: Path) -> str:
    """Put a criteria file or a registry study where the platform reads it; its place as `bucket/key`.

    Raises:
        UsageError: the name says neither YAML nor JSON.
    """
    if file.suffix in (".yaml", ".yml"):
        prefix = CRITERIA_PREFIX
    elif file.name.endswith((".json", ".json.gz")):
        prefix = REGISTRY_PREFIX
    else:
        raise UsageError(f"{file}: neither criteria (.yaml) nor a registry study (.json, .json.gz): rename it")
    bucket, key = platform.settings.feeds_bucket, prefix + file.name
    platform.s3.put_object(Bucket=bucket, Key=key, Body=file.read_bytes())
    return f"{bucket}/{key}"


def cohort_rows(platform: Platform) -> list[dict[str, Any]]:
    """Every cohort of the criteria in force: trial, cohort, title, its own status and the registry's."""
    with platform.db.transaction() as cur:
        version = criteria.newest(cur)
    trials, studies = load_criteria(version)
    return [
        {
            "trial": trial.trial,
            "cohort": cohort.id,
            "title": cohort.title or trial.title,
            "status": cohort.status,
            "registry_status": studies[trial.trial].overall_status if trial.trial in studies else None,
            "sites": len(sites_of(trial, studies.get(trial.trial))),
        }
        for trial in trials
        for cohort in trial.cohorts
    ]
