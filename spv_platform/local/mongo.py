"""The embedded MongoDB-compatible store: SecantusDB, a process of its own.

It is under the GPL, so it is only ever run, never imported.
"""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from spv_platform.errors import UsageError
from spv_platform.local.home import State, private_folder
from spv_platform.local.process import NotReadyError, Service, end, launch, wait_until_ready

NAME = "mongo"
USER = "spv"

FIRST_START = "mongo-first-start"


def url(state: State) -> str:
    """URL of the server, with the password."""
    return f"mongodb://{USER}:{state.secret('mongo')}@{_address(state)}/?authSource=admin"


def service(home: Path, state: State) -> Service:
    """How the server is run; makes its user first if its data folder is new.

    Raises:
        UsageError: the wheel is not installed, or the user could not be made.
    """
    if importlib.util.find_spec("secantus") is None:
        raise UsageError(
            "the embedded servers are not installed: pip install 'spv_platform[local]', or set SPV_MONGO_URL"
        )
    folder = private_folder(home / "data" / NAME)
    made = home / "data" / "mongo-user-made"
    if not made.exists():
        _make_user(home, state, folder)
        made.touch(mode=0o600)
    return _service(NAME, state, folder, auth=True)


def _service(name: str, state: State, folder: Path, *, auth: bool) -> Service:
    command = [sys.executable, "-P", "-m", "secantus", "--host", "127.0.0.1", "--port", str(state.ports["mongo"])]
    command += ["--storage-path", str(folder), "--sync-on-commit", "--cache-size", "256M", "--log-level", "WARNING"]
    return Service(
        name,
        [*command, "--auth"] if auth else command,
        _address(state),
        lambda: _ready(url(state) if auth else f"mongodb://{_address(state)}"),
        folder,
        # HOME, since it looks for a configuration file there.
        {"PATH": os.defpath, "HOME": str(folder)},
        grace_s=15.0,
    )


def _make_user(home: Path, state: State, folder: Path) -> None:
    # It makes users only while it runs without authentication.
    first = _service(FIRST_START, state, folder, auth=False)
    launch(home, first)
    try:
        wait_until_ready(home, first)
        with _client(f"mongodb://{_address(state)}") as client:
            admin = client["admin"]
            present = admin.command("usersInfo")["users"]
            command = "updateUser" if any(user["user"] == USER for user in present) else "createUser"
            admin.command(command, USER, pwd=state.secret("mongo"), roles=[{"role": "root", "db": "admin"}])
            users = [user["user"] for user in admin.command("usersInfo")["users"]]
    finally:
        end(home, [FIRST_START])
    if users != [USER]:
        raise UsageError(f"somebody else made a user in the new MongoDB store {folder}: remove the folder, start again")


def _client(address: str) -> Any:
    import pymongo

    return pymongo.MongoClient(address, serverSelectionTimeoutMS=1000, connectTimeoutMS=1000, socketTimeoutMS=10_000)


def _ready(address: str) -> None:
    import pymongo.errors

    try:
        with _client(address) as client:
            client["admin"].command("usersInfo")
    except pymongo.errors.PyMongoError as error:
        raise NotReadyError(type(error).__name__) from None


def _address(state: State) -> str:
    return f"127.0.0.1:{state.ports['mongo']}"
