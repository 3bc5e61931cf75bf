"""The fixtures that every other test stands on."""

from typing import Any

import psycopg2

from spv_platform.settings import Settings


def test_landing_keeps_versions(settings: Settings, s3: Any) -> None:
    first = s3.put_object(Bucket=settings.landing_bucket, Key="north/emr/a", Body=b"1")
    second = s3.put_object(Bucket=settings.landing_bucket, Key="north/emr/a", Body=b"2")
    assert first["VersionId"] != second["VersionId"]
    old = s3.get_object(Bucket=settings.landing_bucket, Key="north/emr/a", VersionId=first["VersionId"])
    assert old["Body"].read() == b"1"


def test_every_test_has_an_empty_database(settings: Settings) -> None:
    connection = psycopg2.connect(settings.postgres_url)
    with connection, connection.cursor() as cur:
        cur.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        assert cur.fetchone() == (0,)
    connection.close()


def test_mongo_takes_documents(mongo_url: str) -> None:
    import pymongo

    with pymongo.MongoClient(mongo_url, serverSelectionTimeoutMS=5000) as client:
        client["spv"]["a"].insert_one({"x": 1})
        assert client["spv"]["a"].count_documents({}) == 1
