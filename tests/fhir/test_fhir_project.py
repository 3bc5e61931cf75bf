import ast
import json
from datetime import datetime
from functools import cache, reduce
from typing import Any

import numpy as np
import pytest
from fhir_samples import bundle, entry, observation, parse, patient, quick, reasons, rows
from hypothesis import given
from hypothesis import strategies as st

from spv_platform.fhir import frames
from spv_platform.fhir.digest import compact
from spv_platform.fhir.extensions import extensions_of
from spv_platform.fhir.frames import Block, Cells, TableRows
from spv_platform.fhir.paths import getter_of, steps_of, struct_of
from spv_platform.lake.describe import SYSTEM_COLUMNS, Column, Table
from spv_platform.lake.tables import TABLES

US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"
LOINC = {"system": "http://loinc.org", "code": "718-7", "display": "Hemoglobin"}
LOCAL = {"system": "urn:local", "code": "HB"}


def row(resource: dict[str, Any], table: str) -> dict[str, Any]:
    parsed = parse(bundle(entry(resource)))
    assert reasons(parsed) == []
    (found,) = rows(parsed, table)
    return found


def test_every_table_compiles_and_gives_exactly_its_schema() -> None:
    for table in TABLES:
        rows = TableRows(table)
        rows.add(Block(SYSTEM, {}, np.array([0])))
        frame = rows.frame()
        assert dict(frame.schema) == table.schema


GEOLOCATION = "http://hl7.org/fhir/StructureDefinition/geolocation"


def located(*point: tuple[str, float]) -> dict[str, Any]:
    inside = [{"url": name, "valueDecimal": value} for name, value in point]
    return {"extension": [{"url": "urn:other", "valueString": "x"}, {"url": GEOLOCATION, "extension": inside}]}


def test_places_stand_beside_the_addresses_with_their_coordinates_and_their_time() -> None:
    period = {"start": "2020-03", "end": "2021-04-05"}
    moved = {"use": "old", "type": "physical", "postalCode": "Z", "country": "US", "state": "MA", "period": period}
    here = {"text": "1 Road", **located(("latitude", 42.5424261054), ("longitude", -71))}
    half = located(("latitude", 42.5))
    found = row(patient(address=[moved, here, half]), "patient")["place"]
    names = ("use", "type", "state", "postal_code", "country", "latitude", "longitude", "start", "end")
    assert [tuple(place[name] for name in names) for place in found] == [
        ("old", "physical", "MA", "Z", "US", None, None, datetime(2020, 3, 1), datetime(2021, 4, 6)),
        (None, None, None, None, None, 42.5424261054, -71.0, None, None),
        (None,) * 9,
    ]


def test_a_coordinate_that_no_column_can_hold_is_no_place() -> None:
    beyond = bundle(entry(patient(address=[located(("latitude", 1.25), ("longitude", 2.25))]))).replace(
        b"1.25", b"1e999"
    )
    parsed = parse(beyond)
    assert reasons(parsed) == []
    assert rows(parsed, "patient")[0]["place"][0]["latitude"] is None


