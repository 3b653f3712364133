"""Where a process can be killed: the calls that take a job from one durable state to the next.

Where two stand at the same call they differ in the state that the job is about to reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from penstock.domain.jobs import JobState

__all__ = ["EXPORT_STEPS", "STEPS", "Step"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """``place`` is ``module:name`` or ``module:Class.name``. ``calls``: the calls that may be crash points.

    ``then`` leaves out calls that take a job to another state than this.
    """

    phase: str
    place: str
    process: Literal["server", "worker"] = "server"
    calls: tuple[int, ...] = (1,)
    then: JobState | None = None


_CLAIMS = "penstock.catalog.jobs.leases:JobLeases"
_PUBLISH = "penstock.engines.lance.write.publish"
_PARTS = (1, 2, 3, 4)

STEPS = {
    "insert": Step(phase="creating", place="penstock.catalog.jobs.jobs:JobRepository.insert"),
    "claim": Step(phase="claiming", place=f"{_CLAIMS}.claim", calls=(1, 2, 3)),
    "claim companions": Step(phase="claiming", place=f"{_CLAIMS}.claim_companions"),
    "begin": Step(phase="claiming", place=f"{_CLAIMS}.move", then=JobState.PLANNING),
    "begin companions": Step(phase="claiming", place=f"{_CLAIMS}.start_planning"),
    "locate": Step(phase="planning", place="penstock.imports.executor:resolve_files"),
    "cut": Step(phase="planning", place="penstock.imports.tasks:plan_files", process="worker"),
    "plan": Step(phase="planning", place="penstock.imports.executor:plan_ranges"),
    "save plan": Step(phase="planning", place=f"{_CLAIMS}.save_plan"),
    "batch": Step(
        phase="in a split", place="penstock.validation.conform:Conformer.conform", process="worker", calls=_PARTS
    ),
    "written": Step(
        phase="in a split",
        place="penstock.engines.lance.write.staging:write_fragments",
        process="worker",
        calls=_PARTS,
    ),
    "staged": Step(phase="in a split", place="penstock.imports.tasks:stage_split", process="worker", calls=_PARTS),
    "save split": Step(phase="in a split", place=f"{_CLAIMS}.save_split", calls=_PARTS),
    "progress": Step(phase="in a split", place=f"{_CLAIMS}.save_progress", calls=_PARTS),
    "intent": Step(phase="before the commit", place=f"{_CLAIMS}.move", then=JobState.COMMITTING),
    "publish": Step(phase="before the commit", place="penstock.engines.lance.engine:LanceEngine.publish"),
    "publish group": Step(phase="before the commit", place="penstock.engines.lance.engine:LanceEngine.publish_group"),
    "gathered": Step(phase="before the commit", place="penstock.imports.group_publication:_publish_together"),
    "check files": Step(phase="before the commit", place=f"{_PUBLISH}:_missing_files"),
    "engine commit": Step(phase="in the commit", place="lance.dataset:LanceDataset.commit"),
    "fsync": Step(phase="in the commit", place="penstock.engines.lance.layout.tables:TableRoot.sync_version"),
    "raise version": Step(
        phase="in the commit", place="penstock.catalog.collections.collections:CollectionRepository.raise_version"
    ),
    "committed": Step(phase="in the commit", place=f"{_CLAIMS}.record_publication"),
    "index": Step(phase="indexing", place="penstock.imports.maintenance:MaintenanceWorker.build"),
    "build": Step(phase="indexing", place="penstock.imports.maintenance_tasks:build_indexes", process="worker"),
    "extend": Step(
        phase="indexing", place="lance.dataset:DatasetOptimizer.optimize_indices", process="worker", calls=(1, 2)
    ),
    "index fsync": Step(
        phase="indexing", place="penstock.engines.lance.index.build:durable_indexes", process="worker"
    ),
    "completed": Step(phase="ending", place=f"{_CLAIMS}.move", then=JobState.COMPLETED),
    "replace": Step(phase="replacing", place="penstock.engines.lance.write.publish:with_new_rows"),
    "deletions": Step(phase="replacing", place="penstock.engines.lance.write.deletions:DeletionWriter.sync"),
    "begin revert": Step(phase="reverting", place="penstock.catalog.jobs.reversals:ReversalRepository.begin"),
    "restore": Step(phase="reverting", place="penstock.engines.lance.write.revert:_restored_fragments"),
    "revert commit": Step(phase="reverting", place="penstock.engines.lance.write.revert:commit_fragments"),
    "revert": Step(phase="reverting", place="penstock.engines.lance.engine:LanceEngine.revert"),
    "reverted": Step(phase="reverting", place=f"{_CLAIMS}.move", then=JobState.REVERTED),
}

_EXPORTS = "penstock.catalog.exports:ExportRepository"
EXPORT_STEPS = {
    "save export plan": Step(phase="planning", place=f"{_EXPORTS}.save_plan"),
    "write part": Step(phase="in a part", place="penstock.exports.tasks:write_part", process="worker"),
    "save part": Step(phase="in a part", place=f"{_EXPORTS}.save_part", calls=_PARTS),
    "end export": Step(phase="ending", place=f"{_EXPORTS}.end"),
}
"""The same for exports."""
