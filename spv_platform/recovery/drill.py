"""The disaster drill: everything anew from a replica in an empty home, compared with what was there."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from spv_platform.errors import UsageError
from spv_platform.ledger.db import apply_schema
from spv_platform.local import stack
from spv_platform.pipeline.drain import drain, process
from spv_platform.pipeline.history import behind, feed
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.setup import make_buckets
from spv_platform.recovery.contents import Content, contents
from spv_platform.recovery.replica import Manifest, read_manifest, restore, restore_waiting
from spv_platform.settings import update_settings

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Compared:
    """One content of a tenant, as it was and as it came out."""

    tenant: str
    content: str
    rows: int
    equal: bool


@dataclass(frozen=True)
class DrillReport:
    """What a drill came to.

    Attributes:
        compared: every content of every tenant.
        batches: how many were carried.
        waiting_objects: objects that had not been processed, and wait in the new home.
        rpo_s: recovery point: seconds between the last object in the replica and the drill. What landed later is lost
            unless the sender sends it again.
        rto_s: recovery time: seconds from the empty home to the last publication and document.
    """

    compared: list[Compared]
    batches: int
    waiting_objects: int
    rpo_s: float | None
    rto_s: float

    @property
    def equal(self) -> bool:
        """Whether everything came out as it was."""
        return all(each.equal for each in self.compared)


def drill(replica: Path, home: Path, *, keys: Path | None = None, progress: Progress = lambda _: None) -> DrillReport:
    """Rebuild an installation in an empty home, with servers of its own, and compare it with the replica's hashes.

    Nobody is notified: no daemon runs, and the news that was told before is known by its ids. The servers go on
    running; stop them with `stack.stop`, or begin to work with them.

    Args:
        replica: as `recovery.replica` writes it.
        home: a new folder.
        keys: the folder of the key files; `keys` in the replica if not given.
        progress: is told what happens.

    Raises:
        UsageError: the home is not empty, or replica or keys are not what they should be.
        TransientError: a store did not answer.
    """
    manifest = read_manifest(replica)
    keys = keys or replica / "keys"
    if home.exists() and any(home.iterdir()):
        raise UsageError(f"{home} is not empty: name a new folder")
    if not (keys / "root.key").exists():
        raise UsageError(f"{keys} holds no key files: say with --keys where they are")
    started, began = time.monotonic(), datetime.now(UTC)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copytree(keys, home / "keys")
    update_settings(home, {"landing_bucket": manifest.landing_bucket})
    platform = Platform(stack.start_servers(home, progress=progress))
    apply_schema(platform.db)
    make_buckets(platform)
    waiting = restore(platform, replica, progress=progress)
    for number, batch in enumerate(waiting):
        progress(f"carrying batches: {number + 1} of {len(waiting)}")
        process(platform, batch)
    drain(platform)
    for tenant in manifest.contents:
        progress(f"feeding the history of {tenant}")
        while behind(platform, tenant):
            feed(platform, tenant)
    elapsed = time.monotonic() - started
    progress("comparing")
    compared = _compare(manifest, platform)
    waiting_objects = restore_waiting(platform, replica)
    newest = manifest.newest_landed_at
    return DrillReport(
        compared=compared,
        waiting_objects=waiting_objects,
        batches=len(waiting),
        rpo_s=(began - newest).total_seconds() if newest else None,
        rto_s=elapsed,
    )


def _compare(manifest: Manifest, platform: Platform) -> list[Compared]:
    compared = []
    for tenant, held in sorted(manifest.contents.items()):
        found = contents(platform, tenant)
        for name in sorted({*held, *found}):
            expected = held.get(name, Content(0, ""))
            compared.append(Compared(tenant, name, expected.members, expected == found.get(name, Content(0, ""))))
    return compared