def test_a_patient_row_has_names_addresses_extensions_and_times() -> None:
    found = row(
        patient(
            "p1",
            meta={"versionId": "3", "lastUpdated": "2024-05-01T12:00:00+02:00", "profile": ["http://p"]},
            identifier=[
                {"use": "usual", "type": {"coding": [{"display": "x"}, {"code": "MR"}]}, "system": "s", "value": "v"}
            ],
            name=[{"use": "official", "family": "F", "given": ["A", "B"], "suffix": ["Jr"]}, {"text": "F, A"}],
            telecom=[{"system": "phone", "value": "1", "use": "home"}],
            address=[{"line": ["1 Road"], "city": "C", "state": "S", "postalCode": "Z", "country": "US"}],
            birthDate="1970-05",
            gender="female",
            deceasedBoolean=False,
            maritalStatus={"coding": [{"code": "M"}], "text": "married"},
            extension=[
                {"url": US_CORE + "us-core-birthsex", "valueCode": "F"},
                {
                    "url": US_CORE + "us-core-race",
                    "extension": [
                        {"url": "ombCategory", "valueCoding": {"system": "o", "code": "2106-3", "display": "White"}},
                        {"url": "text", "valueString": "White"},
                        {"url": "ombCategory", "valueCoding": {"system": "o", "code": "2054-5"}},
                    ],
                },
            ],
        ),
        "patient",
    )
    assert found["identifier"] == [{"use": "usual", "type_code": "MR", "system": "s", "value": "v"}]
    assert found["name"][0] == {"use": "official", "family": "F", "given": ["A", "B"], "suffix": ["Jr"], "text": None}
    assert found["name"][1]["text"] == "F, A"
    assert found["telecom"] == [{"use": "home", "system": "phone", "value": "1"}]
    assert found["address"][0]["postal_code"] == "Z"
    assert (found["birth_date"], found["birth_date_precision"]) == ("1970-05", "month")
    assert (found["birth_date_start"], found["birth_date_end"]) == (datetime(1970, 5, 1), datetime(1970, 6, 1))
    assert (found["gender"], found["birth_sex"], found["deceased"]) == ("female", "F", False)
    assert [coding["code"] for coding in found["race"]] == ["2106-3", "2054-5"]
    assert (found["ethnicity"], found["deceased_time"]) == (None, None)
    assert (found["patient_id"], found["version_id"], found["profiles"]) == ("p1", "3", ["http://p"])
    assert (found["versioned"], found["version_time"]) == (True, datetime(2024, 5, 1, 10))
    assert found["extension_urls"] == sorted(
        [US_CORE + "us-core-birthsex", US_CORE + "us-core-race", "ombCategory", "ombCategory", "text"]
    )


def test_system_columns_say_where_the_row_comes_from() -> None:
    found = row(observation("o1"), "observation")
    assert (found["source"], found["source_object"], found["source_entry"]) == ("main", "f" * 64, 0)
    assert (found["_landing_seq"], found["_batch_id"], found["deleted"]) == (7, "b1", False)
    assert (found["versioned"], found["version_time"], found["patient_id"]) == (False, None, None)


def test_a_quantity_keeps_number_text_comparator_and_unit() -> None:
    raw = json.dumps(
        observation(
            subject={"reference": "Patient/p1"},
            code={"coding": [LOINC, LOCAL], "text": "Hb"},
            valueQuantity={"value": "N", "comparator": "<", "unit": "g/dl", "system": "ucum", "code": "g/dL"},
            interpretation=[{"coding": [{"code": "L"}]}, {"text": "low"}],
        )
    ).replace('"N"', "7.00")
    data = f'{{"resourceType":"Bundle","type":"batch","entry":[{{"resource":{raw}}}]}}'.encode()
    (found,) = rows(parse(data), "observation")
    assert [found[f"value{part}"] for part in ("", "_value", "_text", "_comparator") if f"value{part}" in found] == [
        7.0,
        "7.00",
        "<",
    ]
    assert found["value_scale"] == 2
    assert (found["value_unit"], found["value_unit_system"], found["value_unit_code"]) == ("g/dl", "ucum", "g/dL")
    assert found["code"] == [LOINC, {**LOCAL, "display": None}]
    assert (found["code_text"], found["patient_id"]) == ("Hb", "p1")
    # words alone stand for a display
    assert [(each["code"], each["display"]) for each in found["interpretation"]] == [("L", None), (None, "low")]


def test_components_keep_every_kind_of_value() -> None:
    found = row(
        observation(
            component=[
                {"code": {"coding": [LOINC]}, "valueQuantity": {"value": 1.5, "unit": "x"}},
                {"code": {"text": "a"}, "valueCodeableConcept": {"coding": [LOCAL]}},
                {"code": {"text": "b"}, "valueBoolean": False},
                {"code": {"text": "c"}, "valueInteger": 3},
                {"code": {"text": "d"}, "valueString": "s"},
                {"code": {"text": "e"}, "valueDateTime": "2020"},
                {"code": {"text": "f"}, "dataAbsentReason": {"coding": [{"code": "unknown"}]}},
            ]
        ),
        "observation",
    )["component"]
    assert (found[0]["quantity_value"], found[0]["quantity_text"], found[0]["quantity_unit"]) == (1.5, "1.5", "x")
    assert found[1]["value"][0]["code"] == "HB"
    assert (found[1]["code"], found[2]["boolean"], found[3]["integer"]) == (None, False, 3)
    assert (found[4]["string"], found[5]["time"], found[6]["absent_reason"][0]["code"]) == ("s", "2020", "unknown")


