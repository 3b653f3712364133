"""Groups of paths of an import call, from a flat list of paths."""

from __future__ import annotations

from collections.abc import Iterable


def grouped_paths(paths: Iterable[str]) -> list[list[str]]:
    """A group for each path, without repetitions; the ``.npy`` files of a folder, which are one set, share one."""
    groups: list[list[str]] = []
    sets: dict[str, list[str]] = {}
    for path in dict.fromkeys(paths):
        if not path.lower().endswith(".npy"):
            groups.append([path])
            continue
        folder = path.rpartition("/")[0]
        if folder not in sets:
            sets[folder] = []
            groups.append(sets[folder])
        sets[folder].append(path)
    return groups
