"""Sample input files: a few rows of a few of them, however large they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.readers.base import InputFile, Sample, SampleRequest
from penstock.readers.formats import format_named
from penstock.sources.opening import open_source, unchanged

MAX_FILES = 8


def choose_files(files: Sequence[InputFile]) -> list[InputFile]:
    """Choose at most ``MAX_FILES`` files, the first and the last among them, evenly spread."""
    if len(files) <= MAX_FILES:
        return list(files)
    return [files[number * (len(files) - 1) // (MAX_FILES - 1)] for number in range(MAX_FILES)]


def sample_file(file: InputFile, options: Mapping[str, str]) -> Sample:
    """Sample the first rows of a file; ``options`` are the import options.

    Raises:
        DataError, SourceError: it can't be read.
    """
    sources = [open_source(location) for location in file.locations]
    with unchanged(sources):
        return format_named(file.format).reader.sample(SampleRequest(sources=sources, options=options))
