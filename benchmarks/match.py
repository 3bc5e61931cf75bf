"""Seconds to match invented patients against invented cohorts: from facts to explained results in Parquet files.

In one process without the stores: what is measured is the matching itself. Many patients are matched a slice at a time,
as the platform does; their facts are invented outside of the measured time. The peer judges pair by pair in plain
Python, on facts that are in dictionaries already, and explains and stores nothing.
"""

import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl

from benchmarks.figures import Figure
from benchmarks.homes import SEED
from spv_platform.lake.describe import DerivedTable
from spv_platform.trials.cancers import judge_cancer_codes
from spv_platform.trials.criteria import from_document
from spv_platform.trials.evaluate import Evaluation, Matcher
from spv_platform.trials.kleene import MET, NOT_MET, UNKNOWN
from spv_platform.trials.model import Criterion, Group, Node, Trial
from spv_platform.trials.questions import Age, Biomarker, Diagnosis, Finding, Lab, Stage
from spv_platform.trials.registry import Study
from spv_platform.trials.tables import COHORT_VERDICT, CRITERION_RESULT, stamp
from spv_platform.trials.terms import unit_factor
from spv_platform.view.schema import SCHEMA

OPTIONS = [
    click.Option(["--patients"], type=click.IntRange(min=100), default=26_000, show_default=True, help="To match."),
    click.Option(["--cohorts"], type=click.IntRange(min=1), default=300, show_default=True, help="To match them to."),
    click.Option(
        ["--touched"], type=click.IntRange(min=1), default=100, show_default=True, help="Persons matched again."
    ),
    click.Option(["--slice", "slice_"], type=click.IntRange(min=100), default=50_000, help="Patients matched at once."),
    SEED,
]
AS_OF = date(2026, 6, 1)
_COHORTS_PER_TRIAL = 3
_PEER_PATIENTS = 100
_ROWS_PER_FILE = 2_000_000
_CANCERS = (
    *("http://snomed.info/sct|254626006", "http://snomed.info/sct|254634000", "http://snomed.info/sct|254632001"),
    *("http://hl7.org/fhir/sid/icd-10-cm|C50.911", "http://hl7.org/fhir/sid/icd-10-cm|C18.7"),
    *("http://hl7.org/fhir/sid/icd-10-cm|C61", "http://hl7.org/fhir/sid/icd-10-cm|C25.0"),
    *("http://hl7.org/fhir/sid/icd-10-cm|C43.9", "http://hl7.org/fhir/sid/icd-10-cm|C34.90"),
    *("http://hl7.org/fhir/sid/icd-10-cm|C90.00", "http://hl7.org/fhir/sid/icd-10-cm|C56.9"),
)
_WANTED = ("sct|254637007", "sct|254626006", "icd10cm|C50*", "icd10cm|C18*", "icd10cm|C61*", "oncotree|PANCREAS")
_LABS = (
    ("26499-4", "10*3/uL", 4.0, 1.5),
    ("777-3", "10*3/uL", 220.0, 60.0),
    ("718-7", "g/dL", 12.5, 1.6),
    ("2160-0", "mg/dL", 1.0, 0.3),
    ("1975-2", "mg/dL", 0.7, 0.3),
    ("1742-6", "U/L", 28.0, 12.0),
    ("1920-8", "U/L", 27.0, 12.0),
    ("1751-7", "g/dL", 4.0, 0.4),
)
_GENES = (
    "EGFR",
    "KRAS",
    "BRAF",
    "ALK",
    "ROS1",
    "MET",
    "RET",
    "ERBB2",
    "NTRK1",
    "PIK3CA",
    "TP53",
    "NRAS",
    "KIT",
    "BRCA1",
)
_CHANGES = ("L858R", "G12C", "G12D", "V600E", "T790M", "H1047R", "E542K", "R175H", "Q61R", "D816V")
_DRUGS = tuple(f"http://www.nlm.nih.gov/research/umls/rxnorm|{number}" for number in range(1_000_000, 1_000_060))
_ILLS = tuple(f"http://snomed.info/sct|{number}" for number in range(38_341_000, 38_341_040))


