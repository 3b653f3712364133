"""Write modes of import jobs: what becomes of rows that are there, and of keys that a job has twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class WriteMode(StrEnum):
    """``append``: rows that are there stay. ``upsert``: those with the job's keys go. ``overwrite``: all go."""

    APPEND = "append"
    UPSERT = "upsert"
    OVERWRITE = "overwrite"


class Duplicates(StrEnum):
    """Rows of one job with the same key: all stay, the job fails, or only the first or last of them stays."""

    KEEP = "keep"
    ERROR = "error"
    FIRST = "first"
    LAST = "last"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """How a job is published. ``partition``: an overwrite replaces the rows of this one only; None: of all."""

    mode: WriteMode = WriteMode.APPEND
    duplicates: Duplicates = Duplicates.KEEP
    partition: int | None = None

    @classmethod
    def of(cls, options: Mapping[str, str], partition: int | None = None) -> WriteOptions:
        """The write options among the options of an import call, which are valid."""
        mode = WriteMode(options.get("write_mode") or WriteMode.APPEND)
        default = Duplicates.LAST if mode is WriteMode.UPSERT else Duplicates.KEEP
        return cls(
            mode=mode,
            duplicates=Duplicates(options.get("duplicates") or default),
            partition=partition if mode is WriteMode.OVERWRITE else None,
        )

    @property
    def reads_keys(self) -> bool:
        """Whether the keys of the job's rows decide which rows stay."""
        return self.mode is WriteMode.UPSERT or self.duplicates is not Duplicates.KEEP


APPEND = WriteOptions()
