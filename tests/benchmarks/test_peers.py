"""The benchmark that stands Penstock beside others: what it makes of measurements, and that its own parts measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.files import WRITERS
from benchmarks.peers import contenders, data, running
from benchmarks.peers.data import DataSet
from benchmarks.peers.figures import measured_figures
from benchmarks.peers.machines import Machine, Report, compare_figures, read_machines, read_reports
from benchmarks.peers.programs.limit import READERS, Share
from benchmarks.peers.readme import BEGIN, END, with_figures, with_results
from benchmarks.peers.results import EntryResult, Results, Run, SectionResult, Spread
from benchmarks.peers.running import run_section
from benchmarks.peers.sections import Entry, Section, all_sections
from benchmarks.peers.tables import rates_table, report_text

ROOT = Path(__file__).parents[2]


def entry(title: str, seconds: Sequence[float], *, rows: int = 1000, index: float | None = None) -> EntryResult:
    runs = [
        Run(
            pair=pair,
            seconds=second,
            cpu_seconds=second,
            peak_bytes=2**20 * (pair + 1),
            index_seconds=index if pair == 0 else None,
            load_average=0.5,
        )
        for pair, second in enumerate(seconds)
    ]
    return EntryResult(
        title=title,
        does="loads",
        versions={"package": "1.0"},
        format="parquet",
        rows=rows,
        dim=8,
        files=1,
        bytes=4_000_000,
        runs=runs,
    )


def section_of(name: str, **entries: EntryResult) -> SectionResult:
    return SectionResult(
        name=name,
        title=f"title of {name}",
        date="2026-01-02 03:04 UTC",
        command="python -m benchmarks.peers",
        machine="a machine",
        entries={each.replace("_", "-"): result for each, result in entries.items()},
    )


@pytest.fixture
def results() -> Results:
    parquet = section_of(
        "parquet-768",
        decode_write=entry("limit: decode + write", [0.5, 0.5, 0.5]),
        penstock=entry("Penstock", [1.0, 0.5, 1.0], index=3.0),
        milvus=entry("Milvus 2.3.5", [10.0, 20.0, 14.0]),
        chroma=entry("Chroma", [2.0], rows=100),
    )
    return Results(sections={"parquet-768": parquet})


def test_the_ratio_is_the_median_of_the_pairs(results: Results) -> None:
    ours, theirs = (results.entry("parquet-768", name) for name in ("penstock", "milvus"))
    assert ours is not None
    assert theirs is not None
    assert ours.times_as_fast_as(theirs) == Spread(median=14, least=10, largest=40)


def test_a_pair_that_one_has_left_out_does_not_count() -> None:
    ours, theirs = entry("a", [1.0, 1.0]), entry("b", [2.0])
    assert ours.times_as_fast_as(theirs) == Spread(median=2, least=2, largest=2)
    assert ours.times_as_fast_as(entry("c", [])) is None


def test_a_section_takes_the_place_of_its_older_self(results: Results, tmp_path: Path) -> None:
    file = tmp_path / "results" / "peers.json"
    results.add(section_of("json-768", penstock=entry("Penstock", [1.0])), list(all_sections()))
    results.add(section_of("parquet-768", penstock=entry("Penstock", [9.0])), list(all_sections()))
    results.write(file)
    read = Results.read(file)
    assert list(read.sections) == ["parquet-768", "json-768"]
    assert list(read.sections["parquet-768"].entries) == ["penstock"]


def test_figures_tell_what_holds_and_what_was_not_measured(results: Results) -> None:
    figures = {figure.name: figure for figure in measured_figures(results)}
    milvus = figures["Parquet 200,000 × 768, times Milvus 2.3.5"]
    assert (milvus.measured, milvus.holds) == ("14 (10 to 40)", True)
    limit = figures["the same, share of the limit decode + write + fsync"]
    assert (limit.measured, limit.holds) == ("0.50 (0.50 to 1.00)", False)
    assert figures["CSV 50,000 × 768"].holds is None


def test_the_report_has_a_row_for_each_contender(results: Results) -> None:
    lines = report_text(results).splitlines()
    assert "| Penstock | 1,000 | 3 | 1,000 (1,000 to 2,000) | 4 | 1.0 | 3 MiB | 1.00 s | + 3.0 s | 1 |  |" in lines
    assert "| Milvus 2.3.5 | 1,000 | 3 | 71 (50 to 100) | 0 | 14.0 | 3 MiB | 14.00 s |  |  | 14 (10 to 40) |" in lines


def test_who_loaded_fewer_rows_is_marked_as_such(results: Results) -> None:
    assert "| title of parquet-768 | **1,000** | 71 | 2,000 |  |  |  | 50 (100 rows) |" in rates_table(results)


def test_every_figure_that_was_asked_for_has_its_section() -> None:
    """A figure whose section or entry is misspelt would never be measured."""
    everything = Results(
        sections={
            section.name: section_of(
                section.name,
                **{one.name: entry(one.contender.title, [1.0]) for one in section.entries},
            )
            for section in all_sections().values()
        }
    )
    unmeasured = [figure.name for figure in measured_figures(everything) if figure.holds is None]
    assert unmeasured == ["the next search after it, times that after 1 file"]  # these runs have no searches


@pytest.mark.parametrize("share", [1, 0.1])
def test_contenders_are_given_files_that_they_take(share: float) -> None:
    for section in all_sections(share).values():
        for one in section.entries:
            assert one.data.format in one.contender.formats, (section.name, one.name)
            assert one.contender.indexes or not one.index_every, (section.name, one.name)


def test_charts_are_drawn_of_what_is_there(results: Results, tmp_path: Path) -> None:
    from benchmarks.peers.charts import (
        draw_charts,
    )  # Matplotlib takes a second to load, in each process that collects

    drawn = draw_charts(results, tmp_path)
    assert sorted(path.name for path in drawn) == ["formats.png", "rates.png", "resources.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)
    assert draw_charts(Results(), tmp_path) == []


def test_results_are_put_below_the_heading_once_and_then_renewed(results: Results) -> None:
    readme = "# Name\n\n## Benchmarks\n\nWhat else there is.\n\n## Next\n"
    machines = [Machine("machine-1", results)]
    first = with_results(readme, machines, [], Path("charts"))
    assert first.startswith(f"# Name\n\n## Benchmarks\n\n{BEGIN}\n")
    assert first.endswith("\n\nWhat else there is.\n\n## Next\n")
    assert with_results(first, machines, [], Path("charts")) == first
    results.add(section_of("json-768", penstock=entry("Penstock", [1.0])), list(all_sections()))
    assert with_results(first, machines, [], Path("charts")).count(BEGIN) == 1
    with pytest.raises(ValueError, match="needs the heading"):
        with_results("# Name\n", machines, [], Path("charts"))


def test_a_figure_holds_everywhere_only_where_each_machine_meets_it(results: Results) -> None:
    slower = Results(
        sections={
            "parquet-768": section_of(
                "parquet-768",
                decode_write=entry("limit: decode + write", [0.5]),
                penstock=entry("Penstock", [1.0]),
                milvus=entry("Milvus 2.3.5", [3.0]),
            )
        }
    )
    machines = [Machine("machine-1", results), Machine("machine-2", slower)]
    name = "Parquet 200,000 × 768, times Milvus 2.3.5"
    report = Report(label="reported", machine="another", date="2026-01-02", conditions="4 pairs", figures={name: 13})

    def row_of(machines: Sequence[Machine], reports: Sequence[Report]) -> tuple[str, ...]:
        return next(row for row in compare_figures(machines, reports) if row[0] == name)

    assert row_of(machines[:1], [report])[2:] == ("14 (10 to 40)", "13", "yes")
    assert row_of(machines, [])[2:] == ("14 (10 to 40)", "3.00 (3.00 to 3.00)", "**no**")
    assert row_of(machines[:1], [report.model_copy(update={"figures": {name: 3.4}})])[-1] == "**no**"
    with pytest.raises(ValueError, match="unknown names: a misspelt one"):
        list(compare_figures(machines, [report.model_copy(update={"figures": {"a misspelt one": 1}})]))


def test_the_readme_shows_the_results() -> None:
    folder = ROOT / "benchmarks" / "results"
    readme = (ROOT / "docs" / "benchmarks.md").read_text()
    expected = with_results(readme, read_machines(folder), read_reports(folder), Path("../benchmarks/results"))
    assert readme == expected, "run `python -m benchmarks.peers --readme`"
    readme = (ROOT / "README.md").read_text()
    assert readme == with_figures(readme, read_machines(folder), read_reports(folder)), "run the same"


def test_the_readme_has_each_machine_side_by_side_with_the_spread(results: Results) -> None:
    name = "the same, share of the limit decode + write + fsync"
    report = Report(label="Reported", machine="", date="", conditions="", figures={name: 0.52})
    machines = [Machine("machine-1", results), Machine("machine-2", results)]
    lines = with_figures(f"before\n{BEGIN}\nold\n{END}\nafter\n", machines, [report]).splitlines()
    ratios = "**1,000** | 14 (10 to 40) |  | 0.50 (0.50 to 1.00)"
    assert lines[4:7] == [
        f"| title of parquet-768 | Machine 1 | {ratios} |",
        f"| title of parquet-768 | Machine 2 | {ratios} |",
        "| Parquet, 200,000 × 768 | Reported |  |  |  | 0.52 |",
    ]
    assert (lines[0], lines[-1]) == ("before", "after")
    with pytest.raises(ValueError, match="needs the marks"):
        with_figures("# Name\n", machines, [])


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("kind", sorted(READERS))
def test_the_limit_reads_every_row_once(kind: str, parts: int, tmp_path: Path) -> None:
    path = tmp_path / kind
    WRITERS[kind](path, 100, 4)
    shares = [
        [(ids.copy(), vectors.copy().reshape(-1, 4)) for ids, vectors in READERS[kind](path, Share(number, parts), 4)]
        for number in range(parts)
    ]
    batches = [batch for share in shares for batch in share]
    ids = np.concatenate([each for each, _ in batches])
    vectors = np.concatenate([each for _, each in batches])
    assert ids.tolist() == list(range(100))
    seed = 0 if kind == "parquet" else 100
    assert np.allclose(vectors, np.random.default_rng(seed).random((100, 4), dtype=np.float32))


@pytest.mark.slow
def test_contenders_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts that need no foreign packages, for real: the limits, Penstock, and PostgreSQL with pgvector."""
    monkeypatch.setattr(running, "SCRATCH", tmp_path)
    files = DataSet(format="parquet", rows=5_000, dim=16)
    told: list[str] = []
    result = run_section(
        Section(
            name="small",
            title="A few rows",
            entries=(
                Entry(name="decode-write", contender=contenders.DECODE_WRITE, data=files, every=2),
                Entry(
                    name="penstock",
                    contender=replace(contenders.PENSTOCK, searches=True),
                    data=files,
                    index_every=2,
                ),
                Entry(name="pgvector", contender=contenders.PGVECTOR, data=files, every=2, index_every=2),
            ),
        ),
        pairs=2,
        tell=told.append,
    )
    assert [line.rpartition(": ")[0] for line in told] == [
        "small 1/2 limit: decode + write",
        "small 1/2 Penstock",
        "small 1/2 pgvector",
        "small 2/2 Penstock",
    ]
    ours = result.entries["penstock"]
    assert [run.index_seconds is None for run in ours.runs] == [False, True]
    assert all(run.peak_bytes > 2**26 and run.search_ms for run in ours.runs)
    assert result.entries["pgvector"].runs[0].index_seconds
    assert list(tmp_path.iterdir()) == []


def test_rows_that_do_not_count_are_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "FILES", tmp_path / "files")
    monkeypatch.setattr(running, "SCRATCH", tmp_path / "scratch")
    files = DataSet(format="npy", rows=10, dim=4)
    files.path.parent.mkdir(parents=True)
    WRITERS["npy"](files.path, 9, 4)  # found there, so not made again
    section = Section(
        name="broken", title="", entries=(Entry(name="decode", contender=contenders.DECODE, data=files),)
    )
    with pytest.raises(RuntimeError, match="limit: decode: 9 rows count, 10 were given"):
        run_section(section, pairs=1, tell=print)
    assert list((tmp_path / "scratch").iterdir()) == []
