from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from spv_platform.fhir.elements_seen import FIRST, ElementsSeen
from spv_platform.fhir.frames import Block, Cells, TableRows
from spv_platform.fhir.lot import Lot
from spv_platform.lake.describe import SYSTEM_COLUMNS
from spv_platform.lake.tables import CONDITION, OBSERVATION, TABLES
from spv_platform.quality.drift import COLUMNS, elements, vocabulary

CODED = [("urn:a", "1", None), (None, "2", None), ("urn:b", None, None)]


def row(table: Any, **values: Any) -> Any:
    given_ = {"source": "emr", "resource_type": table.resource_types[0], **values}
    systems = [[given_.get(name)] for name in SYSTEM_COLUMNS]
    cells = [tuple(given_.get(name) for name in column.physical) for column in table.columns]
    return Block(systems, {number: Cells([each], np.array([0])) for number, each in enumerate(cells)}, np.array([0]))


def content(table: Any, *rows: Any) -> set[tuple[str, ...]]:
    made = TableRows(table)
    for each in rows:
        made.add(each)
    found = vocabulary(table, made.frame())
    assert found.columns == COLUMNS
    assert found.height == len(set(found.rows()))
    return {(kind, value) for _, kind, _, value in found.rows()}


def test_code_systems_units_extensions_and_profiles_are_named_once() -> None:
    component = (CODED, None, 1.0, "1", 0, None, "mm[Hg]", None, None, None, None, None, None, None, None)
    found = content(
        OBSERVATION,
        row(OBSERVATION, code=CODED, value_unit="gram", value_unit_code="g", extension_urls=["x", "x"]),
        row(OBSERVATION, code=CODED, value_unit="stone", profiles=["p"], component=[component]),
        row(OBSERVATION),
    )
    assert found == {
        *(("code system", system) for system in ("urn:a", "urn:b")),
        *(("unit", unit) for unit in ("g", "stone", "mm[Hg]")),
        ("extension", "x"),
        ("profile", "p"),
    }


def test_a_unit_that_has_only_a_code_or_only_words_is_named() -> None:
    assert content(OBSERVATION, row(OBSERVATION, value_unit_code="g/dL")) == {("unit", "g/dL")}
    assert content(OBSERVATION, row(OBSERVATION, value_unit="stone")) == {("unit", "stone")}


def test_the_code_systems_of_units_count() -> None:
    component = (CODED, None, 1.0, "1", 0, None, None, "urn:other", None, None, None, None, None, None, None)
    found = content(OBSERVATION, row(OBSERVATION, value_unit_system="urn:units", component=[component]))
    assert found == {("code system", system) for system in ("urn:a", "urn:b", "urn:units", "urn:other")}


def test_every_column_of_codes_counts() -> None:
    found = content(CONDITION, row(CONDITION, stage=[("urn:stage", "1", None)], body_site=[("urn:site", "1", None)]))
    assert found == {("code system", "urn:stage"), ("code system", "urn:site")}


def test_rows_without_content_and_no_rows_give_none() -> None:
    for table in TABLES:
        assert vocabulary(table, pl.DataFrame(schema=table.schema)).is_empty()


def test_elements_are_paths_without_values_or_numbers() -> None:
    seen = ElementsSeen()
    text = b'{"resourceType":"Patient","name":[{"given":["A","B"]},{"text":"a \\"x\\": b"}],"active":true}'
    seen.look_at(Lot("Patient", (), [text], [()], []))
    assert seen.paths == {("Patient", path) for path in ("name", "name.given", "name.text", "active")}
    assert elements("emr", seen.paths).columns == COLUMNS


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(["active", "gender", "birthDate"]), min_size=1, max_size=30))
def test_the_first_of_a_lot_are_all_looked_at(names: list[str]) -> None:
    seen = ElementsSeen()
    texts = [f'{{"resourceType":"Patient","{name}":"x"}}'.encode() for name in names]
    seen.look_at(Lot("Patient", (), texts, [()] * len(texts), []))
    assert {("Patient", name) for name in names[:FIRST]} <= seen.paths <= {("Patient", name) for name in names}
