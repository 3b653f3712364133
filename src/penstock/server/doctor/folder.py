"""Check the machine and the data dir: versions, clock, access, free space, encryption key."""

from __future__ import annotations

import os
import platform
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from cryptography.fernet import Fernet

from penstock.server.doctor.result import CheckResult, fail, ok, warn
from penstock.server.process.data_dir import lock_owner
from penstock.server.storage_settings import catalog_file, key_file
from penstock.settings import Settings
from penstock.version import DISTRIBUTION

_LEAST_FREE = 512 << 20
_FEW_FREE = 5 << 30
_FEW_SHARE = 0.05
_OTHERS = 0o077
_BUILT = datetime(2025, 1, 1, tzinfo=UTC)


def check_versions(settings: Settings) -> Iterator[CheckResult]:
    names = (DISTRIBUTION, "pylance", "pyarrow", "sqlalchemy")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    yield ok("versions", f"{versions}, Python {platform.python_version()}, {platform.system()} {platform.release()}")


def check_clock(settings: Settings) -> Iterator[CheckResult]:
    now = datetime.now(UTC)
    if now < _BUILT:
        yield fail("clock", f"it shows {now:%Y-%m-%d %H:%M} UTC", "Set the clock; leases and job ids depend on it")
    else:
        yield ok("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def check_folder(settings: Settings) -> Iterator[CheckResult]:
    folder = settings.data_dir
    name = "data dir"
    if _is_dangling(folder):
        yield _dangling(name, folder)
        return
    if not folder.is_dir():
        yield fail(name, f"{folder} does not exist", "Set the server's --data-dir; the first start creates it")
        return
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield fail(name, f"{folder} cannot be read or written by this user", "Run as the user of the server")
        return
    if stat.S_IMODE(folder.stat().st_mode) & _OTHERS:
        open_to_others = sorted(path.name for path in folder.iterdir() if _mode(path) & _OTHERS)
        if open_to_others:
            finding = f"{folder} is accessible to other users, with {', '.join(open_to_others)} in it"
            yield warn(name, finding, f"chmod -R go= {folder}")
    for path in sorted(folder.iterdir()):
        if _is_dangling(path):
            yield _dangling(name, path)
    holder = lock_owner(folder)
    yield ok(name, f"{folder}, " + ("not locked by a server" if holder is None else f"locked by process {holder}"))


def _mode(path: Path) -> int:
    """The mode of a file; 0 if it is gone, as the server's temporary files soon are, or its link leads nowhere."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _is_dangling(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def _dangling(name: str, path: Path) -> CheckResult:
    return fail(
        name,
        f"{path} is a symbolic link to {os.readlink(path)}, which does not exist",
        "Mount or restore what it leads to, or remove the link",
    )


def check_space(settings: Settings) -> Iterator[CheckResult]:
    if not settings.data_dir.is_dir():
        return
    usage = shutil.disk_usage(settings.data_dir)
    finding = f"{_gigabytes(usage.free)} of {_gigabytes(usage.total)} are free for {settings.data_dir}"
    remedy = "Free space, or move the data dir to a larger disk; an import needs about the size of its vectors"
    if usage.free < _LEAST_FREE:
        yield fail("disk space", finding, remedy)
    elif usage.free < _FEW_FREE or usage.free < _FEW_SHARE * usage.total:
        yield warn("disk space", finding, remedy)
    else:
        yield ok("disk space", finding)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"


def check_key(settings: Settings) -> Iterator[CheckResult]:
    if settings.encryption_key is not None:
        yield ok("secret.key", "the key is set in the environment")
        return
    path = key_file(settings)
    if not settings.data_dir.is_dir():
        return
    if not path.exists():
        remedy = "Restore it from a backup; without it, pending jobs with their own credentials cannot run"
        if catalog_file(settings).exists():
            yield fail("secret.key", f"{path} does not exist, but a catalog does", remedy)
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    try:
        Fernet(path.read_bytes().strip())
    except (OSError, ValueError) as error:
        yield fail("secret.key", f"{path} is not a key: {error}", "Restore it from a backup")
        return
    if mode & _OTHERS:
        yield warn("secret.key", f"{path} is readable by other users (mode {mode:04o})", f"chmod 600 {path}")
    else:
        yield ok("secret.key", f"mode {mode:04o}")