def test_components_keep_ranges_ratios_periods_and_samples_beside_them() -> None:
    found = row(
        observation(
            component=[
                {"code": {"text": "a"}, "valueRange": {"low": {"value": 1.50, "unit": "x"}, "high": {"value": 2}}},
                {"code": {"text": "b"}, "valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 128}}},
                {"code": {"text": "c"}, "valuePeriod": {"start": "2020-01", "end": "2020-02"}},
                {
                    "code": {"text": "d"},
                    "valueSampledData": {"origin": {"value": 0}, "period": 4, "dimensions": 1, "data": "1 2 E"},
                },
                {"code": {"coding": [LOINC], "text": "e"}, "valueTime": "10:00:00"},
            ]
        ),
        "observation",
    )
    between, ratio, period, samples, other = found["component_value"]
    assert (between["range_low"]["value"], between["range_low"]["unit"], between["range_high"]["text"]) == (
        1.5,
        "x",
        "2",
    )
    assert (ratio["ratio_numerator"]["value"], ratio["ratio_denominator"]["value"]) == (1.0, 128.0)
    assert (period["period_from"], period["period_to"]) == ("2020-01", "2020-02")
    assert (samples["samples"], samples["samples_origin"]["value"]) == ("1 2 E", 0.0)
    assert (samples["samples_period"], samples["samples_dimensions"], samples["code_text"]) == ("4", 1, "d")
    assert other is None
    assert found["component"][4]["time"] == "10:00:00"
    plain = row(observation(component=[{"code": {"coding": [LOINC]}, "valueInteger": 1}]), "observation")
    assert plain["component_value"] is None


def test_every_type_of_value_of_an_observation_has_a_column() -> None:
    assert row(observation(valueTime="10:00:00"), "observation")["value_clock"] == "10:00:00"
    period = row(observation(valuePeriod={"start": "2020-01"}), "observation")
    assert (period["value_period_from"], period["value_period_start"]) == ("2020-01", datetime(2020, 1, 1))
    sampled = {"origin": {"value": 2, "unit": "mV"}, "period": 4, "factor": 0.50, "dimensions": 1, "data": "1 2 E"}
    samples = row(observation(valueSampledData=sampled), "observation")
    assert (samples["value_samples"], samples["value_samples_dimensions"]) == ("1 2 E", 1)
    assert (samples["value_samples_period"], samples["value_samples_factor_text"]) == (4.0, "0.5")
    assert (samples["value_samples_origin_value"], samples["value_samples_origin_unit"]) == (2.0, "mV")
    timing = {
        "event": ["2020-01-01"],
        "code": {"coding": [{"code": "BID"}]},
        "repeat": {"boundsPeriod": {"end": "2021"}},
    }
    timed = row(observation(effectiveTiming=timing), "observation")
    assert (timed["effective_timing"], timed["effective_bounds_to"]) == (["2020-01-01"], "2021")
    assert timed["effective_timing_code"][0]["code"] == "BID"


@pytest.mark.parametrize(
    ("value", "column", "found"),
    [
        ({"Period": {"start": "2019", "end": "2020"}}, "_until", "2020"),
        ({"Age": {"value": 40}}, "_age_value", 40.0),
        ({"Range": {"low": {"value": 40}, "high": {"value": 50}}}, "_age_high_value", 50.0),
        ({"String": "as a child"}, "_string", "as a child"),
    ],
)
@pytest.mark.parametrize(
    ("resource_type", "table", "element"),
    [
        ("Condition", "condition", "onset"),
        ("Condition", "condition", "abatement"),
        ("AllergyIntolerance", "allergy", "onset"),
    ],
)
def test_a_time_that_is_known_loosely_has_a_column_for_each_type(
    resource_type: str, table: str, element: str, value: dict, column: str, found: object
) -> None:
    ((type_, content),) = value.items()
    whom = {"subject" if resource_type == "Condition" else "patient": {"reference": "Patient/p1"}}
    resource = {"resourceType": resource_type, "id": "c1", **whom, f"{element}{type_}": content}
    assert row(resource, table)[element + column] == found


def test_a_period_spans_from_its_first_to_its_last_moment() -> None:
    found = row(observation(effectivePeriod={"start": "2020-01", "end": "2020-03-05"}), "observation")
    assert (found["effective_period_from"], found["effective_period_to"]) == ("2020-01", "2020-03-05")
    assert found["effective_period_start"] == datetime(2020, 1, 1)
    assert found["effective_period_end"] == datetime(2020, 3, 6)
    assert (found["effective_period_from_precision"], found["effective_period_to_precision"]) == ("month", "day")
    half = row(observation(effectivePeriod={"start": "2020-01-01T00:00:00+01:00"}), "observation")
    assert (half["effective_period_to"], half["effective_period_end"]) == (None, None)
    assert (half["effective_period_from_precision"], half["effective_period_to_precision"]) == ("second", None)


def test_the_first_alternative_that_is_present_is_taken() -> None:
    condition = {"resourceType": "Condition", "id": "c1", "subject": {"reference": "Patient/p1"}}
    assert row({**condition, "onsetPeriod": {"start": "2019"}}, "condition")["onset"] == "2019"
    assert row({**condition, "onsetDateTime": "2020"}, "condition")["onset"] == "2020"
    assert row(condition, "condition")["onset"] is None


@pytest.mark.parametrize("order", [1, -1])
def test_the_first_alternative_is_taken_whatever_stands_first_in_the_text(order: int) -> None:
    both = {"type": {"coding": [{"code": "second"}]}, "code": {"coding": [{"code": "first"}]}}
    specification = {"resourceType": "SubstanceSpecification", "id": "s1", **dict(list(both.items())[::order])}
    assert [coding["code"] for coding in row(specification, "other_resource")["code"]] == ["first"]


def test_an_element_that_tables_read_differently_is_read_by_each_as_it_does() -> None:
    code = {"coding": [LOINC], "text": "Hb"}
    parsed = parse(
        bundle(
            entry(observation(code=code)),
            entry(
                {
                    "resourceType": "ServiceRequest",
                    "id": "s1",
                    "status": "active",
                    "intent": "order",
                    "subject": {"reference": "Patient/p1"},
                    "code": code,
                }
            ),
            entry(observation("o2", code=code)),
        )
    )
    assert [found["code_text"] for found in rows(parsed, "observation")] == ["Hb", "Hb"]
    assert rows(parsed, "other_resource")[0]["code"] == [LOINC]


def test_a_medication_row_is_found_by_patient_or_subject() -> None:
    request = {
        "resourceType": "MedicationRequest",
        "id": "m1",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/p1"},
        "medicationCodeableConcept": {"text": "drug"},
        "category": [{"coding": [{"code": "x"}]}],
        "doNotPerform": True,
    }
    found = row(request, "medication")
    assert (found["patient_id"], found["code"], found["code_text"]) == ("p1", None, "drug")
    assert (found["do_not_perform"], found["category"][0]["code"]) == (True, "x")


def test_a_subject_that_is_no_patient_gives_no_patient() -> None:
    assert row(observation(subject={"reference": "Group/g1"}), "observation")["patient_id"] is None


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Task", "status": "requested", "intent": "order", "for": {"reference": "Patient/p1"}},
        {
            "resourceType": "Appointment",
            "status": "booked",
            "participant": [
                {"actor": {"reference": "Practitioner/d"}, "status": "accepted"},
                {"actor": {"reference": "Patient/p1"}, "status": "accepted"},
            ],
        },
    ],
    ids=lambda resource: resource["resourceType"],
)
def test_other_resources_name_their_patient_where_their_type_does(resource: dict[str, Any]) -> None:
    assert row({"id": "r", **resource}, "other_resource")["patient_id"] == "p1"


