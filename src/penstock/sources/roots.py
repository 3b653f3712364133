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
from urllib.parse import quote

from penstock.errors import FileMissing, FileUnreadable, PathNotAllowed, Unsupported
from penstock.sources.base import Location
from penstock.sources.keys import Settings, with_keys
from penstock.sources.local import find_local, is_below
from penstock.sources.objects import find_objects, probe
from penstock.sources.paths import BUCKETS, LOCAL, WEB, Address, parse_path, parse_root
from penstock.sources.web import find_web

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
class _RemoteRoot:
    text: str
    place: _RemotePlace

    def below(self, name: str) -> _RemotePlace:
        prefix, name = self.place.key, quote(name) if self.place.scheme in WEB else name
        return replace(self.place, key=f"{prefix}/{name}" if prefix else name)

    def holds(self, place: _RemotePlace) -> bool:
        mine = self.place
        same = (place.scheme, place.account, place.bucket) == (mine.scheme, mine.account, mine.bucket)
        return same and (not mine.key or is_below(place.key, mine.key))


@dataclass(frozen=True, slots=True)
class _LocalPlace:
    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class _RemotePlace:
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


_Place = _LocalPlace | _RemotePlace
_NOTHING: Mapping[str, Settings] = MappingProxyType({})


class ImportRoots:
    """The import roots of a server (or of one key).

    Args:
        roots: local folders, prefixes of buckets (``s3://bucket/prefix``, ``gs://…``, ``az://…``) and web addresses
            (``https://host/path/``), looked through in this order; ``s3://``, ``gs://`` or ``az://`` alone
            opens any bucket, but only with keys that the caller sends.
        stores: the server's own settings by scheme (see :mod:`penstock.sources.keys`).

    Raises:
        PathNotAllowed, Unsupported: a root is not a folder or prefix that can be served.
    """

    def __init__(self, roots: Sequence[str], stores: Mapping[str, Settings] = _NOTHING) -> None:
        self._stores = stores
        self._roots: list[_LocalRoot | _RemoteRoot] = []
        self._any_bucket: set[str] = set()
        for text in roots:
            address = parse_root(os.path.abspath(text) if "://" not in text and text else text)
            if address.scheme in ("", LOCAL):
                self._roots.append(_LocalRoot(text, address.path))
            elif address.bucket:
                self._roots.append(_RemoteRoot(text, self._place_of(address)))
            else:
                self._any_bucket.add(address.scheme)
        self._web_roots = "\n".join(
            str(each.place).rstrip("/")
            for each in self._roots
            if isinstance(each, _RemoteRoot) and each.place.scheme in WEB
        )
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
        denied: FileUnreadable | None = None
        for place in places:
            try:
                found = self._look(place, address, (access_key, secret_key, token))
            except FileUnreadable as error:
                denied = denied or error
                continue
            if found:
                return found
        if denied:
            raise denied
        raise FileMissing(_missing(address, places), path=path, looked=[str(place) for place in places])

    def probe(self) -> None:
        """Look whether the roots can be read at all; ``s3://`` alone is the callers' to try, and a web server has
        nothing that could be listed.

        Raises:
            FileMissing: a folder or bucket isn't there.
            FileUnreadable, SourceUnavailable: as the place says.
        """
        for root in self._roots:
            if isinstance(root, _RemoteRoot):
                place = root.place
                if place.scheme in BUCKETS:
                    probe(place.scheme, place.home, place.key, self._settings_of(place))
            elif not os.path.isdir(root.path):
                raise FileMissing(f"folder {root.text!r} is not there", path=root.text)
            elif not os.access(root.path, os.R_OK | os.X_OK):
                raise FileUnreadable(f"folder {root.text!r} can't be read: access denied", path=root.text)

    def restore(
        self, saved: Mapping[str, Any], access_key: str = "", secret_key: str = "", token: str = ""
    ) -> Location:
        """A location from what its :meth:`Location.to_json` gave, with the credentials that are never stored."""
        location = Location(
            uri=saved["uri"],
            name=saved["name"],
            size=saved["size"],
            version=saved["version"],
            whole=saved.get("whole", False),
        )
        scheme, _, rest = location.uri.partition("://")
        if scheme == LOCAL:
            return location
        bucket, _, account = rest.partition("/")[0].partition("@")
        region = parse_path(location.name).region
        place = _RemotePlace(scheme, bucket, "", region=region, account=account)
        return replace(location, credentials=self._settings_of(place, access_key, secret_key, token))

    def _look(self, place: _Place, address: Address, keys: tuple[str, str, str]) -> list[Location]:
        if isinstance(place, _LocalPlace):
            real_roots = [os.path.realpath(root.path) for root in self._roots if isinstance(root, _LocalRoot)]
            return find_local(place.path, address.text, address.is_folder, real_roots)
        settings = self._settings_of(place, *keys)
        if place.scheme in WEB:
            return find_web(str(place), address.text, settings)
        return find_objects(place.scheme, place.home, place.key, address.text, address.is_folder, settings)

    def _place_of(self, address: Address) -> _RemotePlace:
        """An account that is the server's own is not named, so that ``az://`` and its full address are the same."""
        own = address.account == self._stores.get("az", {}).get("account")
        return _RemotePlace(
            address.scheme,
            address.bucket,
            address.path,
            region=address.region,
            account="" if own else address.account,
        )

    def _settings_of(
        self, place: _RemotePlace, access_key: str = "", secret_key: str = "", token: str = ""
    ) -> Mapping[str, str]:
        settings = self._stores.get(place.scheme, {})
        if place.scheme in WEB:
            settings = {"roots": self._web_roots}
        elif place.account:
            # The server's keys are those of its own account; what it has no key for, anybody may read or nobody.
            settings = {name: value for name, value in settings.items() if name == "endpoint"} | {"anonymous": "true"}
        settings = with_keys(place.scheme, settings, access_key, secret_key, token)
        # The region that a URL's host names counts where the settings don't say where the store is.
        if place.region and "region" not in settings and "endpoint" not in settings:
            settings["region"] = place.region
        return settings

    def _places(self, address: Address, has_keys: bool) -> list[_Place]:
        """Where the file may be, best first; never empty."""
        if address.scheme in BUCKETS | WEB:
            return [self._remote_place(address, has_keys)]
        inside = [root for root in self._roots if isinstance(root, _LocalRoot) and root.holds(address.path)]
        if address.scheme == "file" and not inside:
            raise self._outside(address, "Put the file there")
        places: list[_Place] = [_LocalPlace(address.path)] if inside else []
        if address.scheme == "":
            name = address.path.lstrip("/")
            places += [root.below(name) for root in self._roots if name or address.is_folder]
            if address.is_folder:
                places = [each for each in places if not (isinstance(each, _RemotePlace) and each.scheme in WEB)]
        if not places:
            raise self._outside(address, "Name a file below an import root")
        return list(dict.fromkeys(places))

    def _remote_place(self, address: Address, has_keys: bool) -> _RemotePlace:
        place = self._place_of(address)
        if address.scheme in WEB and address.is_folder:
            raise Unsupported(
                f"path {address.text!r} is a folder of a web server, which tells nobody what is in it. "
                "Name the files, each by its address",
                path=address.text,
            )
        if any(isinstance(root, _RemoteRoot) and root.holds(place) for root in self._roots):
            return place
        if address.scheme not in self._any_bucket:
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


def _missing(address: Address, places: Sequence[_Place]) -> str:
    what = "folder is not there or has no files in it" if address.is_folder else "file is not there"
    slash = "/" if address.is_folder else ""
    looked = ", ".join(f"{place}".rstrip("/") + slash for place in places)
    return f"path {address.text!r}: the {what}. Looked in: {looked}"
