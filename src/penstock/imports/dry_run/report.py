"""Group the problems that a dry run finds by rule and field."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from penstock.domain.check_report import Place, Problem, Severity
from penstock.errors import DataError, PenstockError
from penstock.targets.rule import Finding

MAX_PLACES = 5
"""Places that a problem shows."""
MAX_PROBLEMS = 500
"""Problems that are kept apart; the rows of further ones are counted together."""
OTHER_RULE = "other"


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
        rule=error.rule_id,
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
