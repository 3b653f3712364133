"""Import roots, and the match of local paths and remote addresses against them, by text alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from penstock.sources.local import is_below
from penstock.sources.paths import BUCKETS, LOCAL, WEB, Address, parse_path, parse_root


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """A local path that a file may have."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class RemotePlace:
    """A remote address that a file may have; fields as in :class:`Address`."""

    scheme: str
    bucket: str
    key: str
    region: str = ""
    account: str = ""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.home}/{self.key}"

    @property
    def home(self) -> str:
        """The bucket as in the URI of a location: ``container@account`` if there is an account."""
        return f"{self.bucket}@{self.account}" if self.account else self.bucket


Place = LocalPlace | RemotePlace


@dataclass(frozen=True, slots=True)
class LocalRoot:
    """A local folder as import root; ``text`` as configured."""

    text: str
    path: str

    @property
    def real(self) -> str:
        """The root's path with symbolic links resolved."""
        return os.path.realpath(self.path)

    def below(self, name: str) -> LocalPlace:
        return LocalPlace(os.path.join(self.path, name) if name else self.path)


@dataclass(frozen=True, slots=True)
class RemoteRoot:
    """A bucket's prefix or a web address as import root; ``text`` as configured."""

    text: str
    place: RemotePlace

    def below(self, name: str) -> RemotePlace:
        prefix, name = self.place.key, quote(name) if self.place.scheme in WEB else name
        return replace(self.place, key=f"{prefix}/{name}" if prefix and name else prefix or name)

    def holds(self, place: RemotePlace) -> bool:
        root = self.place
        is_same_bucket = (place.scheme, place.account, place.bucket) == (root.scheme, root.account, root.bucket)
        return is_same_bucket and (not root.key or is_below(place.key, root.key))


@dataclass(frozen=True, slots=True, kw_only=True)
class RootSet:
    """Import roots in order; ``any_bucket``: schemes of which any bucket is allowed, for requests with keys."""

    texts: Sequence[str]
    roots: Sequence[LocalRoot | RemoteRoot]
    any_bucket: frozenset[str] = frozenset()

    @property
    def folders(self) -> list[LocalRoot]:
        return [root for root in self.roots if isinstance(root, LocalRoot)]

    @property
    def web(self) -> list[str]:
        """The web addresses among the roots, without a trailing slash."""
        places = [root.place for root in self.roots if isinstance(root, RemoteRoot)]
        return [str(place).rstrip("/") for place in places if place.scheme in WEB]

    def holds_folder(self, path: str) -> bool:
        """Whether a local path lies below a root. A root may be a link: both its path and its target match."""
        return any(is_below(path, folder.path) or is_below(path, folder.real) for folder in self.folders)

    def holds_object(self, place: RemotePlace) -> bool:
        """Whether a remote address lies below a root; ``any_bucket`` does not count."""
        return any(isinstance(root, RemoteRoot) and root.holds(place) for root in self.roots)

    def plain(self, path: str) -> str:
        """Resolve the root's links in a local path below a root; other paths stay unchanged."""
        for folder in self.folders:
            for base in (folder.path, folder.real):
                if is_below(path, base):
                    return folder.real.rstrip("/") + path[len(base.rstrip("/")) :]
        return path


PlaceOf = Callable[[Address], RemotePlace]


def parse_roots(texts: Iterable[str], place_of: PlaceOf) -> RootSet:
    """Parse the roots of a server; relative folders are resolved against the working directory.

    Raises:
        PathNotAllowed, Unsupported: a root is not a folder or prefix that can be served.
    """
    all_texts = tuple(texts)
    roots: list[LocalRoot | RemoteRoot] = []
    any_bucket: set[str] = set()
    for text in all_texts:
        address = parse_root(os.path.abspath(text) if "://" not in text and text else text)
        if address.scheme in ("", LOCAL):
            roots.append(LocalRoot(text, address.path))
        elif address.bucket:
            roots.append(RemoteRoot(text, place_of(address)))
        else:
            any_bucket.add(address.scheme)
    return RootSet(texts=all_texts, roots=roots, any_bucket=frozenset(any_bucket))


def parse_limit(texts: Iterable[str], server: RootSet, place_of: PlaceOf) -> RootSet:
    """Parse the roots of an API key. A relative one lies below each root of the server; in local paths the links of
    the server's roots are resolved (``server.plain``)."""
    all_texts = tuple(texts)
    absolute_texts = [text for text in all_texts if "://" in text or text.startswith("/")]
    absolute = parse_roots(absolute_texts, place_of)
    roots: list[LocalRoot | RemoteRoot] = [
        LocalRoot(root.text, server.plain(root.path)) if isinstance(root, LocalRoot) else root
        for root in absolute.roots
    ]
    for text in all_texts:
        if text in absolute_texts:
            continue
        for root in server.roots:
            place = root.below(parse_path(text).path)
            if isinstance(place, LocalPlace):
                roots.append(LocalRoot(text, server.plain(place.path)))
            else:
                roots.append(RemoteRoot(text, place))
    return RootSet(texts=all_texts, roots=roots, any_bucket=absolute.any_bucket & BUCKETS)
