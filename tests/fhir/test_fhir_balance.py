import json
from typing import Any

import polars as pl
from fhir_samples import NO_CHECK, bundle, delete, entry, ndjson, observation, parse, patient, quick, rows
from hypothesis import given
from hypothesis import strategies as st

from spv_platform.lake.tables import TABLES
from spv_platform.reasons import REASONS

SCHEMAS = {table.name: table.schema for table in TABLES}
IDS = st.sampled_from(["a", "b"])
TIMES = st.sampled_from([None, "2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"])
GOOD = st.builds(
    lambda make, id_, time, number: entry(
        make(id_, **({"meta": {"lastUpdated": time}} if time else {}), language=f"l{number}")
    ),
    st.sampled_from([patient, observation]),
    IDS,
    TIMES,
    st.integers(0, 1),
)
DELETES = IDS.map(lambda id_: delete(f"Patient/{id_}"))
BAD = st.sampled_from(
    [{}, 5, entry({}), entry(patient("a b")), delete("x"), entry([]), entry(patient("a", active=1.5))]
)
ENTRIES = st.lists(GOOD | DELETES | BAD, max_size=8)


@quick
@given(ENTRIES, TIMES)
def test_every_entry_is_accounted_for_once(entries: list[Any], time: str | None) -> None:
    parsed = parse(bundle(*entries, **({"timestamp": time} if time else {})), check=NO_CHECK)
    assert parsed.balances
    assert parsed.entries == len(entries)
    assert sum(frame.height for frame in parsed.tables.values()) == parsed.accepted + parsed.tombstones
    for name, frame in parsed.tables.items():
        assert dict(frame.schema) == SCHEMAS[name]
        assert frame["source_entry"].is_sorted()
        assert frame.select("resource_type", "resource_id").is_unique().all()
    assert all(problem.reason in REASONS for problem in parsed.quarantined)


@quick
@given(st.lists(GOOD | DELETES, max_size=6), BAD, st.data())
def test_one_bad_entry_never_loses_a_neighbour(good: list[Any], bad: Any, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(good)))
    alone = parse(bundle(*good), check=NO_CHECK)
    beside = parse(bundle(*good[:place], bad, *good[place:]), check=NO_CHECK)
    assert {problem.entry for problem in beside.quarantined} == {place}
    assert alone.tables.keys() == beside.tables.keys()
    for name, frame in alone.tables.items():
        assert frame.drop("source_entry").equals(beside.tables[name].drop("source_entry"))


@quick
@given(st.lists(GOOD, max_size=6), st.randoms())
def test_the_order_of_versioned_entries_does_not_matter(entries: list[Any], random: Any) -> None:
    shuffled = random.sample(entries, len(entries))
    first, second = (
        parse(bundle(*order, timestamp="2023-01-01T00:00:00Z"), check=NO_CHECK) for order in (entries, shuffled)
    )
    for name, frame in first.tables.items():
        rows_of = [
            part.drop("source_entry").sort("resource_type", "resource_id") for part in (frame, second.tables[name])
        ]
        assert rows_of[0].equals(rows_of[1])


@quick
@given(st.lists(GOOD | DELETES, max_size=8), TIMES)
def test_the_winner_is_the_one_that_the_lake_would_choose_of_entries_that_land_one_by_one(
    entries: list[Any], time: str | None
) -> None:
    from spv_platform.lake.winners import winners

    stamp = {"timestamp": time} if time else {}
    parsed = parse(bundle(*entries, **stamp), check=NO_CHECK)
    apart = [parse(bundle(one, **stamp), check=NO_CHECK) for one in entries]
    for name, frame in parsed.tables.items():
        every = pl.concat(
            part.tables[name].with_columns(
                pl.lit(number, pl.Int64).alias(place) for place in ("source_entry", "_landing_seq")
            )
            for number, part in enumerate(apart)
            if name in part.tables
        )
        chosen = winners(every.lazy(), keep_deleted=True).collect()
        columns = ["resource_type", "resource_id", "digest", "versioned", "version_time", "source_entry"]
        assert frame.select(columns).sort(columns).equals(chosen.select(columns).sort(columns))


@quick
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-1, max_value=10**20))
def test_a_decimal_comes_through_as_sent(value: Any) -> None:
    text = f"{value:f}"
    raw = json.dumps(observation(valueQuantity={"value": "N"})).replace('"N"', text)
    (found,) = rows(parse(ndjson() + raw.encode() + b"\n", "application/fhir+ndjson"), "observation")
    assert found["value_text"] == text
