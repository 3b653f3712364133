"""Files on local disks: looked up below a root, opened without following symbolic links anywhere in the path."""

from __future__ import annotations

import errno
import io
import os
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import unquote_to_bytes

import pyarrow as pa

from penstock.errors import FileMissing, FileUnreadable, PathNotAllowed, SourceError, SourceUnavailable
from penstock.sources.base import DELTA_LOG, Location, is_marker, side_file
from penstock.sources.errors import changed
from penstock.sources.globs import Glob, Matcher, Matches
from penstock.sources.paths import check_unicode

STREAM_BUFFER = 1 << 20
"""Bytes per read of a stream: large enough to make the system call's cost negligible."""
_CLOCK_STEP = 0.02
"""Seconds: Linux takes file times from a clock with a resolution of 1 to 10 ms."""
_COARSE_CLOCK_STEP = 2.0
"""Seconds, for file systems without fractions of a second; FAT has a resolution of two."""
_PASSING = (
    *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EREMOTEIO),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),
)
"""Errors that may pass: a server of NFS is restarted, or takes over another's files; other tasks close theirs."""
_PSEUDO_FILE_SYSTEMS = ("/proc", "/sys")
"""Pseudo file systems, which expose data of processes, this one's environment included."""


def is_below(path: str, root: str) -> bool:
    """Whether ``path`` is ``root`` or lies below it, by text; both absolute and normalized."""
    return path == root or path.startswith(root.rstrip("/") + "/")


def find_local(
    path: str, name: str, is_folder: bool, roots: Sequence[Sequence[str]], side_files: list[str]
) -> list[Location]:
    """Locate the file at ``path``, or all files in the folder, sorted by name; empty if it does not exist.

    ``side_files`` collects files of the folder that are no data (:func:`side_file`).

    ``roots`` are sets of real paths (without links); the file must lie below one path of each set. ``name`` is the
    path as the request gave it.

    Raises:
        PathNotAllowed: a link leads out of the roots.
        FileUnreadable: it exists, but is not a file that can be opened.
    """
    real = _real(path, name, roots)
    if not is_folder:
        try:
            return [_location(real, name)]
        except FileMissing:
            return []
    try:
        if not stat.S_ISDIR(os.stat(real).st_mode):
            return []
    except OSError as error:
        problem = disk_error(error, name)
        if isinstance(problem, FileMissing):
            return []
        raise problem from error
    locations = (
        _location(_real(os.path.join(real, member), name + member, roots), name + member)
        for member in sorted(_members(real, name, side_files))
    )
    return [location for location in locations if location.size or not is_marker(location.name)]


def match_local(
    folder: str, glob: Glob, roots: Sequence[Sequence[str]], limit: int, side_files: list[str]
) -> list[Location]:
    """Locate the files below ``folder`` that match a pattern, sorted by name; empty if there is no such folder.

    ``side_files`` collects the logs of Delta tables that it comes across.

    Raises:
        PathNotAllowed, FileUnreadable: as :func:`find_local`.
        LimitExceeded: more than ``limit`` files match, or too many are looked at.
    """
    name = glob.base.text
    real = _real(folder, name, roots)
    if not os.path.isdir(real):
        return []
    matcher, matches = Matcher(glob), Matches(glob, limit)
    members: list[str] = []
    pending = [("", matcher.start)]
    while pending:
        prefix, state = pending.pop()
        for entry in _entries(os.path.join(real, prefix), name + prefix):
            matches.visit()
            if entry.name == DELTA_LOG:
                side_files.append(f"{prefix}{DELTA_LOG}/")
            following = matcher.advance(state, entry.name)
            if not following:
                continue
            if _is_folder(entry, name + prefix):
                if not matcher.may_descend(following):
                    continue
                if entry.is_symlink():
                    raise _linked_folder(name + prefix + entry.name, name)
                pending.append((f"{prefix}{entry.name}/", following))
            elif matcher.is_match(following) and matches.add():
                check_unicode(name + prefix + entry.name)
                members.append(prefix + entry.name)
    matches.check()
    locations = (
        _location(_real(os.path.join(real, member), name + member, roots), name + member)
        for member in sorted(members)
    )
    return [location for location in locations if location.size or not is_marker(location.name)]


