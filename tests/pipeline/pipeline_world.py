"""Fresh installations for the pipeline's tests, and all that two of them are compared by.

Every installation has a database and buckets of its own. The keys are shared: hashes and enterprise ids depend on
them, and must be equal for a comparison.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from installations import fresh_settings

from spv_platform.envelope.container import seal
from spv_platform.ledger import batches, contracts, objects
from spv_platform.ledger import quarantine as entries
from spv_platform.ledger.batches import DueBatch
from spv_platform.ledger.contracts import FeedContract
from spv_platform.ledger.objects import FoundObject
from spv_platform.pipeline import drain
from spv_platform.pipeline.criteria import refresh_criteria
from spv_platform.pipeline.landing.send import BUNDLE
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.reading import reader
from spv_platform.pipeline.setup import add_tenant, prepare_home
from spv_platform.pipeline.states import States
from spv_platform.pipeline.upkeep.reconcile import reconcile
from spv_platform.sample import trial_files
from spv_platform.settings import Settings, env_name

TENANT = "north"
FEEDS = ["emr", "lab"]
#: Columns that say how the platform came by a row, and the day of evaluation.
_OWN = ("_", "as_of")


@dataclass(frozen=True)
class World:
    """One installation with the tenants north and south, each with the feeds emr and lab."""

    platform: Platform

    @property
    def settings(self) -> Settings:
        return self.platform.settings

    def key(self, name: str, feed: str = "emr", tenant: str = TENANT) -> str:
        return f"{tenant}/{feed}/{name}"

    def sealed(self, name: str, plain: bytes, *, feed: str = "emr", keys_of: str = TENANT, **changes: str) -> bytes:
        place = {"tenant": TENANT, "key": self.key(name, feed), "content_type": BUNDLE, **changes}
        kek = self.platform.tenant_keys(keys_of).kek
        return seal(plain, kek=kek, bucket=self.settings.landing_bucket, **place)

    def put(self, key: str, body: bytes) -> str:
        """Land bytes as they are; the version of the object."""
        return self.platform.s3.put_object(Bucket=self.settings.landing_bucket, Key=key, Body=body)["VersionId"]

    def land(self, name: str, plain: bytes, *, feed: str = "emr", content_type: str = BUNDLE) -> str:
        """Seal and land one file of the tenant, and enter it into the ledger: landing order is the order of calls."""
        key = self.key(name, feed)
        body = self.sealed(name, plain, feed=feed, content_type=content_type)
        self.enter(
            FoundObject(self.settings.landing_bucket, key, self.put(key, body), len(body), "etag", datetime.now(UTC))
        )
        return key

    def enter(self, found: FoundObject) -> None:
        with self.platform.db.transaction() as cur:
            objects.discover(cur, [found])

    def tolerate_quarantine(self) -> None:
        """Let the feeds send as many bad entries as they like."""
        with self.platform.db.transaction() as cur:
            for feed in FEEDS:
                contracts.put_contract(cur, TENANT, feed, FeedContract(quarantine_limit=1))

    def drain(self) -> int:
        return drain.drain(self.platform)

    def form(self, size: int, tenant: str = TENANT) -> DueBatch:
        """A batch of the objects that have waited longest."""
        with self.platform.db.transaction() as cur:
            batch_id = batches.form(cur, tenant, max_objects=size, max_bytes=2**30)
        assert batch_id
        return DueBatch(batch_id, tenant, "load", 1)

    def process(self, batch: DueBatch) -> None:
        assert drain.process(self.platform, batch)

    def put_criteria(self, old: str = "", new: str = "") -> None:
        """Put the sample's trial files, with one text replaced by another, and read them."""
        files = {file.name: file.data.decode() for file in trial_files()}
        assert any(old in text for text in files.values())
        for name, text in files.items():
            body = text.replace(old, new) if old else text
            self.platform.s3.put_object(Bucket=self.settings.feeds_bucket, Key=name, Body=body.encode())
        refresh_criteria(self.platform)

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        with self.platform.db.transaction() as cur:
            cur.execute(query, parameters)
            return cur.fetchall()

    def read(self, table: str, tenant: str = TENANT) -> pl.DataFrame:
        """The current rows of a table; none before it is published."""
        opened = reader(self.platform, tenant)
        return opened.current(table).collect() if table in opened.tables() else pl.DataFrame()

    def let_time_pass(self, seconds: float = 600) -> None:
        """Let time pass for every lease, pause and request."""
        with self.platform.db.transaction() as cur:
            cur.execute(
                "UPDATE ops.batch SET lease_until = lease_until - make_interval(secs => %(s)s),"
                " requested_at = requested_at - make_interval(secs => %(s)s),"
                " not_before = not_before - make_interval(secs => %(s)s)",
                {"s": seconds},
            )
            cur.execute("UPDATE ops.publish_lease SET until = until - make_interval(secs => %s)", (seconds,))

    def worker(self, *arguments: str, fault: str = "") -> subprocess.Popen[bytes]:
        """A process that works through what waits, by default the real one; it is stopped at the fault, if any."""
        values = {f.name: getattr(self.settings, f.name) for f in dataclasses.fields(Settings) if f.name != "home"}
        env = {name: value for name, value in os.environ.items() if not name.startswith("SPV_")}
        env |= {env_name(name): str(value) for name, value in values.items()}
        env |= {"SPV_HOME": str(self.settings.home)} | ({"SPV_FAULT": fault} if fault else {})
        command = [sys.executable, *(arguments or ("-m", "spv_platform.pipeline.drain"))]
        return subprocess.Popen(command, env=env, stderr=subprocess.PIPE)


