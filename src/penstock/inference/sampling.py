"""Sample input files: a few rows of a few of them, however large they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from penstock.readers.base import InputFile, Sample, SampleRequest
from penstock.readers.formats import format_named
from penstock.sources.opening import open_source, unchanged

MAX_FILES = 8
"""Files of a request that are sampled."""

_Item = TypeVar("_Item")


def evenly_spread(items: Sequence[_Item], count: int) -> list[_Item]:
    """Choose at most ``count`` items, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    return [items[number * (len(items) - 1) // (count - 1)] for number in range(count)]


def sample_file(file: InputFile, options: Mapping[str, str], max_columns: int | None = None) -> Sample:
    """Sample the first rows of a file; ``options`` are the import options.

    Raises:
        DataError, SourceError: it can't be read.
    """
    sources = [open_source(location) for location in file.locations]
    with unchanged(sources):
        request = SampleRequest(sources=sources, options=options)
        if max_columns is not None:
            request = replace(request, max_columns=max_columns)
        return format_named(file.format).reader.sample(request)
