"""Catalogs of every released schema are brought up to date and serve; see released/README.md."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from penstock.catalog.db.diagnostics import problems_of
from penstock.catalog.db.tables import metadata
from penstock.catalog.jobs.listing import JobFilter
from penstock.domain.jobs import JobState
from tests.support.catalogs import CLUSTER, new_job, opened_catalog
from tests.support.migrations import RELEASE_KEY, RELEASED
from tests.support.released import load_release

DUMPS = sorted(RELEASED.glob("*.sql"))


def test_there_are_released_schemas() -> None:
    assert DUMPS[0].stem == "0001"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalog.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.mark.parametrize("dump", DUMPS, ids=lambda each: each.stem)
def test_a_released_catalog_is_brought_up_to_date_and_serves(empty_database: str, dump: Path) -> None:
    load_release(dump, empty_database)
    with opened_catalog(empty_database, RELEASE_KEY) as catalog:
        with catalog.database.read() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        jobs = catalog.job_list.page(JobFilter(cluster_id=CLUSTER), limit=10)
        assert [job.state for job in jobs] == [JobState.PENDING, JobState.FAILED, JobState.COMPLETED]
        assert [job.rows for job in jobs] == [0, 0, 7]
        assert jobs[1].reason == "row 3 is bad"
        assert catalog.job_list.total(JobFilter(cluster_id=CLUSTER, created_after=0)) == 3
        assert problems_of(catalog.database) == []
        assert catalog.jobs.secret(jobs[0].id) == {"token": "t"}
        docs = catalog.collections.by_id(jobs[0].collection_id)
        assert docs is not None
        assert catalog.jobs.live_jobs(docs.id) == 1
        waiting = catalog.leases.claim("worker", 60_000)
        assert waiting is not None
        assert waiting.id == jobs[0].id
        assert catalog.jobs.insert(new_job(docs)).id > waiting.id
