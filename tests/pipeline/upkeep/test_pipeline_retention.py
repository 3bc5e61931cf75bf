"""What is deleted is what nothing asks for any more; whatever happens beside it, readers and stagers miss nothing."""

import dataclasses
import json
import signal
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from typing import Any

import pytest
from pipeline_bundles import at, bundle, deletes, patient, result
from pipeline_world import TENANT, World, everything, lines, tables_of

from spv_platform.errors import LeaseLostError, SpvError, TransientError
from spv_platform.lake import compact
from spv_platform.lake.store import Lake
from spv_platform.ledger import batches, decisions
from spv_platform.pipeline import claims, drain, gate, stage
from spv_platform.pipeline.claims import hold
from spv_platform.pipeline.platform import Platform
from spv_platform.pipeline.reading import reader
from spv_platform.pipeline.setup import add_tenant
from spv_platform.pipeline.stage import stage_batch
from spv_platform.pipeline.upkeep.compact import form_at_once, form_compactions
from spv_platform.pipeline.upkeep.retention import RetentionReport, retain

#: Nothing is spared for being young: only what the ledger needs.
AT_ONCE = {"collect_after_hours": 0.0, "keep_publications_days": 0.0}


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every published row is reason enough for a new base."""
    monkeypatch.setattr(compact, "_LEAST_TAIL_ROWS", 1)
    monkeypatch.setattr(compact, "_TAIL_SHARE", 0)


def files(world: World, kind: str = "log", tenant: str = TENANT) -> set[str]:
    return {file.path for file in world.platform.lake.files(tenant, kind)}


def data_files(world: World, kind: str = "log") -> set[str]:
    return {path for path in files(world, kind) if "/_delta_log/" not in path}


def with_settings(world: World, **changes: Any) -> Platform:
    return Platform(dataclasses.replace(world.settings, **changes))


def land(world: World, number: int) -> None:
    name = f"p{number}"
    world.land(name, bundle(patient(name, mrn=name), result(f"r{number}", name, number)))


def compacted(world: World) -> None:
    form_compactions(world.platform)
    world.drain()


def staged(world: World, run_id: str, batch_id: str) -> claims.Holding:
    with hold(world.platform, run_id, TENANT, batch_id) as holding:
        assert holding
        stage_batch(world.platform, holding)
        return holding


def test_files_that_a_displaced_worker_wrote_after_the_take_over_are_collected(
    new_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = new_world(**AT_ONCE)
    land(world, 1)
    batch_id = world.form(10).batch_id
    published: set[str] = set()
    opened = stage.open_item

    def stand_still(*arguments: Any) -> Any:
        """The worker hangs, is displaced, and goes on."""
        monkeypatch.setattr(stage, "open_item", opened)
        world.let_time_pass()
        world.drain()
        published.update(data_files(world))
        return opened(*arguments)

    monkeypatch.setattr(stage, "open_item", stand_still)
    with pytest.raises(LeaseLostError):
        staged(world, "displaced", batch_id)
    left = data_files(world) - published
    assert {path.rpartition("/")[2] for path in left} == {"1-0.parquet"}
    assert retain(world.platform, dry_run=False).staged_files == len(left) == 2
    assert data_files(world) == published


def test_what_an_open_batch_has_staged_is_kept_and_published(new_world: Callable[..., World]) -> None:
    world = new_world(**AT_ONCE)
    land(world, 1)
    due = world.form(10)
    run_id = str(uuid.uuid4())
    staged(world, run_id, due.batch_id)
    before = data_files(world)
    assert before
    assert retain(world.platform, dry_run=False, whole=True).staged_files == 0
    assert data_files(world) == before
    claims.let_go(world.platform, run_id)
    world.let_time_pass()
    world.drain()
    assert world.read("patient").height == 1


def test_what_a_batch_left_that_is_set_aside_goes_and_its_release_makes_it_anew(
    new_world: Callable[..., World],
) -> None:
    world = new_world(**AT_ONCE)
    world.land("bad", bundle(patient("a", birth="1850-05-05")))
    world.tolerate_quarantine()
    world.land("odd", bundle(patient("b", birth="2999-01-01")))
    world.drain()
    ((batch_id, state),) = world.rows("SELECT batch_id, state FROM ops.batch")
    assert state == "set_aside"
    assert data_files(world)
    report = retain(world.platform, dry_run=False)
    assert report.staged_files >= 1
    assert report.rows >= 1
    assert not data_files(world)
    with world.platform.db.transaction() as cur:
        decisions.release(cur, batch_id, waive=True)
    world.drain()
    assert world.read("patient").height == 2


def test_young_files_are_left_alone(new_world: Callable[..., World]) -> None:
    world = new_world()
    world.land("odd", bundle(patient("b", birth="2999-01-01")))
    world.drain()
    before = data_files(world)
    assert before
    report = retain(world.platform, dry_run=False, whole=True)
    assert (report.staged_files, report.base_files, report.commits) == (0, 0, 0)
    assert data_files(world) == before


def test_files_of_batches_that_the_ledger_does_not_know_are_left_alone_and_counted(
    new_world: Callable[..., World],
) -> None:
    world = new_world(**AT_ONCE)
    land(world, 1)
    world.drain()
    lake = world.platform.lake
    lake.put(TENANT, lake.url(TENANT, "log", "patient", "other/1-0.parquet"), BytesIO(b"x"))
    report = retain(world.platform, dry_run=False, whole=True)
    assert (report.unknown_files, report.staged_files) == (1, 0)
    assert "log/patient/other/1-0.parquet" in files(world)


@pytest.mark.usefixtures("often")
def test_replaced_bases_go_and_every_publication_can_still_be_read(new_world: Callable[..., World]) -> None:
    world = new_world(**AT_ONCE, keep_publications=2)
    for number in range(4):
        land(world, number)
        world.drain()
        compacted(world)
    newest = reader(world.platform, TENANT).seq
    before = {
        seq: lines(reader(world.platform, TENANT, seq).current("patient").collect()) for seq in range(1, newest + 1)
    }
    bases = data_files(world, "current")
    dry = retain(world.platform, dry_run=True)
    assert data_files(world, "current") == bases
    report = retain(world.platform, dry_run=False)
    assert dry == report
    assert report.base_files == len(bases - data_files(world, "current")) > 0
    pinned = {
        path
        for seq in (newest - 1, newest)
        for table, pins in reader(world.platform, TENANT, seq).publication.tables.items()
        if pins.get("current") is not None
        for path in (
            f"current/{table}/{name}"
            for name in world.platform.lake.open(TENANT, "current", table, pins["current"])
            .get_add_actions(flatten=True)
            .column("path")
            .to_pylist()
        )
    }
    assert data_files(world, "current") == pinned
    fresh = Platform(world.settings)
    for seq, rows in before.items():
        assert lines(reader(fresh, TENANT, seq).current("patient").collect()) == rows
    assert retain(world.platform, dry_run=False).base_files == 0


@pytest.mark.usefixtures("often")
def test_what_a_compaction_has_written_and_not_pinned_is_kept(new_world: Callable[..., World]) -> None:
    world = new_world(**AT_ONCE, keep_publications=1)
    land(world, 1)
    world.drain()
    compacted(world)
    land(world, 2)
    world.drain()
    assert form_at_once(world.platform, TENANT)
    assert form_at_once(world.platform, TENANT) is None
    opened = reader(world.platform, TENANT)
    compact.compact(world.platform.lake, TENANT, "patient", opened.lake_reader)
    bases = data_files(world, "current")
    assert retain(world.platform, dry_run=False).base_files == 0
    assert data_files(world, "current") == bases
    world.let_time_pass()
    world.drain()
    assert world.read("patient").height == 2


@pytest.mark.slow
def test_old_commits_of_the_logs_go_and_who_had_the_log_open_goes_on(new_world: Callable[..., World]) -> None:
    world = new_world(**AT_ONCE, keep_publications=1, batch_max_objects=1)
    land(world, 0)
    world.drain()
    idle = Platform(world.settings)
    idle.lake.ensure_table(TENANT, "log", "patient")
    for number in range(1, 28):
        land(world, number)
    world.drain()
    commits = {path for path in files(world) if path.startswith("log/patient/_delta_log/")}
    report = retain(world.platform, dry_run=False)
    gone = commits - files(world)
    assert report.commits >= len(gone) == 24
    fresh = Platform(world.settings)
    assert reader(fresh, TENANT).stored_rows("patient") == 28
    assert reader(fresh, TENANT).stored("patient").collect().height == 28
    land(world, 28)
    assert World(idle).drain() == 1
    land(world, 29)
    assert World(fresh).drain() == 1
    assert world.read("patient").height == 30
    everything(world)


def test_one_tenants_trouble_does_not_keep_the_files_of_others(
    new_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = new_world(**AT_ONCE)
    world.land("odd", bundle(patient("b", birth="2999-01-01")))
    world.drain()
    listed = Lake.files

    def fail_south(lake: Lake, tenant: str, *folder: str) -> Any:
        if tenant == "a-bad-one":
            raise TransientError("store_unavailable", "lake")
        return listed(lake, tenant, *folder)

    add_tenant(world.platform, "a-bad-one", ["emr"])
    monkeypatch.setattr(Lake, "files", fail_south)
    report = retain(world.platform, dry_run=False)
    assert report.failed_tenants == "a-bad-one: store_unavailable"
    assert report.staged_files == 2  # of its patients and of what its feed is made of


def test_output_of_old_runs_goes(new_world: Callable[..., World]) -> None:
    world = new_world()
    bucket = world.settings.logs_bucket
    world.platform.s3.put_object(Bucket=bucket, Key="dagster/storage/run/compute_logs/a.err", Body=b"x")
    local = world.settings.home / "dagster" / "compute_logs" / "storage"
    local.mkdir(parents=True)
    (local / "a.err").write_text("x")
    assert retain(world.platform, dry_run=False).outputs == 0
    short = with_settings(world, keep_runs_days=0.0, collect_after_hours=0.0)
    assert retain(short, dry_run=True).outputs == 2
    assert retain(short, dry_run=False).outputs == 2
    assert retain(short, dry_run=False).outputs == 0
    assert not list(local.iterdir())


def test_a_told_alert_is_forgotten_unless_its_batch_is_still_set_aside(new_world: Callable[..., World]) -> None:
    world = new_world()
    world.land("odd", bundle(patient("b", birth="2999-01-01")))
    world.drain()
    short = with_settings(world, keep_runs_days=0.0)
    with world.platform.db.transaction() as cur:
        cur.execute(
            "INSERT INTO ops.alert (subject, reason, episode, batch_id, told_at)"
            " SELECT batch_id, reason, '1', batch_id, now() FROM ops.batch"
        )
        cur.execute("INSERT INTO ops.alert (subject, reason, episode, told_at) VALUES ('sweep', 'run_died', '', now())")
        cur.execute("INSERT INTO ops.alert (subject, reason, episode) VALUES ('retain', 'run_died', '')")
    retain(short, dry_run=False)
    assert world.rows("SELECT reason, told_at IS NULL FROM ops.alert ORDER BY 1, 2") == [
        ("gate_failed", False),
        ("run_died", True),
    ]


RETAIN = (
    "from spv_platform.pipeline.platform import Platform\n"
    "from spv_platform.pipeline.upkeep.retention import retain\n"
    "from spv_platform.settings import load_settings\n"
    "retain(Platform(load_settings()), dry_run=False)\n"
)


@pytest.mark.usefixtures("often")
def test_a_retention_that_is_killed_is_made_good_by_the_next_one(new_world: Callable[..., World]) -> None:
    world = new_world(**AT_ONCE, keep_publications=1)
    for number in range(2):
        land(world, number)
        world.drain()
        compacted(world)
    world.land("odd", bundle(patient("odd", birth="2999-01-01")))
    world.drain()
    expected = everything(world)
    for occurrence in (1, 1):
        process = world.worker("-c", RETAIN, fault=f"file_deleted@{occurrence}")
        process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL
        assert everything(world) == expected
    retain(world.platform, dry_run=False)
    assert everything(world) == expected
    report = retain(world.platform, dry_run=False)
    assert (report.staged_files, report.base_files, report.commits) == (0, 0, 0)
    land(world, 9)
    world.drain()
    compacted(world)
    everything(world)


def objects(count: int) -> list[bytes]:
    """Objects that change and delete each other's resources, so that their order of landing matters."""
    made = []
    for number in range(count):
        name = f"p{number % 5}"
        dated = at(f"2026-01-{1 + number % 28:02}T00:00:00Z", result(f"d{number % 3}", name, number))
        entries = [patient(name, mrn=name), result("same", "p0", number % 4), result(f"r{number}", name, number), dated]
        made.append(deletes(f"Observation/r{number - 3}") if number % 6 == 5 else bundle(*entries))
    return made


