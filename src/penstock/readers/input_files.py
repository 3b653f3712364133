"""Resolve groups of paths to input files, and detect their format.

The extension alone decides, in any case (Milvus requires lower case).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from penstock.errors import ImportRefused
from penstock.readers.base import FormatSpec, InputFile
from penstock.readers.compression import COMPRESSIONS
from penstock.readers.formats import EXTENSIONS, extensions_of, format_of
from penstock.sources.base import Location

_COMPRESSED = ("gz", "zst", "zip", "bz2", "xz", "lz4", "snappy")


def check_group(group: Sequence[str], preset: str = "") -> FormatSpec | None:
    """Detect the format of a create call's group by its paths; None for folders only, which are listed at plan time.

    Raises:
        ImportRefused: as :func:`detect`.
    """
    files = [path for path in group if not path.endswith("/")]
    return None if group and not files else detect(files, preset)


def detect(group: Sequence[str], preset: str = "") -> FormatSpec:
    """Detect the format of the files that make up one input file; ``preset`` is the option ``from_format``.

    Raises:
        ImportRefused: no file, an unknown extension, several formats, or several files of a format that takes one.
    """
    if not group:
        raise ImportRefused("no file to import")
    formats = [_format_of(path, group, preset) for path in group]
    for path, format in zip(group, formats, strict=True):
        if format is not formats[0]:
            raise ImportRefused(
                f"inconsistency in file types, ({group[0]}) vs ({path}). "
                "Put files of each type into a group of their own",
                files=list(group),
            )
    if len(group) > 1 and formats[0].file_set is None:
        raise ImportRefused(
            f"for {formats[0].name} import, accepts only one file. "
            f"Give each file a list of its own: [[file], [file]], not [[file, file]]",
            files=list(group),
        )
    return formats[0]


def expand(listings: Iterable[tuple[str, Sequence[Location]]], preset: str = "") -> list[InputFile]:
    """Resolve one group to its input files, each one file or one NumPy set.

    Args:
        listings: each path of the group as in the request, with the locations that it resolves to.
        preset: the option ``from_format``.

    Files that are named one by one make up one input file. In a folder every file is one, and the ``.npy`` files of
    one folder (not of folders below it) together are one.

    Raises:
        ImportRefused: as :func:`detect`; a folder with files of several formats.
    """
    named: list[Location] = []
    inputs: list[InputFile] = []
    for path, locations in listings:
        if path.endswith("/"):
            inputs += _folder_inputs(locations, preset)
        else:
            named += locations
    if named or not inputs:
        format = detect([location.name for location in named], preset)
        inputs.insert(0, InputFile(locations=named, format=format.name))
    return inputs


def _folder_inputs(locations: Sequence[Location], preset: str) -> list[InputFile]:
    names = [location.name for location in locations]
    formats = [_format_of(name, [name], preset) for name in names]
    counts = Counter(formats)
    usual = max(formats, key=lambda format: counts[format])
    for name, format in zip(names, formats, strict=True):
        if format is not usual:
            example = names[formats.index(usual)]
            raise ImportRefused(
                f"inconsistency in file types, ({example}) vs ({name}). A folder must hold files of one type: "
                f"{counts[usual]:,} are {usual.name}, {name!r} is {format.name}. Move it to another folder, or name "
                "the files one by one",
                files=[example, name],
            )
    if usual.file_set is None:
        return [InputFile(locations=[location], format=usual.name) for location in locations]
    ordered = sorted(locations, key=lambda location: (_folder(location.name), location.name))
    sets = groupby(ordered, key=lambda location: _folder(location.name))
    return [InputFile(locations=list(members), format=usual.name) for _, members in sets]


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _format_of(path: str, group: Sequence[str], preset: str) -> FormatSpec:
    format = format_of(path, preset)
    if format is None and preset:
        suffixes = ", ".join(f".{extension}" for extension in extensions_of(preset))
        raise ImportRefused(
            f"unexpected file type, files=[{_listing(path, group)}]. Exports of {preset} (option from_format) end in "
            f"{suffixes}",
            path=path,
        )
    if format is None:
        stem, _, extension = path.rpartition("/")[2].rpartition(".")
        inner = stem.rpartition(".")[2].lower()
        hint = (
            "Decompress it first"
            if extension.lower() in _COMPRESSED and inner in EXTENSIONS
            else f"Files that can be imported end in {_suffixes()}"
        )
        raise ImportRefused(f"unexpected file type, files=[{_listing(path, group)}]. {hint}", path=path)
    return format


def _suffixes() -> str:
    suffixes = ", ".join(f".{extension}" for extension in EXTENSIONS if "." not in extension)
    return f"{suffixes}; text also in .{', .'.join(COMPRESSIONS)}, as in rows.jsonl.gz"


def _listing(path: str, group: Sequence[str]) -> str:
    return " ".join(group) if len(group) <= 10 else path