def test_what_is_about_several_patients_is_about_none() -> None:
    both = [{"actor": {"reference": f"Patient/{name}"}, "status": "accepted"} for name in ("p1", "p2")]
    found = row({"resourceType": "Appointment", "id": "r", "status": "booked", "participant": both}, "other_resource")
    assert found["patient_id"] is None


def test_other_resources_keep_what_fits_and_lose_nothing_else() -> None:
    consent = {
        "resourceType": "Consent",
        "id": "c1",
        "status": "active",
        "scope": {"coding": [{"code": "research"}]},
        "category": [{"coding": [{"code": "x"}]}],
        "patient": {"reference": "Patient/p1"},
        "dateTime": "2024-01-01",
        "provision": {
            "type": "deny",
            "period": {"start": "2024"},
            "purpose": [{"code": "HRESCH"}],
            "provision": [{"type": "permit"}, {"type": "deny"}],
        },
    }
    found = row(consent, "other_resource")
    assert (found["scope"][0]["code"], found["provision_type"], found["patient_id"]) == ("research", "deny", "p1")
    assert (found["provision_purpose"][0]["code"], found["date_precision"]) == ("HRESCH", "day")
    assert found["exception_type"] == ["permit", "deny"]
    coded_status = {
        "resourceType": "SubstanceSpecification",
        "id": "s",
        "status": {"text": "x"},
        "code": [{"code": {"x": 1}}],
    }
    odd = row(coded_status, "other_resource")
    assert (odd["status"], odd["code"]) == (None, None)