@pytest.mark.usefixtures("often")
@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_eight_stagers_beside_compaction_retention_and_readers_come_to_what_one_worker_does(
    new_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    # Great Expectations is not made for threads; a run has a process of its own.
    one_at_a_time, judge = threading.Lock(), gate.judge

    def judge_alone(*arguments: Any) -> Any:
        with one_at_a_time:
            return judge(*arguments)

    monkeypatch.setattr(gate, "judge", judge_alone)
    files = objects(32)
    calm = new_world()
    world = new_world(**AT_ONCE, keep_publications=2, max_attempts=50)
    for each in (calm, world):
        each.tolerate_quarantine()
        for number, plain in enumerate(files):
            each.land(f"{number:02}", plain)
    calm.drain()
    formed = [world.form(1 + (number // seed) % 2) for number in range(len(files)) if waiting(world)]
    over = threading.Event()
    trouble: list[BaseException] = []
    reports: list[RetentionReport] = []

    def again(work: Callable[[], object]) -> None:
        try:
            while not over.is_set():
                work()
        except BaseException as error:  # it is shown where the test ends
            trouble.append(error)

    def compaction() -> None:
        batch_id = form_at_once(world.platform, TENANT)
        if batch_id:
            carry(world, batches.DueBatch(batch_id, TENANT, "compact", 1))
        collect()

    def collect() -> None:
        reports.append(retain(world.platform, dry_run=False, whole=True))

    def look() -> None:
        for table in reader(world.platform, TENANT).tables():
            opened = reader(world.platform, TENANT)
            try:
                opened.current(table).collect()
            except Exception:  # it may fail only if it was overtaken by more publications than are kept
                if reader(world.platform, TENANT).seq < opened.seq + world.settings.keep_publications:
                    raise

    work = (compaction, collect, look)
    others = [threading.Thread(target=again, args=(each,)) for each in work]
    for thread in others:
        thread.start()
    with ThreadPoolExecutor(8) as pool:
        for start in range(0, len(formed), 8):
            list(pool.map(lambda due: carry(world, due), formed[start : start + 8]))
            compaction()
    over.set()
    for thread in others:
        thread.join()
    assert not trouble
    world.let_time_pass()
    world.drain()
    assert sum(report.base_files for report in reports) > 0
    assert everything(world) == everything(calm)
    assert tables_of(World(Platform(world.settings))) == tables_of(calm)


def waiting(world: World) -> int:
    ((count,),) = world.rows("SELECT count(*) FROM ops.object WHERE state = 'landed' AND batch_id IS NULL")
    return int(count)


def carry(world: World, due: batches.DueBatch) -> None:
    """One batch, as a run of its own; a busy machine may lose it to nobody, and then a later one carries it."""
    with suppress(SpvError):
        drain.process(world.platform, due)


def test_the_report_is_plain_numbers(new_world: Callable[..., World]) -> None:
    world = new_world()
    row = retain(world.platform, dry_run=True).as_row()
    assert json.loads(json.dumps(row)) == row
