"""Check the text of JSON and CSV files against the rules of targets: how they begin, and how values are written."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import orjson

from penstock.domain.schema import META_FIELD, CollectionSchema, DataType
from penstock.errors import shorten
from penstock.targets import table
from penstock.targets.rule import Finding, Target, TargetRule

BOM = b"\xef\xbb\xbf"
HEAD_BYTES = 4096
_BLANK = rb"[ \t\r\n]*+"
_ROOT = re.compile(_BLANK + rb"(?:\[|\{" + _BLANK + rb'"rows"' + _BLANK + rb":)", re.IGNORECASE)
_OVERLAP = 4096
"""Bytes of a block that are searched again together with the next: a field's name, and where its value begins."""


def check_head(head: bytes, format: str, targets: Sequence[Target], file: str) -> Iterator[Finding]:
    """Yield what the targets refuse of the first bytes (up to :data:`HEAD_BYTES`) of a file."""
    findings: list[Finding | None] = []
    if head.startswith(BOM):
        findings.append(table.BOM.finding(targets, "the file begins with a byte order mark", file=file, offset=0))
        head = head[len(BOM) :]
    text = head.lstrip(b" \t\r\n")
    if format == "JSON" and text and not _ROOT.match(head):
        message = "the rows are no list at the top, and not in the first key, rows"
        findings.append(table.JSON_ROOT.finding(targets, message, file=file))
    if format == "JSONL" and text.startswith(b"["):
        findings.append(table.LINES_AS_LIST.finding(targets, "the file begins with a list", file=file, offset=0))
    return (finding for finding in findings if finding is not None)


def check_header(
    head: bytes, separator: str, schema: CollectionSchema, targets: Sequence[Target], file: str
) -> Iterator[Finding]:
    """Yield what the targets do otherwise with the columns of a CSV file, as far as its header is in the first bytes.

    ``head`` are up to :data:`HEAD_BYTES` of the file.
    """
    line, end, _ = head.removeprefix(BOM).partition(b"\n")
    names = next(csv.reader([line.decode(errors="replace").rstrip("\r")], delimiter=separator), [])
    if not end and len(head) >= HEAD_BYTES:
        names = names[:-1]  # it is cut off
    for name in names:
        if name not in (*schema.names, META_FIELD):
            rule = table.CSV_DYNAMIC if schema.dynamic else table.UNKNOWN_COLUMN
            finding = rule.finding(
                targets, f"no field has the name of the column {shorten(name)!r}", file=file, field=name
            )
            if finding is not None:
                yield finding


@dataclass(frozen=True, slots=True)
class ValueSearch:
    """A search of JSON rows for values that are written in a form that targets refuse. Picklable.

    ``pattern`` finds candidates in the text of many rows at once, keys within JSON values among them; only rows with
    one are parsed.
    """

    pattern: re.Pattern[bytes]
    forms: Sequence[tuple[TargetRule, frozenset[str], tuple[type, ...]]]
    targets: Sequence[Target]

    @classmethod
    def of(cls, schema: CollectionSchema, targets: Sequence[Target]) -> ValueSearch | None:
        """The search for a schema; None if there is nothing to look for."""
        integers = frozenset(field.name for field in schema if field.type.is_integer)
        documents = frozenset(field.name for field in schema if field.type is DataType.JSON)
        forms: list[tuple[TargetRule, frozenset[str], tuple[type, ...], bytes]] = [
            (table.WHOLE_NUMBER, integers, (float,), rb"-?[0-9]++[.eE]"),
            (table.JSON_VALUE, documents, (list, int, float), rb"(?:[\[0-9-]|true|false)"),
        ]
        used = [form for form in forms if form[1] and form[0].severity(targets) is not None]
        if not used:
            return None
        parts = [
            b"(?:"
            + b"|".join(re.escape(name.encode()) for name in sorted(names))
            + b')"'
            + _BLANK
            + b":"
            + _BLANK
            + value
            for _, names, _, value in used
        ]
        pattern = re.compile(b'"(?:' + b"|".join(parts) + b")")
        return cls(pattern, [(rule, names, kinds) for rule, names, kinds, _ in used], targets)

    def has_candidates(self, blocks: Iterable[bytes]) -> bool:
        """Whether a row of consecutive blocks of a file may have such a value. Takes a tenth of the time of parsing:
        the search begins at quotes, which vectors lack."""
        rest = b""
        for block in blocks:
            text = rest + block
            if self.pattern.search(text):
                return True
            rest = text[-_OVERLAP:]
        return False

    def findings(self, record: bytes, file: str, row: int, offset: int) -> Iterator[Finding]:
        """Yield the findings of one row."""
        if not self.pattern.search(record):
            return
        try:
            values = orjson.loads(record)
        except orjson.JSONDecodeError:  # the reader's own error
            return
        if not isinstance(values, dict):
            return
        for rule, names, kinds in self.forms:
            for name in sorted(names & values.keys()):
                if isinstance(values[name], kinds):
                    value = orjson.dumps(values[name]).decode()
                    message = f"the value is written as {shorten(value)}"
                    finding = rule.finding(
                        self.targets, message, file=file, row=row, offset=offset, field=name, value=shorten(value)
                    )
                    if finding is not None:
                        yield finding
