"""A large index is built in groups of its rows, each of which could be on another host."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import lance
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.index import IndexSpec, Metric
from penstock.engines.lance import LanceEngine
from penstock.engines.lance.index import build, distributed, mapping, optimize
from penstock.engines.lance.index.distributed import cut
from penstock.engines.lance.index.segments import MAX_APPENDED
from penstock.engines.values import BuiltGroup, DistributedBuild, SearchRequest
from penstock.errors import StorageConflict
from tests.engines.maintenance.test_optimizing import DIM, ROWS, VECTOR, Growing
from tests.support.exact_search import exact, ids, nearest


@pytest.fixture(autouse=True)
def small_indexes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thresholds from which on indexes are built by groups, so that two thousand rows are a large index."""
    monkeypatch.setattr(mapping, "LEAST_VECTOR_BYTES", 2 * ROWS * DIM * 4)
    monkeypatch.setattr(mapping, "PARTITION_ROWS", 128)
    monkeypatch.setattr(build, "MAX_UNINDEXED_ROWS", 0)
    monkeypatch.setattr(optimize, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(distributed, "LEAST_GROUP_BYTES", ROWS * DIM * 4 // 2)


@pytest.fixture
def growing(lance_on_a_disk: LanceEngine, tmp_path: Path) -> Growing:
    return Growing.of(lance_on_a_disk, tmp_path)


def planned(growing: Growing, hosts: int = 4) -> DistributedBuild:
    found = growing.engine.plan_distributed(growing.table, growing.specs[0], hosts)
    assert found is not None
    return found


def built(growing: Growing, plan: DistributedBuild) -> list[BuiltGroup]:
    """The groups, as tasks return them to the process that commits them."""
    engine: LanceEngine = pickle.loads(pickle.dumps(growing.engine))
    plan = pickle.loads(pickle.dumps(plan))
    engine.train_partitions(growing.table, plan)
    groups = [engine.build_group(growing.table, plan, number) for number in range(plan.groups)]
    return list(pickle.loads(pickle.dumps(groups)))


def build_distributed(growing: Growing, hosts: int = 4) -> None:
    """With what maintenance does after it: the probes of searches are measured."""
    plan = planned(growing, hosts)
    version = growing.engine.commit_groups(growing.table, plan, built(growing, plan))
    growing.table = replace(growing.table, version=version)
    assert growing.is_due
    growing.optimized()


@given(st.dictionaries(st.integers(0, 1000), st.integers(1, 10**6), min_size=1, max_size=100), st.integers(1, 16))
def test_groups_have_all_fragments_and_about_as_many_rows(rows: dict[int, int], most: int) -> None:
    groups = cut(rows, most)
    assert sorted(id_ for group in groups for id_ in group) == sorted(rows)
    assert 1 <= len(groups) <= most
    share = sum(rows.values()) / most
    assert all(sum(rows[id_] for id_ in group) <= share + max(rows.values()) for group in groups)


@pytest.mark.parametrize("metric", [Metric.L2, Metric.IP, Metric.COSINE])
@pytest.mark.parametrize("kind", ["AUTOINDEX", "IVF_FLAT", "IVF_SQ8"])
def test_an_index_of_groups_answers_as_an_exact_search(growing: Growing, kind: str, metric: Metric) -> None:
    growing.specs = [replace(VECTOR, type=kind, metric=metric)]
    for _ in range(4):
        growing.imported()
    build_distributed(growing)
    assert len(growing.segments()) == 4
    assert not growing.engine.due(growing.table, growing.specs).index
    assert not growing.is_due
    assert growing.engine.orphans(growing.table, [], -60.0) is None
    places = np.random.default_rng(1).choice(len(growing.rows), 30)
    request = SearchRequest(field_name="vector", queries=growing.rows[places], metric=metric, limit=10)
    shares = [
        len(set(nearest(exact(growing.rows, growing.rows[place], metric), metric, 10)) & set(ids(hits))) / 10
        for place, hits in zip(places, growing.engine.search(growing.table, request), strict=True)
    ]
    assert np.mean(shares) >= 0.95


def test_an_index_is_built_by_one_task_if_it_is_small_or_there_is_one_host(growing: Growing) -> None:
    growing.imported(2 * ROWS)
    assert growing.engine.plan_distributed(growing.table, VECTOR, 4) is None  # one fragment
    growing.imported()
    assert growing.engine.plan_distributed(growing.table, VECTOR, 1) is None
    assert planned(growing, 4).groups == 2
    growing.indexed()
    assert growing.engine.plan_distributed(growing.table, VECTOR, 4) is None  # nothing is due


@pytest.mark.parametrize("kind", ["IVF_PQ", "IVF_RABITQ", "HNSW", "HNSW_SQ"])
def test_kinds_whose_segments_cannot_be_searched_together_are_built_by_one_task(growing: Growing, kind: str) -> None:
    for _ in range(4):
        growing.imported()
    spec = IndexSpec(name="v", field_name="vector", metric=Metric.L2, type=kind, params={"m": 8})
    assert growing.engine.plan_distributed(growing.table, spec, 4) is None


@pytest.mark.parametrize("kind", ["AUTOINDEX", "IVF_FLAT"])
def test_an_index_of_groups_grows_and_the_next_training_replaces_all_of_them(growing: Growing, kind: str) -> None:
    growing.specs = [replace(VECTOR, type=kind)]
    for _ in range(4):
        growing.imported()
    build_distributed(growing)
    trained = [segment.uuid for segment in growing.segments()]
    for _ in range(7):
        growing.imported(500)
        growing.indexed()
        if growing.is_due:
            growing.optimized()
        segments = growing.segments()
        assert [segment.uuid for segment in segments[:4]] == trained
        assert len(segments) <= 4 + MAX_APPENDED
        growing.expect_all_found()
    growing.imported(500)
    growing.indexed()
    assert growing.is_due
    assert planned(growing).is_training
    build_distributed(growing)
    assert not set(trained) & {segment.uuid for segment in growing.segments()}
    assert len(growing.segments()) == 4
    growing.expect_all_found()
    growing.imported(8 * ROWS)
    growing.indexed()
    growing.optimized()  # by one task
    assert len(growing.segments()) == 1
    growing.expect_all_found()


@pytest.mark.parametrize("extensions", [1, 3])
def test_rows_that_arrive_while_an_index_is_trained_stay_in_a_segment_of_their_own(
    growing: Growing, extensions: int
) -> None:
    for _ in range(2):
        growing.imported()
    growing.indexed()
    for _ in range(2):
        growing.imported()
    growing.indexed()
    growing.imported(500)  # in no index when the training is planned
    plan = planned(growing)
    groups = built(growing, plan)
    for number in range(extensions):
        if number:
            growing.imported(500)
        version = growing.engine.index(growing.table, growing.specs, kept=plan.replaced)
        growing.table = replace(growing.table, version=version)
        growing.expect_all_found()
    version = growing.engine.commit_groups(growing.table, plan, groups)
    growing.table = replace(growing.table, version=version)
    stats = lance.dataset(str(growing.home)).stats.index_stats("vector.index")["segments"]
    assert [segment["num_partitions"] for segment in stats] == [2000 // 128, *[4000 // 128] * 4]
    assert growing.units == [1, 4]
    growing.optimized()
    assert growing.units == [1, 4]
    assert not growing.is_due
    growing.expect_all_found()


def test_compaction_keeps_the_segments_of_a_training_together(growing: Growing) -> None:
    for _ in range(32):
        growing.imported(125)
    build_distributed(growing)
    growing.imported(300)
    growing.indexed()
    growing.table = replace(growing.table, version=growing.engine.compact(growing.table))
    assert len(lance.dataset(str(growing.home)).get_fragments()) < 10
    growing.expect_all_found()
    assert not growing.is_due
    assert growing.units == [4, 1]


def test_a_build_gives_way_to_another_one(growing: Growing) -> None:
    """As a process may make that took over after a stall. Nothing is left behind."""
    for _ in range(4):
        growing.imported()
    plan = planned(growing)
    groups = built(growing, plan)
    growing.indexed()
    with pytest.raises(StorageConflict, match="Another process changed the index"):
        growing.engine.commit_groups(growing.table, plan, groups)
    assert growing.engine.orphans(growing.table, [], -60.0) is None
    assert len(growing.segments()) == 1
    growing.expect_all_found()


def test_a_build_that_ends_early_leaves_nothing_or_orphan_files(growing: Growing) -> None:
    for _ in range(4):
        growing.imported()
    plan = planned(growing)
    groups: Sequence[BuiltGroup] = built(growing, plan)
    assert growing.engine.orphans(growing.table, [], -60.0) is not None
    growing.engine.discard_build(growing.table, plan, groups)
    assert growing.engine.orphans(growing.table, [], -60.0) is None
    with pytest.raises(StorageConflict, match="ended the build"):
        growing.engine.build_group(growing.table, plan, 0)


def test_an_index_is_built_by_groups_in_an_object_store(lance_on_s3: LanceEngine, tmp_path: Path) -> None:
    growing = Growing.of(lance_on_s3, tmp_path)
    for _ in range(4):
        growing.imported()
    build_distributed(growing)
    assert growing.engine.built_rows(growing.table, VECTOR) == len(growing.rows)
    request = SearchRequest(field_name="vector", queries=growing.rows[[3, 3_500]], metric=Metric.L2, limit=1)
    assert [ids(hits) for hits in growing.engine.search(growing.table, request)] == [[3], [3_500]]
