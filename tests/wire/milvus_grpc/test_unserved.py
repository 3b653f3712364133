"""Methods that are not served: known to Milvus, each with the alternative that the REST call of the same has."""

from __future__ import annotations

from penstock.collections.unserved import UNSERVED
from penstock.wire.milvus_grpc.stubs import METHODS
from penstock.wire.milvus_grpc.unserved import REST_CALLS


def test_the_table_names_methods_and_calls_that_exist() -> None:
    assert REST_CALLS.keys() <= METHODS.keys()
    assert set(REST_CALLS.values()) <= UNSERVED.keys()
