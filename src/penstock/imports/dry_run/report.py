"""The report of a dry run: problems grouped by rule and field, with counts and first places; duplicate keys; sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from penstock.domain.jobs import JobWarning
from penstock.errors import DataError, PenstockError
from penstock.targets.rule import Finding, Severity

MAX_PLACES = 5
"""Places that a problem shows."""
MAX_PROBLEMS = 500
"""Problems that are kept apart; the rows of further ones are counted together."""
OTHER_RULE = "other"


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


@dataclass(slots=True)
class Problems:
    """A bounded collection of problems, in order of their first appearance."""

    _groups: dict[tuple[str, str | None], Problem] = field(default_factory=dict)

    def add(self, problem: Problem) -> None:
        """Add a problem to the one of the same rule and field."""
        key = (problem.rule, problem.field)
        if key not in self._groups and len(self._groups) >= MAX_PROBLEMS:
            key = (OTHER_RULE, None)
            problem = replace(
                problem, rule=OTHER_RULE, field=None, message=f"more than {MAX_PROBLEMS} other kinds of problems"
            )
        known = self._groups.get(key)
        if known is None:
            self._groups[key] = replace(problem, places=problem.places[:MAX_PLACES])
            return
        self._groups[key] = replace(
            known,
            count=known.count + problem.count,
            severity=max(known.severity, problem.severity, key=lambda severity: severity.rank),
            places=(*known.places, *problem.places)[:MAX_PLACES],
        )

    def add_all(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            self.add(problem)

    def list(self) -> list[Problem]:
        """The problems, errors first."""
        return sorted(self._groups.values(), key=lambda problem: -problem.severity.rank)


def problem_of_error(error: PenstockError, file: str, range: int | None = None) -> Problem:
    """The problem that an error of a file is; its row counts in the file, or in the ``range`` of a split."""
    if not isinstance(error, DataError):
        return Problem(rule=error.code, message=error.message, places=(Place(file=file),))
    place = Place(file=error.file or file, row=error.row, offset=error.offset, value=_text(error.value), range=range)
    return Problem(
        rule=getattr(error, "rule_id", error.rule),
        message=error.rule,
        field=error.field,
        remedy=error.remedy,
        places=(place,),
    )


def problem_of_finding(finding: Finding, severity: Severity, remedy: str) -> Problem:
    place = Place(file=finding.file, row=finding.row, offset=finding.offset, value=finding.value)
    return Problem(
        rule=finding.rule,
        message=finding.message,
        field=finding.field,
        severity=severity,
        remedy=remedy,
        places=(place,) if finding.file is not None else (),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateKey:
    """A key that several rows have: its value, how many, and the first two places."""

    value: str
    count: int
    places: tuple[Place, Place]

    def to_json(self) -> dict[str, Any]:
        return {"value": self.value, "count": self.count, "places": [place.to_json() for place in self.places]}


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
