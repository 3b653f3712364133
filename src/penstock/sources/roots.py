"""Import roots: the only places that files are read from.

``check`` judges the text of a path when a job is created; ``locate`` looks for the file when the job is planned. Both
go through the same list of candidates, so a path that passes the one can't escape in the other.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote_to_bytes

from penstock.errors import FileMissing, FileUnreadable, PathNotAllowed, Unsupported
from penstock.sources.base import Location
from penstock.sources.credentials import Settings, with_keys
from penstock.sources.local import find_local, is_below
from penstock.sources.objects import find_objects, probe
from penstock.sources.paths import BUCKETS, LOCAL, WEB, Address, parse_path
from penstock.sources.root_matching import (
    LocalPlace,
    Place,
    RemotePlace,
    RemoteRoot,
    RootSet,
    parse_limit,
    parse_roots,
)
from penstock.sources.web import find_web, is_within

__all__ = ["ImportRoots"]

_NOTHING: Mapping[str, Settings] = MappingProxyType({})


class ImportRoots:
    """The import roots of a server, or what is left of them :meth:`within` the roots of a key.

    Args:
        roots: local folders, prefixes of buckets (``s3://bucket/prefix``, ``gs://…``, ``az://…``) and web addresses
            (``https://host/path/``), looked through in this order; ``s3://``, ``gs://`` or ``az://`` alone
            opens any bucket, but only with keys that the caller sends.
        stores: the server's own settings by scheme (see :mod:`penstock.sources.credentials`).

    Raises:
        PathNotAllowed, Unsupported: a root is not a folder or prefix that can be served.
    """

    def __init__(self, roots: Sequence[str], stores: Mapping[str, Settings] = _NOTHING) -> None:
        self._stores = stores
        self._server = parse_roots(roots, self._place_of)
        self._limits: tuple[RootSet, ...] = ()
        self._for_tenant = False

    def within(self, limits: Sequence[Sequence[str]], *, for_tenant: bool = False) -> ImportRoots:
        """These roots for callers of whom each of the ``limits``, if any, allows only what lies below its roots.

        A limit takes away and adds nothing: names mean the same files for everybody. A relative root of a limit lies
        below each root of the server. Messages ``for_tenant``, and for callers with limits, show no folder of the
        server that the request doesn't name.

        Raises:
            PathNotAllowed, Unsupported: a root of a limit can't be one.
        """
        if not any(limits) and not for_tenant:
            return self
        narrowed = ImportRoots((), self._stores)
        narrowed._server = self._server
        narrowed._for_tenant = True
        added = [parse_limit(limit, self._server, self._place_of) for limit in limits if limit]
        narrowed._limits = (*self._limits, *added)
        return narrowed

    def check(self, path: str, has_keys: bool) -> None:
        """Judge a path by its text alone; neither disk nor network is asked.

        Raises:
            PathNotAllowed: outside every root, or a form that is never opened.
            Unsupported: a scheme that can't be read.
        """
        self._places(parse_path(path), has_keys)

    def locate(self, path: str, access_key: str = "", secret_key: str = "", token: str = "") -> list[Location]:
        """The file that a path names, or all files below it when it ends in ``/``. Raises as :meth:`scan`."""
        return self.scan(path, access_key, secret_key, token)[0]

    def scan(
        self, path: str, access_key: str = "", secret_key: str = "", token: str = ""
    ) -> tuple[list[Location], list[str]]:
        """The file that a path names, or all files below it when it ends in ``/`` (sorted by name); and what else a
        folder holds beside data, by its name in the folder.

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
                beside: list[str] = []
                found = self._look(place, address, (access_key, secret_key, token), beside)
            except FileUnreadable as error:
                denied = denied or error
                continue
            if found:
                return found, beside
        if denied:
            raise denied
        raise self._missing(address, places)

    def probe(self) -> None:
        """Look whether the roots can be read at all; ``s3://`` alone is the callers' to try, and a web server has
        nothing that could be listed.

        Raises:
            FileMissing: a folder or bucket isn't there.
            FileUnreadable, SourceUnavailable: as the place says.
        """
        for root in self._server.roots:
            if isinstance(root, RemoteRoot):
                place = root.place
                if place.scheme in BUCKETS:
                    probe(place.scheme, place.home, place.key, self._settings_of(place))
            elif not os.path.isdir(root.path):
                raise FileMissing(f"folder {root.text!r} is not there", path=root.text)
            elif not os.access(root.path, os.R_OK | os.X_OK):
                raise FileUnreadable(f"folder {root.text!r} can't be read: access denied", path=root.text)

    def absent_folders(self) -> list[str]:
        """The local roots that are no folders at present, as they were given."""
        roots = [root for root in self._server.roots if not isinstance(root, RemoteRoot)]
        return [root.text for root in roots if not os.path.isdir(root.path)]

    def restore(
        self, saved: Mapping[str, Any], access_key: str = "", secret_key: str = "", token: str = ""
    ) -> Location:
        """A location from what its :meth:`Location.to_json` gave, with the credentials that are never stored.

        Raises:
            PathNotAllowed: the place has been taken away since.
        """
        location = Location(
            uri=saved["uri"],
            name=saved["name"],
            size=saved["size"],
            version=saved["version"],
            whole=saved.get("whole", False),
        )
        scheme, _, rest = location.uri.partition("://")
        if scheme == LOCAL:
            path = os.fsdecode(unquote_to_bytes(rest))
            if not all(any(is_below(path, root) for root in roots) for roots in self._real_roots()):
                raise self._outside_error(Address(text=location.name, scheme=LOCAL, path=path))
            return location
        home, _, key = rest.partition("/")
        bucket, _, account = home.partition("@")
        address = parse_path(location.name)
        place = RemotePlace(scheme, bucket, key, region=address.region, account=account)
        self._check_object(place, address, bool(access_key or secret_key or token))
        return replace(location, credentials=self._settings_of(place, access_key, secret_key, token))

    def _look(
        self, place: Place, address: Address, keys: tuple[str, str, str], side_files: list[str]
    ) -> list[Location]:
        if isinstance(place, LocalPlace):
            return find_local(place.path, address.text, address.is_folder, self._real_roots(), side_files)
        settings = self._settings_of(place, *keys)
        if place.scheme in WEB:
            return find_web(str(place), address.text, settings)
        return find_objects(
            place.scheme, place.home, place.key, address.text, address.is_folder, settings, side_files
        )

    def _place_of(self, address: Address) -> RemotePlace:
        """An account that is the server's own is not named, so that ``az://`` and its full address are the same."""
        own = address.account == self._stores.get("az", {}).get("account")
        return RemotePlace(
            address.scheme,
            address.bucket,
            address.path,
            region=address.region,
            account="" if own else address.account,
        )

    def _settings_of(
        self, place: RemotePlace, access_key: str = "", secret_key: str = "", token: str = ""
    ) -> Mapping[str, str]:
        settings = self._stores.get(place.scheme, {})
        if place.scheme in WEB:
            settings = {**settings, "roots": "\n".join(self._web_roots())}
        elif place.account:
            # The server's keys are those of its own account; what it has no key for, anybody may read or nobody.
            settings = {name: value for name, value in settings.items() if name == "endpoint"} | {"anonymous": "true"}
        settings = with_keys(place.scheme, settings, access_key, secret_key, token)
        # The region that a URL's host names counts where the settings don't say where the store is.
        if place.region and "region" not in settings and "endpoint" not in settings:
            settings["region"] = place.region
        return settings

    def _places(self, address: Address, has_keys: bool) -> list[Place]:
        """Where the file may be, best first; never empty."""
        if address.scheme in BUCKETS | WEB:
            return [self._remote_place(address, has_keys)]
        inside = self._server.holds_folder(address.path)
        if address.scheme == LOCAL and not inside:
            raise self._outside_error(address)
        places: list[Place] = [LocalPlace(address.path)] if inside else []
        if address.scheme == "":
            name = address.path.lstrip("/")
            places += [root.below(name) for root in self._server.roots if name or address.is_folder]
            if address.is_folder:
                places = [place for place in places if not (isinstance(place, RemotePlace) and place.scheme in WEB)]
        places = [place for place in places if self._is_allowed(place, has_keys)]
        if not places:
            raise self._outside_error(address)
        return list(dict.fromkeys(places))

    def _remote_place(self, address: Address, has_keys: bool) -> RemotePlace:
        place = self._place_of(address)
        if address.scheme in WEB and address.is_folder:
            raise Unsupported(
                f"path {address.text!r} is a folder of a web server, which tells nobody what is in it. "
                "Name the files, each by its address",
                path=address.text,
            )
        self._check_object(place, address, has_keys)
        return place

    def _check_object(self, place: RemotePlace, address: Address, has_keys: bool) -> None:
        """Raises PathNotAllowed."""
        known = self._server.holds_object(place)
        if not self._is_allowed(place, has_keys) or not (known or place.scheme in self._server.any_bucket):
            raise self._outside_error(address)
        if not known and not has_keys:
            raise PathNotAllowed(
                f"path {address.text!r} is in a bucket that this server reads only with the caller's own keys. "
                "Give accessKey and secretKey with the import",
                path=address.text,
            )

    def _is_allowed(self, place: Place, has_keys: bool) -> bool:
        """Whether every limit holds the place. A bucket that stands for any other is opened with keys only."""
        if isinstance(place, LocalPlace):
            plain = self._server.plain(place.path)
            return all(any(is_below(plain, folder.path) for folder in limit.folders) for limit in self._limits)
        return all(
            limit.holds_object(place) or (has_keys and place.scheme in limit.any_bucket) for limit in self._limits
        )

    def _real_roots(self) -> list[list[str]]:
        """Of the server and of each limit the folders themselves: a file must lie in one of each."""
        return [[root.real for root in each.folders] for each in (self._server, *self._limits)]

    def _web_roots(self) -> list[str]:
        """The web addresses that the server and every limit allow."""
        found = self._server.web
        for limit in self._limits:
            found = [
                deeper
                for one in found
                for other in limit.web
                for deeper in dict.fromkeys((one, other))
                if is_within(deeper, one) and is_within(deeper, other)
            ]
        return found

    def _outside_error(self, address: Address) -> PathNotAllowed:
        if self._limits:
            # The server's other roots are nobody's business who may not read them.
            allowed = sorted({text for limit in self._limits for text in limit.texts})
            return PathNotAllowed(
                f"path {address.text!r} is outside of what your key may import{self._shown(allowed)}. "
                "Import from there, or ask for a key with one more root",
                path=address.text,
                roots=allowed,
            )
        return PathNotAllowed(
            f"path {address.text!r} {self._outside_text(address)}", path=address.text, roots=list(self._server.texts)
        )

    def _outside_text(self, address: Address) -> str:
        """Says that a path is outside of the server's roots, and what can be done: move the file, or add a root."""
        texts = self._server.texts
        if not texts:
            remedy = (
                "Ask for one from those who run it"
                if self._for_tenant
                else "Start it with --import-root FOLDER or --import-root s3://bucket/prefix"
            )
            return f"can't be read: this server has no import roots. {remedy}"
        what = "object" if address.scheme in BUCKETS else "folder" if address.is_folder else "file"
        if self._for_tenant:
            remedy = "or ask those who run the server for one more root"
        else:
            home = address.path if address.is_folder else os.path.dirname(address.path)
            root = home if home.startswith("/") and home != "/" else "ADDRESS" if address.bucket else "FOLDER"
            remedy = f"or start the server with one more --import-root {root}"
        return (
            f"is outside of the import roots{self._shown(texts)}. Copy or move the {what} below one of them, {remedy}"
        )

    def _missing(self, address: Address, places: Sequence[Place]) -> FileMissing:
        what = "folder is not there or has no files in it" if address.is_folder else "file is not there"
        slash = "/" if address.is_folder else ""
        known = [place for place in places if self._may_show(place, address)]
        looked = ", ".join(f"{place}".rstrip("/") + slash for place in known)
        if len(known) < len(places):
            looked = f"{looked}, and below the import roots" if looked else "the import roots"
        if address.path.startswith("/") and address.scheme == "" and not self._server.holds_folder(address.path):
            # Old bulk writers write names below a root with a slash in front. This one is none, so it is meant as it
            # stands.
            text = f"{self._outside_error(address)}. As a name below a root the {what}: looked in {looked}"
        else:
            text = f"path {address.text!r}: the {what}. Looked in: {looked}"
        return FileMissing(text, path=address.text, looked=[str(place) for place in known])

    def _may_show(self, place: Place, address: Address) -> bool:
        return not self._for_tenant or not isinstance(place, LocalPlace) or place.path == address.path

    def _shown(self, texts: Sequence[str]) -> str:
        """The roots in brackets; without the folders of the server where a tenant reads it."""
        shown = [text for text in texts if not (self._for_tenant and _is_local_folder(text))]
        return f" ({', '.join(shown)})" if shown else ""


def _is_local_folder(text: str) -> bool:
    """Whether a root is written as a folder of the server's disk from ``/`` on."""
    return text.startswith("/") or text.lower().startswith("file:")
