"""A lake that is not empty: laboratory results of invented persons.

They are staged and published by the pipeline's own functions. The rows have no sealed objects behind them, so nobody
can open their bodies; everything that reads tables and person states finds what a long-running installation has.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import numpy as np
import polars as pl

from benchmarks.visits import LOINC, MEASURES, UCUM
from spv_platform.lake.stage import stage
from spv_platform.lake.tables import OBSERVATION, PATIENT, Table
from spv_platform.ledger import batches, objects, publications
from spv_platform.ledger.objects import FoundObject
from spv_platform.pipeline.claims import Holding, hold
from spv_platform.pipeline.drain import drain
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.publish import publish_batch
from spv_platform.pipeline.setup import FIRST_FEED
from spv_platform.pipeline.upkeep.compact import form_compactions

ROWS_PER_PERSON = 250
ROWS_PER_BATCH = 250_000
_MRN = "http://bench-hospital.example.org/fill"
_FIRST_TIME = datetime(2010, 1, 4, 8)


def fill(
    platform: Platform, tenant: str, rows: int, *, seed: int = 0, say: Callable[[str], None] = lambda _: None
) -> None:
    """Publish observations in batches, with the patients they are about, then compact.

    The content depends on `rows` and `seed` only. To be done on a home on which nobody else works.

    Args:
        platform: of the home.
        tenant: whose they become.
        rows: how many observations.
        seed: another seed is other persons.
        say: is told what happens.
    """
    for first in range(0, rows, ROWS_PER_BATCH):
        count = min(ROWS_PER_BATCH, rows - first)
        _publish(platform, tenant, first, count, seed)
        say(f"{first + count} of {rows} rows published")
    form_compactions(platform)
    drain(platform)


def frames(first: int, count: int, seed: int) -> dict[str, pl.DataFrame]:
    """Rows of table `observation`, numbered from `first` on, and of the persons they are about."""
    chance = np.random.default_rng([seed, first])
    number = np.arange(first, first + count)
    person = pl.Series(number // ROWS_PER_PERSON)
    persons = pl.DataFrame({"number": person.unique(maintain_order=True)})
    return {
        OBSERVATION.name: _rows(OBSERVATION, _observations(number, person, chance, seed), chance),
        PATIENT.name: _rows(PATIENT, _patients(persons, seed), chance),
    }


def _publish(platform: Platform, tenant: str, first: int, count: int, seed: int) -> None:
    name = f"{tenant}/{FIRST_FEED}/fill-{seed}-{first:012d}"
    found = FoundObject(platform.settings.landing_bucket, name, "none", 1, "none", datetime.now(UTC))
    with platform.db.transaction() as cur:
        objects.discover(cur, [found])
        batch_id = batches.form(cur, tenant, max_objects=1, max_bytes=1)
    with hold(platform, f"fill-{batch_id}", tenant, batch_id) as holding:
        if holding is None:
            raise RuntimeError("somebody else works on this home")
        _stage(platform, holding, frames(first, count, seed))
        publish_batch(platform, holding)


def _stage(platform: Platform, holding: Holding, tables: dict[str, pl.DataFrame]) -> None:
    claim = holding.claim
    files = [
        stage(
            platform.lake,
            claim.tenant,
            name,
            frame.with_columns(_batch_id=pl.lit(claim.batch_id)),
            batch_id=claim.batch_id,
            attempt=claim.attempt,
            part=0,
        )
        for name, frame in tables.items()
    ]
    rows = sum(file.rows for file in files)
    nothing = {"tombstones": 0, "duplicates": 0, "superseded": 0, "quarantined": 0}
    with platform.db.transaction() as cur:
        for file in files:
            publications.add_staged_file(cur, claim.batch_id, claim.attempt, file)
        for item in objects.of_batch(cur, claim.batch_id):
            digest = sha256(item.key.encode()).hexdigest()
            objects.record_counts(
                cur, item.seq, plain_digest=digest, plain_bytes=0, entries=rows, accepted=rows, **nothing
            )
        batches.mark_staged(cur, claim)


def _observations(number: np.ndarray, person: pl.Series, chance: np.random.Generator, seed: int) -> pl.DataFrame:
    measures = pl.DataFrame(
        [(code, name, unit, low, high) for code, name, unit, low, high in MEASURES],
        schema=["code", "name", "unit", "low", "high"],
        orient="row",
    )[chance.integers(0, len(MEASURES), len(number))]
    share, minutes = chance.random(len(number)), chance.integers(0, 60 * 24 * 365 * 15, len(number))
    coding = pl.struct(pl.lit(LOINC).alias("system"), "code", display="name")
    category = pl.struct(
        pl.lit("http://terminology.hl7.org/CodeSystem/observation-category").alias("system"),
        pl.lit("laboratory").alias("code"),
        pl.lit("Laboratory").alias("display"),
    )
    start = pl.lit(_FIRST_TIME) + pl.duration(minutes="minutes")
    return (
        measures.with_columns(
            number=pl.Series(number), person=person, share=pl.Series(share), minutes=pl.Series(minutes)
        )
        .with_columns(value=(pl.col("low") + (pl.col("high") - pl.col("low")) * pl.col("share")).round(2))
        .select(
            resource_type=pl.lit("Observation"),
            resource_id=pl.format(f"fill-{seed}-{{}}", "number"),
            patient_id=pl.format(f"fill-{seed}-p{{}}", "person"),
            source_object=pl.lit(sha256(f"{seed}".encode()).hexdigest()),
            source_entry="number",
            status=pl.lit("final"),
            category=pl.concat_list(category),
            code=pl.concat_list(coding),
            code_text="name",
            effective=start.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
            effective_start=start,
            effective_end=start + timedelta(seconds=1),
            effective_precision=pl.lit("second"),
            value_value="value",
            value_text=pl.col("value").cast(pl.String),
            value_unit="unit",
            value_unit_system=pl.lit(UCUM),
            value_unit_code="unit",
        )
    )


def _patients(persons: pl.DataFrame, seed: int) -> pl.DataFrame:
    born = pl.lit(datetime(1930, 1, 1)) + pl.duration(days=pl.col("number") * 13 % 25_000)
    identifier = pl.struct(
        pl.lit("usual").alias("use"),
        pl.lit("MR").alias("type_code"),
        pl.lit(_MRN).alias("system"),
        pl.format(f"FILL-{seed}-{{}}", "number").alias("value"),
    )
    name = pl.struct(
        pl.lit("official").alias("use"),
        pl.format(f"Fill-{seed}-{{}}", "number").alias("family"),
        pl.concat_list(pl.lit("Invented")).alias("given"),
    )
    return persons.select(
        resource_type=pl.lit("Patient"),
        resource_id=pl.format(f"fill-{seed}-p{{}}", "number"),
        patient_id=pl.format(f"fill-{seed}-p{{}}", "number"),
        source_object=pl.lit(sha256(f"{seed}".encode()).hexdigest()),
        source_entry="number",
        identifier=pl.concat_list(identifier),
        name=pl.concat_list(name),
        gender=pl.when(pl.col("number") % 2 == 0).then(pl.lit("male")).otherwise(pl.lit("female")),
        birth_date=born.dt.strftime("%Y-%m-%d"),
        birth_date_start=born,
        birth_date_end=born + timedelta(days=1),
        birth_date_precision=pl.lit("day"),
    )


def _rows(table: Table, content: pl.DataFrame, chance: np.random.Generator) -> pl.DataFrame:
    """All columns of the table: those that the content has, the system's own, and null for the rest."""
    # Not a running number: digests do not compress, and neither must these.
    digests = chance.bytes(32 * content.height).hex()
    system = content.with_columns(
        source=pl.lit(FIRST_FEED),
        deleted=pl.lit(False),
        versioned=pl.lit(False),
        digest=pl.Series([digests[at : at + 64] for at in range(0, len(digests), 64)], dtype=pl.String),
        _landing_seq=pl.lit(0, pl.Int64),
    )
    return system.select(_cast(name, dtype, system.schema.get(name)) for name, dtype in table.schema.items())


def _cast(name: str, dtype: pl.DataType, present: pl.DataType | None) -> pl.Expr:
    return pl.lit(None, dtype).alias(name) if present is None else pl.col(name).cast(dtype)
