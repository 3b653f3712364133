"""The benchmark of growing tables: its rows, its phases at tiny sizes, its curves."""

from __future__ import annotations

import sys
from pathlib import Path

import lance
import numpy as np
import pyarrow.parquet as pq
import pytest
from benchmarks.nearest import Nearest
from benchmarks.scalability import __main__ as program
from benchmarks.scalability import phases
from benchmarks.scalability import rows as rows_module
from benchmarks.scalability.phases import PHASES, Task, measure_parts
from benchmarks.scalability.results import CURVES, Curve, Measurement, Results, exponent_of, table_rows
from benchmarks.scalability.rows import RowFiles, Rows

ROWS = 1_000


@pytest.fixture(autouse=True)
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sizes of everything, a thousandth of what they are."""
    for name, value in {"CALLS": 5, "WARM_CALLS": 2, "QUERIES": 5, "TURN_ROWS": 2_000, "COLLECTIONS": 3}.items():
        monkeypatch.setattr(phases, name, value)
    for name, value in {"JOB_ROWS": 300, "ROUND_ROWS": 600, "PARTS": 20, "WARM_ROWS": 100}.items():
        monkeypatch.setattr(phases, name, value)
    monkeypatch.setattr(rows_module, "FILE_ROWS", 400)
    monkeypatch.setattr(program, "FILES", tmp_path / "files")
    monkeypatch.setattr(program, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(program, "DIM", 8)


def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--results", str(folder), "--sizes", str(ROWS)]
    monkeypatch.setattr(sys, "argv", ["benchmarks.scalability", *arguments])
    program.main()


@pytest.mark.slow
def test_every_phase_is_measured_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, monkeypatch)
    results = Results.read(tmp_path / "scalability.json")
    measured = results.sizes[ROWS]
    assert list(measured) == list(PHASES)
    assert [list(results.points(curve)) for curve in CURVES] == [[ROWS]] * len(CURVES)
    assert measured["table"].figures["recall"] == 1  # so few rows are compared all
    assert measured["table"].figures["turns"] == 2
    assert measured["small jobs"].figures["jobs"] == 4
    assert measured["lists"].figures["jobs"] == 200
    assert (tmp_path / "scalability.png").stat().st_size > 10_000
    assert list((tmp_path / "files").iterdir()) == list((tmp_path / "cache" / "scratch").iterdir()) == []
    assert "|  | 1,000 | exponent |" in capsys.readouterr().out

    # What is there isn't measured again: as after a run that was interrupted.
    del measured["parts"]
    results.write(tmp_path / "scalability.json")
    run(tmp_path, monkeypatch)
    shown = capsys.readouterr().out
    assert "1,000 rows: parts" in shown
    assert "1,000 rows: table" not in shown


def test_a_table_of_parts_is_opened_and_compacted(tmp_path: Path) -> None:
    rows = Rows(8)
    told: list[str] = []
    figures = measure_parts(Task(rows, ROWS, RowFiles(rows, tmp_path / "files"), True, tmp_path, told.append))
    assert (figures["parts"], told) == (20, ["20 parts are there"])
    assert figures["open_ms"] > 0 < figures["compaction_cpu_s"]
    [table] = tmp_path.glob("*.lance")
    assert len(lance.dataset(str(table)).get_fragments()) == 1


def test_a_larger_size_begins_with_the_rows_of_a_smaller_one(tmp_path: Path) -> None:
    files = RowFiles(Rows(8), tmp_path)
    smaller, larger = ([pq.read_table(path) for path in files.make(count)] for count in (500, 900))
    assert [len(each) for each in smaller] == [400, 100]
    assert [len(each) for each in larger] == [400, 400, 100]
    assert larger[1].slice(0, 100).equals(smaller[1])
    assert [larger[number]["id"][0].as_py() for number in range(3)] == [0, 400, 800]
    vectors = np.concatenate([block for _, block in Rows(8).blocks(0, 900)])
    assert np.array_equal(np.array(larger[2]["vector"].to_pylist(), np.float32), vectors[800:])


def test_blocks_are_the_same_wherever_they_begin() -> None:
    whole = np.concatenate([block for _, block in Rows(4).blocks(0, 20_500)])
    parts = list(Rows(4).blocks(9_998, 20_003))
    assert [(first, len(block)) for first, block in parts] == [(9_998, 2), (10_000, 10_000), (20_000, 3)]
    assert np.array_equal(np.concatenate([block for _, block in parts]), whole[9_998:20_003])
    assert not np.array_equal(whole[:10], whole[10_000:10_010])


def test_the_nearest_rows_are_those_of_all_blocks() -> None:
    random = np.random.default_rng(1)
    vectors = random.random((300, 4), dtype=np.float32)
    queries = random.random((3, 4), dtype=np.float32)
    nearest = Nearest(queries, 5)
    for first in (0, 100, 200):
        nearest.add(vectors[first : first + 100], first)
    for number, query in enumerate(queries):
        ids = np.argsort(((vectors - query) ** 2).sum(axis=1))
        assert nearest.recall(number, ids[:5].tolist()) == 1
        assert nearest.recall(number, ids[3:8].tolist()) == pytest.approx(0.4)


def test_the_table_shows_the_cost_of_a_million_rows_and_how_it_grows() -> None:
    results = Results()
    # Later sizes may be measured first.
    for rows, seconds in ((1_000_000, 8.0), (100_000, 0.4)):
        measured = Measurement(date="", command="", machine="", load_average=0, seconds=1, figures={"cpu_s": seconds})
        results.add(rows, "import", measured)
    curves = [Curve("import", "import", "cpu_s", "s", per_row=True), Curve("other", "other", "cpu_s")]
    assert list(table_rows(results, curves)) == [
        ("", "100,000", "1,000,000", "exponent"),
        ("import", "4.00", "8.00", "+0.30"),
        ("other", "", "", ""),
    ]


@pytest.mark.parametrize(
    ("values", "exponent"), [((2, 2), 0), ((1, 10), 1), ((1, 100), 2), ((0, 1), None), ((), None)]
)
def test_the_exponent_is_the_slope_on_logarithmic_scales(values: tuple[float, ...], exponent: float | None) -> None:
    points = dict(zip((1_000, 10_000), values, strict=False))
    assert exponent_of(points) == (None if exponent is None else pytest.approx(exponent, abs=1e-9))
