"""Whom PostgreSQL runs as when the platform is started by root, which PostgreSQL refuses."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from spv_platform.errors import UsageError

#: Unprivileged accounts, the better one first.
CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """A user and its group."""

    uid: int
    gid: int


def unprivileged() -> Account | None:
    """An existing account without privileges if we are root, else None: then servers run as the caller."""
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise UsageError(f"PostgreSQL cannot run as root, and no account {' or '.join(CANDIDATES)} exists: add one")


def can_reach(account: Account, folder: Path) -> bool:
    """Whether the account may look up names in the folder, by the modes of it and all its ancestors."""
    return all(_may_search(account, place) for place in (folder.resolve(), *folder.resolve().parents))


def _may_search(account: Account, folder: Path) -> bool:
    status = folder.stat()
    if status.st_uid == account.uid:
        return bool(status.st_mode & 0o100)
    if status.st_gid == account.gid:
        return bool(status.st_mode & 0o010)
    return bool(status.st_mode & 0o001)
