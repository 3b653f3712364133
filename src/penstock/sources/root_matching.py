"""Roots, and the places below them that a file may be at: which root holds a place is told by text alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from penstock.sources.local import is_below
from penstock.sources.paths import BUCKETS, LOCAL, WEB, Address, parse_path, parse_root

__all__ = ["LocalPlace", "LocalRoot", "Place", "RemotePlace", "RemoteRoot", "RootSet", "parse_limit", "parse_roots"]


@dataclass(frozen=True, slots=True)
class LocalPlace:
    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class RemotePlace:
    """``bucket`` and the others as :class:`Address` has them."""

    scheme: str
    bucket: str
    key: str
    region: str = ""
    account: str = ""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.home}/{self.key}"

    @property
    def home(self) -> str:
        """The bucket as locations have it."""
        return f"{self.bucket}@{self.account}" if self.account else self.bucket


Place = LocalPlace | RemotePlace


@dataclass(frozen=True, slots=True)
class LocalRoot:
    text: str
    path: str

    @property
    def real(self) -> str:
        """The folder itself, where the root is a link to it."""
        return os.path.realpath(self.path)

    def below(self, name: str) -> LocalPlace:
        return LocalPlace(os.path.join(self.path, name) if name else self.path)


@dataclass(frozen=True, slots=True)
class RemoteRoot:
    text: str
    place: RemotePlace

    def below(self, name: str) -> RemotePlace:
        prefix, name = self.place.key, quote(name) if self.place.scheme in WEB else name
        return replace(self.place, key=f"{prefix}/{name}" if prefix and name else prefix or name)

    def holds(self, place: RemotePlace) -> bool:
        mine = self.place
        same = (place.scheme, place.account, place.bucket) == (mine.scheme, mine.account, mine.bucket)
        return same and (not mine.key or is_below(place.key, mine.key))


@dataclass(frozen=True, slots=True, kw_only=True)
class RootSet:
    """Roots in their order; ``any_bucket`` are the schemes of which any bucket is one, for callers with keys."""

    texts: Sequence[str]
    roots: Sequence[LocalRoot | RemoteRoot]
    any_bucket: frozenset[str] = frozenset()

    @property
    def folders(self) -> list[LocalRoot]:
        return [root for root in self.roots if isinstance(root, LocalRoot)]

    @property
    def web(self) -> list[str]:
        """The web addresses among the roots, without a slash at their end."""
        places = [root.place for root in self.roots if isinstance(root, RemoteRoot)]
        return [str(place).rstrip("/") for place in places if place.scheme in WEB]

    def holds_folder(self, path: str) -> bool:
        """Whether a local path lies below a root. A root may be a link itself; callers write either name."""
        return any(is_below(path, folder.path) or is_below(path, folder.real) for folder in self.folders)

    def holds_object(self, place: RemotePlace) -> bool:
        """Whether a remote place lies below a root; ``any_bucket`` is not asked."""
        return any(isinstance(root, RemoteRoot) and root.holds(place) for root in self.roots)

    def plain(self, path: str) -> str:
        """A local path below a root, written below the folder itself; another path stays as it is."""
        for folder in self.folders:
            for base in (folder.path, folder.real):
                if is_below(path, base):
                    return folder.real.rstrip("/") + path[len(base.rstrip("/")) :]
        return path


PlaceOf = Callable[[Address], RemotePlace]


def parse_roots(texts: Iterable[str], place_of: PlaceOf) -> RootSet:
    """The roots of a server; relative folders are taken from the working directory.

    Raises:
        PathNotAllowed, Unsupported: a root is not a folder or prefix that can be served.
    """
    kept = tuple(texts)
    roots: list[LocalRoot | RemoteRoot] = []
    any_bucket: set[str] = set()
    for text in kept:
        address = parse_root(os.path.abspath(text) if "://" not in text and text else text)
        if address.scheme in ("", LOCAL):
            roots.append(LocalRoot(text, address.path))
        elif address.bucket:
            roots.append(RemoteRoot(text, place_of(address)))
        else:
            any_bucket.add(address.scheme)
    return RootSet(texts=kept, roots=roots, any_bucket=frozenset(any_bucket))


def parse_limit(texts: Iterable[str], server: RootSet, place_of: PlaceOf) -> RootSet:
    """The roots of a key. A relative one lies below each root of the server; local paths are as ``server.plain``."""
    kept = tuple(texts)
    named = [text for text in kept if "://" in text or text.startswith("/")]
    found = parse_roots(named, place_of)
    roots: list[LocalRoot | RemoteRoot] = [
        LocalRoot(root.text, server.plain(root.path)) if isinstance(root, LocalRoot) else root for root in found.roots
    ]
    for text in kept:
        if text in named:
            continue
        for root in server.roots:
            place = root.below(parse_path(text).path)
            if isinstance(place, LocalPlace):
                roots.append(LocalRoot(text, server.plain(place.path)))
            else:
                roots.append(RemoteRoot(text, place))
    return RootSet(texts=kept, roots=roots, any_bucket=found.any_bucket & BUCKETS)
