"""Check files against the rules of targets by their names, sizes and number, before anything is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from penstock.domain.sizes import size_text
from penstock.readers.base import InputFile
from penstock.readers.compression import COMPRESSIONS
from penstock.targets import table
from penstock.targets.rule import Finding, Target


def check_files(files: Sequence[InputFile], targets: Sequence[Target]) -> Iterator[Finding]:
    """Yield what the targets refuse of these input files, by name and size alone."""
    if len(files) > table.MAX_GROUPS:
        yield from _found(
            table.GROUPS.finding(targets, f"{len(files):,} files are more than {table.MAX_GROUPS:,} in one import")
        )
    total = sum(file.size for file in files)
    if total > table.ZILLIZ_TOTAL_BYTES:
        yield from _found(table.ZILLIZ_TOTAL.finding(targets, f"the files have {size_text(total)} together"))
    for file in files:
        yield from _found(*_by_name(file, targets), *_by_size(file, targets))


def _by_name(file: InputFile, targets: Sequence[Target]) -> Iterator[Finding | None]:
    name = file.locations[0].name
    base = name.rpartition("/")[2]
    inner, _, last = base.rpartition(".")
    extension = last.lower()
    if extension in COMPRESSIONS:
        yield table.COMPRESSED.finding(targets, f"the file is compressed (.{extension})", file=name)
        extension = inner.rpartition(".")[2].lower()
    if extension in ("jsonl", "ndjson"):
        yield table.JSON_LINES_VERSION.finding(targets, "JSON Lines", file=name)
    elif extension == "csv":
        yield table.CSV_VERSION.finding(targets, "CSV", file=name)
    elif extension == "npy":
        yield table.NUMPY_DEPRECATED.finding(targets, "NumPy files", file=name)
    elif extension not in ("parquet", "json"):
        yield table.FORMAT.finding(targets, f"files of {file.format} (.{extension}) are not read", file=name)
    if any(
        location.name.rpartition(".")[2] != location.name.rpartition(".")[2].lower() for location in file.locations
    ):
        yield table.EXTENSION_CASE.finding(targets, f"the extension .{last} is not in lower case", file=name)
    if file.columns:
        folders = ", ".join(f"{column}=…" for column in file.columns)
        yield table.PARTITION_FOLDERS.finding(targets, f"the folder {folders} is only a name", file=name)


def _by_size(file: InputFile, targets: Sequence[Target]) -> Iterator[Finding | None]:
    size = size_text(file.size)
    if file.size > table.MILVUS_FILE_BYTES:
        yield table.FILE_SIZE.finding(targets, f"the file has {size}", file=file.name)
    if file.size > table.ZILLIZ_FILE_BYTES:
        yield table.ZILLIZ_FILE_SIZE.finding(targets, f"the file has {size}", file=file.name)


def _found(*findings: Finding | None) -> Iterator[Finding]:
    return (finding for finding in findings if finding is not None)
