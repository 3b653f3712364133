"""The description of a backup: written last, so that an interrupted backup has none."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from penstock.errors import InvalidParameter

MANIFEST = "backup.json"
_FORMAT = 1

CatalogKind = Literal["sqlite", "postgresql"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackedUpFile:
    """A file of a backup: its size in bytes and its SHA-256 in hexadecimal digits."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackedUpTable:
    """A collection's table. ``version`` is its newest one in the backup; ``store`` is ``""`` for the server's own."""

    id: str
    store: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupManifest:
    """What a backup contains. ``files`` maps names relative to the backup; ``stores`` are in the order of folders."""

    created_at: str
    penstock_version: str
    revision: str
    catalog: CatalogKind
    stores: Sequence[str]
    tables: Sequence[BackedUpTable]
    files: Mapping[str, BackedUpFile]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())


def write_manifest(folder: Path, manifest: BackupManifest) -> None:
    """Write the description durably, and in one step."""
    temporary = folder / f".{MANIFEST}"
    with temporary.open("wb") as file:
        file.write(orjson.dumps({"format": _FORMAT, **asdict(manifest)}, option=orjson.OPT_INDENT_2))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / MANIFEST)


def read_manifest(folder: Path) -> BackupManifest:
    """Read the description of the backup in a folder.

    Raises:
        InvalidParameter: the folder has no complete backup, or one of a newer version of Penstock.
    """
    path = folder / MANIFEST
    try:
        content: dict[str, Any] = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise InvalidParameter(
            f"{folder} has no {MANIFEST}: it is not a backup, or an interrupted one. Use another backup",
            folder=str(folder),
        ) from None
    except (OSError, ValueError) as error:
        raise InvalidParameter(f"{path} cannot be read: {error}. Use another backup", folder=str(folder)) from error
    if content.pop("format", None) != _FORMAT:
        raise InvalidParameter(
            f"{path} was written by a newer version of Penstock ({content.get('penstock_version')}). Restore it with "
            "that version",
            folder=str(folder),
        )
    try:
        return BackupManifest(
            **{
                **content,
                "tables": [BackedUpTable(**table) for table in content["tables"]],
                "files": {name: BackedUpFile(**file) for name, file in content["files"].items()},
            }
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidParameter(f"{path} is damaged: {error}. Use another backup", folder=str(folder)) from error
