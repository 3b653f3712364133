"""The step of a job that verifies its committed rows: the import option ``verify``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import wait
from dataclasses import replace
from typing import Any

from penstock.domain.jobs import JobWarning
from penstock.errors import CatalogError, LeaseLost, TaskCancelled
from penstock.imports.context import staged_of
from penstock.imports.leased_job import LeasedJob, logged
from penstock.imports.staging import stage_task
from penstock.imports.verification import VerifyTask, verify_job
from penstock.runners.base import Runner
from penstock.sources.base import Location

_CHECK_SECONDS = 0.2


def verify_committed_rows(
    leased: LeasedJob, runner: Runner, locations: Mapping[int, Sequence[Location]]
) -> tuple[Mapping[str, Any] | None, list[JobWarning]]:
    """Verify the committed rows; problems are warnings, as the rows are visible.

    Raises:
        TaskCancelled: the process stops.
        CatalogError, LeaseLost
    """
    catalog, job = leased.context.catalog, leased.job
    collection = catalog.collections.by_id(job.collection_id)
    if collection is None:
        return None, []
    splits = catalog.jobs.splits(job.id)
    try:
        collection = replace(collection, schema=collection.schema.first_fields(job.field_count))
        task = VerifyTask(
            stage=stage_task(leased, collection, locations),
            splits=splits,
            staged=[staged_of(split.staged) for split in splits],
            rows=job.rows,
            files=catalog.jobs.files(job.id),
            specs=catalog.collections.indexes(collection.id),
            memory_limit=leased.context.settings.worker_memory,
        )
        handle = runner.submit(verify_job, task)
        while not wait([handle.future], _CHECK_SECONDS).done:
            if leased.stop.is_set():
                handle.cancel()
                raise TaskCancelled("the server is stopping; the rows are verified after its restart")
            leased.save_indexing(1.0)
        result: Mapping[str, Any] = handle.future.result()
    except (LeaseLost, TaskCancelled, CatalogError):
        raise
    except Exception as error:  # noqa: BLE001 - else a committed job would be tried again for ever
        leased.log.warning("job.not_verified", **logged(error))
        text = f"the rows are committed, but they could not be verified: {error}"
        return {"ok": False, "problems": [text]}, [JobWarning(code="not_verified", message=text)]
    return result, [
        JobWarning(code="verification_failed", message=f"VERIFICATION FAILED, the rows are committed: {problem}")
        for problem in result["problems"]
    ]
