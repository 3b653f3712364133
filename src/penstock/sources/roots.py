"""Import roots: the only places that files are read from.

``check`` judges the text of a path when a job is created; ``locate`` looks for the file when the job is planned. Both
go through the same list of candidates, so a path that passes the one can't escape in the other.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from penstock.errors import FileMissing, FileUnreadable, PathNotAllowed
from penstock.sources.base import Location
from penstock.sources.local import find_local, is_below
from penstock.sources.objects import find_objects, probe, with_keys
from penstock.sources.paths import Address, parse_path, parse_root

__all__ = ["ImportRoots"]


@dataclass(frozen=True, slots=True)
class _LocalRoot:
    text: str
    path: str

    def below(self, name: str) -> _LocalPlace:
        return _LocalPlace(os.path.join(self.path, name))

    def holds(self, path: str) -> bool:
        # A root may be a link itself; callers write the one name or the other.
        return is_below(path, self.path) or is_below(path, os.path.realpath(self.path))


@dataclass(frozen=True, slots=True)
class _ObjectRoot:
    text: str
    bucket: str
    prefix: str

    def below(self, name: str) -> _ObjectPlace:
        return _ObjectPlace(self.bucket, f"{self.prefix}/{name}" if self.prefix else name)

    def holds(self, bucket: str, key: str) -> bool:
        return bucket == self.bucket and (not self.prefix or is_below(key, self.prefix))


@dataclass(frozen=True, slots=True)
class _LocalPlace:
    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class _ObjectPlace:
    bucket: str
    key: str
    region: str = ""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


_Place = _LocalPlace | _ObjectPlace


class ImportRoots:
    """The import roots of a server (or of one key).

    Args:
        roots: local folders and ``s3://bucket/prefix``, looked through in this order; ``s3://`` alone opens any
            bucket, but only with keys that the caller sends.
        object_store: the server's own settings (see :func:`penstock.sources.objects.settings_from_environment`).

    Raises:
        PathNotAllowed, Unsupported: a root is not a folder or prefix that can be served.
    """

    def __init__(self, roots: Sequence[str], object_store: Mapping[str, str] = MappingProxyType({})) -> None:
        self._settings = dict(object_store)
        self._roots: list[_LocalRoot | _ObjectRoot] = []
        self._any_bucket = False
        for text in roots:
            address = parse_root(os.path.abspath(text) if "://" not in text and text else text)
            if address.scheme != "s3":
                self._roots.append(_LocalRoot(text, address.path))
            elif address.bucket:
                self._roots.append(_ObjectRoot(text, address.bucket, address.path))
            else:
                self._any_bucket = True
        self.texts = tuple(roots)

    def check(self, path: str, has_keys: bool) -> None:
        """Judge a path by its text alone; neither disk nor network is asked.

        Raises:
            PathNotAllowed: outside every root, or a form that is never opened.
            Unsupported: a scheme that can't be read.
        """
        self._places(parse_path(path), has_keys)

    def locate(self, path: str, access_key: str = "", secret_key: str = "", token: str = "") -> list[Location]:
        """The file that a path names, or all files below it when it ends in ``/`` (sorted by name).

        The first root that has it wins.

        Raises:
            FileMissing: nowhere; says where it was looked for.
            PathNotAllowed, FileUnreadable, SourceUnavailable: as the place says; a place that denies access does not
                keep the file from being found in a later root.
        """
        address = parse_path(path)
        has_keys = bool(access_key or secret_key or token)
        places = self._places(address, has_keys)
        settings = with_keys(self._settings, access_key, secret_key, token)
        denied: FileUnreadable | None = None
        for place in places:
            try:
                found = self._look(place, address, settings)
            except FileUnreadable as error:
                denied = denied or error
                continue
            if found:
                return found
        if denied:
            raise denied
        raise FileMissing(_missing(address, places), path=path, looked=[str(place) for place in places])

    def probe(self) -> None:
        """Look whether the roots can be read at all; ``s3://`` alone is the callers' to try.

        Raises:
            FileMissing: a folder or bucket isn't there.
            FileUnreadable, SourceUnavailable: as the place says.
        """
        for root in self._roots:
            if isinstance(root, _ObjectRoot):
                probe(root.bucket, root.prefix, self._settings)
            elif not os.path.isdir(root.path):
                raise FileMissing(f"folder {root.text!r} is not there", path=root.text)
            elif not os.access(root.path, os.R_OK | os.X_OK):
                raise FileUnreadable(f"folder {root.text!r} can't be read: access denied", path=root.text)

    def restore(
        self, saved: Mapping[str, Any], access_key: str = "", secret_key: str = "", token: str = ""
    ) -> Location:
        """A location from what its :meth:`Location.to_json` gave, with the credentials that are never stored."""
        location = Location(uri=saved["uri"], name=saved["name"], size=saved["size"], version=saved["version"])
        if not location.uri.startswith("s3://"):
            return location
        settings = with_keys(self._settings, access_key, secret_key, token)
        return replace(location, credentials=_regional(settings, parse_path(location.name).region))

    def _look(self, place: _Place, address: Address, settings: Mapping[str, str]) -> list[Location]:
        if isinstance(place, _LocalPlace):
            real_roots = [os.path.realpath(root.path) for root in self._roots if isinstance(root, _LocalRoot)]
            return find_local(place.path, address.text, address.is_folder, real_roots)
        settings = _regional(settings, place.region)
        return find_objects(place.bucket, place.key, address.text, address.is_folder, settings)

    def _places(self, address: Address, has_keys: bool) -> list[_Place]:
        """Where the file may be, best first; never empty."""
        if address.scheme == "s3":
            return [self._bucket_place(address, has_keys)]
        inside = [root for root in self._roots if isinstance(root, _LocalRoot) and root.holds(address.path)]
        if address.scheme == "file" and not inside:
            raise self._outside(address, "Put the file there")
        places: list[_Place] = [_LocalPlace(address.path)] if inside else []
        if address.scheme == "":
            name = address.path.lstrip("/")
            places += [root.below(name) for root in self._roots if name or address.is_folder]
        if not places:
            raise self._outside(address, "Name a file below an import root")
        return list(dict.fromkeys(places))

    def _bucket_place(self, address: Address, has_keys: bool) -> _ObjectPlace:
        place = _ObjectPlace(address.bucket, address.path, address.region)
        if any(isinstance(root, _ObjectRoot) and root.holds(place.bucket, place.key) for root in self._roots):
            return place
        if not self._any_bucket:
            raise self._outside(address, "Put the object there")
        if not has_keys:
            raise PathNotAllowed(
                f"path {address.text!r} is in a bucket that this server reads only with the caller's own keys. "
                "Give accessKey and secretKey with the import",
                path=address.text,
            )
        return place

    def _outside(self, address: Address, remedy: str) -> PathNotAllowed:
        if not self.texts:
            return PathNotAllowed(
                f"path {address.text!r} can't be read: this server has no import roots. "
                "Start it with --import-root FOLDER or --import-root s3://bucket/prefix",
                path=address.text,
            )
        return PathNotAllowed(
            f"path {address.text!r} is outside of the import roots ({', '.join(self.texts)}). "
            f"{remedy}, or start the server with one more --import-root",
            path=address.text,
            roots=list(self.texts),
        )


def _regional(settings: Mapping[str, str], region: str) -> Mapping[str, str]:
    """The settings with the region that a URL's host names, where they don't say where the store is."""
    if not region or "region" in settings or "endpoint" in settings:
        return settings
    return {**settings, "region": region}


def _missing(address: Address, places: Sequence[_Place]) -> str:
    what = "folder is not there or has no files in it" if address.is_folder else "file is not there"
    slash = "/" if address.is_folder else ""
    looked = ", ".join(f"{place}".rstrip("/") + slash for place in places)
    return f"path {address.text!r}: the {what}. Looked in: {looked}"