def measure(
    say: Callable[[str], None], patients: int, cohorts: int, touched: int, slice_: int, seed: int
) -> Iterator[Figure]:
    """Match all patients, then some again."""
    trials, studies = _trials(cohorts, seed)
    matcher = Matcher(trials, studies)
    leaves = sum(len(list(_criteria(cohort.criteria))) for trial in trials for cohort in trial.cohorts)
    say(f"{patients} patients, {cohorts} cohorts with {leaves / cohorts:.0f} criteria each")
    seconds, approved, open_ = 0.0, 0, 0
    with tempfile.TemporaryDirectory(prefix="spv-bench-") as folder:
        for start in range(0, patients, slice_):
            persons, facts = _patients(start, min(slice_, patients - start), seed)
            began = time.perf_counter()
            approved_now, open_now = _store(matcher.evaluate(persons, facts, AS_OF), Path(folder) / f"{start}")
            seconds += time.perf_counter() - began
            approved, open_ = approved + approved_now, open_ + open_now
            say(f"{start + persons.height} patients matched in {seconds:.1f} s, {approved} approved, {open_} open")
        bytes_ = sum(file.stat().st_size for file in Path(folder).rglob("*.parquet"))
        persons, facts = _patients(0, touched, seed)
        warm = []
        for _ in range(3):
            began = time.perf_counter()
            _store(matcher.evaluate(persons, facts, AS_OF), Path(folder) / "again")
            warm.append(time.perf_counter() - began)
    pairs = patients * cohorts
    say("judging pair by pair in plain Python, for comparison")
    alone = _peer(trials, seed, min(_PEER_PATIENTS, patients))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    of = f"{patients} patients x {cohorts} cohorts"
    yield Figure(
        f"match: {of}, facts to stored results", seconds, "s", peak_mb=peak, peers={"pair by pair": alone * pairs}
    )
    yield Figure(f"match: {of}, stored", bytes_ / 1e6, "MB", peers={"bytes a pair": bytes_ / pairs})
    again = f"match: {touched} patients again x {cohorts} cohorts, warm"
    yield Figure(again, min(warm), "s", peers={"pair by pair": alone * touched * cohorts})


def _store(found: Evaluation, folder: Path) -> tuple[int, int]:
    """Write the rows as the platform stages them; how many pairs are approved, and how many are open."""
    folder.mkdir(exist_ok=True)
    gathered: list[pl.DataFrame] = []
    approved = open_ = 0

    def write(table: DerivedTable, number: int, rows: pl.DataFrame) -> None:
        target = folder / f"{table.name}-{number}.parquet"
        stamp(table, rows, AS_OF, 1).write_parquet(target, compression="zstd", compression_level=1)

    # files are written beside the work, as the platform does
    with ThreadPoolExecutor(1) as pool:
        written = []
        for frame in found.cohort_frames():
            gathered.append(frame)
            approved += int(frame["approved"].sum())
            open_ += int((frame["verdict"] == "needs_information").sum())
            if sum(each.height for each in gathered) >= _ROWS_PER_FILE:
                written.append(pool.submit(write, COHORT_VERDICT, len(written), pl.concat(gathered)))
                gathered = []
        if gathered:
            written.append(pool.submit(write, COHORT_VERDICT, len(written), pl.concat(gathered)))
        written.append(pool.submit(write, CRITERION_RESULT, 0, found.criteria))
        for each in written:
            each.result()
    return approved, open_


def _trials(cohorts: int, seed: int) -> tuple[list[Trial], dict[str, Study]]:
    draw = random.Random(seed)  # noqa: S311 - invents criteria
    trials, studies = [], {}
    for number in range(0, cohorts, _COHORTS_PER_TRIAL):
        name = f"NCT{90_000_000 + number}"
        parts = [_cohort(draw, at) for at in range(number, min(number + _COHORTS_PER_TRIAL, cohorts))]
        trials.append(from_document({"trial": name, "cohorts": parts}))
        studies[name] = Study(nct_id=name, title="Invented", overall_status="RECRUITING")
    return trials, studies


