"""The options of an import call: the table of them, and the syntax of a separator."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from penstock.domain.write_modes import Duplicates, WriteMode

BOOLEAN = ("true", "false")


class OnError(StrEnum):
    """What a job does about bad rows and files."""

    ABORT = "abort"
    SKIP_ROW = "skip_row"
    SKIP_FILE = "skip_file"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOption:
    """An option of the import call.

    ``help`` is a sentence without its full stop, for ``--help``, the docs and OpenAPI. ``values`` are the only ones
    that it may have; empty: any that its own check accepts. ``metavar`` names such a value. ``has_flag``: ``penstock
    import`` has a flag of its name; of an option that is true or false the flag takes no value and means true.
    ``is_of_job``: it decides what becomes of the rows, not how files are read, so ``penstock check`` lacks it.
    ``is_of_files``: it says how the files are to be read, and has an effect on an inferred schema, too.
    """

    name: str
    help: str
    values: Sequence[str] = ()
    default: str = ""
    metavar: str = "TEXT"
    has_flag: bool = False
    is_of_job: bool = False
    is_of_files: bool = False

    @property
    def is_boolean(self) -> bool:
        return self.values == BOOLEAN

    @property
    def flag(self) -> str:
        """The flag of ``penstock import``."""
        return f"--{self.name.replace('_', '-')}"


def is_true(options: Mapping[str, str], name: str) -> bool:
    """Whether an option that is true or false is true, in any case; one that isn't given is not."""
    return options.get(name, "").lower() == BOOLEAN[0]


IMPORT_OPTIONS: Sequence[ImportOption] = (
    ImportOption(
        name="timeout",
        help="Time after which an unfinished job fails, such as 300s or 1.5h",
        default="the server's setting",
        metavar="DURATION",
    ),
    ImportOption(
        name="auto_commit",
        help="With false the job waits in state Uncommitted until it is committed",
        values=BOOLEAN,
        default="true",
    ),
    ImportOption(
        name="dry_run",
        help="Read and check all rows, and report errors, duplicate keys, time and disk, without importing any",
        values=BOOLEAN,
        default="false",
        has_flag=True,
        is_of_job=True,
    ),
    ImportOption(
        name="sep",
        help="CSV: column separator, such as '\\t'",
        default="a comma",
        metavar="CHARACTER",
        has_flag=True,
        is_of_files=True,
    ),
    ImportOption(
        name="nullkey", help="CSV: text of null cells", default="an empty cell", has_flag=True, is_of_files=True
    ),
    ImportOption(
        name="unknown_columns",
        help="Columns without a field: keep as dynamic values, drop, or fail",
        values=("dynamic", "drop", "error"),
        default="dynamic",
        has_flag=True,
    ),
    ImportOption(
        name="if_loaded",
        help="Files whose rows the collection already has: load them again, skip them, or fail",
        values=("load", "skip", "error"),
        default="load",
        has_flag=True,
        is_of_job=True,
    ),
    ImportOption(
        name="verify",
        help="Check rows, keys, vectors and searches after the commit",
        values=BOOLEAN,
        default="false",
        has_flag=True,
        is_of_job=True,
    ),
    ImportOption(
        name="on_error",
        help="A bad row fails the job (abort), is left out (skip_row), or its file is (skip_file)",
        values=tuple(policy.value for policy in OnError),
        default=OnError.ABORT.value,
        has_flag=True,
        is_of_job=True,
    ),
    ImportOption(
        name="max_errors",
        help="Maximum number of bad rows of a job, with skip_file of bad files: 100, or 1% of all",
        default="no limit",
        metavar="COUNT",
        has_flag=True,
        is_of_job=True,
    ),
    ImportOption(
        name="max_errors_per_file",
        help="Maximum number of bad rows of one file: 100, or 1% of its rows",
        default="no limit",
        metavar="COUNT",
        has_flag=True,
        is_of_job=True,
    ),
    ImportOption(
        name="write_mode",
        help="Existing rows: all stay, those with the same keys are replaced, or all are replaced",
        values=tuple(mode.value for mode in WriteMode),
        default="append",
        has_flag=True,
        is_of_job=True,
    ),
    ImportOption(
        name="duplicates",
        help="Rows of the job with the same key: keep all, fail, or keep the first or the last",
        values=tuple(duplicates.value for duplicates in Duplicates),
        default="keep; last with write_mode upsert",
        has_flag=True,
        is_of_job=True,
    ),
    ImportOption(
        name="mapping", help="JSON object: the columns that fields get their values from, by field", metavar="JSON"
    ),
    ImportOption(name="drop_columns", help="JSON list of columns and keys to leave out", metavar="JSON"),
    ImportOption(
        name="from_format",
        help="The vector store that the files were exported from",
        values=("chroma", "openai", "pgvector", "pinecone", "qdrant", "weaviate"),
        has_flag=True,
        is_of_files=True,
    ),
    ImportOption(
        name="column_names",
        help="pgvector: names of the columns, separated by commas, of a file without a header",
        metavar="NAMES",
        has_flag=True,
        is_of_files=True,
    ),
    ImportOption(name="datasets", help="HDF5: names of the datasets to import, separated by commas", metavar="NAMES"),
)
"""The options that this server supports. The ``FormatSpec`` of a format declares those that belong to it."""
SERVED_OPTIONS = frozenset(option.name for option in IMPORT_OPTIONS)

