"""Nothing that says who somebody is leaves the sealed and encrypted places: not one row, log line, name or raw byte."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum, auto

import psycopg2
import pytest
from pipeline_bundles import Resource, bundle, deletes, patient, result
from pipeline_world import World, reasons

from spv_platform.lake import compact
from spv_platform.pipeline.landing.send import BUNDLE, NDJSON, send
from spv_platform.pipeline.opting_out import change_list
from spv_platform.pipeline.upkeep.compact import form_compactions
from spv_platform.pipeline.upkeep.rebuild import ask


class Canary(StrEnum):
    """What is planted; each one is letters that occur nowhere else."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[str]) -> str:
        return f"zqx{name.replace('_', '').lower()}qxz"

    NAME = auto()
    GIVEN = auto()
    MRN = auto()
    SSN = auto()
    ADDRESS = auto()
    PHONE = auto()
    NOTE = auto()
    PATIENT_ID = auto()
    RESULT_ID = auto()
    NARRATIVE = auto()
    BROKEN_ID = auto()
    BROKEN_NAME = auto()
    BROKEN_TYPE = auto()
    BROKEN_ELEMENT = auto()
    BROKEN_DATE = auto()
    BROKEN_NOTE = auto()
    BAD_DELETE = auto()
    LINE = auto()
    REFERENCE = auto()
    FILE = auto()
    OBJECT_ID = auto()
    DISPLAYED = auto()
    VERSION_ID = auto()
    FULL_URL = auto()
    DELETED = auto()


WHO = patient(
    Canary.PATIENT_ID,
    family=Canary.NAME,
    mrn=Canary.MRN,
    ssn=Canary.SSN,
    address=[{"line": [Canary.ADDRESS], "city": "Sampleton"}],
    telecom=[{"system": "phone", "value": Canary.PHONE}],
    text={"status": "additional", "div": f"<div xmlns='http://www.w3.org/1999/xhtml'>{Canary.NARRATIVE}</div>"},
    generalPractitioner=[{"reference": f"Practitioner?identifier=http://x|{Canary.REFERENCE}"}],
)
WHO["name"][0]["given"] = [Canary.GIVEN]
GOOD = [
    WHO,
    result(
        Canary.RESULT_ID, Canary.PATIENT_ID, 3, note=[{"text": Canary.NOTE}], performer=[{"display": Canary.DISPLAYED}]
    ),
    {**result("versioned", Canary.PATIENT_ID, 4), "meta": {"versionId": Canary.VERSION_ID}},
]


def broken(id_: str, **more: object) -> Resource:
    return {"resourceType": "Observation", "id": id_, "code": {"text": "x"}, **more}


BAD = [
    broken(Canary.BROKEN_ID, note=[{"text": Canary.BROKEN_NOTE}]),
    broken("extra", status="final", **{Canary.BROKEN_ELEMENT: 1}),
    broken("nested", status="final", code={Canary.BROKEN_ELEMENT: {Canary.BROKEN_ELEMENT: 1}}),
    {"resourceType": Canary.BROKEN_TYPE, "id": Canary.BROKEN_ID},
    {"resourceType": "Patient", "id": f"{Canary.BROKEN_ID} with blanks", "name": [{"family": Canary.BROKEN_NAME}]},
    {"resourceType": "Patient", "id": "date", "birthDate": Canary.BROKEN_DATE, "gender": Canary.BROKEN_NAME},
    {"resourceType": "Patient", "id": "time", "meta": {"lastUpdated": Canary.BROKEN_DATE}},
    {
        "resourceType": "Patient",
        "id": "nested",
        "contained": [{"resourceType": Canary.BROKEN_TYPE, "id": Canary.BROKEN_ID}],
    },
]
BAD_OBJECTS = {
    "not-a-bundle": f'{{"resourceType":"{Canary.OBJECT_ID}","id":"{Canary.OBJECT_ID}"}}'.encode(),
    "bad-time": f'{{"resourceType":"Bundle","type":"collection","timestamp":"{Canary.OBJECT_ID}"}}'.encode(),
    "not-json": f'{{"resourceType":"Bundle", {Canary.OBJECT_ID}'.encode(),
    "bad-bundle-type": f'{{"resourceType":"Bundle","type":"{Canary.OBJECT_ID}"}}'.encode(),
}


@dataclass(frozen=True)
class Run:
    """An installation after everything was processed, and all that was logged."""

    world: World
    logs: str


