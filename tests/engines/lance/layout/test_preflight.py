"""Whether a store can hold tables."""

from __future__ import annotations

from penstock.engines.lance.layout.preflight import check
from penstock.engines.lance.layout.tables import TableCache, TableRoot
from tests.support.faulty_store import Faults, faulty_store
from tests.support.s3 import S3Server


def test_a_store_without_requests_that_delete_several_objects(s3: S3Server) -> None:
    bucket = s3.make_bucket()
    with faulty_store(s3.endpoint, Faults(unknown="POST "), seed=1) as proxy:
        options = s3.settings | {"endpoint": proxy.url}
        check(TableRoot(f"s3://{bucket}/tables", options, TableCache(is_remote=True)))
    assert s3.keys(bucket) == []
