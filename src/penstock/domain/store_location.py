"""Locations of collections: folders and bucket prefixes, and whether they overlap."""

from __future__ import annotations

from pathlib import Path, PurePosixPath


def normal_place(text: str) -> str:
    """Normalize a location: a folder's real path, or a URL without a trailing slash.

    Raises:
        ValueError: it is neither a folder nor ``s3://bucket/prefix``, or has ``.`` or ``..`` in its prefix.
    """
    scheme, separator, rest = text.partition("://")
    if separator and scheme.lower() == "file":
        if not rest.startswith("/"):
            raise ValueError("a file URL has no host: file:///folder")
        return str(Path(rest).resolve())
    if not separator:
        return str(Path(text).expanduser().resolve())
    parts = rest.rstrip("/").split("/")
    if scheme != "s3" or any(part in ("", ".", "..") for part in parts):
        raise ValueError("collections can be stored in a folder or in s3://bucket/prefix")
    return f"s3://{'/'.join(parts)}"


def is_folder(place: str) -> bool:
    return "://" not in place


def overlap(one: str, other: str) -> bool:
    """Whether two normal places are the same, or one lies within the other."""
    if is_folder(one) != is_folder(other):
        return False
    first, second = (PurePosixPath(place.removeprefix("s3://")) for place in (one, other))
    return first.is_relative_to(second) or second.is_relative_to(first)