_OF_MILVUS = frozenset(
    {
        "backup",
        "endTs",
        "end_ts",
        "ezk",
        "l0_import",
        "skip_disk_quota_check",
        "startTs",
        "start_ts",
        "storage_version",
    }
)
"""Options of Milvus that only concern its backups."""
_OF_CLIENTS = frozenset({"scene", "sdk"})
"""Options that the Java SDK adds to every call; they have no effect."""
_OTHER_NAMES = {"delimiter": "sep", "delim": "sep", "null": "nullkey", "nullvalue": "nullkey", "navalues": "nullkey"}
"""Names of these options in other programs."""
_MAX_NAMED = 10
_MAX_NAME = 100
_ESCAPE = re.compile(
    r"\\(?:(?P<tab>t)|x(?P<hex>[0-9a-fA-F]{2})|u(?P<unicode>[0-9a-fA-F]{4})|(?P<octal>[0-3]?[0-7]{1,2}))"
)


def parse_separator(text: str) -> str:
    """Parse a separator as shells and configuration files write it: ``\\t``, ``\\x01``, ``\\u0001`` or ``\\001``.

    Any other text, ``\\\\`` for one backslash excepted, stays as it is.
    """
    if text == "\\\\":
        return "\\"
    match = _ESCAPE.fullmatch(text)
    if match is None:
        return text
    if match["tab"]:
        return "\t"
    return chr(int(match["octal"], 8) if match["octal"] else int(match["hex"] or match["unicode"], 16))


def unknown_option(name: str) -> str | None:
    """Describe an option unknown to this server and Milvus, with the nearest one; None for a known option."""
    if name in SERVED_OPTIONS | _OF_MILVUS | _OF_CLIENTS:
        return None
    near = _nearest(name)
    shown = name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}…"
    hint = f"Did you mean {near!r}?" if near else f"Options are {', '.join(sorted(SERVED_OPTIONS))}"
    return f"option {shown!r} is unknown. {hint}"


def option_warnings(names: Iterable[str]) -> Sequence[str]:
    """Return the texts of a job's warnings about ignored options, which Milvus ignores silently; bounded."""
    texts = [f"{text} It was ignored" for name in sorted(names) if (text := _ignored(name))]
    if len(texts) > _MAX_NAMED:
        texts[_MAX_NAMED:] = [f"{len(texts) - _MAX_NAMED} more unknown options. They were ignored"]
    return texts


def _ignored(name: str) -> str | None:
    if name in _OF_MILVUS:
        return f"option {name!r} only concerns backups of Milvus, which are not imported."
    text = unknown_option(name)
    return text if text is None or text.endswith("?") else f"{text}."


def _nearest(name: str) -> str | None:
    plain = re.sub(r"[^a-z0-9]", "", name[:_MAX_NAME].lower())
    by_plain = {option.replace("_", ""): option for option in sorted(SERVED_OPTIONS)} | _OTHER_NAMES
    beginning = [
        alias for alias in by_plain if len(plain) > 2 and (plain.startswith(alias) or alias.startswith(plain))
    ]
    near = beginning or difflib.get_close_matches(plain, by_plain, n=1)
    return by_plain[near[0]] if near else None
