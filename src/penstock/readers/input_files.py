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
from penstock.sources.base import Listing, ListingKind, Location
from penstock.sources.globs import has_wildcards
from penstock.sources.manifests import is_manifest

_COMPRESSED = ("gz", "zst", "zip", "bz2", "xz", "lz4", "snappy")


def check_group(group: Sequence[str], preset: str = "") -> FormatSpec | None:
    """Detect the format of a create call's group by its paths; None if only its listing at plan time can say it.

    Raises:
        ImportRefused: as :func:`detect`.
    """
    files = [path for path in group if not _is_listed(path, preset)]
    return None if group and not files else detect(files, preset)


def _is_listed(path: str, preset: str) -> bool:
    """Whether the format is of the files that the path lists: a folder, a manifest, or a pattern of any extension."""
    if path.endswith("/") or is_manifest(path):
        return True
    extension = path.rpartition("/")[2].rpartition(".")[2]
    return (
        has_wildcards(path)
        and format_of(path, preset) is None
        and (has_wildcards(extension) or extension.lower() in COMPRESSIONS or extension == path.rpartition("/")[2])
    )


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


def expand(listings: Iterable[Listing], preset: str = "") -> list[InputFile]:
    """Resolve one group to its input files, each one file or one NumPy set.

    Files that are named one by one make up one input file. In a folder, and among the matches of a pattern or the
    files of a manifest, every file is one, and the ``.npy`` files of one folder (not of folders below it) together
    are one.

    Args:
        listings: those of the paths of the group.
        preset: the option ``from_format``.

    Raises:
        ImportRefused: as :func:`detect`; a folder or pattern with files of several formats.
    """
    named: list[Location] = []
    inputs: list[InputFile] = []
    for listing in listings:
        if listing.kind is ListingKind.FILE:
            named += listing.locations
        elif listing.kind is ListingKind.MANIFEST:
            inputs += _manifest_inputs(listing.locations, preset)
        else:
            inputs += _folder_inputs(listing, preset)
    if named or not inputs:
        format = detect([location.name for location in named], preset)
        inputs.insert(0, InputFile(locations=named, format=format.name))
    return inputs


def _manifest_inputs(locations: Sequence[Location], preset: str) -> list[InputFile]:
    by_format: dict[FormatSpec, list[Location]] = {}
    for location in locations:
        by_format.setdefault(_format_of(location.name, [location.name], preset), []).append(location)
    return [file for format, members in by_format.items() for file in _inputs(members, format)]


def _folder_inputs(listing: Listing, preset: str) -> list[InputFile]:
    names = [location.name for location in listing.locations]
    formats = [_format_of(name, [name], preset) for name in names]
    counts = Counter(formats)
    usual = max(formats, key=lambda format: counts[format])
    rule = "A pattern must match" if listing.kind is ListingKind.PATTERN else "A folder must hold"
    for name, format in zip(names, formats, strict=True):
        if format is not usual:
            example = names[formats.index(usual)]
            raise ImportRefused(
                f"inconsistency in file types, ({example}) vs ({name}). {rule} files of one type: "
                f"{counts[usual]:,} are {usual.name}, {name!r} is {format.name}. Move it to another folder, or name "
                "the files one by one",
                files=[example, name],
            )
    return _inputs(listing.locations, usual)


def _inputs(locations: Sequence[Location], format: FormatSpec) -> list[InputFile]:
    if format.file_set is None:
        return [InputFile(locations=[location], format=format.name) for location in locations]
    ordered = sorted(locations, key=lambda location: (_folder(location.name), location.name))
    sets = groupby(ordered, key=lambda location: _folder(location.name))
    return [InputFile(locations=list(members), format=format.name) for _, members in sets]


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