@contextmanager
def installation(servers: Settings, home: Path, keys: Path, **changes: Any) -> Iterator[World]:
    """A fresh installation, gone afterwards.

    Args:
        servers: the running stores.
        home: a folder of its own, made here.
        keys: the folder of keys, shared by all that are compared.
        changes: settings that differ from the defaults.
    """
    with fresh_settings(servers, home, keys_dir=keys, **changes) as settings:
        prepare_home(settings)
        world = World(Platform(settings))
        for tenant in (TENANT, "south"):
            add_tenant(world.platform, tenant, FEEDS)
        yield world
        world.platform.db.close()


def tables_of(world: World, tenant: str = TENANT) -> dict[str, list[str]]:
    """The current rows of every published table as sorted lines, without what only says how they came about."""
    opened = reader(world.platform, tenant)
    return {table: lines(opened.current(table).collect()) for table in opened.tables()}


def lines(frame: pl.DataFrame) -> list[str]:
    """Rows as sorted lines of JSON, without columns of the platform's own."""
    kept = frame.select(name for name in frame.columns if not name.startswith(_OWN))
    return sorted(json.dumps(row, default=str) for row in kept.to_dicts())


def records_of(world: World, tenant: str = TENANT) -> dict[str, tuple[Any, ...]]:
    """Every record's state, opened: person, whether its Patient is known, blocks, facts."""
    stored = world.rows("SELECT record, person_id, has_patient, blocks FROM ops.record_state WHERE tenant = %s", tenant)
    opened = States(world.platform, tenant).load(record.hex() for record, *_ in stored)
    facts = {name: lines(part.drop("record")) for (name,), part in opened.group_by("record")}
    return {
        record.hex(): (person, has_patient, sorted(block.hex() for block in blocks), facts[record.hex()])
        for record, person, has_patient, blocks in stored
    }


def ledger_of(world: World) -> list[dict[str, Any]]:
    """The ledger and what was set aside, in landing order; without attempts."""
    with world.platform.db.transaction() as cur:
        rows = objects.ledger_rows(cur)
        # batches that are in work at the same time set aside in either order
        set_aside = sorted(entries.list_entries(cur), key=lambda entry: entry["object_seq"])
    dropped = {"attempt", "id", "at", "object_seq"}
    found = [{name: value for name, value in row.items() if name not in dropped} for row in rows + set_aside]
    for row in found:
        row["object"] = row["object"].partition("/")[2].partition("@")[0]
    return found


def decisions_of(world: World) -> dict[str, list[tuple[Any, ...]]]:
    """Approvals in force or withdrawn, and the outbox."""
    return {
        "approvals": world.rows(
            "SELECT tenant, person_id, trial, cohort, status, event_id::text, evidence::text FROM ops.approval ORDER BY"
            " 1, 2, 3, 4"
        ),
        "outbox": world.rows("SELECT event_id::text, tenant, kind, payload::text FROM ops.outbox ORDER BY 1"),
    }


def approved(world: World) -> list[tuple[Any, ...]]:
    """Who is approved for what now."""
    return world.rows("SELECT person_id, trial, cohort FROM ops.approval WHERE status = 'approved' ORDER BY 1, 2, 3")


def everything(world: World) -> dict[str, Any]:
    """All that must be equal in two installations that were given the same objects in the same order.

    It is worth comparing only if all of it is accounted for.
    """
    assert not [each for each in reconcile(world.platform, TENANT, deep=True) if not each.balances]
    return {
        "tables": tables_of(world),
        "records": records_of(world),
        "ledger": ledger_of(world),
        **decisions_of(world),
    }


def reasons(world: World) -> dict[str, tuple[str, str | None]]:
    """State and reason of every object, by the last part of its key."""
    found = world.rows("SELECT key, state, reason FROM ops.object")
    return {key.rpartition("/")[2]: (state, reason) for key, state, reason in found}


def stopped(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process stands still."""
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        raise AssertionError(f"the worker ended with status {status}")


def go_on(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGCONT)
