"""The quick benchmark: when it says that an import has become slower."""

from __future__ import annotations

import pytest
from benchmarks.peers.results import EntryResult, Run, SectionResult, Spread
from benchmarks.quick import CASES, MOST_LOAD, Ratios, compare, slower_cases


def entry(seconds: list[float], cpu_seconds: list[float], load: float = 0) -> EntryResult:
    runs = [
        Run(pair=pair, seconds=wall, cpu_seconds=cpu, peak_bytes=1, load_average=load)
        for pair, (wall, cpu) in enumerate(zip(seconds, cpu_seconds, strict=True))
    ]
    return EntryResult(
        title="a", does="b", versions={}, format="parquet", rows=100, dim=8, files=1, bytes=1, runs=runs
    )


def section(limit: EntryResult, penstock: EntryResult) -> SectionResult:
    entries = {"limit": limit, "penstock": penstock}
    return SectionResult(name="parquet-768", title="Parquet", date="", command="", machine="", entries=entries)


def ratios(clock: float | None, processor: float, load: float = 0) -> Ratios:
    return Ratios(load=load, clock=None if clock is None else Spread.of([clock]), processor=Spread.of([processor]))


def test_ratios_are_those_of_the_pairs() -> None:
    limit = entry([1.0, 2.0, 1.0], [1.0, 1.0, 1.0])
    assert Ratios.of(section(limit, entry([2.0, 2.5, 4.0], [2.0, 4.0, 5.0]))) == Ratios(
        load=0,
        clock=Spread(median=0.5, least=0.25, largest=0.8),
        processor=Spread(median=0.25, least=0.2, largest=0.5),
    )


def test_on_a_busy_machine_only_processor_times_count() -> None:
    busy = Ratios.of(section(entry([1.0], [1.0], MOST_LOAD + 1), entry([9.0], [2.0], MOST_LOAD + 1)))
    assert busy == ratios(None, 0.5, MOST_LOAD + 1)
    assert slower_cases({"parquet-768": ratios(0.8, 0.5)}, {"parquet-768": busy}) == []
    _, clock, _ = compare({"parquet-768": ratios(0.8, 0.5)}, {"parquet-768": busy})
    assert clock[-1] == "not comparable: other programs kept the processors busy"


@pytest.mark.parametrize(
    ("clock", "processor", "is_slower"),
    [(0.8, 0.5, False), (0.62, 0.39, False), (0.61, 0.5, True), (0.8, 0.38, True), (2.0, 2.0, False)],
)
def test_a_case_is_slower_when_a_ratio_has_fallen_by_the_factor(
    clock: float, processor: float, is_slower: bool
) -> None:
    recorded = {"parquet-768": ratios(0.8, 0.5)}
    assert slower_cases(recorded, {"parquet-768": ratios(clock, processor)}) == (["parquet-768"] if is_slower else [])


def test_a_case_that_was_not_recorded_is_shown_and_not_judged() -> None:
    measured = {"csv-768": ratios(0.5, 0.5)}
    assert slower_cases({}, measured) == []
    assert [row[-1] for row in compare({}, measured)] == ["verdict", "not recorded", "not recorded"]


def test_the_table_says_how_much_has_changed() -> None:
    _, clock, processor = compare({"csv-768": ratios(0.5, 0.5)}, {"csv-768": ratios(0.25, 0.6)})
    assert clock == ("csv-768", "clock", "0.50 (0.50 to 0.50)", "0.25 (0.25 to 0.25)", "2.00 times slower")
    assert processor[-1] == "1.20 times faster"


def test_the_cases_are_small_enough_for_five_minutes() -> None:
    assert sum(case.rows * case.dim for case in CASES.values()) < 200_000_000
