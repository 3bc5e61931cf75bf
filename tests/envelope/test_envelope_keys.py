import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spv_platform.envelope import keys
from spv_platform.envelope.keys import FileKeyStore, TenantKeys, mac, open_state, seal_state
from spv_platform.errors import PermanentError, UsageError

KEY = bytes(range(32))


@pytest.fixture
def store(tmp_path):
    store = FileKeyStore(tmp_path / "keys")
    store.create_root()
    return store


def test_a_tenant_keeps_its_keys(store, tmp_path):
    made = store.create_tenant("north")
    assert store.create_tenant("north") == made
    assert store.tenant("north") == made
    assert FileKeyStore(tmp_path / "keys").tenant("north") == made


def test_every_purpose_and_every_tenant_has_its_own_key(store):
    all_keys = [*astuple(store.create_tenant("north")), *astuple(store.create_tenant("south"))]
    assert len(set(all_keys)) == len(all_keys)
    assert {len(key) for key in all_keys} == {32}


def test_creating_the_root_again_changes_nothing(store):
    made = store.create_tenant("north")
    store.create_root()
    assert store.tenant("north") == made


def test_two_creators_at_once_get_the_same_keys(tmp_path):
    def create(_):
        store = FileKeyStore(tmp_path / "keys")
        store.create_root()
        return store.create_tenant("north")

    with ThreadPoolExecutor(8) as pool:
        assert len({astuple(made) for made in pool.map(create, range(16))}) == 1


def test_a_creator_that_comes_second_keeps_the_first_ones_key(store, monkeypatch):
    made = store.create_tenant("north")
    # The other process appears between the look and the link.
    monkeypatch.setattr(keys.Path, "exists", lambda _: False)
    assert store.create_tenant("north") == made


def test_files_and_folders_are_readable_by_their_owner_only(store, tmp_path):
    old = os.umask(0)
    try:
        store.create_tenant("north")
    finally:
        os.umask(old)
    for path in [tmp_path / "keys", *(tmp_path / "keys").rglob("*")]:
        expected = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == expected


def test_no_draft_stays_behind(store, tmp_path):
    store.create_tenant("north")
    assert sorted(p.name for p in (tmp_path / "keys").rglob("*")) == ["north.json", "root.key", "tenants"]


@pytest.mark.parametrize("name", ["root.key", "tenants/north.json"])
def test_a_file_that_others_may_read_is_refused(store, tmp_path, name):
    store.create_tenant("north")
    (tmp_path / "keys" / name).chmod(0o640)
    with pytest.raises(UsageError, match="chmod 600"):
        store.tenant("north")


def test_a_tenant_without_keys_is_unknown(store):
    for name in ("south", "", "../root", "North", "a" * 64):
        with pytest.raises(PermanentError) as caught:
            store.tenant(name)
        assert caught.value.reason == "unknown_tenant"


@pytest.mark.parametrize("name", ["", "../x", "a/b", "North", "-a", "a" * 64, "a.b", "a\n"])
def test_a_name_that_cannot_be_a_tenants_is_refused(store, name):
    with pytest.raises(UsageError, match="a-z"):
        store.create_tenant(name)


def test_a_destroyed_tenant_is_gone_and_the_others_are_not(store, tmp_path):
    store.create_tenant("north")
    kept = store.create_tenant("south")
    store.destroy_tenant("north")
    store.destroy_tenant("north")
    store.destroy_tenant("../root")
    assert store.tenants() == ["south"]
    assert store.tenant("south") == kept
    with pytest.raises(PermanentError, match="keys_destroyed at tenant north"):
        store.tenant("north")


def test_a_name_whose_keys_were_destroyed_gets_no_others(store):
    store.create_tenant("north")
    assert not store.is_destroyed("north")
    store.destroy_tenant("north")
    with pytest.raises(UsageError, match="another name"):
        store.create_tenant("north")
    assert store.is_destroyed("north")
    assert not store.is_destroyed("../north")


def test_a_tenant_that_never_had_keys_has_none_to_destroy(store):
    store.destroy_tenant("north")
    assert not store.is_destroyed("north")
    store.create_tenant("north")


def test_a_destruction_that_was_cut_short_counts_and_is_finished_by_the_next(store, tmp_path, monkeypatch):
    store.create_tenant("north")
    monkeypatch.setattr(keys.os, "fsync", _power_cut_at(3))
    with pytest.raises(KeyboardInterrupt):
        store.destroy_tenant("north")
    monkeypatch.undo()
    assert store.tenants() == ["north"]
    with pytest.raises(PermanentError, match="keys_destroyed"):
        store.tenant("north")
    store.destroy_tenant("north")
    assert store.tenants() == []