def _entries(folder: str, name: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        raise disk_error(error, name) from error


def _is_folder(entry: os.DirEntry[str], name: str) -> bool:
    """Whether an entry of the folder ``name`` is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError as error:
        raise disk_error(error, name + entry.name) from error


def _linked_folder(folder: str, path: str) -> FileUnreadable:
    return FileUnreadable(
        f"{folder!r} is a link to a folder, which is not followed. Name that folder itself", path=path
    )


def _real(path: str, name: str, roots: Sequence[Sequence[str]]) -> str:
    real = os.path.realpath(path)
    if not all(any(is_below(real, root) for root in root_set) for root_set in roots):
        raise PathNotAllowed(
            f"path {name!r} is a link that leads outside the import roots. Put the file itself below a root",
            path=name,
        )
    return real


def _members(folder: str, name: str, side_files: list[str]) -> Iterator[str]:
    """Walk all files below ``folder`` except side files, as paths relative to it."""

    def fail(error: OSError) -> None:
        raise disk_error(error, name + os.path.relpath(os.fsdecode(error.filename or folder), folder)) from error

    for at, folders, files in os.walk(folder, onerror=fail):
        below = os.path.relpath(at, folder)
        prefix = "" if below == "." else below + "/"
        skipped = sorted(
            [f"{prefix}{folder}/" for folder in folders if side_file(folder)]
            + [prefix + file for file in files if side_file(file)]
        )
        side_files += [os.fsencode(member).decode(errors="backslashreplace") for member in skipped]
        folders[:] = [folder for folder in folders if not side_file(folder)]
        for subfolder in folders:
            if os.path.islink(os.path.join(at, subfolder)):
                raise _linked_folder(name + prefix + subfolder, name)
        for file in files:
            if not side_file(file):
                check_unicode(name + prefix + file)
                yield prefix + file


def _location(real: str, name: str) -> Location:
    handle = open_regular(real, name)
    try:
        status = _settled_status(handle)
    finally:
        os.close(handle)
    return Location(uri=Path(real).as_uri(), name=name, size=status.st_size, version=_version(status))


def _version(status: os.stat_result) -> str:
    """The version of a file, apart from its size: inode, mtime and ctime.

    The ctime can't be set, so it reveals a write whose mtime was reset, as ``cp -p`` does. The device number is left
    out: it differs between hosts that mount the same share, and after a restart.
    """
    return f"{status.st_ino}-{status.st_mtime_ns}-{status.st_ctime_ns}"


def _is_version(status: os.stat_result, version: str) -> bool:
    """Whether a file has this version. Plans of earlier releases have no ctime in it, or no version at all."""
    return not version or f"{_version(status)}-".startswith(f"{version}-")


def _settled_status(handle: int) -> os.stat_result:
    """Read a file's status long enough after its last change that the next change can't get the same time."""
    status = os.fstat(handle)
    for _ in range(3):  # a file that is still being written fails the later check for changes
        step = _CLOCK_STEP if status.st_ctime_ns % 1_000_000_000 else _COARSE_CLOCK_STEP
        age = time.time() - status.st_ctime_ns / 1e9
        if not 0 <= age < step:
            break
        time.sleep(step - age)
        status = os.fstat(handle)
    return status


def open_regular(path: str, name: str) -> int:
    """Open the regular file at ``path``, an absolute path without links, and return its descriptor.

    Each path component is opened relative to the one before (``openat``) and no link is followed, so that no link can
    be inserted between check and use (TOCTOU).

    Raises:
        FileMissing, FileUnreadable, PathNotAllowed
    """
    if any(is_below(path, folder) for folder in _PSEUDO_FILE_SYSTEMS):
        raise PathNotAllowed(f"file {name!r} is a system file. Import roots are folders of regular files", path=name)
    folder_flags = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    *folders, last = path.strip("/").split("/")
    at = os.open("/", folder_flags)
    try:
        for folder in folders:
            below = os.open(folder, folder_flags, dir_fd=at)
            os.close(at)
            at = below
        # Without O_NONBLOCK opening a named pipe would block for ever.
        handle = os.open(last or ".", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    except OSError as error:
        raise disk_error(error, name) from error
    finally:
        os.close(at)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileUnreadable(
            f"{name!r} is not a regular file. The path of a folder must end in '/'; devices and pipes are never read",
            path=name,
        )
    return handle


def disk_error(error: OSError, name: str) -> SourceError:
    """The error for an OSError of reading a file.

    ``name`` is the path as the request gave it: the server's own path is not disclosed.
    """
    shown = repr(name)
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
        return FileMissing(f"file {shown} is not there", path=name)
    if error.errno == errno.ELOOP:
        return PathNotAllowed(f"file {shown} was replaced by a link. Put the file itself below a root", path=name)
    if error.errno in (errno.EACCES, errno.EPERM):
        return FileUnreadable(f"file {shown}: permission denied. Allow the user of the server to read it", path=name)
    if error.errno in _PASSING:
        return SourceUnavailable(f"file {shown} cannot be read: {error.strerror}", path=name)
    return FileUnreadable(f"file {shown} cannot be read: {error.strerror}", path=name)


@dataclass(frozen=True, slots=True)
class LocalSource:
    """A file on a local disk. It is read, never memory-mapped: access to a mapped file that shrinks kills the process
    (SIGBUS), and mapped pages count as memory of the worker."""

    location: Location

    @property
    def name(self) -> str:
        return self.location.name

    @property
    def size(self) -> int:
        return self.location.size

    @property
    def held_bytes(self) -> int:
        return STREAM_BUFFER

    def local_path(self) -> str:
        return os.fsdecode(unquote_to_bytes(self.location.uri.removeprefix("file://")))

    def open_arrow(self) -> pa.NativeFile:
        handle = self._open()
        try:
            # Arrow opens by name only; this name refers to the descriptor that has just been checked.
            return pa.OSFile(f"/dev/fd/{handle}", "r")
        finally:
            os.close(handle)

    def open_stream(self, start: int = 0, end: int | None = None) -> BinaryIO:
        stop = self.size if end is None else min(end, self.size)
        return cast(BinaryIO, io.BufferedReader(_Slice(self._open(), self.name, start, stop), STREAM_BUFFER))

    @property
    def is_pinned(self) -> bool:
        """Never: a file may be overwritten in place while it is open."""
        return False

    def check_unchanged(self) -> None:
        os.close(self._open())

    def _open(self) -> int:
        handle = open_regular(self.local_path(), self.name)
        status = os.fstat(handle)
        if status.st_size == self.size and _is_version(status, self.location.version):
            return handle
        os.close(handle)
        changed_at = datetime.fromtimestamp(status.st_ctime, UTC)
        raise changed(
            self.name,
            self.name,
            f"{self.size} bytes then, {status.st_size} now"
            if status.st_size != self.size
            else f"it was written or replaced at {changed_at:%Y-%m-%d %H:%M:%S} UTC",
        )


class _Slice(io.RawIOBase):
    """A raw stream of the bytes ``start`` to ``stop`` of a descriptor, which it owns."""

    def __init__(self, handle: int, name: str, start: int, stop: int) -> None:
        self._handle = handle
        self._name = name
        self._at = start
        self._stop = stop

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer)[: max(0, self._stop - self._at)]
        try:
            count = os.preadv(self._handle, [view], self._at) if len(view) else 0
        except OSError as error:
            raise disk_error(error, self._name) from error
        self._at += count
        return count

    def close(self) -> None:
        if not self.closed:
            os.close(self._handle)
        super().close()
