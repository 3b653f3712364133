"""Import roots: the allow-list of folders, prefixes and web addresses that files are read from.

``check`` validates the text of a path when a job is created; ``locate`` finds the file when the job is planned. Both
use the same list of candidates, so a path that passes the first can't escape in the second.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from penstock.domain.uploads import UPLOAD
from penstock.errors import FileMissing, FileUnreadable, PathNotAllowed, Unsupported
from penstock.sources.base import Listing, ListingKind, Location
from penstock.sources.credentials import Settings, with_keys
from penstock.sources.globs import MAX_FILES, Glob, has_wildcards, parse_glob
from penstock.sources.local import find_local, is_below, match_local
from penstock.sources.objects import find_objects, match_objects, probe
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
from penstock.sources.targets import Target
from penstock.sources.web import find_web, is_within

_NOTHING: Mapping[str, Settings] = MappingProxyType({})


class ImportRoots:
    """The import roots of a server, or their intersection (:meth:`within`) with the roots of an API key.

    Args:
        roots: local folders, prefixes of buckets (``s3://bucket/prefix``, ``gs://…``, ``az://…``) and web addresses
            (``https://host/path/``), searched in this order; ``s3://``, ``gs://`` or ``az://`` alone allows any
            bucket, but only with keys in the request.
        stores: the server's own settings by scheme (see :mod:`penstock.sources.credentials`).
        max_listed: maximum number of files that one pattern may match.
        uploads: folder of uploaded files, named by their ids; "" if there are none. They are read only by jobs that
            were created with them (:meth:`with_uploads`).

    Raises:
        PathNotAllowed, Unsupported: a root is not a folder or prefix that can be served.
    """

    def __init__(
        self,
        roots: Sequence[str],
        stores: Mapping[str, Settings] = _NOTHING,
        *,
        max_listed: int = MAX_FILES,
        uploads: str = "",
    ) -> None:
        self._stores = stores
        self._uploads = uploads
        self._upload_ids: frozenset[str] = frozenset()
        self.max_listed = max_listed
        self._server = parse_roots(roots, self._place_of)
        self._limits: tuple[RootSet, ...] = ()
        self._for_tenant = False

    def within(self, limits: Sequence[Sequence[str]], *, for_tenant: bool = False) -> ImportRoots:
        """Restrict these roots to paths that lie below each of the ``limits``, if there are any.

        A limit only restricts: a name means the same file for all callers. A relative root of a limit lies below each
        root of the server. ``for_tenant``, and with limits, messages show no folder of the server that the request
        doesn't name.

        Raises:
            PathNotAllowed, Unsupported: a root of a limit can't be one.
        """
        if not any(limits) and not for_tenant:
            return self
        narrowed = self._copy()
        narrowed._for_tenant = True
        added = [parse_limit(limit, self._server, self._place_of) for limit in limits if limit]
        narrowed._limits = (*self._limits, *added)
        return narrowed

    def with_uploads(self, upload_ids: Iterable[str]) -> ImportRoots:
        """Allow these uploads, too, whatever the limits are: the caller must be of the org that they belong to."""
        copy = self._copy()
        copy._upload_ids = frozenset(upload_ids)
        return copy

    def _copy(self) -> ImportRoots:
        copy = ImportRoots((), self._stores, max_listed=self.max_listed, uploads=self._uploads)
        copy._server, copy._limits = self._server, self._limits
        copy._for_tenant, copy._upload_ids = self._for_tenant, self._upload_ids
        return copy

    def check(self, path: str, has_keys: bool) -> None:
        """Validate a path by its text alone, without access to disk or network.

        Raises:
            PathNotAllowed: outside every root, or a form that is never opened.
            Unsupported: a scheme that can't be read.
        """
        address = parse_path(path)
        if address.scheme == UPLOAD and self._uploads:
            return  # whose it is, the catalog knows
        self._places(address, has_keys)

    def locate(self, path: str, access_key: str = "", secret_key: str = "", token: str = "") -> list[Location]:
        """Locate the files of a path. Raises as :meth:`scan`."""
        return list(self.scan(path, access_key, secret_key, token).locations)

    def scan(self, path: str, access_key: str = "", secret_key: str = "", token: str = "") -> Listing:
        """Locate the file of a path, all files below it if it ends in ``/``, or those that match it as a pattern;
        sorted by name.

        The first root that has the file, folder or matches wins. A pattern is taken for a name where a file or folder
        has exactly that name.

        Raises:
            FileMissing: in none of the roots; the message lists the searched places.
            LimitExceeded: a pattern matches too many files.
            PathNotAllowed, FileUnreadable, SourceUnavailable: as the store reports; after a denied access the later
                roots are still searched.
        """
        address = parse_path(path)
        glob = parse_glob(address)
        keys = (access_key, secret_key, token)
        try:
            return self._listing(address, None, keys)
        except FileMissing as error:
            if glob is None and has_wildcards(path):
                raise FileMissing(
                    f"{error}. Patterns are not resolved on web servers, whose folders cannot be listed: name each "
                    "file, or a manifest of them",
                    **error.details,
                ) from None
            if glob is None:
                raise
        except FileUnreadable:
            if glob is None:
                raise  # for a pattern, the listing decides
        return self._listing(replace(glob.base, text=path), glob, keys)

    def _listing(self, address: Address, glob: Glob | None, keys: tuple[str, str, str]) -> Listing:
        """The listing of an address, or of the pattern's matches in that folder. Raises as :meth:`scan`."""
        places = self._places(address, any(keys))
        denied: FileUnreadable | None = None
        for place in places:
            side_files: list[str] = []
            try:
                if glob is not None:
                    locations = self._match(place, glob, keys, side_files)
                else:
                    locations = self._find(place, address, keys, side_files)
            except FileUnreadable as error:
                denied = denied or error
                continue
            if locations:
                kind = ListingKind.FOLDER if address.is_folder else ListingKind.FILE
                return Listing(
                    path=address.text,
                    kind=kind if glob is None else ListingKind.PATTERN,
                    locations=locations,
                    folder=address.text if glob is None else glob.base.text,
                    side_files=side_files,
                )
        if denied:
            raise denied
        raise self._missing(address, places, is_pattern=glob is not None)

    def locate_from(
        self, manifest: Location, path: str, access_key: str = "", secret_key: str = "", token: str = ""
    ) -> Location:
        """Locate the one file at a path of a manifest: relative to the manifest's folder, or an address.

        Raises:
            FileMissing: there is no such file.
            PathNotAllowed, Unsupported, FileUnreadable, SourceUnavailable: as :meth:`scan`.
        """
        keys = (access_key, secret_key, token)
        address = parse_path(path)
        if address.scheme or path.startswith("/"):
            return self._listing(address, None, keys).locations[0]
        if manifest.name.startswith(f"{UPLOAD}://"):
            raise PathNotAllowed(
                f"path {path!r} is relative, and {manifest.name!r} is an upload, which has no folder. Upload the "
                "files themselves, or list their addresses",
                path=path,
            )
        name = manifest.name.rpartition("/")[0]
        name = f"{name}/{address.path}" if "/" in manifest.name else address.path
        scheme, _, rest = manifest.uri.partition("://")
        place: Place
        if scheme == LOCAL:
            folder = os.path.dirname(os.fsdecode(unquote_to_bytes(rest)))
            place = LocalPlace(os.path.join(folder, address.path))
        else:
            home, _, key = rest.rpartition("/")[0].partition("/")
            bucket, _, account = home.partition("@")
            member = quote(address.path) if scheme in WEB else address.path
            region = parse_path(manifest.name).region
            place = RemotePlace(scheme, bucket, f"{key}/{member}" if key else member, region=region, account=account)
            self._check_object(place, replace(address, text=name), any(keys))
        locations = self._find(place, replace(address, text=name), keys, [])
        if not locations:
            raise FileMissing(
                f"path {name!r}: the file does not exist next to the manifest {manifest.name!r}", path=name
            )
        return locations[0]

    def target(self, path: str, access_key: str = "", secret_key: str = "", token: str = "") -> Target:
        """The folder at a path, as the target of an export; these are the export roots. A relative one lies below
        the first root. Checks the text alone.

        Raises:
            PathNotAllowed: outside every root, or a form that is never opened.
            FileUnreadable: malformed credentials.
            Unsupported: a scheme that can't be written.
        """
        address = parse_path(path)
        has_keys = bool(access_key or secret_key or token)
        try:
            places = self._places(replace(address, is_folder=address.scheme not in WEB), has_keys)
        except PathNotAllowed as error:
            roots = error.details.get("roots", ())
            shown = self._shown(list(roots)) if roots else ""
            keys = "" if has_keys or not address.bucket else ", or pass the keys of the bucket"
            raise PathNotAllowed(
                f"path {address.text!r} is outside the folders that this server exports to{shown}. Choose a folder "
                f"below one of them{keys}, or start the server with --export-root",
                path=address.text,
            ) from error
        absolute = address.scheme == "" and address.path.startswith("/")
        places = [place for place in places if not absolute or str(place) == address.path]
        place = places[0] if places else None
        if place is None or (isinstance(place, RemotePlace) and place.scheme in WEB):
            if place is not None:
                raise Unsupported("exports can't be written to web servers", path=address.text)
            raise PathNotAllowed(
                f"path {address.text!r} is outside the folders that this server exports to"
                f"{self._shown(list(self._server.texts))}. Choose a folder below one of them, or start the server "
                "with --export-root",
                path=address.text,
            )
        if isinstance(place, LocalPlace):
            return Target(uri=Path(place.path).as_uri(), name=address.text, roots=self._real_roots())
        settings = self._settings_of(place, access_key, secret_key, token)
        return Target(uri=str(place).rstrip("/"), name=address.text, credentials=settings)

    def probe(self) -> None:
        """Check that the roots can be read, except ``s3://`` alone, which needs a request's keys, and web servers,
        which can't be listed.

        Raises:
            FileMissing: a folder or bucket does not exist.
            FileUnreadable, SourceUnavailable: as the store reports.
        """
        for root in self._server.roots:
            if isinstance(root, RemoteRoot):
                place = root.place
                if place.scheme in BUCKETS:
                    probe(place.scheme, place.home, place.key, self._settings_of(place))
            elif not os.path.isdir(root.path):
                raise FileMissing(f"folder {root.text!r} does not exist", path=root.text)
            elif not os.access(root.path, os.R_OK | os.X_OK):
                raise FileUnreadable(f"folder {root.text!r} cannot be read: access denied", path=root.text)

    def absent_folders(self) -> list[str]:
        """The local roots that are currently no folders, as configured."""
        roots = [root for root in self._server.roots if not isinstance(root, RemoteRoot)]
        return [root.text for root in roots if not os.path.isdir(root.path)]

    def restore(
        self, saved: Mapping[str, Any], access_key: str = "", secret_key: str = "", token: str = ""
    ) -> Location:
        """Deserialize a location from :meth:`Location.to_json`, and add the credentials, which are never stored.

        Raises:
            PathNotAllowed: the import root has been removed since.
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
            if location.name.startswith(f"{UPLOAD}://"):
                self._upload_place(parse_path(location.name))
                return location
            if not all(any(is_below(path, root) for root in roots) for roots in self._real_roots()):
                raise self._outside_error(Address(text=location.name, scheme=LOCAL, path=path))
            return location
        home, _, key = rest.partition("/")
        bucket, _, account = home.partition("@")
        address = parse_path(location.name)
        place = RemotePlace(scheme, bucket, key, region=address.region, account=account)
        self._check_object(place, address, bool(access_key or secret_key or token))
        return replace(location, credentials=self._settings_of(place, access_key, secret_key, token))

    def _find(
        self, place: Place, address: Address, keys: tuple[str, str, str], side_files: list[str]
    ) -> list[Location]:
        if isinstance(place, LocalPlace):
            is_upload = address.scheme == UPLOAD
            roots = [[os.path.realpath(self._uploads)]] if is_upload else self._real_roots()
            return find_local(place.path, address.text, address.is_folder, roots, side_files)
        settings = self._settings_of(place, *keys)
        if place.scheme in WEB:
            return find_web(str(place), address.text, settings)
        return find_objects(
            place.scheme, place.home, place.key, address.text, address.is_folder, settings, side_files
        )

    def _match(
        self, place: Place, glob: Glob, keys: tuple[str, str, str], side_files: list[str]
    ) -> Sequence[Location]:
        if isinstance(place, LocalPlace):
            return match_local(place.path, glob, self._real_roots(), self.max_listed, side_files)
        settings = self._settings_of(place, *keys)
        return match_objects(place.scheme, place.home, place.key, glob, settings, self.max_listed, side_files)

    def _place_of(self, address: Address) -> RemotePlace:
        """The remote place of an address, without the server's own account, so that ``az://`` equals the full URL."""
        is_own_account = address.account == self._stores.get("az", {}).get("account")
        return RemotePlace(
            address.scheme,
            address.bucket,
            address.path,
            region=address.region,
            account="" if is_own_account else address.account,
        )

    def _settings_of(
        self, place: RemotePlace, access_key: str = "", secret_key: str = "", token: str = ""
    ) -> Mapping[str, str]:
        settings = self._stores.get(place.scheme, {})
        if place.scheme in WEB:
            settings = {**settings, "roots": "\n".join(self._web_roots())}
        elif place.account:
            # The server's keys are for its own account; other accounts are read anonymously.
            settings = {name: value for name, value in settings.items() if name == "endpoint"} | {"anonymous": "true"}
        settings = with_keys(place.scheme, settings, access_key, secret_key, token)
        # The region in a URL's host applies if the settings have neither region nor endpoint.
        if place.region and "region" not in settings and "endpoint" not in settings:
            settings["region"] = place.region
        return settings

    def _places(self, address: Address, has_keys: bool) -> list[Place]:
        """The candidate places of a file, by priority; never empty."""
        if address.scheme in BUCKETS | WEB:
            return [self._remote_place(address, has_keys)]
        if address.scheme == UPLOAD:
            return [self._upload_place(address)]
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

    def _upload_place(self, address: Address) -> LocalPlace:
        """Raises Unsupported, FileMissing."""
        if not self._uploads:
            raise Unsupported(
                f"path {address.text!r}: this server takes no uploads. Copy the file below an import root",
                path=address.text,
            )
        if address.bucket not in self._upload_ids:
            raise FileMissing(
                f"path {address.text!r}: there is no such upload. Upload the file again", path=address.text
            )
        return LocalPlace(os.path.join(self._uploads, address.bucket))

    def _remote_place(self, address: Address, has_keys: bool) -> RemotePlace:
        place = self._place_of(address)
        if address.scheme in WEB and address.is_folder:
            raise Unsupported(
                f"path {address.text!r} is a folder of a web server, which cannot be listed. "
                "Name the address of each file",
                path=address.text,
            )
        self._check_object(place, address, has_keys)
        return place

    def _check_object(self, place: RemotePlace, address: Address, has_keys: bool) -> None:
        """Check that a remote place is allowed. Raises PathNotAllowed."""
        is_below_root = self._server.holds_object(place)
        if not self._is_allowed(place, has_keys) or not (is_below_root or place.scheme in self._server.any_bucket):
            raise self._outside_error(address)
        if not is_below_root and not has_keys:
            raise PathNotAllowed(
                f"path {address.text!r} is in a bucket that this server reads only with the caller's own "
                "credentials. Pass accessKey and secretKey with the import",
                path=address.text,
            )

    def _is_allowed(self, place: Place, has_keys: bool) -> bool:
        """Whether the place lies within every limit. ``any_bucket`` applies with the request's keys only."""
        if isinstance(place, LocalPlace):
            plain = self._server.plain(place.path)
            return all(any(is_below(plain, folder.path) for folder in limit.folders) for limit in self._limits)
        return all(
            limit.holds_object(place) or (has_keys and place.scheme in limit.any_bucket) for limit in self._limits
        )

    def _real_roots(self) -> list[list[str]]:
        """The real folders of the server and of each limit: a file must lie below one of each."""
        return [[root.real for root in root_set.folders] for root_set in (self._server, *self._limits)]

    def _web_roots(self) -> list[str]:
        """The web addresses that the server and every limit allow."""
        allowed = self._server.web
        for limit in self._limits:
            allowed = [
                deeper
                for root in allowed
                for limit_root in limit.web
                for deeper in dict.fromkeys((root, limit_root))
                if is_within(deeper, root) and is_within(deeper, limit_root)
            ]
        return allowed

    def _outside_error(self, address: Address) -> PathNotAllowed:
        if self._limits:
            # The server's other roots are not disclosed to callers that may not read them.
            allowed = sorted({text for limit in self._limits for text in limit.texts})
            return PathNotAllowed(
                f"path {address.text!r} is outside the import roots of your key{self._shown(allowed)}. "
                f"Import from there, or ask for a key with another root{self._upload_hint(address)}",
                path=address.text,
                roots=allowed,
            )
        return PathNotAllowed(
            f"path {address.text!r} {self._outside_text(address)}", path=address.text, roots=list(self._server.texts)
        )

    def _outside_text(self, address: Address) -> str:
        """Message text: the path is outside of the server's roots; remedies are moving the file or adding a root."""
        texts = self._server.texts
        if not texts:
            remedy = (
                "Ask its operator to add one"
                if self._for_tenant
                else "Start it with --import-root FOLDER or --import-root s3://bucket/prefix"
            )
            return f"cannot be read: this server has no import roots. {remedy}{self._upload_hint(address)}"
        what = "object" if address.scheme in BUCKETS else "folder" if address.is_folder else "file"
        if self._for_tenant:
            remedy = "or ask the operator of the server for another root"
        else:
            home = address.path if address.is_folder else os.path.dirname(address.path)
            root = home if home.startswith("/") and home != "/" else "ADDRESS" if address.bucket else "FOLDER"
            remedy = f"or start the server with another --import-root {root}"
        return (
            f"is outside the import roots{self._shown(texts)}. Copy or move the {what} below one of them, {remedy}"
            f"{self._upload_hint(address)}"
        )

    def _upload_hint(self, address: Address) -> str:
        """The way to import a file of the caller's machine."""
        if not self._uploads or address.scheme not in ("", LOCAL):
            return ""
        return ". If it is on your machine, upload it: penstock import --upload, or upload=True in Python"

    def _missing(self, address: Address, places: Sequence[Place], *, is_pattern: bool = False) -> FileMissing:
        what = "folder does not exist or has no files" if address.is_folder else "file does not exist"
        what = "no file matches the pattern" if is_pattern else f"the {what}"
        slash = "/" if address.is_folder else ""
        shown = [place for place in places if self._may_show(place, address)]
        searched = ", ".join(f"{place}".rstrip("/") + slash for place in shown)
        if len(shown) < len(places):
            searched = f"{searched}, and below the import roots" if searched else "the import roots"
        if address.path.startswith("/") and address.scheme == "" and not self._server.holds_folder(address.path):
            # Old bulk writers write names below a root with a leading slash. This path matches none, so it is taken
            # as an absolute path.
            text = f"{self._outside_error(address)}. As a name below a root {what}: looked in {searched}"
        else:
            text = f"path {address.text!r}: {what}. Looked in: {searched}"
        return FileMissing(text, path=address.text, looked=[str(place) for place in shown])

    def _may_show(self, place: Place, address: Address) -> bool:
        return not self._for_tenant or not isinstance(place, LocalPlace) or place.path == address.path

    def _shown(self, texts: Sequence[str]) -> str:
        """The roots in brackets; for tenants without the server's folders."""
        shown = [text for text in texts if not (self._for_tenant and _is_local_folder(text))]
        return f" ({', '.join(shown)})" if shown else ""


def _is_local_folder(text: str) -> bool:
    """Whether a root is written as an absolute local path."""
    return text.startswith("/") or text.lower().startswith("file:")
