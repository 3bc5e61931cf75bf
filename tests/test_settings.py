"""Settings: from the home, overridden by the environment."""

import json
from pathlib import Path

import pytest

from spv_platform.errors import UsageError
from spv_platform.settings import FILE, load_settings, update_settings

REQUIRED = {
    "postgres_url": "postgresql://u:p@h/d",
    "mongo_url": "mongodb://h",
    "s3_access_key_id": "a",
    "s3_secret_access_key": "s",
}


def test_a_home_without_settings_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run `spv up`, or set SPV_POSTGRES_URL"):
        load_settings(tmp_path, {})


def test_what_is_written_is_read_and_only_by_the_owner(tmp_path: Path) -> None:
    home = tmp_path / "home"
    update_settings(home, {**REQUIRED, "batch_max_objects": 3})
    settings = load_settings(home, {})
    assert (settings.batch_max_objects, settings.mongo_url, settings.home) == (3, "mongodb://h", home)
    assert settings.keys_dir == home / "keys"
    assert (home / FILE).stat().st_mode & 0o077 == 0


def test_the_environment_wins_and_is_typed(tmp_path: Path) -> None:
    update_settings(tmp_path, REQUIRED)
    settings = load_settings(tmp_path, {"SPV_LEASE_S": "2.5", "SPV_MONGO_URL": "mongodb://other", "SPV_HOME": "/x"})
    assert (settings.lease_s, settings.mongo_url, settings.home) == (2.5, "mongodb://other", tmp_path)


def test_an_update_keeps_the_rest_and_none_removes(tmp_path: Path) -> None:
    update_settings(tmp_path, {**REQUIRED, "lease_s": 7})
    update_settings(tmp_path, {"mongo_url": None, "webserver_port": 3001})
    left = json.loads((tmp_path / FILE).read_text())
    assert left["lease_s"] == 7
    assert left["webserver_port"] == 3001
    assert "mongo_url" not in left


def test_a_value_of_the_wrong_type_is_named(tmp_path: Path) -> None:
    update_settings(tmp_path, REQUIRED)
    with pytest.raises(UsageError, match="setting webserver_port: expected int"):
        load_settings(tmp_path, {"SPV_WEBSERVER_PORT": "web"})


def test_an_unknown_setting_is_named(tmp_path: Path) -> None:
    update_settings(tmp_path, {**REQUIRED, "bach_max_objects": 1})
    with pytest.raises(UsageError, match="unknown settings bach_max_objects"):
        load_settings(tmp_path, {})


@pytest.mark.parametrize("text", ["{", "[]", "", "null"])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(UsageError, match="not a JSON object"):
        load_settings(tmp_path, {})


def test_an_empty_endpoint_means_aws(tmp_path: Path) -> None:
    update_settings(tmp_path, {**REQUIRED, "s3_endpoint": "http://embedded"})
    assert load_settings(tmp_path, {"SPV_S3_ENDPOINT": ""}).s3_endpoint == ""
