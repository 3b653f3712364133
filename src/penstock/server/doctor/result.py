"""Results of the doctor's checks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """Result of one check: the finding and, for a problem, its remedy."""

    check: str
    health: Health
    found: str
    remedy: str = ""


def ok(check: str, found: str) -> CheckResult:
    return CheckResult(check=check, health=Health.OK, found=found)


def warn(check: str, found: str, remedy: str) -> CheckResult:
    return CheckResult(check=check, health=Health.WARN, found=found, remedy=remedy)


def fail(check: str, found: str, remedy: str) -> CheckResult:
    return CheckResult(check=check, health=Health.FAIL, found=found, remedy=remedy)
