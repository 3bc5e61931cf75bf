"""A home that an earlier version wrote: it is read as it is, and the next re-match brings it up to date."""

from dataclasses import replace

import polars as pl
import pytest
from pipeline_bundles import bundle, patient
from pipeline_world import TENANT, World

from spv_platform.lake.store import Lake
from spv_platform.ledger.replays import Stretch
from spv_platform.pipeline import catalog, matching
from spv_platform.pipeline.criteria import form_rematches
from spv_platform.pipeline.landing import send
from spv_platform.pipeline.persons import look_up
from spv_platform.pipeline.trying import try_criteria
from spv_platform.pipeline.upkeep.reprocess import reprocess
from spv_platform.trials import rows
from spv_platform.trials.criteria import parse_trial
from spv_platform.trials.explain import explain
from spv_platform.trials.tables import CRITERION_RESULT
from spv_platform.view import demographics
from spv_platform.view.rows import EMPTY

ADDED = ("conflict",)
NEAR = """
trial: NCT00000001
sites: [{name: Hospital, postal_code: "02115", country: US}]
cohorts: [{id: A, criteria: {all: [{id: near, site: {within_km: 10}}]}}]
"""


def write_as_before(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the platform write `criterion_result` as it once was: without a column, and with rows of every pair."""
    columns = tuple(column for column in CRITERION_RESULT.columns if column.name not in ADDED)
    described = replace(CRITERION_RESULT, columns=columns)
    spec = replace(catalog.DERIVED_TABLES[described.name], schema=described.schema)
    specs = [spec if each.name == spec.name else each for each in catalog.ALL_TABLES]
    keys = world.platform.keys
    monkeypatch.setitem(
        world.platform.__dict__, "lake", Lake(world.settings, lambda name: keys.tenant(name).lake, specs)
    )
    monkeypatch.setitem(catalog.DERIVED_TABLES, spec.name, spec)
    monkeypatch.setattr(rows, "CRITERION_RESULT", described)

    def all_pairs(*arguments: object) -> dict[str, pl.DataFrame]:
        tables = rows.table_rows(*arguments)
        found = tables[spec.name]
        failed = found.with_columns(cohort=pl.lit("failed"), verdict=pl.lit("NOT_MET"))
        return tables | {spec.name: pl.concat([found, failed])}

    monkeypatch.setattr(matching, "table_rows", all_pairs)


def test_results_without_a_later_column_are_read_and_matched_again(world: World) -> None:
    world.put_criteria()
    with pytest.MonkeyPatch.context() as before:
        write_as_before(world, before)
        send.send(world.platform, "f", bundle(patient("ann")), send.BUNDLE, tenant=TENANT, feed="emr")
        world.drain()
        assert set(ADDED).isdisjoint(world.read("criterion_result").columns)
    world.platform.__dict__.pop("lake", None)

    old = world.read("criterion_result")
    assert old.height > 0
    assert old["conflict"].is_null().all()
    assert "failed" in old["cohort"]
    (person,) = world.read("patient_view")["person_id"]
    found = look_up(world.platform, TENANT, person, source="emr", who="me")
    assert any("not known" in line for line in explain(found.cohorts, found.criteria))

    assert form_rematches(world.platform)
    world.drain()
    new = world.read("criterion_result")
    assert new["conflict"].to_list() == [False] * new.height
    assert new.height == old.filter(pl.col("cohort") != "failed").height
    assert "failed" not in new["cohort"]


def test_where_somebody_lives_is_known_once_the_object_is_processed_again(world: World) -> None:
    trial = parse_trial(NEAR, "near")

    def verdicts() -> list[str]:
        return [row["verdict"] for row in try_criteria(world.platform, TENANT, [trial], who="me")]

    world.put_criteria()
    with pytest.MonkeyPatch.context() as before:
        before.setattr(demographics, "_places", lambda _: EMPTY)
        ann = patient("ann", address=[{"postalCode": "02115", "country": "US"}])
        send.send(world.platform, "f", bundle(ann), send.BUNDLE, tenant=TENANT, feed="emr")
        world.drain()
    assert verdicts() == ["needs_information"]
    reprocess(world.platform, Stretch(TENANT), dry_run=False, who="me")
    world.drain()
    assert verdicts() == ["potentially_eligible"]