@pytest.mark.parametrize(
    ("resource", "pointer"),
    [
        (observation(valueQuantity={"value": "7.0"}), "/valueQuantity"),
        (observation(effectiveDateTime="2020-01-01T10:00:00"), "/effectiveDateTime"),
        (observation(effectivePeriod={"end": "x"}), "/effectivePeriod"),
        (observation(valueString=5), "/valueString"),
        (observation(code={"coding": [{}, {"code": 5}]}), "/code/coding/1/code"),
        (observation(valueInteger=2**31), "/valueInteger"),
        (observation(component=[{"valueQuantity": {"value": True}}]), "/component"),
        (patient(meta={"lastUpdated": "2020"}), "/meta/lastUpdated"),
        (patient(meta=5), "/meta"),
    ],
)
def test_a_wrong_value_is_refused_at_its_place_whatever_the_contract_lets_pass(resource: Any, pointer: str) -> None:
    parsed = parse(bundle(entry(resource)), check=lambda *_: [])
    assert reasons(parsed) == [(0, "invalid_resource", pointer)]


def test_extension_urls_are_found_at_any_depth() -> None:
    raw = {
        "extension": [{"url": "b", "extension": [{"url": "a"}]}, {"url": 5}],
        "_birthDate": {"extension": [{"url": "c"}]},
        "contained": [{"modifierExtension": [{"url": "d", "valueDecimal": 1}]}],
        "attachment": {"url": "not this"},
    }
    text = json.dumps(raw).replace("1}", "1e400}").encode()
    assert extensions_of(compact(text)) == (["a", "b", "c", "modifier:d"], None)
    assert extensions_of(text.replace(b"xten", b"\\u0078ten").replace(b" ", b"")) == (
        ["a", "b", "c", "modifier:d"],
        None,
    )


def test_an_element_that_is_absent_for_a_reason_keeps_it() -> None:
    def absent(reason: str) -> dict[str, Any]:
        return {
            "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": reason}]
        }

    found = row(
        patient(
            _birthDate=absent("unknown"),
            name=[{"family": "x"}, {"given": [None, "y"], "_given": [absent("masked"), None]}],
            contact=[{"relationship": [absent("asked-declined") | {"text": "x"}]}],
        ),
        "patient",
    )
    assert found["absent"] == [
        {"element": "/birthDate", "reason": "unknown"},
        {"element": "/contact/0/relationship/0", "reason": "asked-declined"},
        {"element": "/name/1/given/0", "reason": "masked"},
    ]
    assert (found["birth_date"], row(patient(), "patient")["absent"]) == (None, None)
    assert extensions_of(b'{"url":"x"}') == (None, None)


