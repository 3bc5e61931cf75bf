"""Staging and encryption, on the real store."""

import dataclasses
import secrets
from io import BytesIO
from pathlib import Path
from urllib.parse import urlparse

import polars as pl
import pytest
from lake_rows import THING, frame, lake_key, row
from polars.testing import assert_frame_equal

from spv_platform.errors import PermanentError, TransientError, UsageError
from spv_platform.lake.publish import adopt
from spv_platform.lake.read import read
from spv_platform.lake.stage import stage
from spv_platform.lake.store import Lake


def _stage(lake, rows, tenant="north", **place):
    return stage(lake, tenant, "thing", frame(rows), **{"batch_id": "b1", "attempt": 1, "part": 0, **place})


def _bytes_on_disk(servers) -> bytes:
    return b"".join(file.read_bytes() for file in Path(servers.home).rglob("*") if file.is_file())


def _plain(lake, s3, path) -> bytes:
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": lake_key("north")}
    found = s3.get_object(Bucket=lake.settings.lake_bucket, Key=f"north/log/thing/{path}", **key)
    return found["Body"].read()


def test_a_staged_file_says_where_it_is_and_what_it_holds(lake, s3):
    staged = _stage(lake, [row("r1"), row("r2")], attempt=3, part=7)
    assert (staged.table, staged.path, staged.rows) == ("thing", "b1/3-7.parquet", 2)
    listed = s3.list_objects_v2(Bucket=lake.settings.lake_bucket)["Contents"]
    assert [(o["Key"], o["Size"]) for o in listed] == [("north/log/thing/b1/3-7.parquet", staged.bytes)]


def test_staging_again_replaces_the_file(lake):
    _stage(lake, [row("r1"), row("r2")])
    again = _stage(lake, [row("r3")])
    assert read(lake, "north", "thing", base=None, tail=[again.path]).collect()["resource_id"].to_list() == ["r3"]


def test_rows_come_back_exactly_as_staged(lake):
    rows = frame([row("r1", time=2), row("r2", digest="b")]).with_columns(number=pl.Series([0.1, None]))
    staged = stage(lake, "north", "thing", rows, batch_id="b1", attempt=1, part=0)
    found = read(lake, "north", "thing", base=None, tail=[staged.path]).collect()
    assert_frame_equal(found.drop("decided_by").sort("resource_id"), rows)


def test_rows_without_the_tables_columns_are_refused_without_naming_values(lake):
    wrong = frame([row()]).drop("value").with_columns(number=pl.lit("secret"))
    with pytest.raises(PermanentError, match=r"internal_error at table thing: columns number, value$"):
        stage(lake, "north", "thing", wrong, batch_id="b1", attempt=1, part=0)
    turned = frame([row()]).select(reversed(THING.schema))
    with pytest.raises(PermanentError, match="in another order"):
        stage(lake, "north", "thing", turned, batch_id="b1", attempt=1, part=0)


def test_an_unknown_table_is_refused_with_the_names_of_the_known_ones(lake):
    with pytest.raises(UsageError, match="there is no table nothing: choose one of thing, view"):
        read(lake, "north", "nothing", base=None, tail=[])


def test_nothing_can_be_read_without_the_tenants_key_or_with_anothers(lake, s3):
    staged = _stage(lake, [row()])
    adopt(lake, "north", {"thing": [staged]}, {})
    url = lake.url("north", "log", "thing", staged.path)
    keyless = {k: v for k, v in lake.storage_options("north").items() if "sse" not in k and "encryption" not in k}
    for options in (keyless, lake.storage_options("south")):
        with pytest.raises((OSError, pl.exceptions.ComputeError)):
            pl.scan_parquet(url, storage_options=options, glob=False).collect()
    stranger = Lake(lake.settings, lambda tenant: bytes(32), lake.specs)
    with pytest.raises(TransientError, match="store_unavailable at table thing"):
        adopt(stranger, "north", {"thing": [staged]}, {"thing": 1})
    log = f"{urlparse(lake.url('north', 'log', 'thing')).path[1:]}/_delta_log/00000000000000000001.json"
    with pytest.raises(s3.exceptions.ClientError):
        s3.get_object(Bucket=lake.settings.lake_bucket, Key=log)


def test_the_stores_own_files_hold_no_plain_byte_of_the_lake(lake, s3, servers):
    canary = secrets.token_bytes(500)
    rows = [row(f"r{n}") | {"value": secrets.token_hex(40)} for n in range(100)]
    staged = _stage(lake, rows)
    adopt(lake, "north", {"thing": [staged]}, {})
    lake.put("north", lake.url("north", "log", "thing", "canary"), BytesIO(canary))
    parquet = _plain(lake, s3, staged.path)
    middle = parquet[1000:1500]
    stored = _bytes_on_disk(servers)
    assert canary not in stored
    assert middle not in stored
    s3.put_object(Bucket=lake.settings.lake_bucket, Key="open/canary", Body=canary)
    s3.put_object(Bucket=lake.settings.lake_bucket, Key="open/rows.parquet", Body=parquet)
    stored = _bytes_on_disk(servers)
    assert canary in stored, "the search looks in the wrong place"
    assert middle in stored, "the search looks in the wrong place"


def test_a_store_that_is_away_is_a_transient_failure(lake):
    away = Lake(dataclasses.replace(lake.settings, s3_endpoint="http://127.0.0.1:1"), lambda tenant: bytes(32))
    patients = pl.DataFrame(schema=away.spec("patient").schema)
    with pytest.raises(TransientError, match="store_unavailable"):
        stage(away, "north", "patient", patients, batch_id="b1", attempt=1, part=0)


def test_options_for_aws_name_no_endpoint_and_never_allow_plain_http(lake):
    aws = Lake(dataclasses.replace(lake.settings, s3_endpoint=""), lambda tenant: bytes(32))
    tls = Lake(dataclasses.replace(lake.settings, s3_endpoint="https://s3.example"), lambda tenant: bytes(32))
    assert not {"aws_endpoint_url", "aws_allow_http"} & set(aws.storage_options("north"))
    assert "aws_allow_http" not in tls.storage_options("north")
    assert tls.storage_options("north")["aws_endpoint_url"] == "https://s3.example"
    assert lake.storage_options("north")["aws_allow_http"] == "true"
