"""The benchmark of searches: its recall, its vectors, its tables."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from benchmarks.peers import vector_sets
from benchmarks.peers.base import Searches, SearchOutcome, Step
from benchmarks.peers.vector_sets import NEAREST, PERCENTS, QUERIES, VectorSet
from benchmarks.searches import EntryResult, KindResult, Results, Turn, report_text

ROWS = 2_000


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorSet]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vector_sets, "FILES", tmp_path_factory.mktemp("files"))
        patch.setattr(vector_sets, "QUERIES", 20)
        made = VectorSet.of("latent", ROWS)
        made.make()
        yield made


@pytest.mark.parametrize("percent", PERCENTS)
def test_an_exact_search_has_a_recall_of_one(data: VectorSet, percent: int) -> None:
    rows, queries = np.load(data.path.with_name("vectors.npy")), np.load(data.queries)
    keys = np.flatnonzero(np.arange(ROWS) % 100 < percent)
    nearest = [keys[np.argsort(((rows[keys] - query) ** 2).sum(axis=1))[:NEAREST]].tolist() for query in queries]
    assert data.recall(percent, list(enumerate(nearest))) == 1
    # A row that comes twice, or doesn't match the filter, isn't found.
    halves = [[*found[:5], *found[:5], found[0] + percent] for found in nearest]
    assert data.recall(percent, list(enumerate(halves))) == pytest.approx(0.5, abs=0.01 if percent < 100 else 0.1)


def test_the_report_has_the_medians_of_the_turns() -> None:
    text = report_text(Results(kinds={"words": _result([0.9, 0.99, 0.95])}))
    assert "| Penstock | 3 | 1.0 | 2.0 | 3.0 | 0.950 |" in text
    assert "failed: no space" in text


def _result(recalls: list[float]) -> KindResult:
    turns = [Turn(turn=number, load_average=0.5, outcome=_outcome(recall)) for number, recall in enumerate(recalls)]
    return KindResult(
        kind="words",
        rows=10,
        dim=100,
        metric="COSINE",
        seconds=1,
        date="2026-01-02 03:04 UTC",
        command="python -m benchmarks.searches",
        machine="a machine",
        entries={
            "penstock": EntryResult(title="Penstock", does="searches", versions={"package": "1.0"}, turns=turns),
            "other": EntryResult(title="Other", does="fails", versions={}, failure="it failed:\nno space"),
        },
    )


def _outcome(recall: float) -> SearchOutcome:
    def step(seconds: float) -> Step:
        return Step(seconds=seconds, cpu_seconds=seconds, peak_bytes=1)

    searches = [
        Searches(
            callers=callers,
            percent=percent,
            count=QUERIES,
            per_second=10,
            p50_ms=1,
            p99_ms=2,
            cpu_ms=1,
            recall=recall,
        )
        for callers, percent in ((1, 100), (16, 100), (1, 1), (1, 50))
    ]
    return SearchOutcome(load=step(1), index=step(2), built="a graph", searches=tuple(searches))