def _cohort(draw: random.Random, number: int) -> dict[str, Any]:
    count = iter(range(1_000))

    def criterion(**asked: Any) -> dict[str, Any]:
        return {"id": f"{number}-{next(count)}", "wording": "A sentence of the protocol", **asked}

    labs = draw.sample(_LABS, draw.randint(4, len(_LABS)))
    changes: list[dict[str, Any]] = [{"gene": gene} for gene in draw.sample(_GENES, draw.randint(1, 2))]
    changes += [{"gene": draw.choice(_GENES), "change": draw.choice(_CHANGES)} for _ in range(draw.randint(1, 6))]
    biomarkers = [criterion(biomarker=asked) for asked in changes]
    excluded = [criterion(biomarker={"gene": draw.choice(_GENES)}, gating=False) for _ in range(draw.randint(0, 3))]
    excluded += [
        criterion(finding={"kind": "condition", "codes": [draw.choice(_ILLS)]}, gating=False)
        for _ in range(draw.randint(0, 8))
    ]
    excluded += [
        criterion(finding={"kind": "medication", "codes": draw.sample(_DRUGS, 3)}, gating=False, within_days=90)
        for _ in range(draw.randint(1, 8))
    ]
    return {
        "id": f"cohort-{number}",
        "criteria": {
            "all": [
                criterion(age={"min": draw.choice((18, 18, 18, 21, 50))}),
                criterion(diagnosis={"codes": [draw.choice(_WANTED)]}),
                criterion(stage={"in": draw.choice((["III", "IV"], ["IV"], ["IIIB", "IIIC", "IV"]))}),
                criterion(
                    performance_status={"ecog": {"max": draw.choice((1, 2))}}, within_days=draw.choice((90, 180))
                ),
                {"any": biomarkers},
                *(
                    criterion(
                        lab={"code": f"loinc|{code}", "unit": unit, draw.choice(("min", "max")): round(mean, 1)},
                        within_days=draw.choice((28, 60)),
                    )
                    for code, unit, mean, _ in labs
                ),
                {"none": excluded},
                criterion(text=True, gating=False, for_clinic=True),
            ]
        },
    }


def _criteria(node: Node) -> Iterator[Criterion]:
    if isinstance(node, Criterion):
        yield node
        return
    for member in node.members:
        yield from _criteria(member)