@pytest.fixture(scope="module")
def run(new_world: Callable[..., World], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The canaries sent, processed here and by a worker process, looked up, compacted, matched again and rebuilt."""
    world = new_world()
    world.tolerate_quarantine()
    records: list[str] = []
    keep = logging.Handler()
    keep.emit = lambda record: records.append(keep.format(record))  # type: ignore[method-assign]
    root = logging.getLogger()
    level = root.level
    root.addHandler(keep)
    root.setLevel(logging.DEBUG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compact, "_LEAST_TAIL_ROWS", 1)
        patch.setattr(compact, "_TAIL_SHARE", 0)
        world.put_criteria()
        for content, kind in ((bundle(*GOOD), BUNDLE), (entries_with_urls(), BUNDLE), (lines(), NDJSON)):
            send(world.platform, f"{Canary.FILE}.json", content, kind, tenant="north", feed="emr")
        world.drain()
        for name, content in BAD_OBJECTS.items():
            world.land(name, content)
        world.land("bad", bundle(*BAD))
        world.land(
            "deletes", deletes(f"Observation/{Canary.RESULT_ID}", f"Observation/{Canary.DELETED}", Canary.BAD_DELETE)
        )
        worker = world.worker()
        _, errors = worker.communicate(timeout=120)
        listed = tmp_path_factory.mktemp("list") / "list"
        listed.write_text(f"http://hospital.example.org/mrn|{Canary.MRN}\n")
        change_list(world.platform, "north", listed, "add", who="test")
        form_compactions(world.platform)
        ask(world.platform, "north", dry_run=False, who="test")
        world.drain()
    root.setLevel(level)
    root.removeHandler(keep)
    assert worker.returncode == 0
    return Run(world, "\n".join([*records, errors.decode()]))


def entries_with_urls() -> bytes:
    text = bundle(result("with-url", Canary.PATIENT_ID, 5)).decode()
    return text.replace('{"resource"', f'{{"fullUrl": "urn:uuid:{Canary.FULL_URL}", "resource"').encode()


def lines() -> bytes:
    return f'{{"resourceType":"Patient","id":"line"}}\n{Canary.LINE} is no JSON\n"{Canary.LINE}"\n'.encode()


def canaries_in(data: bytes) -> list[str]:
    lower = data.lower()
    return [canary for canary in Canary if canary.encode() in lower]


def test_the_canaries_went_all_the_way(run):
    """Else the other tests would prove nothing."""
    (seen,) = run.world.read("patient_view").filter(name=f"{Canary.NAME}, {Canary.GIVEN}").to_dicts()
    assert canaries_in(str(seen).encode()) == [
        Canary.NAME,
        Canary.GIVEN,
        Canary.MRN,
        Canary.SSN,
        Canary.ADDRESS,
        Canary.PHONE,
        Canary.PATIENT_ID,
    ]
    notes = run.world.read("observation")
    assert Canary.RESULT_ID not in notes["resource_id"].to_list()
    found = reasons(run.world)
    assert {name: found[name][0] for name in BAD_OBJECTS} == dict.fromkeys(BAD_OBJECTS, "quarantined")
    assert (found["bad"], found["deletes"]) == (("published", None), ("published", None))
    assert run.world.rows("SELECT count(DISTINCT (object_seq, entry)) FROM ops.entry_quarantine") == [(len(BAD) + 3,)]
    assert run.world.rows("SELECT DISTINCT kind FROM ops.publication ORDER BY 1") == [
        ("compact",),
        ("load",),
        ("rebuild",),
        ("rematch",),
    ]


def test_no_row_of_postgresql_holds_one(run):
    connection = psycopg2.connect(run.world.settings.postgres_url)
    with connection, connection.cursor() as cur:
        cur.execute("SET bytea_output = 'escape'")
        cur.execute("SELECT schemaname, tablename FROM pg_tables WHERE schemaname !~ '^(pg_|information_schema)'")
        tables = cur.fetchall()
        assert ("ops", "record_state") in tables
        for schema, table in tables:
            cur.execute(f'SELECT t::text FROM "{schema}"."{table}" AS t')  # noqa: S608
            for (row,) in cur.fetchall():
                assert not canaries_in(row.encode()), table
    connection.close()


def test_no_log_line_holds_one(run):
    assert run.logs
    assert not canaries_in(run.logs.encode())


def test_no_name_of_an_object_holds_one(run):
    settings, s3 = run.world.settings, run.world.platform.s3
    names = []
    for bucket in (settings.landing_bucket, settings.lake_bucket, settings.feeds_bucket, settings.logs_bucket):
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            names += [item["Key"] for item in page.get("Contents", [])]
    assert len(names) > 20
    assert not canaries_in("\n".join(names).encode())


def test_no_raw_byte_of_the_object_store_or_the_database_holds_one(run, servers):
    with psycopg2.connect(run.world.settings.postgres_url) as connection, connection.cursor() as cur:
        connection.autocommit = True
        cur.execute("CHECKPOINT")
    connection.close()
    files = [file for file in (servers.home / "data").rglob("*") if file.is_file()]
    landed = b"SPV1"
    assert any(landed in file.read_bytes() for file in files if file.suffix == ".dat")
    for file in files:
        with suppress(FileNotFoundError):  # the database deletes files of its own at any time
            assert not canaries_in(file.read_bytes()), file


def test_the_lake_lies_encrypted_in_the_object_store(run, servers):
    """Compression alone hides text: the marks of Parquet and of Delta's log must be unreadable too."""
    bucket = run.world.settings.lake_bucket
    volumes = [file.read_bytes() for file in (servers.home / "data").rglob(f"{bucket}*.dat")]
    assert sum(map(len, volumes)) > 10_000
    assert not any(mark in volume for volume in volumes for mark in (b"PAR1", b"commitInfo", b"numRecords"))
