"""Detect file formats, resolve groups of paths to input files, and select the reader.

The extension alone decides, in any case (Milvus requires lower case).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import groupby

from penstock.errors import ImportRefused
from penstock.readers.base import Reader
from penstock.readers.csv.reader import CSV_READER
from penstock.readers.json.array_reader import JSON_READER
from penstock.readers.json.lines_reader import JSONL_READER
from penstock.readers.numpy import NUMPY_READER
from penstock.readers.parquet import PARQUET_READER
from penstock.sources.base import Location

__all__ = ["Format", "check_group", "detect", "expand", "reader_for"]


class Format(StrEnum):
    """A file format, spelled as in Milvus's messages."""

    PARQUET = "Parquet"
    JSON = "JSON"
    JSONL = "JSONL"
    CSV = "CSV"
    NUMPY = "Numpy"


_EXTENSIONS = {
    "parquet": Format.PARQUET,
    "json": Format.JSON,
    "jsonl": Format.JSONL,
    "ndjson": Format.JSONL,
    "csv": Format.CSV,
    "npy": Format.NUMPY,
}
_COMPRESSED = ("gz", "zst", "zip", "bz2", "xz", "lz4", "snappy")
_READERS: dict[Format, Reader] = {
    Format.PARQUET: PARQUET_READER,
    Format.JSON: JSON_READER,
    Format.JSONL: JSONL_READER,
    Format.CSV: CSV_READER,
    Format.NUMPY: NUMPY_READER,
}


def reader_for(format: Format) -> Reader:
    """Return the reader of a format."""
    return _READERS[format]


def check_group(group: Sequence[str]) -> Format | None:
    """Detect the format of a create call's group by its paths; None for folders only, which are listed at plan time.

    Raises:
        ImportRefused: as :func:`detect`.
    """
    files = [path for path in group if not path.endswith("/")]
    return None if group and not files else detect(files)


def detect(group: Sequence[str]) -> Format:
    """Detect the format of the files that make up one input file.

    Raises:
        ImportRefused: no file, an unknown extension, several kinds, or several files of a format that takes one.
    """
    if not group:
        raise ImportRefused("no file to import")
    formats = [_format_of(path, group) for path in group]
    for path, format in zip(group, formats, strict=True):
        if format is not formats[0]:
            raise ImportRefused(
                f"inconsistency in file types, ({group[0]}) vs ({path}). "
                "Put files of each type into a group of their own",
                files=list(group),
            )
    if len(group) > 1 and formats[0] is not Format.NUMPY:
        raise ImportRefused(
            f"for {formats[0].value} import, accepts only one file. "
            f"Give each file a list of its own: [[file], [file]], not [[file, file]]",
            files=list(group),
        )
    return formats[0]


def expand(found: Iterable[tuple[str, Sequence[Location]]]) -> list[list[Location]]:
    """Resolve one group to its input files, each one file or one NumPy set.

    Args:
        found: each path of the group as in the request, with the locations that it resolves to.

    Files that are named one by one make up one input file. In a folder every file is one, and the ``.npy`` files of
    one folder (not of folders below it) together are one.

    Raises:
        ImportRefused: as :func:`detect`; a folder with files of several formats.
    """
    named: list[Location] = []
    inputs: list[list[Location]] = []
    for path, locations in found:
        if path.endswith("/"):
            inputs += _folder_inputs(locations)
        else:
            named += locations
    if named or not inputs:
        detect([location.name for location in named])
        inputs.insert(0, named)
    return inputs


def _folder_inputs(locations: Sequence[Location]) -> list[list[Location]]:
    names = [location.name for location in locations]
    formats = [_format_of(name, [name]) for name in names]
    kinds = Counter(formats)
    usual = max(formats, key=lambda format: kinds[format])
    for name, format in zip(names, formats, strict=True):
        if format is not usual:
            example = names[formats.index(usual)]
            raise ImportRefused(
                f"inconsistency in file types, ({example}) vs ({name}). A folder must hold files of one type: "
                f"{kinds[usual]:,} are {usual.value}, {name!r} is {format.value}. Move it to another folder, or name "
                "the files one by one",
                files=[example, name],
            )
    if usual is not Format.NUMPY:
        return [[location] for location in locations]
    ordered = sorted(locations, key=lambda location: (_folder(location.name), location.name))
    return [list(members) for _, members in groupby(ordered, key=lambda location: _folder(location.name))]


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _format_of(path: str, group: Sequence[str]) -> Format:
    stem, dot, extension = path.rpartition("/")[2].rpartition(".")
    format = _EXTENSIONS.get(extension.lower()) if dot else None
    if format is None:
        inner = stem.rpartition(".")[2].lower()
        hint = (
            "Decompress it first"
            if extension.lower() in _COMPRESSED and inner in _EXTENSIONS
            else f"Files that can be imported end in {', '.join(f'.{suffix}' for suffix in _EXTENSIONS)}"
        )
        raise ImportRefused(f"unexpected file type, files=[{_shown(path, group)}]. {hint}", path=path)
    return format


def _shown(path: str, group: Sequence[str]) -> str:
    return " ".join(group) if len(group) <= 10 else path
