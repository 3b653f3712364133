"""What holds for the parsers of small texts: a value, or the one kind of error that each promises."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

from penstock.engines.lance.read.filter_pushdown import NEAREST_WEIGHT, SCAN_WEIGHT, split
from penstock.engines.lance.read.filter_sql import to_sql
from penstock.errors import DataError, InvalidFilter, PathNotAllowed, Unsupported
from penstock.filters import parse
from penstock.readers.json.boundary_scan import JsonBoundaryScan
from penstock.readers.json.record_scanner import RecordScanner
from penstock.readers.json.structural_index import StructuralIndexer
from penstock.sources.paths import parse_path, parse_root
from penstock.sources.roots import ImportRoots
from tests.support.filter_oracle import evaluate
from tests.support.in_memory import BytesSource
from tests.support.schemas import LENIENT

__all__ = ["parse_filter", "parse_paths", "scan_json", "survey_json"]

_ROOTS = ImportRoots(["/imports/a", "s3://bucket/a", "https://files.example.com/a/", "gs://", "az://"])
_ROW = {
    "id": 1,
    "bool": True,
    "int8": -1,
    "int64": None,
    "float": 0.5,
    "double": 1e300,
    "text": "a%b_c",
    "json": {"a": [1, "x", None, {"b": True}]},
    "tags": ["a", "b"],
    "counts": [],
    "$meta": {"k": 5, "list": [1, 2.0]},
}


def parse_paths(data: bytes) -> None:
    """No path leaves the place that its text names, in any spelling."""
    text = data.decode(errors="surrogateescape")
    with suppress(PathNotAllowed, Unsupported):
        parse_root(text)
    try:
        address = parse_path(text)
    except (PathNotAllowed, Unsupported):
        return
    parts = address.path.split("/")
    assert "\0" not in text + address.path
    assert not {"", ".", ".."} & set(parts[1 if address.path.startswith("/") else 0 :]) or address.path in (
        "",
        "/",
    ), address
    assert parse_path(text) == address
    if address.scheme in ("s3", "gs", "az", "http", "https"):
        assert address.bucket, address
        assert not {"/", "@"} & set(address.bucket), address
        assert not address.path.startswith("/"), address
    for has_keys in (False, True):
        with suppress(PathNotAllowed, Unsupported):
            _ROOTS.check(text, has_keys)
            if address.scheme == "file":
                assert address.path == "/imports/a" or address.path.startswith("/imports/a/"), address
            if address.scheme in ("http", "https"):
                assert (address.scheme, address.bucket) == ("https", "files.example.com"), address
                assert address.path == "a" or address.path.startswith("a/"), address


def parse_filter(data: bytes) -> None:
    """A filter can be evaluated and said in SQL, or is refused with InvalidFilter."""
    text = data.decode(errors="replace")
    params = {"n": 5, "x": 0.5, "t": "text", "list": [1, 2], "b": True}
    try:
        tree = parse(text, LENIENT, params)
    except InvalidFilter:
        return
    if tree is None:
        return
    assert evaluate(tree, _ROW) in (True, False, None)
    for most in (0, SCAN_WEIGHT, NEAREST_WEIGHT):
        pushed, _ = split(tree, most)
        with suppress(InvalidFilter):
            if pushed is not None:
                to_sql(pushed, LENIENT)


def scan_json(data: bytes) -> None:
    """The marks of a text are those that a look at each byte finds, however it is cut into blocks."""
    size, text = (data[0] % 16 + 1, data[1:]) if data else (1, b"")
    expected, quotes, escaping = _marks(text)
    finder = StructuralIndexer()
    found = []
    odd = False
    counted = 0
    for start in range(0, len(text), size):
        marks = finder.feed(text[start : start + size])
        for position, opens, is_odd in zip(marks.positions, marks.opens, marks.odd, strict=True):
            found.append((start + int(position), bool(opens), bool(is_odd) ^ odd))
        odd ^= marks.quotes % 2 == 1
        counted += marks.quotes
    assert (found, counted, finder.escaping) == (expected, quotes, escaping)


def survey_json(data: bytes) -> None:
    """A cut stands behind a row: the rows of the parts are those of the whole, up to the first fault."""
    if len(data) < 2:
        return
    listed, parts, text = bool(data[0] % 2), data[1] % 7 + 2, data[2:]
    source = BytesSource("data", text)
    survey = JsonBoundaryScan(start=0, size=len(text), count=parts, min_row_bytes=2, spec={})
    plans = survey.cut([survey.scan(source, span, lambda _: None) for span in survey.spans])
    bounds = [(plan.spec["start"], plan.spec["end"]) for plan in plans]
    assert (bounds[0][0], bounds[-1][1]) == (0, len(text))
    assert all(before[1] == after[0] for before, after in pairwise(bounds))
    whole, whole_fault = _rows(text, 0, listed=listed, first=True)
    rows: list[tuple[int, bytes]] = []
    for number, (start, end) in enumerate(bounds):
        some, fault = _rows(text[start:end], start, listed=listed, first=number == 0)
        rows += some
        if fault:
            break
    if not whole_fault:
        assert rows[: len(whole)] == whole


def _rows(text: bytes, start: int, *, listed: bool, first: bool) -> tuple[list[tuple[int, bytes]], str]:
    scanner = RecordScanner(start, listed=listed, first=first)
    rows = scanner.feed(text)
    try:
        scanner.check()
    except DataError as error:
        return rows, error.rule
    return rows, ""


def _marks(text: bytes) -> tuple[list[tuple[int, bool, bool]], int, bool]:
    """Brackets (position, opens, whether an odd number of quotes is before), quotes, and whether it ends escaping."""
    found = []
    quotes = 0
    escaping = False
    for position, byte in enumerate(text):
        if byte in b"[]{}":
            found.append((position, byte in b"[{", quotes % 2 == 1))
        elif byte == 0x22 and not escaping:
            quotes += 1
        escaping = byte == 0x5C and not escaping
    return found, quotes, escaping
