"""Files that a job leaves out, under on_error=skip_file, and the splits that must be staged again without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from penstock.domain.error_budget import ErrorPolicy
from penstock.domain.import_options import OnError
from penstock.domain.jobs import FileState, ImportFile, Split, SplitState
from penstock.engines.values import Staged
from penstock.errors import DataError, MemoryExceeded, SourceError, Transient, facts_of
from penstock.imports.context import staged_of
from penstock.imports.reject_files import TooManyErrors


class SkippedFiles:
    """The files of a job that are left out so far. They are stored as Failed, so a resumed job has them."""

    def __init__(self, policy: ErrorPolicy, files: Sequence[ImportFile]) -> None:
        self._policy = policy
        self._files = {file.ordinal: file for file in files}
        failed = [file for file in files if file.state is FileState.FAILED]
        self._skipped = {file.ordinal: file for file in failed if self.is_on}

    @property
    def is_on(self) -> bool:
        return self._policy.on_error is OnError.SKIP_FILE

    @property
    def ordinals(self) -> frozenset[int]:
        return frozenset(self._skipped)

    def __len__(self) -> int:
        return len(self._skipped)

    def applies_to(self, error: BaseException) -> bool:
        """Whether an error is of one file, which can be left out for it."""
        is_of_file = isinstance(error, DataError | SourceError | MemoryExceeded)
        return self.is_on and is_of_file and not isinstance(error, Transient)

    def add(self, ordinal: int, error: BaseException) -> ImportFile:
        """Leave a file out; returns it as it is to be stored."""
        file = replace(
            self._files[ordinal],
            state=FileState.FAILED,
            reason=str(error),
            error=facts_of(error),
            finished_at=datetime.now(UTC),
        )
        self._skipped = {**self._skipped, ordinal: file}  # other threads read it
        return file

    def has_rows_in(self, split: Split) -> bool:
        """Whether a staged split holds rows of a file that is left out."""
        return split.state is SplitState.STAGED and any(
            file_range.rows and file_range.file in self._skipped for file_range in split.ranges
        )

    def check(self) -> None:
        """Raises TooManyErrors where too many files are left out, or all of them are."""
        if not self._skipped:
            return
        examples = "; ".join(str(file.reason) for file in list(self._skipped.values())[:3])
        budget = self._policy.per_job
        if budget is not None and budget.is_exceeded(len(self._skipped), len(self._files)):
            raise TooManyErrors(
                f"more bad files than options.max_errors={budget.text} allows: {len(self._skipped):,} of "
                f"{len(self._files):,} files. The first ones: {examples}",
                option="max_errors",
                bad=len(self._skipped),
            )
        if len(self._skipped) == len(self._files):
            raise TooManyErrors(
                f"all {len(self._files):,} files were left out by on_error=skip_file: {examples}",
                bad=len(self._skipped),
            )


def unstaged(split: Split) -> tuple[Split, Staged]:
    """A staged split as one to be staged again, and its staged files, to be deleted."""
    ranges = tuple(replace(file_range, rows=0, rejected=0) for file_range in split.ranges)
    return replace(split, state=SplitState.PENDING, ranges=ranges, staged=None, warnings=()), staged_of(split.staged)