def _power_cut_at(call):
    calls = iter(range(1, call + 1))

    def fsync(descriptor):
        if next(calls) == call:
            raise KeyboardInterrupt

    return fsync


def test_a_tenants_file_under_another_name_does_not_open(store, tmp_path):
    store.create_tenant("north")
    folder = tmp_path / "keys" / "tenants"
    (folder / "north.json").rename(folder / "south.json")
    with pytest.raises(UsageError, match="restore the pair"):
        store.tenant("south")


def test_another_root_key_does_not_open_the_tenant(store, tmp_path):
    store.create_tenant("north")
    (tmp_path / "keys" / "root.key").unlink()
    with pytest.raises(UsageError, match="no root key"):
        store.tenant("north")
    store.create_root()
    with pytest.raises(UsageError, match="restore the pair"):
        store.tenant("north")


@pytest.mark.parametrize("name", ["root.key", "tenants/north.json"])
@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "spv-root-key/1", "id": "a", "key": "AAAA"}'])
def test_a_damaged_key_file_is_refused_with_its_name(store, tmp_path, name, text):
    store.create_tenant("north")
    (tmp_path / "keys" / name).write_text(text)
    with pytest.raises(UsageError, match=name):
        store.tenant("north")


def test_a_tenant_file_without_its_fields_is_refused(store, tmp_path):
    store.create_tenant("north")
    file = tmp_path / "keys" / "tenants" / "north.json"
    document = json.loads(file.read_text())
    for change in ({"nonce": "!"}, {"nonce": ""}, {"wrapped": "AAAA"}):
        file.write_text(json.dumps(document | change))
        with pytest.raises(UsageError, match="restore the pair"):
            store.tenant("north")


def test_no_key_is_in_a_text_form_or_a_file(store, tmp_path):
    made = store.create_tenant("north")
    assert repr(made) == "TenantKeys()"
    assert str(made) == "TenantKeys()"
    text = (tmp_path / "keys" / "tenants" / "north.json").read_text()
    assert not any(keys._text(key) in text for key in astuple(made))


def test_keys_of_another_length_are_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        TenantKeys(b"short", KEY, KEY, KEY, KEY, KEY)


@given(a=st.lists(st.text(max_size=5), max_size=4), b=st.lists(st.text(max_size=5), max_size=4))
@settings(max_examples=200)
def test_macs_are_equal_for_equal_parts_only(a, b):
    assert (mac(KEY, *a) == mac(KEY, *b)) == (a == b)
    assert len(mac(KEY, *a)) == 16


def test_macs_under_another_key_differ():
    assert mac(KEY, "record", "emr", "p1") != mac(bytes(32), "record", "emr", "p1")
    assert mac(KEY, "\ud800") != mac(KEY, "?")


@given(plain=st.binary(max_size=3000), aad=st.binary(max_size=40))
@settings(max_examples=60)
def test_a_sealed_state_opens_to_the_same_bytes(plain, aad):
    assert open_state(KEY, seal_state(KEY, plain, aad), aad) == plain


def test_a_state_opens_with_its_own_key_and_context_only():
    sealed = seal_state(KEY, b"state", b"north/record")
    for key, aad in ((bytes(32), b"north/record"), (KEY, b"south/record")):
        with pytest.raises(PermanentError) as caught:
            open_state(key, sealed, aad)
        assert caught.value.reason == "tampered"


def test_a_damaged_state_is_refused():
    sealed = seal_state(KEY, b"state" * 50, b"")
    for at in range(len(sealed)):
        flipped = bytearray(sealed)
        flipped[at] ^= 1
        with pytest.raises(PermanentError):
            open_state(KEY, bytes(flipped), b"")
        with pytest.raises(PermanentError):
            open_state(KEY, sealed[:at], b"")


def test_a_state_over_the_limit_is_refused(monkeypatch):
    sealed = seal_state(KEY, bytes(100), b"")
    monkeypatch.setattr(keys, "STATE_MAX_BYTES", 99)
    for call in (lambda: seal_state(KEY, bytes(100), b""), lambda: open_state(KEY, sealed, b"")):
        with pytest.raises(PermanentError, match="too_large"):
            call()


def test_sealing_a_state_twice_gives_different_bytes():
    assert seal_state(KEY, b"state", b"") != seal_state(KEY, b"state", b"")
