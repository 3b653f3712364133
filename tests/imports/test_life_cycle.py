"""Anything that users and crashes may do to jobs, in any order, against a model of what must come of it.

The catalog, the import service and the executor are the real ones; rows are kept by an engine in memory that knows
every step. At each step of a running job something may happen: the process dies, the store fails for a moment or for
good, somebody aborts, or another process takes the job over while this one sleeps and then wakes up.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from cryptography.fernet import Fernet
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from penstock.catalog import Catalog, open_catalog
from penstock.collections.collections import CollectionService
from penstock.domain.access import ANONYMOUS
from penstock.domain.collections import CollectionSettings
from penstock.domain.jobs import REOPENINGS, TRANSITIONS, JobState
from penstock.engines.base import Engine
from penstock.errors import CollectionNotFound, InvalidParameter, JobStateConflict, StorageFull, StorageUnavailable
from penstock.imports.cleanup import delete_staged_files
from penstock.imports.context import ImportContext
from penstock.imports.executor import Executor
from penstock.imports.maintenance import MaintenanceWorker
from penstock.imports.requests import CreateImport, StoreCredentials
from penstock.imports.service import ImportService
from penstock.runners.fair_share import FairShareRunner
from penstock.sources.roots import ImportRoots
from tests.support.catalogs import CLUSTER, SCHEMA, migrated_file
from tests.support.doubles import InlineRunner, MemoryEngine
from tests.support.engines import only
from tests.support.examples import examples
from tests.support.worlds import job_settings

SETTINGS = job_settings(split_bytes=60, max_attempts=2, retry_pause=0.0)
FILES = ("a", "b", "bad")
STEPS = ("stage", "staged", "publish", "published", "index", "revert", "reverted")
MODES = ("append", "append", "upsert", "overwrite")
EVENTS = ("nothing", "crash", "hiccup", "outage", "full", "abort", "takeover")


KEY = Fernet.generate_key()


class Crash(BaseException):
    """The process dies here; nothing that it does afterwards has any effect."""


class Mortal:
    """A store or engine as a process sees it: once the process is dead, every call ends it again."""

    def __init__(self, inner: Any, process: Process) -> None:
        self._inner = inner
        self._process = process

    def __getattr__(self, name: str) -> Any:
        if self._process.is_dead:
            raise Crash
        return getattr(self._inner, name)

    @property
    def maintainable(self) -> Mortal:
        return self


@dataclass
class Process:
    is_dead: bool = False


@dataclass
class Known:
    """What the model knows of a job."""

    collection_id: str
    file: str
    auto_commit: bool
    mode: str = "append"
    state: JobState = JobState.PENDING
    progress: int = 0


def reachable(start: JobState) -> set[JobState]:
    """All states that a job may come to by itself or by commit, abort and revert."""
    found, ahead = {start}, [start]
    while ahead:
        state = ahead.pop()
        ways = TRANSITIONS[state] | (REOPENINGS[state] if state is JobState.COMPLETED else frozenset())
        for each in ways - found:
            found.add(each)
            ahead.append(each)
    return found


class LifeCycle(RuleBasedStateMachine):
    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="penstock-life-"))
        (self.folder / "files").mkdir()
        self.catalog: Catalog = open_catalog(f"sqlite:///{migrated_file(self.folder)}", KEY)
        self.catalog.clusters.ensure(CLUSTER, "local")
        self.engine = MemoryEngine()
        self.roots = ImportRoots([str(self.folder / "files")])
        engines = only(cast(Engine, self.engine))
        self.imports = ImportService(self.catalog, engines, self.roots, SETTINGS, lambda: None)
        self.collections = CollectionService(self.catalog, engines, lambda: None)
        self.known: dict[int, Known] = {}
        self.keys: dict[tuple[str, str], tuple[int, str, bool, str]] = {}
        self.replaced: dict[int, list[tuple[int, int]]] = {}
        self.troubled: set[int] = set()
        self.mended = False
        self.died = False

    def teardown(self) -> None:
        try:
            self.everything_comes_to_an_end()
        finally:
            self.catalog.close()
            shutil.rmtree(self.folder)

    @initialize()
    def begin(self) -> None:
        self.collection_id = self.new_collection()
        for number, name in enumerate(FILES):
            self.write(name, number, bad=name == "bad")

    # What users do

    @rule(
        target=jobs,
        file=st.sampled_from(FILES),
        auto_commit=st.booleans(),
        mode=st.sampled_from(MODES),
        key=st.sampled_from([None, None, "one", "two"]),
    )
    def create(self, file: str, auto_commit: bool, mode: str, key: str | None) -> int:
        request = CreateImport(
            caller=ANONYMOUS,
            cluster_id=CLUSTER,
            collection="docs",
            groups=[[f"{file}.jsonl"]],
            options={"auto_commit": str(auto_commit).lower(), "write_mode": mode},
            idempotency_key=key,
        )
        earlier = self.keys.get((self.collection_id, key)) if key else None
        if earlier and earlier[1:] != (file, auto_commit, mode):
            try:
                self.imports.create(request)
            except InvalidParameter:
                return earlier[0]
            raise AssertionError("another request got through under a key that is taken")
        job = self.imports.create(request)
        if earlier:
            assert job.id == earlier[0], "one key made two jobs"
            return job.id
        assert job.id not in self.known
        self.known[job.id] = Known(self.collection_id, file, auto_commit, mode)
        if key:
            self.keys[self.collection_id, key] = (job.id, file, auto_commit, mode)
        return job.id

    @rule(job_id=jobs)
    def commit(self, job_id: int) -> None:
        before = self.catalog.jobs.get(CLUSTER, job_id)
        allowed = not before.auto_commit and (before.state is JobState.UNCOMMITTED or before.state.is_committed)
        assert self.is_allowed(lambda: self.imports.commit(CLUSTER, job_id, ANONYMOUS)) == allowed

    @rule(job_id=jobs)
    def abort(self, job_id: int) -> None:
        before = self.catalog.jobs.get(CLUSTER, job_id)
        assert self.is_allowed(lambda: self.imports.abort(CLUSTER, job_id, ANONYMOUS)) == (
            not before.state.is_committed and before.state is not JobState.REVERTED
        )
        after = self.catalog.jobs.get(CLUSTER, job_id)
        if not before.state.is_final:
            assert (after.state, after.reason) == (JobState.ABORTED, "aborted by user") or before.state.is_committed

    @rule(job_id=jobs)
    def retry(self, job_id: int) -> None:
        before = self.catalog.jobs.get(CLUSTER, job_id)
        allowed = before.state is JobState.FAILED and before.collection_id == self.collection_id
        if self.is_allowed(lambda: self.imports.retry(CLUSTER, job_id, StoreCredentials(), ANONYMOUS)):
            assert allowed
            self.known[job_id].state = JobState.PENDING
        else:
            assert not allowed

    @rule(job_id=jobs)
    def revert(self, job_id: int) -> None:
        """Refused where a later job that stands has replaced rows of it; its rows are told by the engine."""
        before = self.catalog.jobs.get(CLUSTER, job_id)
        known = self.known[job_id]
        is_there = known.collection_id == self.collection_id
        whole = sorted(self.engine.rows(known.collection_id, job_id)) == self.ids(known.file)
        allowed = before.state in (JobState.REVERTING, JobState.REVERTED) or (
            before.state is JobState.COMPLETED and is_there and whole
        )
        assert self.is_allowed(lambda: self.imports.revert(CLUSTER, job_id, ANONYMOUS)) == allowed
        if before.state is JobState.COMPLETED and allowed:
            assert self.catalog.jobs.get(CLUSTER, job_id).state is JobState.REVERTING

    @rule()
    def mend_the_bad_file(self) -> None:
        self.mended = True
        self.write("bad", FILES.index("bad"))

    @rule()
    def drop_the_collection(self) -> None:
        self.collections.drop(CLUSTER, "default", "docs")
        self.collection_id = self.new_collection()

    # What servers do

    @rule(step=st.sampled_from(STEPS), count=st.integers(1, 4), event=st.sampled_from(EVENTS))
    def work(self, step: str, count: int, event: str) -> None:
        """Claim the next job and run it; something may happen when it comes to a step for the ``count``-th time."""
        process = Process()
        job = self.catalog.leases.claim("worker", 60_000)
        if job is None:
            return
        left = [count]

        def hook(at: str) -> None:
            if at != step or event == "nothing":
                return
            left[0] -= 1
            if left[0] == 0 or (event == "outage" and left[0] < 0):
                self.happen(event, job.id, process)

        self.run(job, process, hook)

    def happen(self, event: str, job_id: int, process: Process) -> None:
        if event == "crash":
            self.died = process.is_dead = True
            raise Crash
        if event in ("hiccup", "outage", "full"):
            self.troubled.add(job_id)
        if event in ("hiccup", "outage"):
            raise StorageUnavailable("the store is away")
        if event == "full":
            raise StorageFull("No space is left")
        if event == "abort":
            self.is_allowed(lambda: self.imports.abort(CLUSTER, job_id, ANONYMOUS))
        if event == "takeover":
            self.catalog.leases.release_all()
            other = self.catalog.leases.claim("another", 60_000)
            if other is not None:
                self.run(other, Process(), lambda at: None)

    def run(self, job: Any, process: Process, hook: Callable[[str], None]) -> None:
        catalog = replace(self.catalog, leases=cast(Any, Mortal(self.catalog.leases, process)))
        engines = only(cast(Engine, Mortal(self.engine, process)))
        runner = InlineRunner()
        context = ImportContext(catalog, engines, runner, self.roots, SETTINGS)
        outer, self.engine.hook = self.engine.hook, hook
        try:
            maintenance = MaintenanceWorker(
                catalog, engines, FairShareRunner(runner), context.observer, context.settings
            )
            Executor(context, maintenance).run(job, threading.Event())
        except Crash:
            assert process.is_dead
        finally:
            self.engine.hook = outer

    @rule()
    def restart(self) -> None:
        self.catalog.leases.release_all()

    @rule(window=st.sampled_from([0.0, 3600.0]))
    def tidy(self, window: float) -> None:
        delete_staged_files(
            ImportContext(
                self.catalog,
                only(cast(Engine, self.engine)),
                InlineRunner(),
                self.roots,
                replace(SETTINGS, staged_file_retention=window),
            )
        )

    # What must hold after each of them

    @invariant()
    def everything_is_in_order(self) -> None:
        self.states_are_legal_and_progress_never_falls()
        self.rows_are_visible_once_and_only_of_committed_jobs()
        self.counters_are_right()
        self.what_a_job_may_still_need_is_there()

    def states_are_legal_and_progress_never_falls(self) -> None:
        for job_id, known in self.known.items():
            job = self.catalog.jobs.get(CLUSTER, job_id)
            assert job.state in reachable(known.state), f"{known.state} became {job.state}"
            assert job.progress >= known.progress
            assert (job.finished_at is not None) == job.state.is_final
            assert (job.reason is not None) == job.has_failed or job.state is JobState.REVERTING
            assert not (job.reason or "").startswith("internal error"), job.reason
            ended_well = (JobState.COMPLETED, JobState.REVERTING, JobState.REVERTED)
            assert (job.progress == 100) == (job.state in ended_well)
            if job.state is JobState.UNCOMMITTED:
                assert not job.auto_commit
            known.state, known.progress = job.state, job.progress

    def rows_are_visible_once_and_only_of_committed_jobs(self) -> None:
        """The visible rows are those that the commits and reverts leave, in the order in which they came."""
        expected: list[tuple[int, int]] = []
        of_collection = self.engine.log.get(self.collection_id, [])
        for action, job_id in of_collection:
            known = self.known[job_id]
            ids = self.ids(known.file)
            if action == "publish":
                replaced = [
                    row for row in expected if known.mode == "overwrite" or (known.mode == "upsert" and row[1] in ids)
                ]
                self.replaced[job_id] = replaced
                expected = [row for row in expected if row not in replaced] + [(job_id, key) for key in ids]
            else:
                expected = [row for row in expected if row[0] != job_id] + self.replaced[job_id]
        for job_id, known in self.known.items():
            if known.collection_id != self.collection_id:
                continue
            rows = self.engine.rows(known.collection_id, job_id)
            assert sorted(rows) == sorted(key for owner, key in expected if owner == job_id)
            actions = [action for action, owner in of_collection if owner == job_id]
            if known.state in (JobState.INDEXING, JobState.COMPLETED):
                assert actions == ["publish"]
            elif known.state is JobState.REVERTED:
                assert actions == ["publish", "revert"]
                assert rows == []
            elif not known.state.is_committed:
                assert actions == []

    def counters_are_right(self) -> None:
        found = Counter(known.state for known in self.known.values())
        counted = self.catalog.jobs.count_by_state(CLUSTER)
        assert {state: number for state, number in counted.items() if number} == found

    def what_a_job_may_still_need_is_there(self) -> None:
        for job_id, known in self.known.items():
            if known.collection_id != self.collection_id:
                continue
            for split in self.catalog.jobs.splits(job_id):
                if split.staged:
                    assert set(split.staged["note"]["files"]) <= set(self.engine.files)

    def everything_comes_to_an_end(self) -> None:
        """With nothing in the way, each job comes to its end, and no file is left but those of crashed processes."""
        if not hasattr(self, "collection_id"):
            return
        self.catalog.leases.release_all()
        with self.catalog.database.write() as connection:
            connection.exec_driver_sql("UPDATE job SET run_after = 0")
        while (job := self.catalog.leases.claim("last", 60_000)) is not None:
            self.run(job, Process(), lambda at: None)
        self.everything_is_in_order()
        for job_id, known in self.known.items():
            assert known.state.is_final or known.state is JobState.UNCOMMITTED
            if known.state is JobState.FAILED and known.collection_id == self.collection_id:
                assert known.file == "bad" or job_id in self.troubled, "nothing stood in its way"
        self.tidy(0.0)
        if self.died:
            return
        needed = {
            name
            for job_id, known in self.known.items()
            if known.state in (JobState.UNCOMMITTED, JobState.COMPLETED, JobState.REVERTED)
            for split in self.catalog.jobs.splits(job_id)
            for name in split.staged["note"]["files"]
        }
        mine = {name for name in self.engine.files if name.startswith(self.collection_id)}
        assert mine <= needed, "files were left that belong to no job"

    # Helpers

    def new_collection(self) -> str:
        return self.collections.create(CLUSTER, "default", "docs", SCHEMA, CollectionSettings()).id

    def ids(self, file: str) -> list[int]:
        return [100 * FILES.index(file) + number for number in range(5)]

    def write(self, name: str, number: int, bad: bool = False) -> None:
        rows = [{"id": key, "vector": [1, 2, 3, 4]} for key in self.ids(name)]
        if bad:
            rows[-1]["vector"] = []
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (self.folder / "files" / f"{name}.jsonl").write_text(text)

    def is_allowed(self, call: Callable[[], object]) -> bool:
        try:
            call()
        except (JobStateConflict, CollectionNotFound):
            return False
        return True


WAYS_BACK = {JobState.FAILED: {JobState.PENDING}, JobState.COMPLETED: {JobState.REVERTING}}
assert WAYS_BACK == REOPENINGS, "the model knows two ways out of a final state"

TestLifeCycle = LifeCycle.TestCase
TestLifeCycle.settings = settings(max_examples=examples(12, 100), stateful_step_count=30, deadline=None)
