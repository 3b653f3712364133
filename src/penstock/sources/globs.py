"""Glob patterns in the paths of import requests: ``*``, ``?``, ``[...]`` and ``**``.

A pattern is a filter on the files of the folder before its first wildcard, so the permission to list that folder is
the permission to use the pattern. ``*`` and ``?`` match within one name, ``**`` any number of folders. Side files
(:func:`penstock.sources.base.side_file`) match only where the pattern's name begins with the same ``_`` or ``.``.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NoReturn
from urllib.parse import unquote

from penstock.domain.uploads import UPLOAD
from penstock.errors import LimitExceeded, PathNotAllowed
from penstock.sources.base import side_file
from penstock.sources.paths import LOCAL, WEB, Address, parse_path

MAX_FILES = 100_000
"""Default of the files that one pattern may match."""
MAX_ENTRIES = 1_000_000
"""Files and folders that are looked at for one pattern: some minutes with an object store."""
_MAX_SEGMENTS = 64
_ANY_FOLDERS = "**"
_MAGIC = re.compile(r"[*?]|\[[^\]]+\]")
_ENCODED_MAGIC = re.compile(r"%(?:2a|3f|5b)", re.IGNORECASE)


def has_wildcards(text: str) -> bool:
    """Whether a path of a request is a pattern, unless a file has exactly that name."""
    return any(_MAGIC.search(segment) for segment in text.split("/"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Glob:
    """A pattern: ``segments`` are matched with the names of folders and files below the folder ``base``."""

    text: str
    base: Address
    segments: tuple[str, ...]


def parse_glob(address: Address) -> Glob | None:
    """Split the address of a request at its first wildcard; None if it has none, or its folder can't be listed.

    Raises:
        PathNotAllowed: the pattern has too many segments.
    """
    if address.scheme in WEB | {UPLOAD} or not has_wildcards(address.text):
        return None
    raw = address.text.split("/")
    first = next(number for number, segment in enumerate(raw) if _MAGIC.search(segment))
    base_text = "".join(f"{segment}/" for segment in raw[:first])
    base = parse_path(base_text) if base_text else Address(text="", scheme="", path="", is_folder=True)
    is_encoded = address.scheme == LOCAL or ("://" in address.text and address.text.lower().startswith("http"))
    segments: list[str] = []
    for segment in raw[first:]:
        part = _decoded(segment) if is_encoded else segment
        if part in ("", ".") or (part == _ANY_FOLDERS and segments and segments[-1] == _ANY_FOLDERS):
            continue
        segments.append(part)
    if address.is_folder and segments[-1] != _ANY_FOLDERS:
        segments.append(_ANY_FOLDERS)
    if len(segments) > _MAX_SEGMENTS:
        raise PathNotAllowed(
            f"pattern {address.text[:200]!r} has {len(segments)} folders from its first wildcard on; at most "
            f"{_MAX_SEGMENTS} are allowed. Begin it with the name of a deeper folder",
            path=address.text,
        )
    return Glob(text=address.text, base=replace(base, is_folder=True), segments=tuple(segments))


def _decoded(segment: str) -> str:
    """Percent-decode a segment; an encoded wildcard stands for itself."""
    return unquote(_ENCODED_MAGIC.sub(lambda code: f"[{unquote(code[0])}]", segment))


class Matcher:
    """Matches paths with a pattern, segment by segment.

    A state is a set of numbers of segments that are already matched; the empty one can't match any more.
    """

    def __init__(self, glob: Glob) -> None:
        self._segments = glob.segments
        self._patterns = [re.compile(fnmatch.translate(segment)) for segment in glob.segments]
        self.start = self._closure({0})

    def advance(self, state: frozenset[int], name: str) -> frozenset[int]:
        """The state after the name of a folder or file."""
        is_side = side_file(name) is not None
        matched: set[int] = set()
        for number in state:
            if number == len(self._segments):
                continue
            segment = self._segments[number]
            if is_side and segment[0] != name[0]:
                continue
            if segment == _ANY_FOLDERS:
                matched.add(number)
            elif self._patterns[number].match(name):
                matched.add(number + 1)
        return self._closure(matched)

    def is_match(self, state: frozenset[int]) -> bool:
        """Whether a path that led to the state matches as a whole."""
        return len(self._segments) in state

    def may_descend(self, state: frozenset[int]) -> bool:
        """Whether files below a folder that led to the state can match."""
        return any(number < len(self._segments) for number in state)

    def matches(self, member: str) -> bool:
        """Whether a path relative to the pattern's folder matches."""
        state = self.start
        for name in member.split("/"):
            state = self.advance(state, name)
            if not state:
                return False
        return self.is_match(state)

    def _closure(self, numbers: Iterable[int]) -> frozenset[int]:
        """Add what is reached without a name: ``**`` also matches no folder at all."""
        closed: set[int] = set()
        for number in numbers:
            closed.add(number)
            while number < len(self._segments) and self._segments[number] == _ANY_FOLDERS:
                number += 1
                closed.add(number)
        return frozenset(closed)


class Matches:
    """Collects what a pattern matches, within the limits: ``add`` each match, ``visit`` each entry that is looked at.

    Matches beyond ``limit`` are only counted, so that the error has their number.
    """

    def __init__(self, glob: Glob, limit: int) -> None:
        self._glob = glob
        self._limit = limit
        self._entries = 0
        self._count = 0

    def visit(self) -> None:
        """Raises LimitExceeded: more entries than :data:`MAX_ENTRIES`."""
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            self._refuse(f"at least {self._count:,} files among the first {MAX_ENTRIES:,} files and folders")

    def add(self) -> bool:
        """Count a match; whether it is within the limit."""
        self._count += 1
        return self._count <= self._limit

    def check(self) -> None:
        """Raises LimitExceeded: more matches than the limit."""
        if self._count > self._limit:
            self._refuse(f"{self._count:,} files")

    def _refuse(self, what: str) -> NoReturn:
        raise LimitExceeded(
            f"pattern {self._glob.text!r} matches {what}; the limit is {self._limit:,} files per pattern "
            "(max_listed_files). Begin it with a deeper folder, split the import into several, or name the folder "
            "itself, ending in '/'",
            limit="max_listed_files",
            value=self._limit,
            count=self._count,
            path=self._glob.text,
        )
