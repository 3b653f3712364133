"""The policy of a job for bad rows and files, as its import options give it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from penstock.domain.import_options import OnError
from penstock.errors import ImportRefused, shorten

_BUDGET = re.compile(r"(\d{1,15})|(\d{1,3}(?:\.\d{1,6})?)\s?%")


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """How many rows or files may be bad: a ``count``, or a ``percent`` of all. ``text`` is as it was given."""

    text: str
    count: int | None = None
    percent: float | None = None

    @classmethod
    def parse(cls, text: str, option: str) -> ErrorBudget:
        """Raises ImportRefused unless the text is a whole number, or a percentage up to 100%."""
        match = _BUDGET.fullmatch(text.strip())
        if match is not None and match[1]:
            return cls(text, count=int(match[1]))
        if match is not None and float(match[2]) <= 100:
            return cls(text, percent=float(match[2]))
        raise ImportRefused(
            f"options.{option} must be a number such as 100, or a percentage such as 1%, not {shorten(text)!r}",
            option=option,
        )

    def is_exceeded(self, bad: int, total: int | None) -> bool:
        """Whether ``bad`` are too many. A percentage counts once the ``total`` is known."""
        if self.count is not None:
            return bad > self.count
        return self.percent is not None and total is not None and bad * 100 > self.percent * total


@dataclass(frozen=True, slots=True)
class ErrorPolicy:
    """What a job does about bad rows and files. ``per_job`` counts rows, or the files that are skipped."""

    on_error: OnError = OnError.ABORT
    per_job: ErrorBudget | None = None
    per_file: ErrorBudget | None = None

    @classmethod
    def of(cls, options: Mapping[str, str]) -> ErrorPolicy:
        """Raises ImportRefused for a budget that is not a number, or that the policy has no use for."""
        on_error = OnError(options.get("on_error") or OnError.ABORT)
        budgets = {
            name: ErrorBudget.parse(options[name], name)
            for name in ("max_errors", "max_errors_per_file")
            if options.get(name)
        }
        for name in budgets:
            if on_error is OnError.ABORT or (on_error is OnError.SKIP_FILE and name == "max_errors_per_file"):
                needed = "skip_row or skip_file" if name == "max_errors" else "skip_row"
                raise ImportRefused(
                    f"options.{name} needs options.on_error {needed}, but that is {on_error}: it would do nothing",
                    option=name,
                )
        return cls(on_error, budgets.get("max_errors"), budgets.get("max_errors_per_file"))