def _patients(start: int, count: int, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """So many invented patients from a number on, with their facts."""
    draw = np.random.default_rng([seed, start])
    ids = pl.Series([f"p-{number:025}" for number in range(start, start + count)])
    parts: list[pl.DataFrame] = []

    def add(kind: str, days: np.ndarray[Any, Any], every: np.ndarray[Any, Any] | None = None, **columns: Any) -> None:
        who = np.arange(count) if every is None else every
        day = pl.Series(np.datetime64(AS_OF) - days.astype("timedelta64[D]")).cast(pl.Datetime("us"))
        columns = {name: value if isinstance(value, pl.Series) else pl.Series(value) for name, value in columns.items()}
        parts.append(
            pl.DataFrame({"person_id": ids[who], "time_start": day, **columns}).with_columns(
                kind=pl.lit(kind), time=pl.col("time_start").dt.strftime("%Y-%m-%d"), time_end=day + timedelta(days=1)
            )
        )

    def listed(values: tuple[str, ...], size: int) -> pl.Series:
        return pl.Series([[value] for value in values])[draw.integers(0, len(values), size)]

    def one_of(values: tuple[str, ...], size: int) -> pl.Series:
        return pl.Series(values)[draw.integers(0, len(values), size)]

    add("birth_date", draw.integers(30 * 365, 90 * 365, count))
    add("gender", draw.integers(1, 1_000, count), value_text=one_of(("female", "male"), count))
    add("cancer", draw.integers(100, 2_000, count), codes=listed(_CANCERS, count))
    add("stage", draw.integers(50, 500, count), value_text=one_of(("I", "IIA", "IIIB", "IV"), count))
    add("ecog", draw.integers(1, 200, count), value_number=draw.integers(0, 4, count).astype(float))
    for code, unit, mean, spread in _LABS:
        for _ in range(2):
            value = np.round(draw.normal(mean, spread, count), 2)
            codes = pl.Series([[f"http://loinc.org|{code}"]])[np.zeros(count, np.int64)]
            add("lab", draw.integers(1, 120, count), codes=codes, value_number=value, unit=one_of((unit,), count))
    for _ in range(3):
        size = count // 2
        who = np.sort(draw.choice(count, size, replace=False))
        shared = {"genes": listed(_GENES, size), "hgvs_protein": listed(tuple(f"p.{c}" for c in _CHANGES), size)}
        polarity = one_of(("present", "present", "absent"), size)
        add(
            "variant",
            draw.integers(1, 700, size),
            who,
            polarity=polarity,
            alteration=one_of(("mutation",), size),
            **shared,
        )
    for kind, codes_, size in (("medication", _DRUGS, count), ("condition", _ILLS, count), ("condition", _ILLS, count)):
        add(kind, draw.integers(1, 900, size), codes=listed(codes_, size))
    rows = pl.concat(parts, how="diagonal_relaxed").with_columns(
        patient_id="person_id", source=pl.lit("emr"), resource_type=pl.lit("Observation"), usable=pl.lit(value=True)
    )
    rows = rows.with_columns(
        deleted=pl.lit(value=False),
        resource_id=pl.int_range(pl.len()).cast(pl.String),
        source_entry=pl.int_range(pl.len()),
    ).with_columns(source_object=pl.lit("ab" * 32))
    empty = {name: pl.lit(None, dtype) for name, dtype in SCHEMA.items() if name not in rows.columns}
    facts = rows.with_columns(**empty).select("person_id", *(pl.col(n).cast(t) for n, t in SCHEMA.items()))
    return pl.DataFrame({"person_id": ids, "opted_out": pl.Series([False])[np.zeros(count, np.int64)]}), facts


def _peer(trials: list[Trial], seed: int, patients: int) -> float:
    """Seconds a pair of the plain way."""
    _, facts = _patients(0, patients, seed)
    by_person: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for fact in facts.iter_rows(named=True):
        by_person.setdefault(fact["person_id"], {}).setdefault(fact["kind"], []).append(fact)
    began, pairs = time.perf_counter(), 0
    for mine in by_person.values():
        for trial in trials:
            for cohort in trial.cohorts:
                _plain(cohort.criteria, mine)
                pairs += 1
    return (time.perf_counter() - began) / pairs


def _plain(node: Node, facts: dict[str, list[dict[str, Any]]]) -> int:
    if isinstance(node, Group):
        values = [_plain(member, facts) for member in node.members if not _for_clinic(member)]
        if not values:
            return MET
        return min(values) if node.op == "all" else max(values) if node.op == "any" else -max(values)
    test = node.test
    since = datetime.combine(AS_OF - timedelta(days=node.within_days or 100_000), datetime.min.time())
    match test:
        case Age():
            born = facts["birth_date"][0]["time_start"]
            return MET if (AS_OF - born.date()).days >= 365.25 * (test.min or 0) else NOT_MET
        case Diagnosis():
            return max(judge_cancer_codes(test.codes, fact["codes"]) for fact in facts["cancer"])
        case Stage():
            said = facts["stage"][0]["value_text"]
            return MET if any(said.startswith(stage) for stage in test.one_of) else NOT_MET
        case Lab():
            found = [
                fact for fact in facts["lab"] if set(test.codes) & set(fact["codes"]) and fact["time_start"] >= since
            ]
            return _within(max(found, key=lambda fact: fact["time_start"]), test) if found else UNKNOWN
        case Biomarker():
            mine = [fact for fact in facts.get("variant", []) if test.gene in fact["genes"]]
            return MET if any(f"p.{test.change}" in fact["hgvs_protein"] for fact in mine) else UNKNOWN
        case Finding():
            codes = set(test.codes)
            return MET if any(codes & set(fact["codes"]) for fact in facts.get(test.kind, [])) else UNKNOWN
        case _:
            score = max(facts["ecog"], key=lambda fact: fact["time_start"])
            limits = getattr(test, "ecog", None)
            return _within(score, limits) if limits and score["time_start"] >= since else UNKNOWN


def _within(fact: dict[str, Any], limits: Any) -> int:
    value = fact["value_number"] * ((unit_factor(fact["unit"], limits.unit) or 1) if fact["unit"] else 1)
    fits = (limits.min is None or value >= limits.min) and (limits.max is None or value <= limits.max)
    return MET if fits else NOT_MET


def _for_clinic(node: Node) -> bool:
    return isinstance(node, Criterion) and not node.gating
