"""Rows of a collection past its time to live."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.domain.ids import first_id_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """The expired rows: those of jobs that committed up to ``cutoff`` (milliseconds since 1970).

    A job commits after it was created, and its id says when that was: a job whose id was drawn after the cutoff is
    not expired. All earlier ones are, except ``late``: the jobs that were running at the cutoff. So a condition
    on job ids needs few constants, however many jobs there are.
    """

    cutoff: int
    late: tuple[int, ...] = ()

    @property
    def before(self) -> int:
        """The least job id that was drawn after the cutoff."""
        return first_id_at(self.cutoff)