@pytest.mark.parametrize("path", ["", ".", "a..b", "a|", "a b", "extension(x"])
def test_a_path_outside_of_the_grammar_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not a source path"):
        steps_of(path)


def test_a_path_that_its_type_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="no elements"):
        struct_of("t", [("code", "codings"), ("code.colour", "string")])
    with pytest.raises(ValueError, match="two types"):
        struct_of("t", [("code", "codings"), ("code", "string")])


def test_a_getter_walks_lists_in_order_and_skips_nulls() -> None:
    import msgspec

    struct = struct_of("t", [("note.text", "strings")])
    read = msgspec.json.decode(b'{"note":[{"text":"a"},null,{},{"text":["b",null,"c"]}]}', type=struct)
    (steps,) = steps_of("note.text")
    assert getter_of(steps)(read.note) == ["a", "b", "c"]


TEXTS = Table("t", ("X",), "", (Column("a", "a", "string", ""), Column("b", "b", "strings", "")), "")
SYSTEM = [[None]] * len(SYSTEM_COLUMNS)


@quick
@given(
    st.lists(st.tuples(st.none() | st.text(), st.none() | st.lists(st.text(), max_size=2)), min_size=1),
    st.integers(0, 5),
    st.integers(1, 7),
)
def test_frames_hold_exactly_the_values_of_their_rows(values: list[tuple[Any, ...]], cut: int, chunk: int) -> None:
    first, second = TableRows(TEXTS), TableRows(TEXTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames, "CHUNK_ROWS", chunk)
        cell = cache(lambda text: ast.literal_eval(text))  # equal cells are one object
        for number, row in enumerate(values):
            cells = [Cells([None if value is None else cell(repr((value,)))], np.array([0])) for value in row]
            (first if number < cut else second).add(Block(SYSTEM, dict(enumerate(cells)), np.array([number])))
        first.extend(second)
    assert len(first) == len(values)
    assert first.frame().select("a", "b").rows() == values


@quick
@given(st.permutations(range(8)), st.lists(st.integers(-1, 2), min_size=8, max_size=8), st.integers(1, 7))
def test_rows_stand_in_the_order_of_their_places_however_they_come(
    places: list[int], codes: list[int], cut: int
) -> None:
    rows = TableRows(TEXTS)
    values = [(text,) for text in "xyz"]
    for some in (slice(0, cut), slice(cut, None)):
        height = len(places[some])
        systems = [[None] * height for _ in SYSTEM_COLUMNS]
        rows.add(Block(systems, {0: Cells(values, np.array(codes[some], int))}, np.array(places[some], int)))
    expected = [None if code < 0 else "xyz"[code] for _, code in sorted(zip(places, codes, strict=True))]
    assert rows.frame()["a"].to_list() == expected


@quick
@given(st.lists(st.tuples(*[st.none() | st.integers()] * 3), min_size=1))
def test_of_several_columns_each_row_has_the_first_that_it_has(given_: list[tuple[int | None, ...]]) -> None:
    columns = []
    for values in zip(*given_, strict=True):
        there = [(value,) if value is not None else None for value in values]
        columns.append(
            Cells([*there, None], np.array([len(there) if each is None else n for n, each in enumerate(there)]))
        )
    found = reduce(Cells.first_of, columns)
    made = [None if code < 0 else found.values[code] for code in found.codes.tolist()]
    assert made == [next(((value,) for value in row if value is not None), None) for row in given_]


def test_an_extension_whose_name_is_escaped_counts_like_any_other() -> None:
    modifier = [{"url": "urn:not", "valueBoolean": True}]
    plain = bundle(entry(patient(contact=[{"name": {"text": "x"}, "modifierExtension": modifier}])))
    for text in (plain, plain.replace(b"modifierExten", b"modifierExt\\u0065n")):
        assert rows(parse(text), "patient")[0]["extension_urls"] == ["modifier:urn:not"]
