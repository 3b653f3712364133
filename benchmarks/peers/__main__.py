"""Penstock beside others, in one run on one machine.

    python -m benchmarks.peers                       # everything; about 25 minutes on 2 cores
    python -m benchmarks.peers --list                # the sections
    python -m benchmarks.peers --only parquet-768    # one section, put into the results in place of the older one
    python -m benchmarks.peers --quick               # a tenth of the rows, one pair, kept apart: to see that it runs
    python -m benchmarks.peers --readme              # measure nothing, write what was measured into the pages
    python -m benchmarks.peers --machine machine-2   # keep the results of another machine beside those of the first

Writes ``peers.json``, ``peers.md`` and charts into ``benchmarks/results/MACHINE``. Files, environments and what is
written meanwhile lie in ``.cache/benchmarks``; about 10 GB, and 25 GB while the section ``memory`` runs.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks.peers.charts import draw_charts
from benchmarks.peers.data import CACHE
from benchmarks.peers.machines import read_machines, read_reports
from benchmarks.peers.readme import BEGIN, with_figures, with_results
from benchmarks.peers.results import Results
from benchmarks.peers.running import run_section
from benchmarks.peers.sections import all_sections
from benchmarks.peers.tables import report_text

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
PAIRS = 7
QUICK_SHARE = 0.1


def main() -> None:
    options = _parse()
    sections = all_sections(QUICK_SHARE if options.quick else 1)
    folder = options.results or (CACHE / "quick" if options.quick else RESULTS / options.machine)
    results = Results.read(folder / "peers.json")
    if options.list:
        for section in sections.values():
            print(
                f"{section.name:15} {section.title}: {', '.join(entry.contender.title for entry in section.entries)}"
            )
        return
    if not options.readme:
        for name in options.only or sections:
            start = time.perf_counter()
            pairs = 1 if options.quick else options.pairs
            results.add(run_section(sections[name], pairs, _tell, keep_tables=options.keep_tables), list(sections))
            results.write(folder / "peers.json")
            _tell(f"{name}: {time.perf_counter() - start:.0f} s")
    if not results.sections:
        sys.exit(f"there are no results in {folder} yet")
    (folder / "peers.md").write_text(report_text(results))
    draw_charts(results, folder)
    page, readme = ROOT / "docs" / "benchmarks.md", ROOT / "README.md"
    # A page that shows results shows the newest.
    if options.readme or (folder.parent == RESULTS and BEGIN in page.read_text()):
        machines, reports = read_machines(RESULTS), read_reports(RESULTS)
        page.write_text(with_results(page.read_text(), machines, reports, Path("..") / RESULTS.relative_to(ROOT)))
        readme.write_text(with_figures(readme.read_text(), machines, reports))
    _tell(f"see {folder / 'peers.md'}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="show the sections and end")
    parser.add_argument("--only", nargs="+", choices=all_sections(), metavar="SECTION", help="only these sections")
    parser.add_argument("--pairs", type=int, default=PAIRS, help=f"turns of each section ({PAIRS})")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, one pair")
    parser.add_argument("--machine", default="machine-1", metavar="LABEL", help="whose results these are (machine-1)")
    parser.add_argument("--keep-tables", action="store_true", help="keep every table until its section ends")
    parser.add_argument("--results", type=Path, help="folder for the results")
    parser.add_argument(
        "--readme", action="store_true", help="measure nothing; write docs/benchmarks.md and README.md"
    )
    return parser.parse_args()


def _tell(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    main()
