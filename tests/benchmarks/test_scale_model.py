"""The simulation behind docs/scaling.md, on cases that can be told by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks.scale_model import Cluster, Costs, simulate

MIB = 2**20
COSTS = Costs(cpu_per_mb=0.01, cpu_per_split=0.0, server_per_split=0.0, start=0.0, fragment=0.0)


def test_twice_the_processors_take_half_the_time_while_nothing_else_binds() -> None:
    one, two = (simulate(64e6, 1e6, COSTS, Cluster(hosts=1, cores=cores)) for cores in (1, 2))
    assert one.seconds == pytest.approx(0.64)
    assert two.seconds == pytest.approx(0.32)
    assert two.bottleneck == "processors"


def test_a_slow_network_bounds_each_host() -> None:
    found = simulate(64e6, 1e6, COSTS, Cluster(hosts=2, cores=16, network=1e6))
    assert found.seconds == pytest.approx(32.0)
    assert found.bottleneck == "network"


def test_what_every_split_waits_for_bounds_them_all_however_many_hosts() -> None:
    costs = Costs(cpu_per_mb=0.01, cpu_per_split=0.0, server_per_split=0.0, catalog_per_split=0.1, start=0.0)
    found = simulate(64e6, 1e6, costs, Cluster(hosts=100, cores=16))
    assert found.seconds == pytest.approx(6.41, rel=0.01)
    assert found.bottleneck == "catalog"
    assert simulate(64e6, 4e6, costs, Cluster(hosts=100, cores=16)).seconds < 2


def test_requests_count_by_their_size() -> None:
    small = Cluster(hosts=4, cores=4, puts=10.0, put_bytes=MIB)
    large = Cluster(hosts=4, cores=4, puts=10.0, put_bytes=8 * MIB)
    costs = replace(COSTS, cpu_per_mb=0.0)
    found = [simulate(64 * MIB, 16 * MIB, costs, each).seconds for each in (small, large)]
    assert found == [pytest.approx(4 * (16 + 2) / 10), pytest.approx(4 * (2 + 2) / 10)]
