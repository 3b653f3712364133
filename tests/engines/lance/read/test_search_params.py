"""What the parameters of a search become."""

from __future__ import annotations

import pytest

from penstock.domain.index import Metric
from penstock.engines.lance.index.build import ActualIndex
from penstock.engines.lance.read.search_params import choose_search_params


def chosen(kind: str, limit: int = 10, **params: object) -> tuple[dict[str, object], int | None]:
    index = ActualIndex(name="v", kind=kind, metric=Metric.L2, rows=10**6, segments=(), fields=(1,))
    return choose_search_params(index, 100, 20, limit, 1.0, params)


@pytest.mark.parametrize("number", [12, 12.0, "12", "12.0", "1.2e1", 11.5, "11.5"])
def test_numbers_may_be_text(number: object) -> None:
    assert chosen("IVFFLAT", nprobe=number) == ({"use_index": True, "minimum_nprobes": 12}, None)
    assert chosen("IVFSQ", refine_k=number)[1] == 12


@pytest.mark.parametrize("number", [0, -1, "-1", "many", "nan", "inf", True, None, 10**12])
def test_other_values_are_the_default(number: object) -> None:
    assert chosen("IVFSQ", nprobe=number, refine_k=number) == chosen("IVFSQ")


@pytest.mark.parametrize(("limit", "probes"), [(1, 20), (10, 20), (100, 32), (1_000, 51), (16_384, 88)])
def test_more_rows_are_searched_in_more_partitions(limit: int, probes: int) -> None:
    assert chosen("IVFFLAT", limit=limit)[0]["minimum_nprobes"] == probes


def test_a_given_number_of_partitions_is_kept_and_a_level_multiplies_the_default() -> None:
    assert chosen("IVFFLAT", limit=1_000, nprobe=3)[0]["minimum_nprobes"] == 3
    assert chosen("IVFFLAT", level=2)[0]["minimum_nprobes"] == 40
    assert chosen("IVFFLAT", level=10)[0]["minimum_nprobes"] == 100, "there are no more"
