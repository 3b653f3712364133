"""The report of a check or dry run: problems by rule and field, with counts and first places; keys; sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from penstock.domain.jobs import JobWarning


class Severity(StrEnum):
    """``ERROR``: refused, or rows are lost or wrong. ``WARNING``: accepted, but not as one may think."""

    ERROR = "error"
    WARNING = "warning"

    @property
    def rank(self) -> int:
        """Higher is worse."""
        return (Severity.WARNING, Severity.ERROR).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a problem is: ``row`` counts from 0 in the file. While ``range`` is set, the number of a file range in
    its split, it counts in that range."""

    file: str | None = None
    row: int | None = None
    offset: int | None = None
    value: str | None = None
    range: int | None = None

    def to_json(self) -> dict[str, Any]:
        facts = {
            "file": self.file,
            "row": self.row,
            "offset": self.offset,
            "value": self.value,
            "range": self.range,
        }
        return {name: value for name, value in facts.items() if value is not None}

    @property
    def text(self) -> str:
        """``file:row``, as far as known."""
        parts = [self.file or "", *([] if self.row is None else [f"row {self.row}"])]
        if self.row is None and self.offset is not None:
            parts.append(f"byte {self.offset}")
        return ", ".join(filter(None, parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """All breaks of one rule by one field: the message of the first one, and the first places."""

    rule: str
    message: str
    field: str | None = None
    severity: Severity = Severity.ERROR
    remedy: str | None = None
    count: int = 1
    places: tuple[Place, ...] = ()

    def to_json(self) -> dict[str, Any]:
        facts = {
            "rule": self.rule,
            "severity": self.severity.value,
            "field": self.field,
            "message": self.message,
            "remedy": self.remedy,
            "count": self.count,
            "places": [place.to_json() for place in self.places],
        }
        return {name: value for name, value in facts.items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Problem:
        return cls(
            **{
                **data,
                "severity": Severity(data["severity"]),
                "places": tuple(Place(**place) for place in data["places"]),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateKey:
    """A key that several rows have: its value, how many, and the first two places."""

    value: str
    count: int
    places: tuple[Place, Place]

    def to_json(self) -> dict[str, Any]:
        return {"value": self.value, "count": self.count, "places": [place.to_json() for place in self.places]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DuplicateKey:
        first, second = (Place(**place) for place in data["places"])
        return cls(value=data["value"], count=data["count"], places=(first, second))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyReport:
    """Keys of the rows: ``duplicates`` are the rows whose key an earlier row has, ``keys`` the different keys that
    these have. Of ``sampled`` keys ``existing`` are those of rows that the collection holds."""

    field: str
    duplicates: int = 0
    keys: int = 0
    first: tuple[DuplicateKey, ...] = ()
    sampled: int = 0
    existing: int = 0
    existing_values: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "field": self.field,
            "duplicateRows": self.duplicates,
            "duplicateKeys": self.keys,
            "first": [duplicate.to_json() for duplicate in self.first],
            "sampledKeys": self.sampled,
            "existingKeys": self.existing,
            "existingValues": list(self.existing_values),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> KeyReport:
        return cls(
            field=data["field"],
            duplicates=data["duplicateRows"],
            keys=data["duplicateKeys"],
            first=tuple(DuplicateKey.from_json(duplicate) for duplicate in data["first"]),
            sampled=data["sampledKeys"],
            existing=data["existingKeys"],
            existing_values=tuple(data["existingValues"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What the import would take: ``seconds`` on the workers that the dry run had, and ``disk`` in bytes, without
    indexes. Both are extrapolated from what the dry run measured."""

    seconds: float | None = None
    disk: int | None = None

    def to_json(self) -> dict[str, Any]:
        facts = {"seconds": None if self.seconds is None else round(self.seconds, 1), "diskBytes": self.disk}
        return {name: value for name, value in facts.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a dry run found. ``rows`` are all that were read, ``bad_rows`` those of them that break a rule; ``bytes``
    are the bytes of the files."""

    files: int
    rows: int
    bad_rows: int
    bytes: int
    problems: Sequence[Problem] = ()
    keys: KeyReport | None = None
    estimate: Estimate | None = None
    warnings: Sequence[JobWarning] = ()

    @property
    def errors(self) -> int:
        return sum(problem.count for problem in self.problems if problem.severity is Severity.ERROR)

    @property
    def is_clean(self) -> bool:
        """Whether no rule is broken; warnings are allowed."""
        return not self.errors and not (self.keys and self.keys.duplicates)

    def to_json(self) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "files": self.files,
            "rows": self.rows,
            "badRows": self.bad_rows,
            "bytes": self.bytes,
            "errors": self.errors,
            "clean": self.is_clean,
            "problems": [problem.to_json() for problem in self.problems],
        }
        if self.keys is not None:
            facts["keys"] = self.keys.to_json()
        if self.estimate is not None:
            facts["estimate"] = self.estimate.to_json()
        if self.warnings:
            facts["warnings"] = [warning.to_json() for warning in self.warnings]
        return facts

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Report:
        estimate = data.get("estimate")
        return cls(
            files=data["files"],
            rows=data["rows"],
            bad_rows=data["badRows"],
            bytes=data["bytes"],
            problems=[Problem.from_json(problem) for problem in data["problems"]],
            keys=KeyReport.from_json(data["keys"]) if "keys" in data else None,
            estimate=None
            if estimate is None
            else Estimate(seconds=estimate.get("seconds"), disk=estimate.get("diskBytes")),
            warnings=[JobWarning(**warning) for warning in data.get("warnings", ())],
        )
