"""What the parameters of a search become."""

from __future__ import annotations

import pytest

from penstock.domain.index import Metric
from penstock.engines.lance.index.build import ActualIndex
from penstock.engines.lance.read.search_params import choose_search_params


def chosen(kind: str, **params: object) -> tuple[dict[str, object], int | None]:
    index = ActualIndex(name="v", kind=kind, metric=Metric.L2, rows=10**6, segments=(), fields=(1,))
    return choose_search_params(index, 100, 10, 1.0, params)


@pytest.mark.parametrize("number", [12, 12.0, "12", "12.0", "1.2e1", 11.5, "11.5"])
def test_numbers_may_be_text(number: object) -> None:
    assert chosen("IVFFLAT", nprobe=number) == ({"use_index": True, "minimum_nprobes": 12}, None)
    assert chosen("IVFSQ", refine_k=number)[1] == 12


@pytest.mark.parametrize("number", [0, -1, "-1", "many", "nan", "inf", True, None, 10**12])
def test_other_values_are_the_default(number: object) -> None:
    assert chosen("IVFSQ", nprobe=number, refine_k=number) == chosen("IVFSQ")
