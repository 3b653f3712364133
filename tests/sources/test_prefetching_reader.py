"""Reading remote files ahead: what is asked for, when, and how much of it is held."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.sources.prefetching_reader import KEPT, LARGEST, RangeReader
from tests.support.examples import examples

MIB = 1 << 20


class Remote:
    """A file behind a network; ``asked`` are the requests that came."""

    def __init__(self, size: int) -> None:
        self.data = random.Random(size).randbytes(size)
        self.asked: list[tuple[int, int]] = []
        self.came = threading.Condition()

    def __call__(self, start: int, end: int) -> bytes:
        with self.came:
            self.asked.append((start, end))
            self.came.notify_all()
        return self.data[start:end]

    def wait_for(self, requests: int) -> None:
        with self.came:
            assert self.came.wait_for(lambda: len(self.asked) >= requests, timeout=60)

    @property
    def fetched(self) -> int:
        return sum(end - start for start, end in self.asked)


def columns(reader: RangeReader, size: int, places: int, piece: int) -> Iterator[tuple[int, bytes]]:
    """Read ``places`` columns of a file in turns, a piece of each at a time, as a Parquet reader does."""
    width = size // places
    for start in range(0, width, piece):
        for place in range(places):
            at = place * width + start
            reader.seek(at)
            yield at, reader.read(min(piece, width - start))


def test_what_comes_next_is_on_its_way_while_the_caller_works() -> None:
    remote = Remote(40 * MIB)
    with RangeReader(remote, 0, len(remote.data)) as file:
        for _ in range(48):
            file.read(128 << 10)
        # The caller does something else now. Two further requests, which it did not wait for, are made all the same.
        window = next(window for window in file._windows if window.start <= 6 * MIB < window.end)
        remote.wait_for(sum(start <= window.start for start, _ in remote.asked) + 2)
        assert max(end for _, end in remote.asked) - window.end >= 8 * MIB


@pytest.mark.parametrize("places", [1, 2, 7, 40])
def test_columns_read_in_turns_are_read_once(places: int) -> None:
    """Every byte is asked for about once, whatever the number of columns."""
    remote = Remote(24 * MIB)
    with RangeReader(remote, 0, len(remote.data)) as file:
        for at, part in columns(file, len(remote.data), places, 128 << 10):
            assert part == remote.data[at : at + len(part)]
    assert remote.fetched <= len(remote.data) * 1.2 + 3 * min(LARGEST, KEPT // places)


def test_what_is_read_in_large_blocks_comes_over_several_connections() -> None:
    """As readers of text do. Also the first block is, and what follows it is on its way when it has come."""
    remote = Remote(40 * MIB)
    with RangeReader(remote, 0, len(remote.data)) as file:
        assert file.read(8 * MIB) == remote.data[: 8 * MIB]
        remote.wait_for(4)
        assert max(end - start for start, end in remote.asked if start < 8 * MIB) <= LARGEST
        assert max(end for _, end in remote.asked) >= 16 * MIB


def test_a_footer_takes_one_request() -> None:
    remote = Remote(3 * MIB)
    with RangeReader(remote, 0, len(remote.data)) as file:
        for place in (len(remote.data) - 8, len(remote.data) - 5_000, len(remote.data) - 60_000):
            file.seek(place)
            assert file.read() == remote.data[place:]
    assert len(remote.asked) == 1


@pytest.mark.parametrize(("places", "budget"), [(1, 64 * MIB), (1, 4 * MIB), (5, 8 * MIB), (40, 16 * MIB)])
def test_no_more_is_held_than_the_budget(places: int, budget: int) -> None:
    remote = Remote(32 * MIB)
    most = 0
    with RangeReader(remote, 0, len(remote.data), budget) as file:
        for _ in columns(file, len(remote.data), places, 128 << 10):
            most = max(most, sum(window.end - window.start for window in file._windows))
    assert 0 < most <= budget


@settings(max_examples=examples(20, 60), deadline=None)
@given(
    size=st.integers(0, 3 * MIB),
    reads=st.lists(st.tuples(st.integers(0, 3 * MIB), st.integers(0, MIB)), max_size=25),
    budget=st.sampled_from([MIB, 2 * MIB, KEPT]),
)
def test_it_reads_what_is_there(size: int, reads: list[tuple[int, int]], budget: int) -> None:
    remote = Remote(size)
    with RangeReader(remote, 0, size, budget) as file:
        for place, length in reads:
            file.seek(place)
            assert file.read(length) == remote.data[place : place + length]
