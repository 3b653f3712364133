"""Room for answers: no org takes all of it, and none of it is ever lost."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.collections.result_memory import MAX_ANSWER_BYTES, MemoryReservation, ResultMemory, release_on_error
from penstock.errors import QuotaExceeded

MIB = 1 << 20


def test_room_is_there_again_when_nobody_holds_it() -> None:
    room = ResultMemory(wait=0)
    held = room.take("ann", MAX_ANSWER_BYTES)
    with pytest.raises(QuotaExceeded, match="take about 2 MiB") as caught:
        room.take("ann", 2 * MIB)
    assert caught.value.details["seconds"] == 1
    assert room.take("ann", MIB) is None, "small answers need none"
    other = room.take("bob", MAX_ANSWER_BYTES)
    with pytest.raises(QuotaExceeded):
        room.take("cy", 2 * MIB)
    assert held is not None
    held.release()
    assert room.take("ann", 2 * MIB) is not None
    assert other is not None


def test_who_comes_later_waits() -> None:
    room = ResultMemory(wait=60)
    first = taken_of(room, "ann", MAX_ANSWER_BYTES // MIB)
    waiting = threading.Event()

    def later() -> bool:
        waiting.set()
        return room.take("ann", MAX_ANSWER_BYTES) is not None

    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(later)
        assert waiting.wait(30)
        assert not second.done()
        first.release()
        assert second.result()


def taken_of(room: ResultMemory, org: str, size: int) -> MemoryReservation:
    held = room.take(org, size * MIB)
    assert held is not None
    return held


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(2, 128), st.booleans()), max_size=40))
def test_what_is_taken_never_exceeds_the_bounds(steps: list[tuple[str, int, bool]]) -> None:
    room = ResultMemory(wait=0)
    held: list[MemoryReservation] = []
    for org, size, gives_back in steps:
        if gives_back and held:
            held.pop(size % len(held)).release()
        taken = Counter[str]()
        for name, bytes_held in [(each.org_id, each.size) for each in held]:
            taken[name] += bytes_held
        fits = taken[org] + size * MIB <= MAX_ANSWER_BYTES and taken.total() + size * MIB <= 2 * MAX_ANSWER_BYTES
        if fits:
            held.append(taken_of(room, org, size))
        else:
            with pytest.raises(QuotaExceeded):
                room.take(org, size * MIB)
    for each in held:
        each.release()
    assert room.take("a", MAX_ANSWER_BYTES) is not None


def test_a_reservation_ends_with_its_block_and_with_its_last_holder() -> None:
    room = ResultMemory(wait=0)
    with taken_of(room, "ann", 256) as held:
        held.share()
    with pytest.raises(QuotaExceeded):
        taken_of(room, "ann", 256)
    held.release()
    taken_of(room, "ann", 256).release()


def test_only_a_failure_ends_a_reservation_that_is_handed_on() -> None:
    room = ResultMemory(wait=0)
    held = taken_of(room, "ann", 256)
    with release_on_error(held):
        pass
    with pytest.raises(QuotaExceeded):
        taken_of(room, "ann", 256)
    with pytest.raises(ValueError, match="no JSON"), release_on_error(held):
        raise ValueError("no JSON")
    taken_of(room, "ann", 256).release()
